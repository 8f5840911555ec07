"""The strongest fixed tree of a route: the baseline that a policy has to beat (algorithms.md 8.5).

Owns the shortlist and its trial in the model of the route, links at full speed and memories used as buffers.
Refuses the rate-matched tree, which eq. 1 and throttling give without a search.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import comb
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.planner.intervals import Shape, SwapTree, best_tree, tree_of_shape
from bellwire.study.route_model import Figures, follow_tree, simulate
from bellwire.study.route_model_numbers import RouteNumbers, route_of

SHORTLIST: Final = 12
"""Trees that each of the two estimates may bring into the trial."""

FINAL: Final = 5
"""Trees that are tried again, longer and with other chance."""

SHAPES_MAX: Final = 20_000
"""Trees that are looked at: all of a route of up to 10 hops."""

SHORT_SHARE: Final = 0.3
"""Of the deliveries of a final trial in a first one."""

DURATION_IN_LATENCIES: Final = 20.0
"""A trial ends after the deliveries wanted or after so many times the time that eq. 1 expects for them."""

Told = Callable[[str], None]


def search_tree(network: NetworkSettings, nodes: tuple[NodeId, ...], seed: int) -> str:
    """The strongest fixed tree of a route of a network, as a request names it."""
    return strongest_tree(route_of(network, nodes), seed=seed).text(nodes)


def strongest_tree(
    route: RouteNumbers, *, deliveries: int = 6000, seed: int = 1, told: Told = lambda what: None
) -> SwapTree:
    """Shortlist by eq. 1 and by fluid rate, a short trial of all, a longer one of the best.

    Raises:
        ConfigError: a route so long that it has more than SHAPES_MAX trees.
    """
    times = route.times
    if route.hops <= 2:
        return best_tree(times)
    number = comb(2 * route.hops - 2, route.hops - 1) // route.hops
    if number > SHAPES_MAX:
        raise ConfigError(f"a route of {route.hops} hops has {number} trees, {SHAPES_MAX} at most are tried")
    trees = [tree_of_shape(times, shape) for shape in shapes(0, route.hops)]
    if len(trees) > 2 * SHORTLIST:
        by_latency = sorted(trees, key=lambda tree: tree.latency_s)[:SHORTLIST]
        by_fluid = sorted(trees, key=lambda tree: -fluid_rate_hz(route, tree))[:SHORTLIST]
        trees = list(dict.fromkeys(by_latency + by_fluid))
    rated = sorted(
        ((trial(route, tree, round(SHORT_SHARE * deliveries), seed, told).rate_hz, tree) for tree in trees),
        key=lambda one: -one[0],
    )
    finalists = [tree for _, tree in rated[:FINAL]]
    return max(finalists, key=lambda tree: trial(route, tree, deliveries, seed + 1, told).rate_hz)


def trial(
    route: RouteNumbers, tree: SwapTree, deliveries: int, seed: int, told: Told = lambda what: None
) -> Figures:
    """One tree at full speed, oldest pairs first."""
    told(f"tree {tree.text(route.nodes)}")
    return simulate(
        route,
        follow_tree(route, tree, first="oldest"),
        deliveries=deliveries,
        seed=seed,
        limit_s=time_limit_s(route, deliveries),
    )


def time_limit_s(route: RouteNumbers, deliveries: int) -> float:
    """How long a trial of so many deliveries may take."""
    return DURATION_IN_LATENCIES * deliveries * best_tree(route.times).latency_s


def fluid_rate_hz(route: RouteNumbers, tree: SwapTree) -> float:
    """Rate of a tree without waiting: the least of its links' rates, each times the chances of swaps above
    it."""
    if tree.children is None:
        return route.link_rates_hz[tree.left]
    return route.swap_probability[tree.at] * min(fluid_rate_hz(route, child) for child in tree.children)


@lru_cache(maxsize=256)
def shapes(left: int, right: int) -> tuple[Shape, ...]:
    """Every nesting of the links left..right-1."""
    return tuple(_shapes(left, right))


def _shapes(left: int, right: int) -> Iterator[Shape]:
    if right - left == 1:
        yield left
    for at in range(left + 1, right):
        for one in shapes(left, at):
            for other in shapes(at, right):
                yield (one, other)
