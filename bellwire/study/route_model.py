"""A stochastic model of one route: what a swapping policy gives there, much faster than the machines.

Owns the words of the model: what a policy is to it, what it returns, with which error. Refuses many routes,
cross traffic, fidelity, purification and lost messages; the virtual host has these. It is a model of the
same rules, for searches that need thousands of runs; what it finds is shown on the machines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Final, Literal

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.core.modes import Named, parse_mode
from bellwire.planner.intervals import SwapTree
from bellwire.planner.intervals import throttled as slowed
from bellwire.planner.segment_values import dual_costs, segment_values
from bellwire.study import route_model_loop as loop
from bellwire.study.route_model_numbers import Numbers, RouteNumbers

Order = Literal["youngest_planned", "oldest_planned", "oldest", "youngest", "longest", "shortest", "score"]
ORDERS: Final[dict[Order, int]] = {
    "youngest_planned": loop.YOUNGEST_PLANNED,
    "oldest_planned": loop.OLDEST_PLANNED,
    "oldest": loop.OLDEST,
    "youngest": loop.YOUNGEST,
    "longest": loop.LONGEST,
    "shortest": loop.SHORTEST,
    "score": loop.SCORE,
}

BATCHES: Final = 20
"""Batches of deliveries by which the error of a rate is estimated."""

WARM_SHARE: Final = 0.05
"""Deliveries left out at the beginning, as a share of those wanted."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the model needs of a policy, by position.

    allowed: (n+1, n+1, n+1) of left end, swapping node, right end. cutoff_s, patience_s: (n+1, n+1), inf:
    none. worth, partner_s: of the score, in any one unit and in seconds. weights: gain, alpha, patience,
    occupancy, its power; youngest_only: of several pairs of one segment older ones are its spares. pace_s:
    mean time that links are slowed down to, None: full speed.
    """

    allowed: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"
    order: Order
    cutoff_s: Numbers
    patience_s: Numbers
    worth: Numbers
    partner_s: Numbers
    weights: tuple[float, float, float, float, float] = (1.0, 1.0, 0.0, 0.0, 1.0)
    youngest_only: bool = False
    pace_s: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a run. error_hz: standard error of the rate, from batches of deliveries."""

    deliveries: int
    duration_s: float
    rate_hz: float
    error_hz: float
    age_s: float  # mean at delivery
    swaps_hz: float
    failed_share: float  # of swaps
    links_hz: float
    given_up_hz: float
    occupied: float  # mean share of all memories in use


def simulate(
    route: RouteNumbers,
    behaviour: Behaviour,
    *,
    deliveries: int = 8000,
    seed: int = 1,
    limit_s: float = inf,
) -> Figures:
    """One run of a route under a policy, until so many deliveries, or the limit for policies that may jam."""
    number = max(BATCHES, deliveries)
    at_s = np.zeros(number)
    figures = np.zeros(8)
    period_s = np.array(route.period_s)
    if behaviour.pace_s is not None:
        period_s = period_s * np.array(behaviour.pace_s) / np.array(route.link_s)
    link_s = sum(route.link_s) / route.hops
    loop.run_route(
        period_s,
        np.array(route.success),
        np.array(route.lanes, np.int64),
        np.array(route.decided, np.int64),
        np.array(route.swap_probability),
        np.array(route.swap_s),
        np.array(route.memories, np.int64),
        np.array(route.left_max, np.int64),
        np.array(route.right_max, np.int64),
        route.delay_s,
        behaviour.allowed,
        ORDERS[behaviour.order],
        behaviour.worth,
        behaviour.partner_s,
        behaviour.cutoff_s,
        behaviour.patience_s,
        np.array([*behaviour.weights, float(behaviour.youngest_only)]),
        link_s,
        seed,
        round(WARM_SHARE * number),
        number,
        limit_s,
        at_s,
        figures,
    )
    return _figures(route, at_s, figures)


def _figures(route: RouteNumbers, at_s: Numbers, figures: Numbers) -> Figures:
    found = int(figures[loop.DELIVERED])
    duration_s = float(figures[loop.DURATION])
    if found < BATCHES:
        rate_hz = found / duration_s
        error_hz = sqrt(max(found, 1)) / duration_s
    else:
        each = found // BATCHES
        ends_s = at_s[each - 1 : each * BATCHES : each]
        lengths_s = np.diff(ends_s, prepend=0.0)
        duration_s = float(ends_s[-1]) if found == at_s.size else duration_s
        rate_hz = found / duration_s if found != at_s.size else each * BATCHES / duration_s
        error_hz = rate_hz * float(lengths_s.std(ddof=1)) / float(lengths_s.mean()) / sqrt(BATCHES)
    swaps = float(figures[loop.SWAPS])
    whole_s = float(figures[loop.DURATION])
    return Figures(
        deliveries=found,
        duration_s=whole_s,
        rate_hz=rate_hz,
        error_hz=error_hz,
        age_s=float(figures[loop.AGE]) / max(found, 1),
        swaps_hz=swaps / whole_s,
        failed_share=float(figures[loop.FAILED]) / max(swaps, 1.0),
        links_hz=float(figures[loop.LINKS]) / whole_s,
        given_up_hz=float(figures[loop.GIVEN_UP]) / whole_s,
        occupied=float(figures[loop.OCCUPIED]) / whole_s / sum(route.memories),
    )


def follow_tree(
    route: RouteNumbers,
    tree: SwapTree,
    *,
    throttled: bool = False,
    cutoff_s: float = inf,
    first: Literal["youngest", "oldest"] = "youngest",
) -> Behaviour:
    """A fixed tree, its links at full speed or throttled as in algorithms.md 1.2 (the rate-matched tree).

    first: which pair of several of one segment is swapped.
    """
    places = _blank(route, False)
    for subtree, _ in tree.swaps():
        places.allowed[subtree.left, subtree.at, subtree.right] = True
    pace_s = tuple(leaf.latency_s for leaf in slowed(tree, route.times).leaves()) if throttled else None
    cutoffs = np.full_like(places.cutoff_s, cutoff_s)
    order: Order = "youngest_planned" if first == "youngest" else "oldest_planned"
    return replace(places, order=order, cutoff_s=cutoffs, pace_s=pace_s)


def connectionless(route: RouteNumbers) -> Behaviour:
    """Only prefixes grow: the pair from the source is joined with a link pair of the next hop."""
    places = _blank(route, False)
    for at in range(1, route.hops):
        places.allowed[0, at, at + 1] = True
    return replace(places, order="oldest_planned")


def swap_asap(route: RouteNumbers) -> Behaviour:
    """Whatever is there, oldest first, without cutoff."""
    return replace(_blank(route, True), order="oldest_planned")


def adaptive(route: RouteNumbers, mode: str) -> Behaviour:
    """The policy that a generation mode means to a request, with the offline values of this route.

    Raises:
        ConfigError: a mode that the model does not have: combinations, form A, B or B', cutoffs by depth.
    """
    part = parse_mode(mode)
    orders: dict[str, Order] = {
        "oldest": "oldest",
        "youngest": "youngest",
        "longest_hop": "longest",
        "shortest_hop": "shortest",
        "score": "score",
    }
    if not isinstance(part, Named) or part.name not in orders:
        raise ConfigError(f'"{mode}": the model of a route has {", ".join(orders)}, one at a time')
    options = dict(part.options)
    if options.get("form", "D") != "D" or options["cutoff"] == "depth":
        raise ConfigError(f'"{mode}": the model of a route has score form D and cutoffs none and flat')
    times = route.times
    floor = options.get("cost_floor")
    costs = dual_costs(times, float(floor)) if floor and options["costs"] == "dual" else times.link_s
    values = segment_values(times, costs)
    places = _blank(route, True)
    nodes = route.hops + 1
    for i in range(nodes):
        for j in range(i + 1, nodes):
            places.worth[i, j] = values.worth_s[i][j - i - 1]
            places.partner_s[i, j] = values.partner_s[i][j - i - 1]
            if float(options["discard"]) > 0.0:
                places.patience_s[i, j] = float(options["discard"]) * places.partner_s[i, j]
            if options["cutoff"] == "flat":
                places.cutoff_s[i, j] = float(options["cutoff_factor"]) * values.latency_s[0][-1]
    names = ("gain", "alpha", "patience", "occupancy", "occupancy_power")
    if part.name == "score":
        gain, alpha, patience, occupancy, power = (float(options[name]) for name in names)
        youngest_only = options["candidates"] == "youngest"
        places = replace(
            places, weights=(gain, alpha, patience, occupancy, power), youngest_only=youngest_only
        )
    return replace(places, order=orders[part.name])


def _blank(route: RouteNumbers, allowed: bool) -> Behaviour:
    nodes = route.hops + 1
    square = (nodes, nodes)
    return Behaviour(
        allowed=np.full((nodes, nodes, nodes), allowed),
        order="oldest_planned",
        cutoff_s=np.full(square, inf),
        patience_s=np.full(square, inf),
        worth=np.zeros(square),
        partner_s=np.ones(square),
    )


def rates(figures: Sequence[Figures]) -> tuple[float, float]:
    """Rate and standard error of runs with different seeds, weighted alike."""
    number = len(figures)
    return (
        sum(one.rate_hz for one in figures) / number,
        sqrt(sum(one.error_hz**2 for one in figures)) / number,
    )
