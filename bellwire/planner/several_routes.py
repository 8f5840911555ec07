"""Routes that serve one request side by side without a wanted rate: each a tree of its own.

Owns which routes go together: no two over one link, and at every node a memory for each side of each of them.
Refuses rates and lanes (lanes.py does that for requests with a rate), trees and plans.

On one route no policy can make more pairs than the links of the route allow (algorithms.md 8.5, the bound of
the linear programme); a second route brings links of its own. Routes are taken as iterative planning takes
trees (algorithms.md 1.5): the fastest, then the fastest over what is left, until there are as many as wanted
or the next one is not worth its memories.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.planner.routes import Route, candidate_routes
from bellwire.planner.usable import UsableNetwork

ROUTES_MAX: Final = 8
"""Routes of one request at most."""

WORTH_MIN: Final = 0.02
"""Share of the rate of the first route that a further one must bring (algorithms.md 1.5)."""


def refusal(request: EntanglementRequest) -> str | None:
    """Why a request cannot have several routes, or None when it can, or wants one."""
    if not 1 <= request.routes_max <= ROUTES_MAX:
        return f"routes_max is 1 to {ROUTES_MAX}, not {request.routes_max}"
    if request.routes_max == 1:
        return None
    if request.entanglement_type != "bipartite":
        return "routes_max is for pairs; leave it out for a GHZ state"
    for said, name in (
        (request.route is not None or request.tree is not None, "a route or a tree"),
        (request.rate_threshold_hz is not None, "a wanted rate"),
        (request.rounds, "textbook rounds"),
        (request.link_purification > 0, "purification of link pairs"),
        (request.purification is not None, "purification"),
    ):
        if said:
            return f"routes_max {request.routes_max} does not go with {name}: leave one of them out"
    return None


def routes_beside(
    first: Route,
    usable: UsableNetwork,
    request: EntanglementRequest,
    fits: Callable[[Route], bool],
) -> list[Route]:
    """A route and those that serve the request beside it, the fastest first. fits: a route may be used."""
    found = [first]
    while len(found) < request.routes_max:
        free = _left(usable, found)
        routes = candidate_routes(free, request) if free is not None else "no memory is left at the ends"
        if isinstance(routes, str):
            break
        good = (route for route in routes if route.nodes != first.nodes and fits(route))
        route = next(good, None)
        if route is None or first.outlook.latency_s < WORTH_MIN * route.outlook.latency_s:
            break
        found.append(route)
    return found


def _left(usable: UsableNetwork, found: Sequence[Route]) -> UsableNetwork | None:
    """What some routes leave: links that none of them uses, and nodes with two memories more than their
    trees need at least. None: an end has no memory left."""
    taken = {link.link for route in found for link in route.links}
    through: Counter[NodeId] = Counter(node for route in found for node in route.nodes[1:-1])
    ends = (found[0].nodes[0], found[0].nodes[-1])
    slots = {name: 0 if node.memory is None else node.memory.slots for name, node in usable.nodes.items()}
    if min(slots[end] for end in ends) <= len(found):
        return None
    nodes = {
        name: msgspec.structs.replace(node, relays=False) if 2 * through[name] + 2 > slots[name] else node
        for name, node in usable.nodes.items()
    }
    links = {
        name: {other: link for other, link in beside.items() if link.link not in taken}
        for name, beside in usable.links.items()
    }
    return replace(usable, nodes=nodes, links=links)
