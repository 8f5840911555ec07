"""Accounts of a station's run: decided = succeeded + failed + unknown, at every bound.

Owns the sums of fpga.md section 8. Sans I/O. Refuses to let a lost attempt count as a fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bellwire.core.errors import PeerViolation


@dataclass(slots=True)
class HeraldCounters:
    """Sub-attempts of one run. `decided` = sub-attempts covered by the last bound; the others add up to it.

    A record that arrived stands, even inside a lost range: `unknown` counts only attempts without one.
    """

    decided: int = 0
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    _heralded: list[int] = field(default_factory=list[int])
    _lost: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def record(self, sub_attempt: int) -> None:
        """A heralded sub-attempt. Raises PeerViolation when a bound has already covered it."""
        if sub_attempt < self.decided:
            raise PeerViolation(
                "instrument", f"record of attempt {sub_attempt} after bound {self.decided - 1}"
            )
        self._heralded.append(sub_attempt)

    def lost(self, first: int, last: int) -> None:
        """A lost range; what a bound has already covered is not counted again."""
        first = max(first, self.decided)
        if first <= last:
            self._lost.append((first, last))

    def bound(self, decided_to: int) -> None:
        """Close the account up to and including `decided_to`. Asserts the sum."""
        if decided_to < self.decided:
            return  # the same bound again, as idle devices send it
        inside = [attempt for attempt in self._heralded if attempt <= decided_to]
        unknown = _size_of_union(self._lost, decided_to) - sum(
            any(first <= attempt <= last for first, last in self._lost) for attempt in inside
        )
        failed = decided_to + 1 - self.decided - len(inside) - unknown
        if failed < 0:
            raise PeerViolation("instrument", f"more records than attempts before bound {decided_to}")
        self.decided = decided_to + 1
        self.succeeded += len(inside)
        self.unknown += unknown
        self.failed += failed
        self._heralded = [attempt for attempt in self._heralded if attempt > decided_to]
        self._lost = [(max(first, self.decided), last) for first, last in self._lost if last > decided_to]
        assert self.decided == self.succeeded + self.failed + self.unknown


def _size_of_union(ranges: list[tuple[int, int]], upto: int) -> int:
    """Attempts covered by any of the ranges, cut at `upto`."""
    total, end = 0, -1
    for first, last in sorted(ranges):
        first, last = max(first, end + 1), min(last, upto)
        if first <= last:
            total += last - first + 1
            end = last
    return total
