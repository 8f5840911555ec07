"""One submission from its arrival to its answer, once, whatever happens in between.

Owns the order of the steps: the key is kept before anything is done, the source is asked, what it says is
kept, then the answer. Refuses judgement, which is the source's. A server that dies in between finds the key
at its next life and takes the same request_id up again, which the source knows or does not.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from bellwire.client.words import Request, RequestTerms
from bellwire.core.plans import PRE_DISTRIBUTED, EntanglementRequest, is_pre_distributed
from bellwire.northbound.agents import AgentRefusal, AgentSilent
from bellwire.northbound.problems import Problem, later
from bellwire.northbound.requests import fingerprint, fresh_name, request_of, request_told
from bellwire.northbound.service import Northbound
from bellwire.northbound.tokens import Principal

MARK_BYTES = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a submission is answered. `replayed`: as an earlier one with the same key was."""

    status: int
    body: Any
    replayed: bool


class Submissions:
    """The submissions of one server."""

    def __init__(self, service: Northbound) -> None:
        self._service = service
        self._under_way: set[tuple[str, str]] = set()

    async def submit(self, terms: RequestTerms, principal: Principal, key: str | None) -> Answer:
        """Submit once. Raises Problem."""
        request_id = terms.request_id or fresh_name(tuple(terms.target_nodes), secrets.token_hex(MARK_BYTES))
        if key is None:
            status, told = await self._act(terms, request_id, principal)
            return Answer(status, told.model_dump(mode="json"), replayed=False)
        whose = principal.name
        if (whose, key) in self._under_way:
            raise later("idempotency-key-in-progress", "the first request with this key is at work", 1)
        self._under_way.add((whose, key))
        try:
            return await self._once(terms, request_id, principal, key)
        finally:
            self._under_way.discard((whose, key))

    async def _once(self, terms: RequestTerms, request_id: str, principal: Principal, key: str) -> Answer:
        store, said, whose = self._service.store, fingerprint(terms), principal.name
        kept = await store.reserve(whose, key, said, request_id, time.time_ns())
        if kept is not None:
            if kept.fingerprint != said:
                raise Problem("idempotency-key-reused", "this key came with other terms before")
            if kept.status is not None:
                return Answer(kept.status, kept.body, replayed=True)
            request_id = kept.request_id
        try:
            status, told = await self._act(terms, request_id, principal)
        except Problem as problem:
            if problem.status_code == 422:
                await store.answered(whose, key, problem.status_code, problem.document())
            elif problem.kind.name != "agent-silent":
                await store.release(whose, key)
            raise
        body = told.model_dump(mode="json")
        await store.answered(whose, key, status, body)
        return Answer(status, body, replayed=False)

    async def _act(self, terms: RequestTerms, request_id: str, principal: Principal) -> tuple[int, Request]:
        service = self._service
        if is_pre_distributed(request_id):
            raise Problem("request-refused", f"{PRE_DISTRIBUTED} is the lab's own")
        source = terms.target_nodes[0]
        if source not in service.lab.addresses:
            raise Problem("request-refused", f'no node "{source}" in this lab')
        request = request_of(terms, request_id)
        known = await service.store.request(request_id)
        if known is not None and known.source != source:
            raise self._taken(request_id)
        try:
            await service.agents.submit(request)
            found = await service.agents.request(source, request_id)
        except AgentSilent as silence:
            raise later("agent-silent", str(silence), 1) from silence
        except AgentRefusal as refusal:
            raise Problem("request-refused", str(refusal)) from refusal
        standing = found["standing"]
        if standing is None:
            refused: dict[str, Any] = dict(found["refusal"] or {"reason": f"{source} does not say why"})
            raise Problem("request-refused", str(refused.pop("reason")), **refused)
        if msgspec.convert(standing["request"], EntanglementRequest) != request:
            raise self._taken(request_id)
        now_ns = time.time_ns()
        was_known = await service.store.put_request(source, standing, now_ns, principal.name)
        told = request_told(standing, source, principal.name, now_ns, fresh=True)
        return 200 if was_known and known is not None else 202, told

    def _taken(self, request_id: str) -> Problem:
        return Problem("request-id-taken", f"{request_id} names another request")
