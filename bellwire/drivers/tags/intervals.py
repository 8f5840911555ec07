"""Sets of integers as half-open intervals [from, to): where something is not known.

Owns their union and its complement. Integers of any size; what they mean (ps, attempts) is the caller's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Interval = tuple[int, int]


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Their union: in order, joined where they touch, the empty ones left out."""
    union: list[Interval] = []
    for start, stop in sorted(one for one in intervals if one[0] < one[1]):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(stop, union[-1][1]))
        else:
            union.append((start, stop))
    return union


class IntervalSet:
    """A union that grows at its end and is forgotten from its beginning."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, stop: int) -> None:
        """Join one interval; an empty one changes nothing."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        past = bisect_right(self._starts, stop)
        if first < past:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[past - 1])
        self._starts[first:past] = [start]
        self._stops[first:past] = [stop]

    def gaps(self, start: int, stop: int) -> list[Interval]:
        """What of [start, stop) is not in the set, in order."""
        left: list[Interval] = []
        for number in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[number] >= stop:
                break
            if start < self._starts[number]:
                left.append((start, self._starts[number]))
            start = self._stops[number]
        if start < stop:
            left.append((start, stop))
        return left

    def forget(self, before: int) -> None:
        """Drop the intervals that end at `before` or earlier."""
        past = bisect_right(self._stops, before)
        del self._starts[:past], self._stops[:past]
