"""Tags of a Time Tagger as blocks that say what is missing (instruments.md 2.2).

Owns one run of the library's TimeTagStream: its buffer is emptied often, overflows of the instrument become
losses from their beginning to their end, even across blocks, and a buffer that was full means that nothing in
its time is certain. Refuses tags of which the library says that they are errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bellwire.core.errors import DeviceFault
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

POLL_S = 0.05
TAGS_BUFFERED_MAX = 4_000_000
TIME_TAG, ERROR, OVERFLOW_BEGIN, OVERFLOW_END, MISSED = range(5)
"""TagType of the library."""


class Tagger(Protocol):
    """What a stream asks of the driver of its instrument."""

    async def call(self, work: Callable[[Any, Any], T], *, of: object = None) -> T: ...


class SwabianStream:
    """One run: `run` hands blocks to `take` until `stop` or a fault."""

    def __init__(
        self,
        instrument: str,
        tagger: Tagger,
        channels: Sequence[int],
        take: Callable[[TagBlock], None],
        epoch: int,
        *,
        tags_buffered_max: int = TAGS_BUFFERED_MAX,
    ) -> None:
        self._instrument = instrument
        self._tagger = tagger
        self._channels = list(channels)
        self._take = take
        self._epoch = epoch
        self._buffered_max = tags_buffered_max
        self._ending = asyncio.Event()
        self._blocks = 0
        self._from_ps: int | None = None
        self._overflowing = False

    @property
    def blocks(self) -> int:
        """How many were handed over."""
        return self._blocks

    def stop(self) -> None:
        """Let `run` end after its present look."""
        self._ending.set()

    async def run(self) -> None:
        """Stream until `stop`. Raises DeviceFault."""
        stream, owner = await self._tagger.call(
            lambda tagger, library: (
                library.TimeTagStream(tagger, self._buffered_max, self._channels),
                tagger,
            )
        )
        try:
            while not self._ending.is_set():
                try:
                    async with asyncio.timeout(POLL_S):
                        await self._ending.wait()
                except TimeoutError:
                    look = await self._tagger.call(lambda tagger, library: self._look(stream), of=owner)
                    self._take(look)
                    self._blocks += 1
        finally:
            with contextlib.suppress(DeviceFault):  # an instrument that is gone has stopped
                await self._tagger.call(lambda tagger, library: stream.stop(), of=owner)

    def _look(self, stream: Any) -> TagBlock:
        """Empty the buffer; in the thread of the library."""
        import numpy as np

        buffer = stream.getData()
        times = np.asarray(buffer.getTimestamps(), np.int64)
        channels = np.asarray(buffer.getChannels()).astype(np.int16)
        kinds = np.asarray(buffer.getEventTypes())
        start_ps = int(buffer.tStart) if self._from_ps is None else self._from_ps
        last_ps = int(times[-1]) + 1 if len(times) else start_ps
        stop_ps = max(int(buffer.tGetData), last_ps, start_ps)
        self._from_ps = stop_ps
        lost = self._losses(times, kinds, start_ps, stop_ps)
        if int(buffer.size) >= self._buffered_max:
            lost = [(start_ps, stop_ps)]
        true = kinds == TIME_TAG
        return TagBlock(self._epoch, start_ps, stop_ps, times[true], channels[true], tuple(lost))

    def _losses(
        self, times: NDArray[np.int64], kinds: NDArray[Any], start_ps: int, stop_ps: int
    ) -> list[tuple[int, int]]:
        if bool((kinds == ERROR).any()):
            return [(start_ps, stop_ps)]  # the time itself was in doubt
        lost: list[tuple[int, int]] = []
        since_ps = start_ps
        for time_ps, kind in zip(times[kinds != TIME_TAG], kinds[kinds != TIME_TAG], strict=True):
            if kind == OVERFLOW_END:
                if self._overflowing:
                    lost.append((since_ps, int(time_ps)))
                self._overflowing = False
            elif not self._overflowing:  # it begins, or events are missing without a beginning
                since_ps, self._overflowing = int(time_ps), True
        if self._overflowing:
            lost.append((since_ps, stop_ps))
        return lost
