"""How many lanes of each link a plan reserves for a request.

Owns the step from a wanted rate to lanes. Refuses routes (routes.py) and the accounts of nodes
(reservations.py). A request without a rate reserves nothing and shares what is unreserved; one with a rate
reserves the lanes with which the prediction has it, and no more. A lane is a memory at each end and the
attempts that it can make, so lanes of its own keep a request apart from all others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bellwire.core.ids import LinkId
from bellwire.core.plans import EntanglementRequest, LinkRoom
from bellwire.planner.distant_rounds import lanes_kept, lanes_making, lanes_wanted
from bellwire.planner.intervals import SwapTree
from bellwire.planner.predictions import outlook
from bellwire.planner.reservations import lack_of
from bellwire.planner.routes import Route

Lanes = tuple[int, ...]
"""Reserved lanes by position of the link on a route; 0: the request shares."""


def lanes_for(
    route: Route, tree: SwapTree, request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]
) -> Lanes | None:
    """Lanes for a request on a route, or None when it does not fit into the room that is left.

    room: what links have left where that is known; others are taken to be empty.
    """
    if is_scheduled(route):
        return None if slotless_link(route, request) is not None else (0,) * route.hops
    wanted_hz = request.rate_threshold_hz
    fewest = fewest_lanes(route, tree, request)
    left = lanes_left(route, room)
    if not wanted_hz:
        if any(fewest):
            return fewest if all(few <= some for few, some in zip(fewest, left, strict=True)) else None
        return None if lack_of_sharing(route, request, room) else (0,) * route.hops

    def enough(some: Lanes) -> bool:
        if any(count < few for count, few in zip(some, fewest, strict=True)):
            return False
        return rate_hz(route, tree, some) >= wanted_hz and own_lanes_keep(route, tree, request, some)

    if not enough(left):
        return None
    # First the same number on all links, so that none is burdened more than it must be; then whatever single
    # links can do without.
    alike = _least(max(left), lambda count: enough(tuple(min(count, each) for each in left)))
    lanes = tuple(min(alike, each) for each in left)
    for index in range(route.hops):
        lanes = _changed(lanes, index, _least(lanes[index], partial(_enough_with, enough, lanes, index)))
    return lanes


def is_scheduled(route: Route) -> bool:
    """True where a network schedule says whose slots are whose: nobody reserves lanes there."""
    return all(link.turns_granted is not None for link in route.links)


def slotless_link(route: Route, request: EntanglementRequest) -> LinkId | None:
    """The first link of a scheduled route on which a request has no slot; None: it has some on each."""
    return next((link.link for link in route.links if request.request_id not in link.calendar), None)


def fewest_lanes(route: Route, tree: SwapTree, request: EntanglementRequest) -> Lanes:
    """Lanes that a request must have for itself, so that its pairs never wait for a lane that others hold
    while these wait for one of its own: those that rounds of purification take, 0 without any."""
    kept = lanes_kept(request, route.levels, tree)
    if not (kept or request.link_purification):
        return (0,) * route.hops
    return tuple(kept + lanes_making(link, request) for link in route.links)


TREES_MAX: Final = 8
"""Trees of one request at most."""


def side_by_side(
    routes: Sequence[Route], request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]
) -> list[tuple[Route, Lanes]] | None:
    """Routes and lanes that together have a rate which no route has alone, or None.

    Each route in turn, the fastest first, gives all that its links have left, until the last one gives what
    is still missing. A route that the request names is the only one; textbook rounds have one tree, and so
    have pairs that are purified.
    """
    missing_hz = request.rate_threshold_hz
    if not missing_hz or request.rounds or request.link_purification or request.purification is not None:
        return None
    found: list[tuple[Route, Lanes]] = []
    for route, lanes, made_hz in whole_routes(routes, room):
        if not own_lanes_keep(route, route.tree, request, lanes):
            continue
        if made_hz >= missing_hz:
            rest = msgspec.structs.replace(request, rate_threshold_hz=missing_hz)
            fewest = lanes_for(route, route.tree, rest, _rooms(route, lanes))
            return [*found, (route, lanes if fewest is None else fewest)]
        found.append((route, lanes))
        missing_hz -= made_hz
    return None


def whole_routes(
    routes: Sequence[Route], room: Mapping[LinkId, LinkRoom]
) -> Iterator[tuple[Route, Lanes, float]]:
    """Routes with all lanes that the routes before them have left, and the rate they make."""
    left = dict(room)
    for route in routes[:TREES_MAX]:
        lanes = lanes_left(route, left)
        if min(lanes) > 0:
            yield route, lanes, rate_hz(route, route.tree, lanes)
            left |= _rooms(route, tuple(0 for _ in lanes))


def _rooms(route: Route, lanes: Lanes) -> dict[LinkId, LinkRoom]:
    return {
        link.link: LinkRoom(link=link.link, lanes=count, weight=0)
        for link, count in zip(route.links, lanes, strict=True)
    }


def lack_of_sharing(
    route: Route, request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]
) -> str | None:
    """Why a request cannot share the links of a route with others, or None when it can."""
    for link in route.links:
        known = room.get(link.link)
        missing = None if known is None else lack_of(link.link, link.lanes, known, 0, request.priority)
        if missing is not None:
            return missing
    return None


def lanes_left(route: Route, room: Mapping[LinkId, LinkRoom]) -> Lanes:
    """Lanes of each link of a route that can still be reserved."""
    return tuple(
        link.lanes if (known := room.get(link.link)) is None else min(link.lanes, known.lanes)
        for link in route.links
    )


def rate_hz(route: Route, tree: SwapTree, lanes: Lanes) -> float:
    """Predicted pairs per second with some lanes of each link; 0 where a link has none, or too few for the
    rounds of purification of longer pairs."""
    if min(lanes) < lanes_wanted(route.levels, tree):
        return 0.0
    return 1.0 / outlook(tree, route.times, route.links, route.memories, lanes, route.levels).latency_s


def own_lanes_keep(route: Route, tree: SwapTree, request: EntanglementRequest, lanes: Lanes) -> bool:
    """False for a request that keeps to its lanes when its pairs would wait there too long for each other to
    keep the wanted fidelity. Others have a share of what nobody has reserved besides."""
    wanted = request.fidelity_threshold
    if not request.reserved_only or wanted is None or request.cutoff_ns is not None:
        return True
    return outlook(tree, route.times, route.links, route.memories, lanes, route.levels).fidelity >= wanted


def _enough_with(enough: Callable[[Lanes], bool], lanes: Lanes, index: int, count: int) -> bool:
    return enough(_changed(lanes, index, count))


def _changed(lanes: Lanes, index: int, count: int) -> Lanes:
    return (*lanes[:index], count, *lanes[index + 1 :])


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The least count of 1..most that is enough, where `most` is, and more never is too little."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return high
