"""Singles of a stream in intervals of equal length, and which of them a loss makes uncertain.

Owns the bins, which begin with each epoch. Refuses the rest at the end of an epoch that is no whole interval:
it is told as time left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.tag_files.description import Span
from bellwire.drivers.tag_files.writing import extended
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERVALS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class EpochCounts:
    """Intervals of one epoch. `singles`: by channel, shape (n,) each. `valid`: shape (n,), False where an
    interval overlaps a loss. `left_out_ps`: behind the last whole interval.
    """

    epoch: int
    start_ps: int
    singles: dict[int, NDArray[np.int64]]
    valid: NDArray[np.bool_]
    left_out_ps: int


class IntervalCounter:
    """`take` blocks, then `result`. Raises LocalMisuse for an interval that is not positive."""

    def __init__(self, interval_ps: int, channels: Iterable[int] | None = None) -> None:
        if interval_ps <= 0:
            raise LocalMisuse(f"an interval of {interval_ps} ps: it must be positive")
        self._interval_ps = interval_ps
        self._wanted = None if channels is None else frozenset(channels)
        self._spans: list[Span] = []
        self._counts: list[dict[int, NDArray[np.int64]]] = []

    def take(self, block: TagBlock) -> None:
        """Count a block. Raises ConfigError when there are too many intervals."""
        before = len(self._spans)
        self._spans = extended(self._spans, block)
        if len(self._spans) > before:
            self._counts.append({})
        origin = self._spans[-1].start_ps
        needed = -(-(block.stop_ps - origin) // self._interval_ps)
        if needed > INTERVALS_MAX:
            raise ConfigError(
                f"more than {INTERVALS_MAX} intervals of {self._interval_ps} ps: take longer ones"
            )
        if len(block.time_ps) == 0:
            return
        index = (block.time_ps - origin) // self._interval_ps
        first = int(index[0])
        counts = self._counts[-1]
        for number in map(int, np.unique(block.channel)):
            if self._wanted is not None and number not in self._wanted:
                continue
            found = np.bincount(index[block.channel == number] - first)
            counts[number] = _grown(counts.get(number), first + len(found))
            counts[number][first : first + len(found)] += found

    def result(self) -> list[EpochCounts]:
        """The whole intervals of each epoch."""
        return [self._of(span, counts) for span, counts in zip(self._spans, self._counts, strict=True)]

    def _of(self, span: Span, counts: dict[int, NDArray[np.int64]]) -> EpochCounts:
        whole, left_out = divmod(span.stop_ps - span.start_ps, self._interval_ps)
        valid = np.ones(whole, np.bool_)
        for start, stop in span.lost:
            first = max(start - span.start_ps, 0) // self._interval_ps
            past = -((span.start_ps - stop) // self._interval_ps)
            valid[first:past] = False
        channels = sorted(counts if self._wanted is None else self._wanted)
        singles = {one: _grown(counts.get(one), whole)[:whole] for one in channels}
        return EpochCounts(span.epoch, span.start_ps, singles, valid, left_out)


def _grown(counts: NDArray[np.int64] | None, size: int) -> NDArray[np.int64]:
    """The same counts with room for `size`, at least doubled when it grows."""
    if counts is None:
        return np.zeros(size, np.int64)
    if len(counts) >= size:
        return counts
    grown = np.zeros(max(size, 2 * len(counts)), np.int64)
    grown[: len(counts)] = counts
    return grown
