"""Histograms of delays between two channels: all pairs (correlations), and the first stop after each start.

Owns bins with exact integer edges and both streamed counters. Bin k holds the delays stop - start, in whole
ps and with the delays of the channels added, of [lo + k * width, lo + (k + 1) * width).

A time t is live when both channels are known at t and the stop channel wherever a bin reaches from t. A start
counts at its own time, whether or not its stop came early: to keep only starts that were answered before a
loss would favour short delays.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.blocks_in_order import check_delays
from bellwire.drivers.tags.delay_bins import bin_all_stops, bin_delays, bin_first_stops
from bellwire.drivers.tags.live_times import LiveTimeCounter, Need, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bellwire.drivers.tags.live_times import Runs


@dataclass(frozen=True, slots=True)
class Bins:
    """`count` bins of `width_ps` from `lo_ps` on."""

    lo_ps: int
    width_ps: int
    count: int

    def __post_init__(self) -> None:
        if self.width_ps < 1 or self.count < 1:
            raise LocalMisuse(f"{self.count} bins of {self.width_ps} ps: one of 1 ps is the least")
        check_delays(self.lo_ps, self.hi_ps)

    @property
    def hi_ps(self) -> int:
        """The first delay beyond the last bin."""
        return self.lo_ps + self.width_ps * self.count

    @property
    def edges_ps(self) -> NDArray[np.int64]:
        """All edges, shape (count + 1,)."""
        return self.lo_ps + self.width_ps * np.arange(self.count + 1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class DelayHistogram:
    """Counts of `live_ps`, shape (bins.count,). `starts`, `stops`: singles of both channels in live times."""

    bins: Bins
    counts: NDArray[np.int64]
    starts: int
    stops: int
    live_ps: int
    discarded_ps: int


class _StreamedHistogram(LiveTimeCounter):
    """What both have in common: a start channel, a stop channel (it may be the same), and bins."""

    def __init__(
        self, start: int, stop: int, bins: Bins, known_from_ps: int, delays_ps: Mapping[int, int] | None
    ) -> None:
        here = (Need(start, 0, 0), Need(stop, 0, 0), Need(stop, known_from_ps, bins.hi_ps - 1))
        super().__init__(here, delays_ps)
        self._bins = bins
        self._start, self._stop = self._slot[start], self._slot[stop]
        self._counts = np.zeros(bins.count, np.int64)
        self._starts = self._stops = 0

    def result(self) -> DelayHistogram:
        """What was counted so far."""
        return DelayHistogram(
            self._bins, self._counts.copy(), self._starts, self._stops, self.live_ps, self.discarded_ps
        )

    def _count(self, runs: list[Runs]) -> None:
        self._starts += number(runs[self._start])
        self._stops += number(runs[self._stop])
        if runs[self._start]:
            self._count_starts(runs[self._start])

    @abstractmethod
    def _count_starts(self, runs: Runs) -> None:
        """Bin the delays of these live starts."""


class StreamedCorrelation(_StreamedHistogram):
    """All pairs of a start and a stop, each in the bin of its delay.

    Of one channel with itself: all ordered pairs of different tags, so that bins around 0 hold each pair
    twice, once with either sign. `delays_ps` are added to the times of a channel.
    """

    def __init__(self, start: int, stop: int, bins: Bins, delays_ps: Mapping[int, int] | None = None) -> None:
        super().__init__(start, stop, bins, bins.lo_ps, delays_ps)

    def _count_starts(self, runs: Runs) -> None:
        bins = self._bins
        bin_all_stops(
            self._live_tags(self._start, runs),
            self._buffers.of(self._stop),
            bins.lo_ps,
            bins.width_ps,
            self._counts,
        )
        if self._start == self._stop and bins.lo_ps <= 0 < bins.hi_ps:
            self._counts[-bins.lo_ps // bins.width_ps] -= number(runs)  # no tag is a pair with itself


class StreamedStartStop(_StreamedHistogram):
    """The first stop at or after each start; a stop may end several starts. Of one channel: the next tag.

    A start whose first stop is in no bin counts in `starts` alone. Raises LocalMisuse for bins below 0.
    """

    def __init__(self, start: int, stop: int, bins: Bins, delays_ps: Mapping[int, int] | None = None) -> None:
        if bins.lo_ps < 0:
            raise LocalMisuse(f"bins from {bins.lo_ps} ps: a stop comes after its start, begin at 0 or later")
        super().__init__(start, stop, bins, 0, delays_ps)

    def _count_starts(self, runs: Runs) -> None:
        bins, stops = self._bins, self._buffers.of(self._stop)
        if self._start != self._stop:
            times = self._live_tags(self._start, runs)
            bin_first_stops(times, stops, bins.lo_ps, bins.width_ps, self._counts)
            return
        for run in runs:
            following = stops[run.start + 1 : run.stop + 1]
            bin_delays(following - stops[run][: len(following)], bins.lo_ps, bins.width_ps, self._counts)
