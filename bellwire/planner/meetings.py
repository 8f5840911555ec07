"""How two streams of pairs meet at a node that swaps them.

Owns the waiting times: of streams that run beside each other, and of links that take turns because they share
memories or an emitter. Refuses states, trees and routes (predictions.py).
"""

from functools import lru_cache
from math import exp
from typing import Final, NamedTuple

from bellwire.core.settings import LinkSettings, MemorySettings
from bellwire.core.units import s_from_ns
from bellwire.planner.lane_times import lane_latency_s


class Meeting(NamedTuple):
    """How two streams of pairs meet at a node that swaps as soon as it holds one of each."""

    latency_s: float  # mean time between meetings
    left_wait_s: float  # mean time that a left pair waits for its partner
    right_wait_s: float

    def no_better_than(self, other: "Meeting") -> "Meeting":
        """The worse of two bounds, figure by figure."""
        return Meeting(*map(max, self, other))


def meeting(left_s: float, left_lanes: int, right_s: float, right_lanes: int) -> Meeting:
    """Exact for exponential generation times and no delays: a birth-death chain in the surplus of left pairs.

    left_s, right_s: mean seconds per pair while all lanes are free; a lane that holds a waiting pair is
    silent. One lane each and equal times give the factor 3/2 of Eq. 1 and a wait of T/2; five lanes give
    1.199.
    """
    left_hz, right_hz = 1.0 / left_s, 1.0 / right_s
    weights = {0: 1.0}
    for surplus in range(left_lanes):
        weights[surplus + 1] = weights[surplus] * left_hz * (left_lanes - surplus) / left_lanes / right_hz
    for surplus in range(right_lanes):
        weights[-surplus - 1] = weights[-surplus] * right_hz * (right_lanes - surplus) / right_lanes / left_hz
    total = sum(weights.values())
    free = sum(weight * (left_lanes - max(0, surplus)) for surplus, weight in weights.items()) / left_lanes
    rate_hz = left_hz * free / total
    left_waiting = sum(weight * surplus for surplus, weight in weights.items() if surplus > 0) / total
    right_waiting = sum(-weight * surplus for surplus, weight in weights.items() if surplus < 0) / total
    return Meeting(1.0 / rate_hz, left_waiting / rate_hz, right_waiting / rate_hz)


class Alternating(NamedTuple):
    """One of two links that take turns at the node between them."""

    pairs: float  # mean number in one stretch of a cycle, if all its lanes attempted all the time
    lanes: int
    attempting: int  # lanes that may attempt at the same time, 1..lanes
    bank: int | None  # memories of the node that both links share, None: each lane has its own


STRETCH_STEPS: Final = 8
"""Moments of a stretch at which waiting pairs are counted."""

PAIRS_MAX: Final = 64.0
"""A link that could make more pairs in a stretch counts as if it made so many: memories are full before."""

CYCLES_MAX: Final = 200
"""Cycles after which the mean of a cycle has settled, however slow the links are."""

SETTLED: Final = 1e-6
"""A cycle that swaps so nearly as much as the one before is the mean cycle."""

UNSAID: Final = 1e-10
"""Chances that uniformisation leaves out."""


def alternating(
    left: LinkSettings, right: LinkSettings, lanes: tuple[int, int], memory: MemorySettings
) -> tuple[Alternating, Alternating] | None:
    """The two links of a swap as they take turns, or None when they may attempt at the same time.

    lanes: that the plan has of each link. memory: of the node between them. The periods of the links are
    those of `as_planned`, so that attempts of a whole cycle fall into a link's own stretch.
    """
    if not (left.turn_ns and right.turn_ns):
        return None
    (node,) = set(left.nodes) & set(right.nodes)
    found: list[Alternating] = []
    for link, count in zip((left, right), lanes, strict=True):
        side = link.nodes.index(node)
        shared = link.shared[side]
        if not shared and memory.emitters is None:
            return None
        cycle_s = s_from_ns(link.turns * link.turn_ns)
        pairs = min(PAIRS_MAX, cycle_s * count / lane_latency_s(link))
        attempting = min(count, memory.emitters or count)
        found.append(Alternating(pairs, count, attempting, len(link.slots[side]) if shared else None))
    return found[0], found[1]


@lru_cache(maxsize=1024)
def alternation(left: Alternating, right: Alternating, cycle_s: float) -> Meeting:
    """How pairs of two links meet that never attempt at the same time: each has half of every cycle.

    In its stretch a link first swaps the pairs that the other one has left, then leaves pairs of its own. A
    Markov chain in the surplus of left pairs, upwards in the left link's stretch and downwards in the right
    one's, exact for exponential generation times and no delays. Of a shared bank a link leaves one memory to
    the other; lanes that hold a pair are silent.
    """
    most = left.lanes + right.lanes
    up = [left.pairs * _busy(left, index - right.lanes) for index in range(most + 1)]
    down = [right.pairs * _busy(right, right.lanes - index) for index in range(most + 1)]
    chances = _mixed(up, down, right.lanes)  # of a surplus of index - right.lanes
    swaps = left_waiting = right_waiting = 0.0
    for _ in range(CYCLES_MAX):
        before = swaps
        swaps = left_waiting = right_waiting = 0.0
        for rates, side in ((up, 1), (down, -1)):
            held = _waiting(chances, right.lanes, -side)
            for _ in range(STRETCH_STEPS):
                chances = _after(chances, rates, side, 1.0 / STRETCH_STEPS)
                left_waiting += _waiting(chances, right.lanes, 1)
                right_waiting += _waiting(chances, right.lanes, -1)
            swaps += held - _waiting(chances, right.lanes, -side)
        if abs(swaps - before) <= SETTLED * swaps:
            break
    moment_s = cycle_s / (2 * STRETCH_STEPS)
    return Meeting(cycle_s / swaps, left_waiting * moment_s / swaps, right_waiting * moment_s / swaps)


def _mixed(up: list[float], down: list[float], zero: int) -> list[float]:
    """Chances if both links attempted all the time: right for short turns, a good beginning for all."""
    weights = [0.0] * len(up)
    weights[zero] = 1.0
    for index in range(zero, len(up) - 1):
        if up[index] > 0.0:
            weights[index + 1] = weights[index] * up[index] / down[index + 1]
    for index in range(zero, 0, -1):
        if down[index] > 0.0:
            weights[index - 1] = weights[index] * down[index] / up[index - 1]
    total = sum(weights)
    return [weight / total for weight in weights]


def _busy(link: Alternating, surplus: int) -> float:
    """Share of a link's lanes that attempt when it has so many more pairs than the other link, 0..1."""
    own, theirs = max(0, surplus), max(0, -surplus)
    lanes = min(link.attempting, link.lanes - own)
    if link.bank is not None:
        lanes = min(lanes, link.bank - theirs - own - (theirs == 0))
    return max(0, lanes) / link.attempting


def _waiting(chances: list[float], zero: int, side: int) -> float:
    """Mean number of waiting pairs, 1: of the left link, -1: of the right one."""
    return sum(chance * max(0, side * (index - zero)) for index, chance in enumerate(chances))


def _after(chances: list[float], rates: list[float], side: int, share: float) -> list[float]:
    """Chances after a share of a stretch, by uniformisation. rates: upward (side 1) or downward (-1)."""
    fastest = max(rates)
    mean = fastest * share
    weight, said = exp(-mean), 0.0
    power, found, order = chances, [0.0] * len(chances), 0
    while said < 1.0 - UNSAID:
        found = [total + weight * chance for total, chance in zip(found, power, strict=True)]
        said += weight
        order += 1
        weight *= mean / order
        moved = [chance * rate / fastest for chance, rate in zip(power, rates, strict=True)]
        power = [
            chance - moved[index] + (moved[index - side] if 0 <= index - side < len(moved) else 0.0)
            for index, chance in enumerate(power)
        ]
    return [chance / said for chance in found]
