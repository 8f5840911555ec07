"""The greatest average rate of a short route with a few memories a side: optimum and fixed trees, exactly.

Owns the average-reward decision process of algorithms.md 8.5 ("exact optimum") and its solution by relative
value iteration. Refuses delays, ageing, and memories shared by the two sides of a node. Links come
exponentially while both their memories are free; swaps take no time and are decided one after another; pairs
may be given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.planner.intervals import SwapTree

Pairs = tuple[tuple[int, int], ...]
"""All pairs that are held, sorted."""

STATES_MAX: Final = 400_000
ROUNDS_MAX: Final = 20_000
PRECISION: Final = 1e-6
"""Of the rate: bounds from above and below end that close to each other, as a share."""


@dataclass(frozen=True, slots=True)
class AverageOptimum:
    """rate_hz: between two bounds, which are `gap_hz` apart. states: of the process."""

    rate_hz: float
    gap_hz: float
    states: int


def best_rate(
    rates_hz: Sequence[float],
    swap_probability: float,
    memories_a_side: int,
    *,
    tree: SwapTree | None = None,
) -> AverageOptimum:
    """The greatest rate of any policy, or of a fixed tree.

    Raises:
        ConfigError: more than STATES_MAX states.
        LocalMisuse: no convergence in ROUNDS_MAX rounds.
    """
    hops = len(rates_hz)
    planned = None if tree is None else {(one.left, one.at, one.right) for one, _ in tree.swaps()}
    states: list[Pairs] = [()]
    number: dict[Pairs, int] = {(): 0}

    def index(pairs: list[tuple[int, int]]) -> int:
        state = tuple(sorted(pairs))
        known = number.setdefault(state, len(states))
        if known == len(states):
            states.append(state)
            if len(states) > STATES_MAX:
                raise ConfigError(
                    f"{hops} links with {memories_a_side} memories a side have more than {STATES_MAX} states"
                )
        return known

    moves: list[list[int]] = []
    firsts = [0]
    goods: list[int] = []
    bads: list[int] = []
    prizes: list[float] = []
    while len(moves) < len(states):
        here = len(moves)
        state = list(states[here])
        moves.append(
            [
                index([*state, (link, link + 1)]) if _room(state, link, memories_a_side) else here
                for link in range(hops)
            ]
        )
        for one in sorted(set(state)):
            for other in sorted(set(state)):
                if one[1] != other[0] or (planned is not None and (*one, other[1]) not in planned):
                    continue
                rest = _without(state, one, other)
                whole = (one[0], other[1]) == (0, hops)
                lost = index(rest)
                goods.append(lost if whole else index([*rest, (one[0], other[1])]))
                bads.append(lost)
                prizes.append(swap_probability if whole else 0.0)
            if planned is None:
                lost = index(_without(state, one))
                goods.append(lost)
                bads.append(lost)
                prizes.append(0.0)
        firsts.append(len(goods))
    total_hz = sum(rates_hz)
    low, high, rounds = _iterate(
        np.array(moves),
        np.array(rates_hz) / total_hz,
        np.argsort([len(state) for state in states], kind="stable"),
        np.array(firsts),
        np.array(goods, np.int64),
        np.array(bads, np.int64),
        np.array(prizes),
        swap_probability,
        ROUNDS_MAX,
        PRECISION,
    )
    if rounds == ROUNDS_MAX:
        raise LocalMisuse(f"rates {low * total_hz} and {high * total_hz} did not meet in {ROUNDS_MAX} rounds")
    return AverageOptimum(0.5 * (low + high) * total_hz, (high - low) * total_hz, len(states))


def _room(state: list[tuple[int, int]], link: int, memories: int) -> bool:
    return (
        sum(left == link for left, _ in state) < memories
        and sum(right == link + 1 for _, right in state) < memories
    )


def _without(state: list[tuple[int, int]], *gone: tuple[int, int]) -> list[tuple[int, int]]:
    rest = list(state)
    for pair in gone:
        rest.remove(pair)
    return rest


@njit(cache=True, nogil=True)
def _iterate(
    moves: NDArray[np.int64],
    weights: NDArray[np.float64],
    order: NDArray[np.int64],
    firsts: NDArray[np.int64],
    goods: NDArray[np.int64],
    bads: NDArray[np.int64],
    prizes: NDArray[np.float64],
    chance: float,
    rounds_max: int,
    precision: float,
) -> tuple[float, float, int]:
    """Bounds of the reward per uniformised step. States in order of their number of pairs: every swap leads
    to states that are settled. A small share of the old value keeps the chain aperiodic."""
    number = moves.shape[0]
    old = np.zeros(number)
    new = np.zeros(number)
    low = high = 0.0
    for rounds in range(rounds_max):
        for state in order:
            best = 0.0
            for link in range(weights.size):
                best += weights[link] * old[moves[state, link]]
            for action in range(firsts[state], firsts[state + 1]):
                value = prizes[action] + chance * new[goods[action]] + (1.0 - chance) * new[bads[action]]
                best = max(best, value)
            new[state] = best
        low, high = np.inf, -np.inf
        for state in range(number):
            low = min(low, new[state] - old[state])
            high = max(high, new[state] - old[state])
        if high - low <= precision * high:
            return low, high, rounds
        base = new[0]
        for state in range(number):
            old[state] = 0.999 * new[state] + 0.001 * old[state] - base
    return low, high, rounds_max
