"""The clock of a node that is off, drifts and is set: from true time to its own and back.

Owns the arithmetic, in whole nanoseconds. Refuses appointments (troubled_host.py).
"""

from collections.abc import Sequence
from typing import Final

from bellwire.soak.faults import ClockSkew, ClockStep

_PPB: Final = 1_000_000_000


class LocalClock:
    """Own time as a function of true time that never decreases."""

    def __init__(self, skew: ClockSkew | None, steps: Sequence[ClockStep]) -> None:
        """steps: of this node, in any order."""
        offset_ns = skew.offset_ns if skew is not None else 0
        self._rate_ppb = skew.rate_ppb if skew is not None else 0
        self._pieces: list[tuple[int, int, int]] = []  # from when, offset, own time that is never undercut
        floor_ns = -(1 << 62)
        since_ns = 0
        for step in (*sorted(steps, key=lambda one: one.at_ns), None):
            self._pieces.append((since_ns, offset_ns, floor_ns))
            if step is not None:
                floor_ns = max(floor_ns, self._drifted(step.at_ns) + offset_ns)
                offset_ns += step.by_ns
                since_ns = step.at_ns
        self.right = self._pieces == [(0, 0, -(1 << 62))] and not self._rate_ppb

    def _drifted(self, true_ns: int) -> int:
        return true_ns + true_ns * self._rate_ppb // _PPB

    def own(self, true_ns: int) -> int:
        """What the clock shows."""
        for since_ns, offset_ns, floor_ns in reversed(self._pieces):
            if true_ns >= since_ns:
                return max(floor_ns, self._drifted(true_ns) + offset_ns)
        return self._drifted(true_ns) + self._pieces[0][1]

    def true(self, own_ns: int) -> int:
        """The first time at which the clock shows this or more."""
        for number, (since_ns, offset_ns, floor_ns) in enumerate(self._pieces):
            last = number + 1 == len(self._pieces)
            if not last and self.own(self._pieces[number + 1][0] - 1) < own_ns:
                continue
            if floor_ns >= own_ns:
                return since_ns
            found = since_ns + max(0, own_ns - offset_ns - self._drifted(since_ns))
            found = since_ns + (found - since_ns) * _PPB // (_PPB + self._rate_ppb)
            while self.own(found) < own_ns:
                found += 1
            while found > since_ns and self.own(found - 1) >= own_ns:
                found -= 1
            return found
        raise AssertionError("the last piece has no end")
