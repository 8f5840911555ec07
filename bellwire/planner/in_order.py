"""What each request gets when they come one after the other and all of them stay.

Owns the question that a lab file raises: do its requests fit together? Refuses dispatch: here the accounts of
all nodes are at hand, as in the network each node has its own.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import Circumstances, EntanglementRequest, LinkRoom, NodePlan, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.planner.plans import compute_plan
from bellwire.planner.reservations import Reservations, banks_at

REFUSALS_MAX: Final = 8
"""Plans that are tried for one request."""


def narrower(one: LinkRoom, other: LinkRoom) -> LinkRoom:
    """What both ends of a link have left."""
    return LinkRoom(link=one.link, lanes=min(one.lanes, other.lanes), weight=min(one.weight, other.weight))


def plans_in_order(
    network: NetworkSettings, requests: Iterable[EntanglementRequest]
) -> dict[RequestId, RequestPlan | str]:
    """The plan of each request beside those before it, or why there is none."""
    accepted: dict[NodeId, dict[RequestId, NodePlan]] = {name: {} for name in network.nodes}
    books = {
        name: Reservations(
            {link: network.links[link].lanes for link in node.links},
            None,
            accepted[name],
            banks_at(network, name),
        )
        for name, node in network.nodes.items()
    }
    found: dict[RequestId, RequestPlan | str] = {}
    for request in requests:
        plan = found[request.request_id] = _plan_beside(network, request, books)
        if isinstance(plan, RequestPlan):
            for name, part in plan.nodes.items():
                accepted[name][request.request_id] = part
    return found


def _plan_beside(
    network: NetworkSettings, request: EntanglementRequest, books: Mapping[NodeId, Reservations]
) -> RequestPlan | str:
    """A plan that fits beside those in the books. Links of one bank are each told what is left of it; a plan
    that takes it for several of them at once is refused, and made anew with what that refusal told."""
    room = {
        name: narrower(*(books[node].room(name) for node in link.nodes))
        for name, link in network.links.items()
    }
    refused = ""
    for _ in range(REFUSALS_MAX):
        plan = compute_plan(network, request, 1, Circumstances(room=tuple(room.values())))
        if isinstance(plan, str):
            return plan
        lacks = [lack for name, part in plan.nodes.items() if (lack := books[name].lack(part)) is not None]
        if not lacks:
            return plan
        refused = lacks[0].reason
        for told in lacks[0].room:
            room[told.link] = narrower(room[told.link], told)
    return f"no room beside other plans: {refused}"
