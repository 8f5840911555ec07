"""From the tag records of the heralding FPGA to blocks: sorted, delayed, closed by bounds, losses stated.

Owns the tags that no bound has covered yet. Sans I/O. Refuses to hand over an interval in which a tag may
still come, and to be silent about one in which tags may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bellwire.drivers.device_clock import Clock
from bellwire.drivers.frames import Bound, Events, Lost, RecordKind, TagWords
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FS_PER_PS = 1_000


class FpgaTagStream:
    """One stream of tags into `queue`. Stamps are fine units, delays of channels included."""

    def __init__(self, instrument: str) -> None:
        self.queue = TagQueue()
        self._instrument = instrument
        self._clock: Clock | None = None
        self._offsets: tuple[int, ...] = ()
        self._epoch = 0
        self._from: int | None = None
        self._tags: list[tuple[int, int]] = []
        self._lost: list[tuple[int, int]] = []
        self._lost_heard: int | None = None
        self._lost_told = 0
        self._gap = False

    def goes_on(self, clock: Clock, offsets: tuple[int, ...], epoch: int) -> bool:
        """Whether the stream that runs is the one of this clock, epoch and delays."""
        return self._from is not None and (self._clock, self._offsets, self._epoch) == (clock, offsets, epoch)

    def listen(self, clock: Clock, offsets: tuple[int, ...], epoch: int) -> None:
        """Take tags of an epoch from now on. `offsets`: fine units added to each channel's stamps."""
        self.forget()
        self._clock, self._offsets, self._epoch = clock, offsets, epoch

    def begin(self, start: int) -> None:
        """Every tag with the stamp `start` or a later one is heard: the first block begins there."""
        # A tag at `start` that is moved back lies before; of those moved forward, all are there from here on.
        self._from = start + max(self._offsets)

    def forget(self) -> None:
        """The device has lost its state: what no bound has covered is gone with its epoch."""
        self._clock = None
        self._from = None
        self._tags.clear()
        self._lost.clear()
        self._lost_heard = None
        self._lost_told = 0
        self._gap = False

    def take_events(self, events: Events) -> None:
        """Tags, in the order of the device."""
        if events.kind != RecordKind.TAG or self._clock is None or events.time_epoch != self._epoch:
            return
        for raw in events.records:
            tag = TagWords.unpack(raw)
            if tag.channel < len(self._offsets):
                self._tags.append((tag.stamp + self._offsets[tag.channel], tag.channel))

    def take_lost(self, lost: Lost) -> None:
        """Tags that found no room."""
        if lost.kind == RecordKind.TAG:
            self._lost_told += lost.count
            if self._clock is not None:
                self._lost.append((lost.first + min(self._offsets), lost.last + max(self._offsets) + 1))

    def take_gap(self) -> None:
        """Records are gone for good: nobody knows which tags were among them."""
        self._gap = True

    def take_bound(self, bound: Bound) -> None:
        """No tag up to the bound can still come: a block is closed."""
        clock, start = self._clock, self._from
        if bound.kind != RecordKind.TAG or bound.decided_to is None or clock is None or start is None:
            return
        if bound.time_epoch != self._epoch:  # the clock was lost; what lies between has no time
            self.listen(clock, self._offsets, bound.time_epoch)
            self.begin(bound.decided_to + 1)
            return
        if self._lost_heard is None:
            self._lost_heard = bound.lost - self._lost_told
        if bound.lost - self._lost_heard != self._lost_told:
            self._gap = True
            self._lost_heard = bound.lost - self._lost_told
        until = bound.decided_to + 1 + min(self._offsets)
        if until <= start:
            return
        if self._gap:
            self._lost.append((start, until + max(self._offsets) - min(self._offsets)))
            self._gap = False
        self._close(clock, start, until)

    def _close(self, clock: Clock, begin: int, until: int) -> None:
        ready = sorted(tag for tag in self._tags if begin <= tag[0] < until)
        self._tags = [tag for tag in self._tags if tag[0] >= until]
        lost = tuple(
            (_ps(clock, max(start, begin)), _ps(clock, min(stop, until)))
            for start, stop in self._lost
            if start < until and stop > begin
        )
        self._lost = [(start, stop) for start, stop in self._lost if stop > until]
        times, channels = _arrays(clock, ready)
        block = TagBlock(self._epoch, _ps(clock, begin), _ps(clock, until), times, channels, lost)
        self.queue.put(block)
        self._from = until


def _ps(clock: Clock, stamp: int) -> int:
    return clock.femtoseconds(stamp) // FS_PER_PS


def _arrays(clock: Clock, tags: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Times in ps and channels from 1 on."""
    import numpy as np

    times = np.array([_ps(clock, stamp) for stamp, _ in tags], np.int64)
    return times, np.array([channel + 1 for _, channel in tags], np.int16)
