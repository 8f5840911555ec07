"""What is in a stream of blocks: tags by channel, coverage and losses by epoch.

Owns the sums. Refuses coincidences (bellwire.drivers.tags).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bellwire.drivers.tag_files.description import Span
from bellwire.drivers.tag_files.source import TagSource
from bellwire.drivers.tag_files.writing import extended

NUMBERS = 1 << 16
HALF = NUMBERS // 2


@dataclass(frozen=True, slots=True)
class Survey:
    """`counts`: tags by channel, rising. `spans`: by epoch, in the order of the file."""

    tags: int
    counts: dict[int, int]
    spans: tuple[Span, ...]

    @property
    def covered_ps(self) -> int:
        """Length of all epochs, with what was lost."""
        return sum(span.stop_ps - span.start_ps for span in self.spans)

    @property
    def lost_ps(self) -> int:
        """How much of it is uncertain."""
        return sum(lost_of(span) for span in self.spans)

    def rate_hz(self, channel: int) -> float | None:
        """Mean rate over the covered time, as counted; None when nothing is covered."""
        return self.counts[channel] / self.covered_ps * 1e12 if self.covered_ps else None


def lost_of(span: Span) -> int:
    """Time of a span in which tags may be missing."""
    return sum(stop - start for start, stop in span.lost)


def survey(source: TagSource, advanced: Callable[[float], None]) -> Survey:
    """Read a whole file. Raises what the source raises."""
    totals = np.zeros(NUMBERS, np.int64)
    spans: list[Span] = []
    for block in source.blocks():
        totals += np.bincount(block.channel.astype(np.int64) + HALF, minlength=NUMBERS)
        spans = extended(spans, block)
        advanced(source.fraction)
    counts = {int(index) - HALF: int(totals[index]) for index in np.flatnonzero(totals)}
    return Survey(sum(counts.values()), counts, tuple(spans))
