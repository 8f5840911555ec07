"""Which of the routes that keep a request's thresholds is the best one, by the kind of the request.

Owns the order: what the request names is kept, what it leaves open is made best (core/request_kinds.py). A
rate without a fidelity takes the highest fidelity, everything else the highest rate. Refuses the search for
routes and for room (plans.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

from bellwire.core.plans import EntanglementRequest
from bellwire.core.request_kinds import kind_of
from bellwire.planner.refusals import reach
from bellwire.planner.routes import Route, by_latency


class Candidate(NamedTuple):
    """A route, worked out with the operating points that keep a floor of link fidelities."""

    route: Route
    floor: float | None  # None: the points that links use where nobody asks for a fidelity


def minds_fidelity(request: EntanglementRequest) -> bool:
    """Operating points of links matter to it: it needs a fidelity, or wants the best there is."""
    return request.fidelity_threshold is not None or kind_of(request) == "best_fidelity"


def in_order(good: Iterable[Candidate], request: EntanglementRequest) -> list[Candidate]:
    """The best first. Of candidates that promise the same, the one found first stays: the lowest floor."""
    best_fidelity = kind_of(request) == "best_fidelity"

    def rank(candidate: Candidate) -> tuple[float, tuple[float, int, tuple[str, ...]]]:
        return (-reach(candidate.route, request) if best_fidelity else 0.0, by_latency(candidate.route))

    distinct: dict[tuple[tuple[str, ...], float, float], Candidate] = {}
    for candidate in good:
        route = candidate.route
        distinct.setdefault((route.nodes, route.outlook.latency_s, route.ceiling), candidate)
    return sorted(distinct.values(), key=rank)


def fastest_first(good: Iterable[Candidate]) -> list[Route]:
    """The routes alone, by rate."""
    return sorted((candidate.route for candidate in good), key=by_latency)
