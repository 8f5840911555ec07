"""Pairs that are kept back for rounds of purification: how often one comes through all rounds.

Owns the stationary chain of kept-back pairs. Refuses states, and where the pairs come from: links
(purified_links.py) or segments of a swapping tree (refined_streams.py).

The chain is exact for exponential times between fresh pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bellwire.core.errors import LocalMisuse


class Supply(NamedTuple):
    """How purified pairs come out of a link."""

    latency_s: float  # mean time per purified pair
    waited_s: float  # mean time that the kept pair of a round has waited for the other


def held_at_most(rounds: int, *, pumping: bool) -> int:
    """Pairs that are kept back at a time at most."""
    return 1 if pumping else rounds


def supply(pair_s: float, lanes: int, chances: tuple[float, ...], round_s: float, *, pumping: bool) -> Supply:
    """Mean time per purified pair of a link; a lane that holds a pair is silent.

    pair_s: mean seconds per fresh pair of one free lane. chances: of each round. round_s: for which a round
    keeps two lanes busy.

    Raises:
        LocalMisuse: the kept-back pairs leave no lane to attempt.
    """
    held = held_at_most(len(chances), pumping=pumping)
    if held >= lanes:
        raise LocalMisuse(
            f"{len(chances)} rounds hold up to {held} pairs; {lanes} lanes leave none to attempt"
        )
    steps_s = [pair_s / (lanes - count) for count in range(held + 1)]
    return supply_of(steps_s, lanes, chances, round_s, pumping=pumping)


def supply_of(
    steps_s: Sequence[float], lanes: int, chances: tuple[float, ...], round_s: float, *, pumping: bool
) -> Supply:
    """Mean time per purified pair, from the stationary chain of kept-back pairs.

    steps_s: mean seconds until the next fresh pair while 0, 1, ... pairs are kept back.
    """
    rounds = len(chances)
    steps = _pumping_steps(rounds, chances) if pumping else _recurrence_steps(rounds, chances)
    share = _stationary(steps)
    held = [(1 if state else 0) if pumping else state.bit_count() for state in range(len(steps))]
    step_s = [steps_s[count] for count in held]
    made = sum(part * step.products for part, step in zip(share, steps, strict=True))
    tried = sum(part * step.rounds for part, step in zip(share, steps, strict=True))
    time_s = sum(part * each for part, each in zip(share, step_s, strict=True))
    waiting_s = sum(part * each * count for part, each, count in zip(share, step_s, held, strict=True))
    return Supply((time_s + tried * 2.0 * round_s / lanes) / made, waiting_s / tried)


class _Step(NamedTuple):
    """What one more fresh pair does in a state of the chain."""

    following: dict[int, float]  # state -> chance
    products: float  # mean number of purified pairs that come out
    rounds: float  # mean number of rounds


def _recurrence_steps(rounds: int, chances: tuple[float, ...]) -> list[_Step]:
    """States are sets of levels of which one pair is kept, as bits."""
    steps: list[_Step] = []
    for state in range(1 << rounds):
        left, alive, tried, level = state, 1.0, 0.0, 0
        following: dict[int, float] = {}
        while level < rounds and left >> level & 1:
            left ^= 1 << level
            tried += alive
            following[left] = following.get(left, 0.0) + alive * (1.0 - chances[level])
            alive *= chances[level]
            level += 1
        last = left if level == rounds else left | 1 << level
        following[last] = following.get(last, 0.0) + alive
        steps.append(_Step(following, alive if level == rounds else 0.0, tried))
    return steps


def _pumping_steps(rounds: int, chances: tuple[float, ...]) -> list[_Step]:
    """State 0: nothing is kept; state k: a pair of k - 1 rounds."""
    steps = [_Step({1: 1.0}, 0.0, 0.0)]
    for level, chance in enumerate(chances):
        done = level + 1 == rounds
        following = {0: 1.0} if done else {0: 1.0 - chance, level + 2: chance}
        steps.append(_Step(following, chance if done else 0.0, 1.0))
    return steps


def _stationary(steps: list[_Step]) -> list[float]:
    """Share of the fresh pairs that meet each state: elimination of the states from the last one down
    (Grassmann, Taskar, Heyman 1985), which never subtracts."""
    size = len(steps)
    rate = [[step.following.get(state, 0.0) for state in range(size)] for step in steps]
    for last in range(size - 1, 0, -1):
        out = sum(rate[last][:last])
        for state in range(last):
            rate[state][last] /= out
            for other in range(last):
                rate[state][other] += rate[state][last] * rate[last][other]
    share = [1.0]
    for state in range(1, size):
        share.append(sum(share[other] * rate[other][state] for other in range(state)))
    total = sum(share)
    return [part / total for part in share]
