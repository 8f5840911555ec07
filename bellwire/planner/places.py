"""How many places of each link a plan reserves for a request.

Owns the step from a wanted rate to shares of links. Refuses routes (routes.py) and the accounts of nodes
(reservations.py). A request without a rate reserves its priority and shares what is idle; one with a rate
reserves what the prediction needs for it, link by link, and no more.
"""

from collections.abc import Mapping

from bellwire.core.ids import LinkId
from bellwire.core.plans import PLACES, EntanglementRequest
from bellwire.planner.intervals import SwapTree
from bellwire.planner.predictions import outlook
from bellwire.planner.routes import Route

Places = tuple[int, ...]
"""Reserved places by position of the link on a route, each 1..PLACES."""


def places_for(
    route: Route, tree: SwapTree, request: EntanglementRequest, room: Mapping[LinkId, int]
) -> Places | None:
    """Places for a request on a route, or None when they do not fit into the room that is left.

    room: what links have left where that is known; others are taken to be empty.
    """
    left = room_on(route, room)
    wanted_hz = request.rate_threshold_hz
    if min(left) < 1:
        return None
    if wanted_hz is None or wanted_hz == 0.0:
        return (request.priority,) * route.hops if request.priority <= min(left) else None
    if rate_hz(route, tree, left) < wanted_hz:
        return None
    places = list(left)
    for index in range(route.hops):
        low, high = 1, places[index]
        while low < high:  # the least number of places that keeps the rate; the rate grows with every place
            middle = (low + high) // 2
            places[index] = middle
            if rate_hz(route, tree, tuple(places)) >= wanted_hz:
                high = middle
            else:
                low = middle + 1
        places[index] = high
    return tuple(places)


def room_on(route: Route, room: Mapping[LinkId, int]) -> Places:
    """What is left of each link of a route."""
    return tuple(room.get(link.link, PLACES) for link in route.links)


def rate_hz(route: Route, tree: SwapTree, places: Places) -> float:
    """Predicted pairs per second when each link works only in its reserved places."""
    if min(places) < 1:
        return 0.0
    shares = tuple(count / PLACES for count in places)
    return 1.0 / outlook(tree, route.times, route.links, route.memories, shares).latency_s
