"""Calibration of the score for one route, offline (policy P, algorithms.md 8.5).

Owns the settings that are tried, the race among them, and the decision to leave the tree. Refuses to be
trusted on its own trials: the predicted rates come from a last run of the winner and both trees with chance
of their own.

The race is a successive halving: 22 settings, then 6, then 3 with the strongest tree, each round with a
third of the deliveries. All settings of a round meet the same seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, log
from typing import Final

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.modes import SCORE, Option
from bellwire.core.settings import NetworkSettings
from bellwire.labs.tunings import Tuning
from bellwire.planner.intervals import SwapTree, best_tree
from bellwire.planner.route_bound import route_bound
from bellwire.study.route_model import Figures, adaptive, follow_tree, simulate
from bellwire.study.route_model_numbers import RouteNumbers, route_of
from bellwire.study.trees_search import strongest_tree, time_limit_s, trial

SETTINGS: Final = 22
HALVES: Final = (6, 3)
"""Settings that stay after the first and the second round."""

DELIVERIES: Final = 24_000
"""A third in the first round, a third in the second, a third for each entrant of the last one."""

LEAVE_TREE: Final = 1.02
"""The tree is kept unless a setting beats it by this factor, and by a standard error of both."""

FOLLOW_TREE: Final = "fixed_tree(links=full)"
"""Mode of the strongest fixed tree: its links are not throttled."""

CHECK_SHARE: Final = 0.5
"""Deliveries of the last run, of those of the race."""

SPREADS: Final[dict[str, tuple[float, float]]] = {
    "gain": (1.0, 1.4),
    "alpha": (0.05, 0.6),
    "patience": (3.0, 24.0),
    "occupancy": (0.05, 0.6),
    "occupancy_power": (1.0, 8.0),
    "cutoff_factor": (1.0, 4.0),
    "discard": (4.0, 30.0),
    "cost_floor": (0.03, 0.5),
}
"""Ranges of perturbed options; logarithms are uniform."""

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting and what the last round with it gave."""

    mode: str
    figures: Figures


def tune_route(
    network: NetworkSettings, nodes: tuple[NodeId, ...], seed: int, deliveries: int = DELIVERIES
) -> tuple[str, str]:
    """The mode for a route of a network, and the default tree, as a request names them."""
    found = tune(route_of(network, nodes), seed=seed, deliveries=deliveries)
    return found.mode, found.tree


def tune(
    route: RouteNumbers,
    *,
    seed: int = 1,
    deliveries: int = DELIVERIES,
    tree: SwapTree | None = None,
    told: Told = lambda what: None,
) -> Tuning:
    """Calibrate the score for a route.

    tree: the strongest fixed tree, where it was searched before.

    Raises:
        ConfigError: a route of one link, or too few deliveries for a race.
    """
    if route.hops < 2:
        raise ConfigError("a route of one link has no swap, and nothing to tune")
    if deliveries < LEAST_DELIVERIES:
        raise ConfigError(f"{deliveries} deliveries are too few for a race: at least {LEAST_DELIVERIES}")
    strongest = strongest_tree(route, seed=seed, told=told) if tree is None else tree
    mode = race(route, strongest, seed=seed, deliveries=deliveries, told=told)
    number = round(CHECK_SHARE * deliveries)
    check_seed = seed + 7_777_777
    of_tree = trial(route, strongest, number, check_seed, told)
    told("the rate-matched tree")
    matched = simulate(
        route,
        follow_tree(route, best_tree(route.times), throttled=True, first="oldest"),
        deliveries=number,
        seed=check_seed,
        limit_s=time_limit_s(route, number),
    )
    chosen = of_tree if mode == FOLLOW_TREE else try_mode(route, mode, number, check_seed, told).figures
    return Tuning(
        route=route.nodes,
        mode=mode,
        tree=strongest.text(route.nodes),
        rate_hz=chosen.rate_hz,
        rate_error_hz=chosen.error_hz,
        tree_rate_hz=of_tree.rate_hz,
        tree_rate_error_hz=of_tree.error_hz,
        matched_rate_hz=matched.rate_hz,
        matched_rate_error_hz=matched.error_hz,
        bound_hz=route_bound(route.link_rates_hz, route.swap_probability).rate_hz,
        deliveries=deliveries,
        seed=seed,
    )


LEAST_DELIVERIES: Final = 3 * SETTINGS * 20


def race(
    route: RouteNumbers, tree: SwapTree, *, seed: int, deliveries: int, told: Told = lambda what: None
) -> str:
    """The mode that wins, or FOLLOW_TREE."""
    modes = list(settings(seed))
    each = deliveries // 3
    for number, (entrants, kept) in enumerate(zip((SETTINGS, HALVES[0]), HALVES, strict=True)):
        tried = [try_mode(route, mode, each // entrants, seed + 101 * number + 1, told) for mode in modes]
        modes = [one.mode for one in sorted(tried, key=lambda one: -one.figures.rate_hz)[:kept]]
    last = each  # each of the last ones, or their error is larger than what is decided by it
    last_seed = seed + 303
    best = max(
        (try_mode(route, mode, last, last_seed, told) for mode in modes), key=lambda one: one.figures.rate_hz
    )
    beside = trial(route, tree, last, last_seed, told)
    lead_hz = best.figures.rate_hz - beside.rate_hz
    error_hz = (best.figures.error_hz**2 + beside.error_hz**2) ** 0.5
    return best.mode if lead_hz > max((LEAVE_TREE - 1.0) * beside.rate_hz, error_hz) else FOLLOW_TREE


def try_mode(
    route: RouteNumbers, mode: str, deliveries: int, seed: int, told: Told = lambda what: None
) -> Tried:
    """One run of one setting."""
    told(mode)
    limit_s = time_limit_s(route, deliveries)
    return Tried(
        mode, simulate(route, adaptive(route, mode), deliveries=deliveries, seed=seed, limit_s=limit_s)
    )


def settings(seed: int) -> Iterator[str]:
    """D, D with the youngest pair of each segment alone, D with latencies for costs, and perturbations of
    them."""
    yield mode_text({})
    yield mode_text({"candidates": "youngest"})
    yield mode_text({"costs": "latency"})
    chance = np.random.default_rng([seed, SETTINGS])
    for _ in range(SETTINGS - 3):
        options: dict[str, Option] = {
            name: float(f"{exp(chance.uniform(log(low), log(high))):.3g}")
            for name, (low, high) in SPREADS.items()
        }
        options["candidates"] = "all" if chance.random() < 0.75 else "youngest"
        if chance.random() < 0.25:
            options["costs"] = "latency"
        yield mode_text(options)


def mode_text(options: dict[str, Option]) -> str:
    """A generation mode of form D; what is as by default is left out."""
    changed = {key: value for key, value in options.items() if value != SCORE.get(key)}
    words = ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in changed.items()
    )
    return f"score({words})" if words else "score"
