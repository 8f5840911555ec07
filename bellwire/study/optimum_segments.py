"""The least expected time to one pair on a given route, memory two, no ageing (algorithms.md 7.2).

Owns the states, which are partitions of the route into pairs and missing links, and the fixed point over
them. Refuses delays, cutoffs and a second pair: a link stays inactive until its pair and all that came of it
is gone.
"""

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np

from bellwire.core.errors import ConfigError, LocalMisuse

Segments = tuple[tuple[int, int], ...]
"""Pairs that exist, in route order; links between them are missing."""

HOPS_MAX: Final = 10
"""There are Fibonacci(2h + 1) states: 10,946 at 10 hops."""

ROUNDS_MAX: Final = 20_000
PRECISION: Final = 1e-12
"""Relative change of the time from the empty route at which iteration ends."""


def states_of(hops: int) -> list[Segments]:
    """All partitions of a route into pairs and missing links."""
    found: list[list[Segments]] = [[()]]
    for end in range(1, hops + 1):
        here = list(found[end - 1])  # the link before `end` is missing
        for start in range(end):
            here += [(*before, (start, end)) for before in found[start]]
        found.append(here)
    return found[hops]


def least_time_s(
    rates_hz: Sequence[float], swap_probability: Sequence[float], swap_s: Sequence[float] | None = None
) -> float:
    """Expected time from the empty route to a pair of its ends under the best order of swaps.

    rates_hz: of each link while it is missing. swap_probability, swap_s: by node, ends included and not read;
    no swap_s: swaps take no time.

    Raises:
        ConfigError: more than HOPS_MAX links.
        LocalMisuse: numbers that do not belong to one route.
    """
    hops = len(rates_hz)
    if hops > HOPS_MAX:
        raise ConfigError(f"{hops} links: exact up to {HOPS_MAX}")
    if len(swap_probability) != hops + 1 or (swap_s is not None and len(swap_s) != hops + 1):
        raise LocalMisuse(f"{hops} links need {hops + 1} swap probabilities and durations")
    states = states_of(hops)
    number = {state: index for index, state in enumerate(states)}
    total_hz = sum(rates_hz)
    # Waiting, uniformised: in 1 / total a link comes where one is missing, else nothing changes.
    moves = np.tile(np.arange(len(states))[:, None], (1, hops))
    swaps: list[list[tuple[int, int, int]]] = []
    for index, state in enumerate(states):
        covered = {link for start, end in state for link in range(start, end)}
        for link in set(range(hops)) - covered:
            moves[index, link] = number[tuple(sorted([*state, (link, link + 1)]))]
        able = []
        for one, other in itertools.pairwise(state):
            if one[1] == other[0]:
                rest = [each for each in state if each not in (one, other)]
                joined = tuple(sorted([*rest, (one[0], other[1])]))
                able.append((one[1], number[joined], number[tuple(rest)]))
        swaps.append(able)
    # Swaps leave fewer pairs, so one pass by number of pairs settles all swaps that follow each other.
    by_pairs = sorted(range(len(states)), key=lambda index: len(states[index]))
    weights = np.array(rates_hz) / total_hz
    done, empty = number[((0, hops),)], number[()]
    times = np.zeros(len(states))
    for _ in range(ROUNDS_MAX):
        waited = 1.0 / total_hz + times[moves] @ weights
        before = times[empty]
        waited[done] = 0.0
        times = waited
        for index in by_pairs:
            for at, joined_index, lost in swaps[index]:
                p = swap_probability[at]
                cost = 0.0 if swap_s is None else swap_s[at]
                times[index] = min(times[index], cost + p * times[joined_index] + (1.0 - p) * times[lost])
        if abs(times[empty] - before) <= PRECISION * times[empty]:
            return float(times[empty])
    raise LocalMisuse(f"no fixed point in {ROUNDS_MAX} rounds")
