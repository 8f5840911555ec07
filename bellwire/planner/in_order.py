"""What each request gets when they come one after the other and all of them stay.

Owns the question that a lab file raises: do its requests fit together? Refuses dispatch: here the accounts of
all nodes are at hand, as in the network each node has its own.
"""

from collections.abc import Iterable

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import Circumstances, EntanglementRequest, NodePlan, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.planner.plans import compute_plan
from bellwire.planner.reservations import Reservations


def plans_in_order(
    network: NetworkSettings, requests: Iterable[EntanglementRequest]
) -> dict[RequestId, RequestPlan | str]:
    """The plan of each request beside those before it, or why there is none."""
    accepted: dict[NodeId, dict[RequestId, NodePlan]] = {name: {} for name in network.nodes}
    books = {
        name: Reservations({link: network.links[link].lanes for link in node.links}, None, accepted[name])
        for name, node in network.nodes.items()
    }
    found: dict[RequestId, RequestPlan | str] = {}
    for request in requests:
        room = tuple(books[link.nodes[0]].room(name) for name, link in network.links.items())
        plan = compute_plan(network, request, 1, Circumstances(room=room))
        found[request.request_id] = plan
        if isinstance(plan, RequestPlan):
            for name, part in plan.nodes.items():
                accepted[name][request.request_id] = part
    return found
