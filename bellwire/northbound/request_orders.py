"""Orders about a request that stands: cancel, replan, suspend, resume; and what its source says of it.

Owns who may order what, the check that the request can still take the order, and waiting until its source
says that it is so. Refuses HTTP (request_routes.py) and the life of a request, which is its source's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Set
from typing import Final

from bellwire.client import words
from bellwire.northbound.agents import AgentRefusal, AgentSilent
from bellwire.northbound.problems import Problem, later
from bellwire.northbound.requests import FINAL_STATES, request_told
from bellwire.northbound.service import Northbound
from bellwire.northbound.store import KeptRequest
from bellwire.northbound.tokens import Principal

SETTLED_S: Final = 5.0
"""So long an order waits until the source says that it is so."""
POLL_S: Final = 0.1
CAN_PAUSE: Final = frozenset({"planning", "in_progress"})


async def kept_request(service: Northbound, request_id: str) -> KeptRequest:
    """A request that this server has heard of. Raises Problem: not-found."""
    kept = await service.store.request(request_id)
    if kept is None:
        raise Problem("not-found", f'no request "{request_id}" is known here')
    return kept


async def own_request(service: Northbound, request_id: str, principal: Principal) -> KeptRequest:
    """A request that this person may change. Raises Problem."""
    kept = await kept_request(service, request_id)
    if kept.submitted_by != principal.name and not principal.may("admin"):
        whose = "nobody that came through this API" if kept.submitted_by is None else kept.submitted_by
        raise Problem("forbidden", f"{request_id} was submitted by {whose}: an admin may do this")
    return kept


async def request_now(service: Northbound, kept: KeptRequest) -> words.Request:
    """Asked of the source; as kept when it is silent or has forgotten the request."""
    try:
        standing = (await service.agents.request(kept.source, kept.request_id))["standing"]
    except (AgentSilent, AgentRefusal):
        standing = None
    if standing is None:
        heard_ns = kept.heard_ns
        return request_told(kept.standing, kept.source, kept.submitted_by, heard_ns, fresh=False)
    now_ns = time.time_ns()
    await service.store.put_request(kept.source, standing, now_ns)
    return request_told(standing, kept.source, kept.submitted_by, now_ns, fresh=True)


async def settled(service: Northbound, request_id: str, there: Callable[[str], bool]) -> words.Request:
    """The request once its state is as wanted, or as it is when the patience is over."""
    give_up_s = time.monotonic() + SETTLED_S
    while True:
        found = await request_now(service, await kept_request(service, request_id))
        if there(found.state) or time.monotonic() > give_up_s:
            return found
        await asyncio.sleep(POLL_S)


async def cancel(service: Northbound, request_id: str, principal: Principal) -> words.Request:
    """Withdraw it. Raises Problem."""
    kept = await own_request(service, request_id, principal)
    found = await request_now(service, kept)
    if found.state == "cancelled":
        return found
    if found.state in FINAL_STATES:
        raise Problem("not-in-progress", f"{request_id} has ended: {found.state}", state=found.state)
    await _order(service.agents.cancel(kept.source, request_id))
    return await request_now(service, kept)


async def replan(service: Northbound, request_id: str, principal: Principal) -> words.Request:
    """Have it planned anew. Raises Problem."""
    kept, _ = await _in_state(service, request_id, principal, {"in_progress"})
    await _order(service.agents.replan(kept.source, request_id))
    return await request_now(service, kept)


async def suspend(service: Northbound, request_id: str, for_s: float, principal: Principal) -> words.Request:
    """Have it pause for so long. Raises Problem."""
    kept, found = await _in_state(service, request_id, principal, CAN_PAUSE)
    if found.terms.get("entanglement_sequence"):
        raise Problem("not-in-progress", f"{request_id} is a sequence, which cannot pause", state=found.state)
    await _order(service.agents.suspend(kept.source, request_id, for_s))
    found = await settled(service, request_id, lambda state: state not in CAN_PAUSE)
    if found.state in CAN_PAUSE:
        raise later("agent-silent", f"{kept.source} has not suspended it within {SETTLED_S:g} s", 1)
    if found.state != "suspended":
        raise Problem("not-in-progress", f"{request_id} is {found.state}", state=found.state)
    return found


async def resume(service: Northbound, request_id: str, principal: Principal) -> words.Request:
    """Have it go on now. Raises Problem."""
    kept, _ = await _in_state(service, request_id, principal, {"suspended"})
    await _order(service.agents.resume(kept.source, request_id))
    found = await settled(service, request_id, lambda state: state != "suspended")
    if found.state == "suspended":
        raise later("agent-silent", f"{kept.source} has not let it go on within {SETTLED_S:g} s", 1)
    return found


async def _in_state(
    service: Northbound, request_id: str, principal: Principal, states: Set[str]
) -> tuple[KeptRequest, words.Request]:
    """This person's request in one of these states, as kept and as its source tells it. Raises Problem."""
    kept = await own_request(service, request_id, principal)
    found = await request_now(service, kept)
    if found.state not in states:
        raise Problem("not-in-progress", f"{request_id} is {found.state}", state=found.state)
    return kept, found


async def _order(order: Awaitable[None]) -> None:
    try:
        await order
    except (AgentSilent, AgentRefusal) as silence:
        raise later("agent-silent", str(silence), 1) from silence
