"""Listening to several taggers at once: what they tag from a moment on, for as long as one wants.

Owns the streams and the cut: a window begins after everything that was under way when it was asked for, so
that a knob that was turned before is seen by the whole window. Refuses clocks of different taggers: each
window is in the time of its own tagger.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np

from bellwire.calibration.access import Held
from bellwire.core.errors import DeviceFault
from bellwire.drivers.faults import LinkTimeout
from bellwire.drivers.tag_counting import joined
from bellwire.drivers.time_tags import TagBlock

PS_PER_S = 1_000_000_000_000
LONGEST_S = 36_000.0
GUARD_PS = 30_000_000_000
"""A tag may reach us so much faster than the fastest block so far did."""
KEPT_PS = 120 * PS_PER_S
LATE_S = 45.0
"""A stream that falls so far behind what was asked for is given up."""


class EpochChanged(DeviceFault):
    """The time of a tagger began anew while it was listened to."""


class _Ear:
    """The stream of one tagger."""

    def __init__(self, tagger: str) -> None:
        self.tagger = tagger
        self.blocks: deque[TagBlock] = deque()
        self.ahead_ps: int | None = None
        self.fault: DeviceFault | None = None
        self.grown = asyncio.Event()

    async def follow(self, held: Held, channels: Sequence[int]) -> None:
        """Take blocks until cancelled, or until the stream ends."""
        try:
            async with aclosing(held.tags(self.tagger, LONGEST_S, channels)) as stream:
                async for block in stream:
                    self._take(block)
            self.fault = LinkTimeout(self.tagger, f"its stream ended after {LONGEST_S:g} s")
        except DeviceFault as fault:
            self.fault = fault
        finally:
            self.grown.set()

    def _take(self, block: TagBlock) -> None:
        if self.blocks and self.blocks[-1].epoch != block.epoch:
            self.blocks.clear()
            self.ahead_ps = None
        lead_ps = block.stop_ps - time.monotonic_ns() * 1000
        self.ahead_ps = lead_ps if self.ahead_ps is None else max(self.ahead_ps, lead_ps)
        self.blocks.append(block)
        while self.blocks[0].stop_ps < block.stop_ps - KEPT_PS:
            self.blocks.popleft()
        self.grown.set()

    def present_ps(self) -> int:
        """The tagger's time now, by the fastest block so far, and a guard."""
        assert self.ahead_ps is not None
        return time.monotonic_ns() * 1000 + self.ahead_ps + GUARD_PS

    async def more(self, until: float) -> None:
        """Wait for the next block. Raises the fault that ended the stream, or LinkTimeout."""
        if self.fault is not None:
            raise self.fault
        self.grown.clear()
        try:
            async with asyncio.timeout_at(until):
                await self.grown.wait()
        except TimeoutError:
            raise LinkTimeout(self.tagger, f"no tags within {LATE_S:g} s of when they were due") from None
        if self.fault is not None:
            raise self.fault

    def cut(self, start_ps: int, stop_ps: int) -> TagBlock:
        """What was tagged in [start, stop); both lie within what has come."""
        parts = [one for one in self.blocks if one.stop_ps > start_ps and one.start_ps < stop_ps]
        whole = joined(parts)
        low, high = np.searchsorted(whole.time_ps, [start_ps, stop_ps])
        lost = tuple(
            (max(begin, start_ps), min(end, stop_ps))
            for begin, end in whole.lost
            if end > start_ps and begin < stop_ps
        )
        return TagBlock(
            whole.epoch, start_ps, stop_ps, whole.time_ps[low:high], whole.channel[low:high], lost
        )


class Listening:
    """Open streams of taggers. Made by `listening`."""

    def __init__(self, ears: Mapping[str, _Ear]) -> None:
        self._ears = ears

    async def window(self, duration_s: float) -> dict[str, TagBlock]:
        """The tags of each tagger over `duration_s` from now on, in its own time.

        Raises DeviceFault when a stream ends, falls behind, or begins anew (EpochChanged).
        """
        due = asyncio.get_running_loop().time() + duration_s + LATE_S
        for ear in self._ears.values():
            while ear.ahead_ps is None:
                await ear.more(due)
        starts = {name: (ear.blocks[-1].epoch, ear.present_ps()) for name, ear in self._ears.items()}
        found: dict[str, TagBlock] = {}
        for name, (epoch, start_ps) in starts.items():
            ear, stop_ps = self._ears[name], start_ps + round(duration_s * PS_PER_S)
            while ear.blocks[-1].stop_ps < stop_ps:
                await ear.more(due)
            if ear.blocks[-1].epoch != epoch or ear.blocks[0].start_ps > start_ps:
                raise EpochChanged(ear.tagger, "its time began anew while it was listened to")
            found[name] = ear.cut(start_ps, stop_ps)
        return found


@asynccontextmanager
async def listening(held: Held, channels: Mapping[str, Sequence[int]]) -> AsyncIterator[Listening]:
    """Streams of the taggers, each with only these channels, open as long as the context lasts."""
    ears = {tagger: _Ear(tagger) for tagger in channels}
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(ear.follow(held, channels[name])) for name, ear in ears.items()]
    try:
        yield Listening(ears)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
