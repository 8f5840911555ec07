"""What a swapping policy sees: the held ends of one plan at one node, and the circumstances.

Owns the two values. Refuses decisions, and the ledger: whoever holds the ends reads it and fills these in.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from bellwire.core.ids import End
from bellwire.core.plans import SwapPlan
from bellwire.core.view import SlotView


class Held:
    """One own held end, as the ledger showed its chain when this node last looked."""

    __slots__ = ("end", "far", "known", "news_ns", "oldest_ns", "ready_ns", "refined", "since_ns", "slot")

    def __init__(self, slot: SlotView, end: End, now_ns: int) -> None:
        self.slot = slot
        self.end = end
        self.far = -1  # position of the far end on the route, -1: not known, or not on it
        self.known = False  # `far` and `oldest_ns` are as the ledger has them now
        self.refined = True  # needs no further purification before it is swapped
        self.oldest_ns = slot.born_ns  # birth of the oldest constituent
        self.news_ns = now_ns  # when word of a change came
        self.since_ns = now_ns  # when the pair became available here in its present form
        self.ready_ns = now_ns  # not before: the far end may swap it first

    @property
    def here(self) -> bool:
        """False while the qubit takes part in a round of purification, and after it was lost in one."""
        return self.slot.state == "held" and self.slot.end == self.end

    def age_ns(self, now_ns: int) -> int:
        """Time since the oldest constituent was born."""
        return now_ns - self.oldest_ns

    def idle_ns(self, now_ns: int) -> int:
        """Time for which the pair has been available here."""
        return now_ns - self.since_ns


Segment = tuple[int, int]
"""Left and right position on the route."""


class Situation(NamedTuple):
    """One decision. Both sides are in the order of birth, oldest first; only living, known, ready ends."""

    plan: SwapPlan
    left: Sequence[Held]  # pairs towards the source
    right: Sequence[Held]  # pairs towards the destination
    occupancy: float  # share of the node's memories that are not free, 0..1
    now_ns: int
    # Pairs of the plan anywhere, with the birth of the oldest constituent; for policies that look so far.
    present: Mapping[Segment, int] = MappingProxyType({})


Choice = tuple[Held, Held] | None
"""The ends to swap (left, right), or None: wait."""
