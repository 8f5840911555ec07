"""The recorder of an emulated Time Controller: acquisitions cut into pieces, raw tags and histograms of each.

Owns when a piece is over, what its tags and times are, and the buffers that overflow: above 10 million events
per second nothing more is delivered until the instrument is switched off and on. Refuses to know commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bellwire.simulator_backend.devices.id900_data_link import DataLinkProgram
from bellwire.simulator_backend.devices.id900_signals import Signals
from bellwire.simulator_backend.devices.scpi_parameters import Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = (1, 2, 3, 4)
DEAD_PS = 40_000
RATE_HZ_MAX = 10_000_000
PIECES_AT_ONCE_MAX = 64


class Recorder:
    """The recorder of one powered instrument; times in ps since it was switched on."""

    def __init__(self, signals: Signals, program: DataLinkProgram, read: Callable[[str, int], Value]) -> None:
        self.errors: dict[int, int] = dict.fromkeys(CHANNELS, 0)
        self.locked = False
        self.losing = False
        """While on, each piece loses its second half and counts an error."""
        self._signals = signals
        self._program = program
        self._read = read
        self._since_ps: int | None = None
        self._pieces_over = 0
        self._histograms: dict[int, NDArray[np.int64]] = {}

    def play(self, now_ps: int) -> bool:
        """Begin; False when the recorder is not enabled."""
        if not self._read("REC.enabled", 1):
            return False
        self._since_ps, self._pieces_over = now_ps, 0
        return True

    def stop(self) -> None:
        """End; a piece that is not over is lost."""
        self._since_ps = None

    def is_playing(self, now_ps: int) -> bool:
        """Whether the last piece is not over yet."""
        pieces = self._whole("REC.number")
        return self._since_ps is not None and (pieces < 0 or now_ps < self._over_ps(pieces - 1))

    def clear_errors(self, channel: int) -> None:
        """Set the errors of a channel back; those of overflowed buffers stay."""
        if not self.locked:
            self.errors[channel] = 0

    def flush(self, number: int) -> None:
        """Empty a histogram."""
        self._histograms.pop(number, None)

    def histogram(self, number: int) -> list[int]:
        """Counts of a histogram so far."""
        counts = self._histograms.get(number)
        return [0] * self._whole("HIST.bins", number) if counts is None else counts.tolist()

    def advance(self, now_ps: int, now_ns: int) -> None:
        """Deliver the pieces that are over by now."""
        pieces = self._whole("REC.number")
        for _ in range(PIECES_AT_ONCE_MAX):
            if self._since_ps is None or (0 <= pieces <= self._pieces_over):
                return
            stop_ps = self._over_ps(self._pieces_over)
            if stop_ps > now_ps:
                return
            start_ps = stop_ps - self._whole("REC.width")
            self._pieces_over += 1
            self._deliver(start_ps, stop_ps, now_ns)
            for number in CHANNELS:
                self._count_times(number, start_ps, stop_ps)

    def _over_ps(self, piece: int) -> int:
        width_ps = self._whole("REC.width")
        period_ps = max(self._whole("REC.period"), width_ps + DEAD_PS)
        return (self._since_ps or 0) + piece * period_ps + width_ps

    def _deliver(self, start_ps: int, stop_ps: int, now_ns: int) -> None:
        sending = [channel for channel in CHANNELS if self._read("RAW.send", channel)]
        tags = {channel: self._raw(channel, start_ps, stop_ps) for channel in sending}
        if sum(map(len, tags.values())) * 10**12 > RATE_HZ_MAX * (stop_ps - start_ps):
            self.locked = True
        for channel, times in tags.items():
            if self.locked:
                self.errors[channel] += 1
                times = np.empty(0, np.int64)
            elif self.losing:
                self.errors[channel] += 1
                times = times[: len(times) // 2]
            octets, count = self._packed(channel, times, start_ps, stop_ps)
            self._program.deliver(channel, octets, count, now_ns)

    def _raw(self, channel: int, start_ps: int, stop_ps: int) -> NDArray[np.int64]:
        if self.locked:
            return np.empty(0, np.int64)
        return self._signals.events(str(self._read("RAW.stop", channel)), start_ps, stop_ps)

    def _packed(
        self, channel: int, times: NDArray[np.int64], start_ps: int, stop_ps: int
    ) -> tuple[bytes, int]:
        link = str(self._read("RAW.reference", channel))
        if link == "NONE":
            since, index = times - start_ps, np.zeros(len(times), np.int64)
        else:
            edges = self._signals.events(link, start_ps, stop_ps)
            index = np.searchsorted(edges, times, side="right") - 1
            times, index = times[index >= 0], index[index >= 0]  # none before the first edge
            since = times - edges[index]
        if not self._program.wants_reference(channel):
            return since.astype("<u8").tobytes(), len(since)
        return np.stack([since, index], axis=1).astype("<u8").tobytes(), len(since)

    def _count_times(self, number: int, start_ps: int, stop_ps: int) -> None:
        links = [str(self._read(f"HIST.{end}", number)) for end in ("reference", "stop")]
        if "NONE" in links:
            return
        edges, stops = (self._signals.events(link, start_ps, stop_ps) for link in links)
        if links[0] == links[1]:  # an event is not its own reference
            latest = np.searchsorted(edges, stops, side="left") - 1
        else:
            latest = np.searchsorted(edges, stops, side="right") - 1
        elapsed = (stops - edges[latest])[latest >= 0] if len(edges) else np.empty(0, np.int64)
        bins, width_ps = self._whole("HIST.bins", number), self._whole("HIST.bin_width", number)
        found = (elapsed - self._whole("HIST.minimum", number)) // width_ps
        counts = np.bincount(found[(found >= 0) & (found < bins)], minlength=bins)
        before = self._histograms.get(number)
        fits = before is not None and len(before) == bins
        self._histograms[number] = counts + before if before is not None and fits else counts

    def _whole(self, key: str, number: int = 1) -> int:
        value = self._read(key, number)
        assert isinstance(value, int)
        return value
