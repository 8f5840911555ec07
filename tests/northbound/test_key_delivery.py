"""Delivery of keys over HTTP, as ETSI GS QKD 014 V1.1.1 says: on a real server."""

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from bellwire.northbound.key_store import KeyStore
from tests.northbound.key_server import key_server

ZERO = "00000000-0000-0000-0000-000000000000"

STATUS = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "source_KME_ID",
        "target_KME_ID",
        "master_SAE_ID",
        "slave_SAE_ID",
        "key_size",
        "stored_key_count",
        "max_key_count",
        "max_key_per_request",
        "max_key_size",
        "min_key_size",
        "max_SAE_ID_count",
    ],
    "properties": {
        **{
            name: {"type": "string"}
            for name in ("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID")
        },
        **{
            name: {"type": "integer"}
            for name in (
                "key_size",
                "stored_key_count",
                "max_key_count",
                "max_key_per_request",
                "max_key_size",
                "min_key_size",
                "max_SAE_ID_count",
            )
        },
        "status_extension": {"type": "object"},
    },
}
CONTAINER = {
    "type": "object",
    "required": ["keys"],
    "properties": {
        "keys": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key_ID", "key"],
                "properties": {"key_ID": {"type": "string"}, "key": {"type": "string"}},
            },
        }
    },
}
ERROR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["message"],
    "properties": {
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
}
"""Tables 9, 11 and 13 of the specification, written down here from its text."""


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    store = KeyStore(tmp_path)
    store.add("alice", "bob", "run", bytes(index % 251 for index in range(1024)))
    yield store
    store.close()


@pytest.fixture
def server(keys: KeyStore) -> Iterator[str]:
    with key_server(keys) as address:
        yield f"{address}/api/v1/keys"


def call(
    server: str, sae: str | None, path: str, body: Any = None, raw: bytes | None = None
) -> httpx.Response:
    headers = {} if sae is None else {"x-sae-id": sae}
    if body is None and raw is None:
        return httpx.get(f"{server}/{path}", headers=headers)
    if raw is not None:
        return httpx.post(f"{server}/{path}", headers=headers, content=raw)
    return httpx.post(f"{server}/{path}", headers=headers, json=body)


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    jsonschema.validate(response.json(), ERROR)
    return response.json()


def given(response: httpx.Response) -> list[tuple[str, bytes]]:
    assert response.status_code == 200, response.text
    jsonschema.validate(response.json(), CONTAINER)
    keys = [(one["key_ID"], base64.b64decode(one["key"], validate=True)) for one in response.json()["keys"]]
    assert all(str(uuid.UUID(key_id)) == key_id for key_id, _ in keys)
    return keys


def test_the_status_has_the_fields_of_the_specification_and_counts_what_is_left(server: str) -> None:
    told = call(server, "alice", "bob/status").json()
    jsonschema.validate(told, STATUS)
    assert (told["master_SAE_ID"], told["slave_SAE_ID"]) == ("alice", "bob")
    assert told["stored_key_count"] == 32
    given(call(server, "alice", "bob/enc_keys?number=5"))
    assert call(server, "alice", "bob/status").json()["stored_key_count"] == 27


def test_a_master_gets_keys_by_both_methods_and_the_slave_reads_the_same_by_their_ids(server: str) -> None:
    one = given(call(server, "alice", "bob/enc_keys"))
    two = given(call(server, "alice", "bob/enc_keys", {"number": 2, "size": 128}))
    assert [len(key) for _, key in one + two] == [32, 16, 16]
    assert given(call(server, "bob", f"alice/dec_keys?key_ID={one[0][0]}")) == one
    body = {"key_IDs": [{"key_ID": key_id} for key_id, _ in two]}
    assert given(call(server, "bob", "alice/dec_keys", body)) == two
    refused(call(server, "bob", "alice/dec_keys", body), 400)


def test_additional_slaves_read_the_key_too(server: str) -> None:
    keys = given(call(server, "alice", "bob/enc_keys", {"additional_slave_SAE_IDs": ["carol"]}))
    for slave in ("bob", "carol"):
        assert given(call(server, slave, f"alice/dec_keys?key_ID={keys[0][0]}")) == keys


def test_somebody_else_gets_no_key_by_its_id(server: str) -> None:
    ((key_id, _),) = given(call(server, "alice", "bob/enc_keys"))
    told = refused(call(server, "mallory", f"alice/dec_keys?key_ID={key_id}"), 400)
    assert told["details"] == [{"key_ID": key_id}]
    refused(call(server, "mallory", f"bob/dec_keys?key_ID={key_id}"), 400)


@pytest.mark.parametrize("path", ["bob/status", "bob/enc_keys", f"bob/dec_keys?key_ID={ZERO}"])
def test_an_unknown_caller_is_answered_401(server: str, path: str) -> None:
    refused(call(server, None, path), 401)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("bob/enc_keys?size=257", None, "multiple of 8"),
        ("bob/enc_keys?size=8", None, "outside 64..4096"),
        ("bob/enc_keys?size=8192", None, "outside 64..4096"),
        ("bob/enc_keys?number=0", None, "outside 1..128"),
        ("bob/enc_keys?number=129", None, "outside 1..128"),
        ("bob/enc_keys?number=many", None, "form"),
        ("bob/enc_keys", {"number": "2"}, "form"),
        ("bob/enc_keys", {"numbers": 2}, "form"),
        ("bob/enc_keys", {"extension_mandatory": [{"route": "direct"}]}, "extension_mandatory"),
        ("bob/enc_keys", {"additional_slave_SAE_IDs": [str(n) for n in range(9)]}, "8 are supported"),
        ("alice/dec_keys", {"key_IDs": []}, "form"),
        ("alice/dec_keys?key_ID=7", None, "UUID"),
        ("alice/dec_keys", None, "form"),
        (f"alice/dec_keys?key_ID={ZERO}", None, "no key"),
    ],
)
def test_what_cannot_be_served_is_answered_400_with_the_reason(
    server: str, path: str, body: Any, said: str
) -> None:
    told = refused(call(server, "alice", path, body), 400)
    assert said in told["message"]


def test_a_body_that_is_no_json_is_answered_400(server: str) -> None:
    refused(call(server, "alice", "bob/enc_keys", raw=b"{"), 400)


def test_optional_extensions_are_ignored(server: str) -> None:
    assert given(call(server, "alice", "bob/enc_keys", {"extension_optional": [{"x": 1}]}))


def test_too_little_key_is_answered_503_and_nothing_is_taken(server: str) -> None:
    told = refused(call(server, "alice", "bob/enc_keys?number=33"), 503)
    assert "8192 bits are in store" in told["message"]
    refused(call(server, "alice", "carol/enc_keys"), 503)
    assert call(server, "alice", "bob/status").json()["stored_key_count"] == 32
