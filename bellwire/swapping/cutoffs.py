"""How old a pair may get, by the segment that it spans, and how long it may wait (algorithms.md 8.4, 8.5).

Owns the three rules: no cutoff, one for all segments, or stricter with depth. Refuses timers: whoever holds
the ends asks when the next one is due.
"""

from math import ceil, inf, log2
from typing import Final, NamedTuple, Protocol

from bellwire.core.plans import RouteTable

DEPTH_FACTOR: Final = 0.5
"""f(d) = DEPTH_FACTOR ** d: stricter near the leaves, and above twice T(d) as long as p_b < 0.75."""


class AgeRule(Protocol):
    """What execution asks about the limits of a policy."""

    def segment_s(self, table: RouteTable, left: int, right: int) -> float:
        """Age of its oldest constituent at which a pair of this segment is given up, inf: never."""
        ...

    def patience_s(self, table: RouteTable, left: int, right: int) -> float:
        """How long an end of this segment may wait for a partner, inf: for ever."""
        ...


class Cutoffs(NamedTuple):
    """rule: none, flat or depth. factor: age of the whole route's pair, in expected latencies of the route.

    discard: an end that waited for this many expected latencies of its partner is given up; 0: never.
    """

    rule: str = "flat"
    factor: float = 2.0
    discard: float = 12.0

    def root_s(self, table: RouteTable) -> float:
        """Cutoff of the whole route, inf: none."""
        return inf if self.rule == "none" else self.factor * table.root_s

    def segment_s(self, table: RouteTable, left: int, right: int) -> float:
        """Cutoff of a segment: flat, or for the depth that a segment of so many hops has in a balanced tree.

        On-plan segments count by their own depth in the default tree.
        """
        root_s = self.root_s(table)
        if self.rule != "depth":
            return root_s
        return root_s * DEPTH_FACTOR ** depth_of(table, left, right)

    def patience_s(self, table: RouteTable, left: int, right: int) -> float:
        """How long an end of this segment may wait for a partner, inf: for ever."""
        return inf if self.discard == 0.0 else self.discard * table.of(table.partner_s, left, right)


def depth_of(table: RouteTable, left: int, right: int) -> int:
    """Depth of a segment in the default tree; of one that is not in it, ceil(log2(H / h)) for h of H hops."""
    if (left, right) == (0, table.hops):
        return 0
    depth, segment = 0, (0, table.hops)
    while segment[1] - segment[0] > 1:
        at = next(at for x, at, y in table.tree if (x, y) == segment)
        segment = (segment[0], at) if right <= at else (at, segment[1])
        depth += 1
        if segment == (left, right):
            return depth
        if not segment[0] <= left < right <= segment[1]:
            break
    return ceil(log2(table.hops / (right - left)) - 1e-9)
