"""How two streams of pairs meet at a node that swaps them.

Owns the waiting times: of streams that run beside each other, and of links that take turns because they share
memories or an emitter. Refuses states, trees and routes (predictions.py).
"""

from typing import Final, NamedTuple

from bellwire.core.settings import LinkSettings, MemorySettings
from bellwire.core.units import s_from_ns


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


AT_ONCE: Final = Meeting(0.0, 0.0, 0.0)
"""No bound."""


def alternation(
    left: LinkSettings, right: LinkSettings, lanes: tuple[int, int], memory: MemorySettings
) -> Meeting:
    """What turns allow at best, where the two links of a swap never attempt at the same time.

    In its stretch of a cycle each link first swaps the pairs that the other one has left, then leaves as many
    as memories hold: all but one of a shared bank, or its lanes. So a cycle has that many swaps for each
    link. In half of them the left pair has waited, for about half a cycle, in the other half the right one.
    Links that need longer than a stretch to fill the memories are slower (`meeting`).

    lanes: that the plan has of each link. memory: of the node between them.
    """
    if not (left.turn_ns and right.turn_ns):
        return AT_ONCE
    (node,) = set(left.nodes) & set(right.nodes)
    stored = 0
    for link, count in zip((left, right), lanes, strict=True):
        side = link.nodes.index(node)
        if link.shared[side]:
            stored += max(1, min(count, len(link.slots[side]) - 1))
        elif memory.emitters is not None:
            stored += count
        else:
            return AT_ONCE
    cycle_s = s_from_ns(left.turns * left.turn_ns)
    return Meeting(cycle_s / stored, cycle_s / 4.0, cycle_s / 4.0)
