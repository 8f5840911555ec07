"""Counters of what happens around a time: which times are live, and the tags they need.

Owns validity and carry-over. A counter states its needs: to say anything about the time t it must know
channel c on [t + lo, t + hi], in times to which the delays are added already. A time is live when all its
needs are met: no loss, no beginning and no end of an epoch touches them. A live time is counted exactly once,
as soon as everything it needs has come; a time that is not live is not counted at all. Hence results do not
depend on blocks, and a loss costs the times whose needs it touches and no others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bellwire.drivers.tags.blocks_in_order import TagCounter, check_delays
from bellwire.drivers.tags.channel_buffers import ChannelBuffers, delays_of
from bellwire.drivers.tags.intervals import Interval, IntervalSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Runs = list[slice]
    """Where the times of a channel that are now counted lie in its buffer."""


@dataclass(frozen=True, slots=True)
class Need:
    """`channel` must be known on [t + lo_ps, t + hi_ps], both ends within."""

    channel: int
    lo_ps: int
    hi_ps: int


class LiveTimeCounter(TagCounter):
    """A counter with needs. A subclass counts in `_count`, and adds needs for 0 of all that it counts."""

    def __init__(self, needs: Sequence[Need], delays_ps: Mapping[int, int] | None) -> None:
        super().__init__()
        self._channels = sorted({need.channel for need in needs})
        delays = delays_of(self._channels, delays_ps)
        check_delays(*delays, *(edge for need in needs for edge in (need.lo_ps, need.hi_ps)))
        self._slot = {channel: slot for slot, channel in enumerate(self._channels)}
        # A loss [from, to) of the tagger makes the times [from + back, to + on) dead, for each need.
        shifts = {
            (delays[self._slot[need.channel]] - need.hi_ps, delays[self._slot[need.channel]] - need.lo_ps)
            for need in needs
        }
        self._shifts = sorted(shifts)
        self._earliest = min(back for back, _ in shifts)
        self._latest = max(on for _, on in shifts)
        self._kept_ps = [
            min(0, *(need.lo_ps for need in needs if need.channel == channel)) for channel in self._channels
        ]
        self._buffers = ChannelBuffers(self._channels, delays)
        self._dead = IntervalSet()
        self._counted_ps = 0
        self._live_ps = 0

    @property
    def live_ps(self) -> int:
        """How much time was counted."""
        return self._live_ps

    @property
    def discarded_ps(self) -> int:
        """The rest of the time from the first to the last of each epoch's blocks."""
        return self._span_ps - self._live_ps

    @abstractmethod
    def _count(self, runs: list[Runs]) -> None:
        """Count the live tags, by slot; each of them once in the life of the counter."""

    def _begin(self, start_ps: int) -> None:
        self._buffers.clear()
        self._dead = IntervalSet()
        self._counted_ps = start_ps + self._latest

    def _lose(self, start_ps: int, stop_ps: int) -> None:
        for back, on in self._shifts:
            self._dead.add(start_ps + back, stop_ps + on)

    def _advance(self, times: NDArray[np.int64], channels: NDArray[np.int16], known_ps: int) -> None:
        self._buffers.put(times, channels)
        ripe_ps = known_ps + self._earliest
        if ripe_ps <= self._counted_ps:
            return
        live = self._dead.gaps(self._counted_ps, ripe_ps)
        if live:
            self._live_ps += sum(stop - start for start, stop in live)
            self._count([self._runs(slot, live) for slot in range(len(self._channels))])
        self._dead.forget(ripe_ps)
        self._counted_ps = ripe_ps
        for slot, kept_ps in enumerate(self._kept_ps):
            self._buffers.forget(slot, ripe_ps + kept_ps)

    def _runs(self, slot: int, live: Sequence[Interval]) -> Runs:
        edges = np.searchsorted(self._buffers.of(slot), np.array(live, np.int64).ravel())
        return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2) if a < b]

    def _live_tags(self, slot: int, runs: Runs) -> NDArray[np.int64]:
        """The times of one channel that are counted now."""
        times = self._buffers.of(slot)
        if len(runs) == 1:
            return times[runs[0]]
        return np.concatenate([times[:0], *(times[run] for run in runs)])


def number(runs: Runs) -> int:
    """How many tags."""
    return sum(run.stop - run.start for run in runs)
