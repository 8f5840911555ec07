# ruff: noqa: N802 - the names are those of the maker's library
"""Measurements of the stand-in for the Swabian library: counters, coincidences, correlations, tag streams.

Owns when a measurement runs and what it has seen. A measurement begins when it is made, sees what its
channels bring until it is stopped, and looks at the past only. How the real library treats events that belong
to several coincidences, and which tags a full buffer keeps, is our reading of its documentation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from bellwire.simulator_backend.devices.swabian_device import SwabianDevice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

FIRST_VIRTUAL_CHANNEL = 1001
WAIT_STEP_S = 0.001


class TagType(IntEnum):
    """What an entry of a stream is."""

    TimeTag = 0
    Error = 1
    OverflowBegin = 2
    OverflowEnd = 3
    MissedEvents = 4


class VirtualChannels:
    """A tagger as measurements see it: an instrument, and the channels that measurements make."""

    def __init__(self, device: SwabianDevice) -> None:
        self.device = device
        self._virtual: dict[int, tuple[Coincidences, int]] = {}

    def add(self, maker: Coincidences, group: int) -> int:
        """A new virtual channel for a group of a measurement."""
        channel = FIRST_VIRTUAL_CHANNEL + len(self._virtual)
        self._virtual[channel] = maker, group
        return channel

    def events(self, channel: int, start_ps: int, stop_ps: int) -> Times:
        """Events of a real or virtual channel. Raises ValueError for one that does not exist."""
        if channel in self._virtual:
            maker, group = self._virtual[channel]
            return maker.times(group, start_ps, stop_ps)
        if not self._device().has(channel):
            raise ValueError(f"Channel {channel} is not available on this device.")
        return self._device().events(channel, start_ps, stop_ps)

    def _device(self) -> SwabianDevice:
        if not self.device.attached:
            raise RuntimeError("Time Tagger disconnected: connection lost.")
        return self.device


class IteratorBase:
    """A measurement that runs, for good or for some time."""

    def __init__(self, tagger: VirtualChannels) -> None:
        self._tagger = tagger
        self._begun_ps: int | None = None
        self._until_ps: int | None = None
        self.start()

    def start(self) -> None:
        if self._begun_ps is None:
            self._begun_ps = self._tagger.device.now_ps()
        self._until_ps = None

    def startFor(self, capture_duration: int, clear: bool = True) -> None:
        now_ps = self._tagger.device.now_ps()
        if clear or self._begun_ps is None:
            self._begun_ps = now_ps
        self._until_ps = now_ps + capture_duration

    def stop(self) -> None:
        if self.isRunning():
            self._until_ps = self._tagger.device.now_ps()

    def clear(self) -> None:
        self._begun_ps = self._tagger.device.now_ps()

    def isRunning(self) -> bool:
        return self._until_ps is None or self._tagger.device.now_ps() < self._until_ps

    def getCaptureDuration(self) -> int:
        start_ps, stop_ps = self._captured()
        return stop_ps - start_ps

    def waitUntilFinished(self, timeout: int = -1) -> bool:
        latest_s = None if timeout < 0 else time.monotonic() + timeout / 1000
        while self.isRunning():
            if latest_s is not None and time.monotonic() > latest_s:
                return False
            time.sleep(WAIT_STEP_S)
        return True

    def _captured(self) -> tuple[int, int]:
        now_ps = self._tagger.device.now_ps()
        start_ps = now_ps if self._begun_ps is None else self._begun_ps
        return start_ps, now_ps if self._until_ps is None else min(now_ps, self._until_ps)


class Counter(IteratorBase):
    """Counts of channels in bins that are over."""

    def __init__(
        self,
        tagger: VirtualChannels,
        channels: Sequence[int],
        binwidth: int = 1_000_000_000,
        n_values: int = 1,
    ) -> None:
        super().__init__(tagger)
        self._channels = list(channels)
        self._binwidth = binwidth
        self._n_values = n_values

    def getData(self, rolling: bool = True) -> NDArray[np.int32]:
        start_ps, stop_ps = self._captured()
        over = (stop_ps - start_ps) // self._binwidth
        shown = min(over, self._n_values)
        counts = np.zeros((len(self._channels), self._n_values), np.int32)
        edges = start_ps + self._binwidth * np.arange(over - shown, over + 1, dtype=np.int64)
        for row, channel in enumerate(self._channels):
            times = self._tagger.events(channel, int(edges[0]), int(edges[-1]))
            found = np.diff(np.searchsorted(times, edges))
            if rolling:
                counts[row, self._n_values - shown :] = found
            else:
                counts[row, (np.arange(over - shown, over)) % self._n_values] = found
        return counts

    def getDataTotalCounts(self) -> NDArray[np.uint64]:
        start_ps, stop_ps = self._captured()
        over_ps = start_ps + (stop_ps - start_ps) // self._binwidth * self._binwidth
        totals = [len(self._tagger.events(channel, start_ps, over_ps)) for channel in self._channels]
        return np.array(totals, np.uint64)

    def getIndex(self) -> NDArray[np.int64]:
        return self._binwidth * np.arange(self._n_values, dtype=np.int64)


class Coincidences(IteratorBase):
    """A virtual channel for each group: an event when all of the group came within the window.

    Its time is that of the last one; other choices of `timestamp` are refused.
    """

    def __init__(
        self,
        tagger: VirtualChannels,
        coincidenceGroups: Sequence[Sequence[int]],
        coincidenceWindow: int = 1000,
        timestamp: int = 0,
    ) -> None:
        if timestamp != 0:
            raise ValueError("the stand-in knows CoincidenceTimestamp.Last only")
        super().__init__(tagger)
        self._groups = [list(group) for group in coincidenceGroups]
        self._window_ps = coincidenceWindow
        self._channels = [tagger.add(self, group) for group in range(len(self._groups))]

    def getChannels(self) -> list[int]:
        return list(self._channels)

    def setCoincidenceWindow(self, coincidenceWindow: int) -> None:
        self._window_ps = coincidenceWindow

    def times(self, group: int, start_ps: int, stop_ps: int) -> Times:
        """When the last one of a group came; the latest event of each other one is its partner."""
        channels = self._groups[group]
        times = [self._tagger.events(one, start_ps - self._window_ps, stop_ps) for one in channels]
        found: list[Times] = []
        for position, own in enumerate(times):
            together = own >= start_ps
            for other, partners in enumerate(times):
                if other == position:
                    continue
                # Of events at the same time the one of the later channel counts as the last.
                side_right = np.searchsorted(partners, own, side="right") - 1
                side_left = np.searchsorted(partners, own, side="left") - 1
                latest = side_right if other < position else side_left
                near = np.zeros(len(own), np.bool_)
                known = latest >= 0
                near[known] = own[known] - partners[latest[known]] <= self._window_ps
                together &= near
            found.append(own[together])
        return np.sort(np.concatenate(found))


class Correlation(IteratorBase):
    """Differences of the times of two channels, the first minus the second, around zero."""

    def __init__(
        self,
        tagger: VirtualChannels,
        channel_1: int,
        channel_2: int = -134217728,
        binwidth: int = 1000,
        n_bins: int = 1000,
    ) -> None:
        super().__init__(tagger)
        self._pair = channel_1, channel_1 if channel_2 == -134217728 else channel_2
        self._binwidth = binwidth
        self._n_bins = n_bins

    def getIndex(self) -> NDArray[np.int64]:
        return self._binwidth * (np.arange(self._n_bins, dtype=np.int64) - self._n_bins // 2)

    def getData(self) -> NDArray[np.int32]:
        start_ps, stop_ps = self._captured()
        first, second = (self._tagger.events(channel, start_ps, stop_ps) for channel in self._pair)
        edges = self._binwidth * (np.arange(self._n_bins + 1, dtype=np.int64) - self._n_bins // 2)
        edges = edges - self._binwidth // 2
        past = [np.searchsorted(first, second + edge).sum() for edge in edges]
        return np.diff(np.array(past, np.int64)).astype(np.int32)


class TimeTagStreamBuffer:
    """What came between two looks."""

    def __init__(self, entries: NDArray[np.int64], start_ps: int, taken_ps: int) -> None:
        """`entries`: time, channel, type, missed events; shape (n, 4)."""
        self._entries = entries
        self.tStart = start_ps
        self.tGetData = taken_ps
        self.size = len(entries)
        self.hasOverflows = bool((entries[:, 2] != TagType.TimeTag).any())

    def getTimestamps(self) -> NDArray[np.int64]:
        return self._entries[:, 0]

    def getChannels(self) -> NDArray[np.int32]:
        return self._entries[:, 1].astype(np.int32)

    def getEventTypes(self) -> NDArray[np.uint8]:
        return self._entries[:, 2].astype(np.uint8)

    def getMissedEvents(self) -> NDArray[np.uint16]:
        return self._entries[:, 3].astype(np.uint16)


class TimeTagStream(IteratorBase):
    """A copy of the tags of some channels; what came beyond `n_max_events` between two looks is dropped."""

    def __init__(self, tagger: VirtualChannels, n_max_events: int, channels: Sequence[int]) -> None:
        super().__init__(tagger)
        self._n_max_events = n_max_events
        self._channels = list(channels)
        self._first_ps = self._seen_ps = self._captured()[0]

    def getData(self) -> TimeTagStreamBuffer:
        start_ps, (_, stop_ps) = self._seen_ps, self._captured()
        self._seen_ps = stop_ps
        overflows = self._tagger.device.overflows_between(start_ps, stop_ps)
        parts: list[NDArray[np.int64]] = []
        for channel in self._channels:
            times = self._tagger.events(channel, start_ps, stop_ps)
            arrived = np.ones(len(times), np.bool_)
            for begin, end in overflows:
                missed = (times >= begin) & (times < (stop_ps if end is None else end))
                arrived &= ~missed
                if end is not None and end < stop_ps:
                    parts.append(_entry(end, channel, TagType.MissedEvents, min(int(missed.sum()), 65_535)))
            kept = times[arrived]
            rest = np.zeros((len(kept), 3), np.int64)
            rest[:, 0] = channel
            parts.append(np.column_stack([kept, rest]))
        for begin, end in overflows:
            if begin >= start_ps:
                parts.append(_entry(begin, 0, TagType.OverflowBegin, 0))
            if end is not None and end < stop_ps:
                parts.append(_entry(end, 0, TagType.OverflowEnd, 0))
        entries = np.concatenate(parts)
        entries = entries[np.argsort(entries[:, 0], kind="stable")]
        return TimeTagStreamBuffer(entries[: self._n_max_events], self._first_ps, stop_ps)


def _entry(time_ps: int, channel: int, kind: TagType, missed: int) -> NDArray[np.int64]:
    return np.array([[time_ps, channel, kind, missed]], np.int64)
