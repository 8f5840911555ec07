"""Delivery of keys to applications by the REST interface of ETSI GS QKD 014 V1.1.1 (2019-02).

Owns the three methods, their JSON and their form of errors: 400, 401 and 503 with `message` and `details`.
Refuses authentication: whoever mounts the router has found out which application asks, and its name is the
SAE id (`SaeOf`). Names with capitals are the specification's own.

An application reads a key by its id as the slave of the master that it names. A caller that is the master
itself may do so too, in place of that slave: the same two applications have the key in the end.
"""

import base64
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bellwire.northbound.key_store import DeliveredKey, KeyStore, NotEnoughKey, UnknownKey

KEY_BITS: Final = 256
"""Size of a key where none is asked for."""
KEY_BITS_MIN: Final = 64
KEY_BITS_MAX: Final = 4096
KEYS_PER_REQUEST_MAX: Final = 128
KEYS_STORED_MAX: Final = 1_000_000
SAE_IDS_MAX: Final = 8
"""Additional slaves of one request."""
SAE_ID_LENGTH_MAX: Final = 256

Form = TypeVar("Form", bound=BaseModel)

SaeOf = Callable[[Request], str | None]
"""Who asks, None: nobody that is known."""


class Status(BaseModel):
    """Table 9 of the specification."""

    source_KME_ID: str
    target_KME_ID: str
    master_SAE_ID: str
    slave_SAE_ID: str
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_SAE_ID_count: int


class KeyRequest(BaseModel):
    """Table 10: what a master asks for."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(default=1, ge=1, strict=True)
    size: int = Field(default=KEY_BITS, ge=1, strict=True)
    additional_slave_SAE_IDs: list[str] = Field(default_factory=list)
    extension_mandatory: list[dict[str, Any]] = Field(default_factory=list)
    extension_optional: list[dict[str, Any]] = Field(default_factory=list)


class Key(BaseModel):
    """One key of a container, base64 as in RFC 4648."""

    key_ID: str
    key: str


class KeyContainer(BaseModel):
    """Table 11."""

    keys: list[Key]


class KeyID(BaseModel):
    """One id of Table 12."""

    model_config = ConfigDict(extra="allow")  # key_ID_extension, which may hold anything

    key_ID: str


class KeyIDs(BaseModel):
    """Table 12: which keys a slave asks for."""

    model_config = ConfigDict(extra="allow")  # key_IDs_extension

    key_IDs: list[KeyID] = Field(min_length=1, max_length=KEYS_PER_REQUEST_MAX)


class Error(BaseModel):
    """Table 13."""

    message: str
    details: list[dict[str, str]] | None = None


class Refusal(Exception):
    """A call that is answered by the specification's form of an error."""

    def __init__(self, status: int, message: str, details: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details or []


class KeyDeliveryRoute(APIRoute):
    """A route whose every error, those of the dependencies before it included, has the specified form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its errors translated."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except Refusal as refusal:
                return _error(refusal.status, refusal.message, refusal.details)
            except RequestValidationError as invalid:
                return _error(400, "the request has not the specified form", _told(invalid.errors()))
            except HTTPException as refused:
                status = 401 if refused.status_code in (401, 403) else refused.status_code
                return _error(status, str(refused.detail), [], refused.headers)

        return answer


def principal_of(request: Request) -> str | None:
    """The name that the server's own authentication has found."""
    principal = getattr(request.state, "principal", None)
    return None if principal is None else str(principal.name)


def key_delivery_router(keys: KeyStore, sae_of: SaeOf = principal_of) -> APIRouter:
    """The interface over a store."""
    router = APIRouter(
        prefix="/api/v1/keys",
        route_class=KeyDeliveryRoute,
        tags=["ETSI GS QKD 014"],
        responses={status: {"model": Error, "description": said} for status, said in _ERRORS.items()},
    )
    delivery = _Delivery(keys, sae_of)
    for path, name, call, model in (
        ("/{slave_SAE_ID}/status", "key_status", delivery.status, Status),
        ("/{slave_SAE_ID}/enc_keys", "key_enc", delivery.enc_keys, KeyContainer),
        ("/{master_SAE_ID}/dec_keys", "key_dec", delivery.dec_keys, KeyContainer),
    ):
        router.add_api_route(path, call, methods=["GET"], name=f"{name}_get", response_model=model)
    router.add_api_route(
        "/{slave_SAE_ID}/enc_keys",
        delivery.enc_keys_posted,
        methods=["POST"],
        name="key_enc_post",
        response_model=KeyContainer,
        openapi_extra=_body_of(KeyRequest),
    )
    router.add_api_route(
        "/{master_SAE_ID}/dec_keys",
        delivery.dec_keys_posted,
        methods=["POST"],
        name="key_dec_post",
        response_model=KeyContainer,
        openapi_extra=_body_of(KeyIDs),
    )
    return router


_ERRORS: Final = {
    400: "The request has not the specified form, or names keys that are not there.",
    401: "The application is not known.",
    503: "There is not enough key.",
}


class _Delivery:
    """The calls."""

    def __init__(self, keys: KeyStore, sae_of: SaeOf) -> None:
        self._keys = keys
        self._sae_of = sae_of

    async def status(self, request: Request, slave_SAE_ID: str) -> Status:
        """Get status (5.1): how much key there is for a slave."""
        master = self._caller(request)
        _check_sae(slave_SAE_ID)
        one = await run_in_threadpool(self._keys.node_of, master)
        other = await run_in_threadpool(self._keys.node_of, slave_SAE_ID)
        octets = await run_in_threadpool(self._keys.stored_octets, one, other)
        return Status(
            source_KME_ID=one,
            target_KME_ID=other,
            master_SAE_ID=master,
            slave_SAE_ID=slave_SAE_ID,
            key_size=KEY_BITS,
            stored_key_count=8 * octets // KEY_BITS,
            max_key_count=KEYS_STORED_MAX,
            max_key_per_request=KEYS_PER_REQUEST_MAX,
            max_key_size=KEY_BITS_MAX,
            min_key_size=KEY_BITS_MIN,
            max_SAE_ID_count=SAE_IDS_MAX,
        )

    async def enc_keys(
        self,
        request: Request,
        slave_SAE_ID: str,
        number: int = 1,
        size: int = KEY_BITS,
    ) -> KeyContainer:
        """Get key (5.2): fresh keys for a master, by GET for one slave."""
        return await self._give(request, slave_SAE_ID, KeyRequest.model_construct(number=number, size=size))

    async def enc_keys_posted(self, request: Request, slave_SAE_ID: str) -> KeyContainer:
        """Get key (5.2), by POST."""
        return await self._give(request, slave_SAE_ID, await _body(request, KeyRequest))

    async def _give(self, request: Request, slave: str, asked: KeyRequest) -> KeyContainer:
        master = self._caller(request)
        slaves = list(dict.fromkeys((slave, *asked.additional_slave_SAE_IDs)))
        for one in slaves:
            _check_sae(one)
        _check_request(asked)
        try:
            keys = await run_in_threadpool(self._keys.take, master, slaves, asked.number, asked.size // 8)
        except NotEnoughKey as missing:
            raise Refusal(503, str(missing)) from missing
        return _container(keys)

    async def dec_keys(self, request: Request, master_SAE_ID: str, key_ID: str) -> KeyContainer:
        """Get key with key IDs (5.3): the keys that a master has, by GET for one id."""
        return await self._read(request, master_SAE_ID, [key_ID])

    async def dec_keys_posted(self, request: Request, master_SAE_ID: str) -> KeyContainer:
        """Get key with key IDs (5.3), by POST."""
        asked = await _body(request, KeyIDs)
        return await self._read(request, master_SAE_ID, [one.key_ID for one in asked.key_IDs])

    async def _read(self, request: Request, master: str, key_ids: list[str]) -> KeyContainer:
        caller = self._caller(request)
        _check_sae(master)
        wrong = [key_id for key_id in key_ids if not _is_uuid(key_id)]
        if wrong:
            raise Refusal(400, "a key_ID is a UUID", [{"key_ID": key_id} for key_id in wrong])
        try:
            return _container(await run_in_threadpool(self._keys.read, master, caller, key_ids))
        except UnknownKey as unknown:
            problem = unknown
        try:
            return _container(await run_in_threadpool(self._keys.read, caller, master, key_ids))
        except UnknownKey:
            details = [{"key_ID": key_id} for key_id in key_ids]
            raise Refusal(400, str(problem), details) from problem

    def _caller(self, request: Request) -> str:
        sae = self._sae_of(request)
        if sae is None:
            raise Refusal(401, "the application that asks is not known")
        return sae


def _check_sae(sae: str) -> None:
    if not 0 < len(sae) <= SAE_ID_LENGTH_MAX:
        raise Refusal(400, f"an SAE id has 1 to {SAE_ID_LENGTH_MAX} characters, not {len(sae)}")


def _check_request(asked: KeyRequest) -> None:
    if asked.extension_mandatory:
        names = [{"extension_mandatory": name} for one in asked.extension_mandatory for name in one]
        raise Refusal(400, "not all extension_mandatory parameters are supported", names)
    if not 1 <= asked.number <= KEYS_PER_REQUEST_MAX:
        raise Refusal(400, f"number {asked.number} is outside 1..{KEYS_PER_REQUEST_MAX}")
    if asked.size % 8:
        raise Refusal(400, f"size {asked.size} shall be a multiple of 8")
    if not KEY_BITS_MIN <= asked.size <= KEY_BITS_MAX:
        raise Refusal(400, f"size {asked.size} is outside {KEY_BITS_MIN}..{KEY_BITS_MAX}")
    if len(asked.additional_slave_SAE_IDs) > SAE_IDS_MAX:
        raise Refusal(
            400, f"{len(asked.additional_slave_SAE_IDs)} additional slaves; {SAE_IDS_MAX} are supported"
        )


async def _body(request: Request, model: type[Form]) -> Form:
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as invalid:
        raise Refusal(400, "the body has not the specified form", _told(invalid.errors())) from invalid


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _told(errors: Any) -> list[dict[str, str]]:
    return [{".".join(str(part) for part in one["loc"]) or "body": str(one["msg"])} for one in errors]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _container(keys: tuple[DeliveredKey, ...]) -> KeyContainer:
    return KeyContainer(
        keys=[Key(key_ID=key.key_id, key=base64.b64encode(key.material).decode()) for key in keys]
    )


def _error(
    status: int, message: str, details: list[dict[str, str]], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body: dict[str, Any] = {"message": message}
    if details:
        body["details"] = details
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))
