"""What all taggers do with a stream of tags: one reader, a bounded queue, a new epoch after each fault.

Owns the life of a stream between the reader and the runs that a driver supplies. A run that ends by a fault
is followed by another once the instrument is ready again; its time begins anew, so its epoch is another and
nobody can take the hole for silence. Refuses to abandon a request to end a stream: that would cost the line.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import LinkTimeout
from bellwire.drivers.instrument import Condition
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.time_tags import TagBlock

STREAM_END_S = 10.0
STREAM_RETRY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """`restarts_max`: of runs without a block in a row. `recovery_s`: how long an instrument may be away.
    `blocks_waiting_max`: for a slow reader, before blocks are dropped.
    """

    restarts_max: int = 5
    recovery_s: float = 30.0
    blocks_waiting_max: int = 64


class StreamRun(Protocol):
    """One run of a stream."""

    @property
    def blocks(self) -> int:
        """How many were handed over."""
        ...

    def stop(self) -> None:
        """Let `run` end in good order."""
        ...

    async def run(self) -> None:
        """Stream until `stop`. Raises DeviceFault."""
        ...


class TagStreaming(SessionInstrument):
    """An instrument that streams tags. `stream_restarts`: how often a stream had to begin anew.
    `blocks_dropped`: what slow readers have cost.
    """

    stream_ends: ClassVar[tuple[type[DeviceFault], ...]] = ()
    """Faults after which no other run is tried."""

    stream_restarts: int = 0
    blocks_dropped: int = 0

    _stream: StreamRun | None = None
    _streaming: asyncio.Task[None] | None = None
    _ending: bool = False
    _epoch: int = 0

    @abstractmethod
    def _new_run(self, queue: TagQueue, epoch: int) -> StreamRun:
        """A run that hands its blocks to the queue."""

    @abstractmethod
    def _stream_limits(self) -> StreamLimits:
        """The limits in force."""

    def _check_streamable(self) -> None:
        """Raises DeviceError where this instrument, as it is configured, cannot stream."""

    async def tags(self) -> AsyncGenerator[TagBlock, None]:
        """Blocks of tags from now on, without gaps but those stated in `lost`; a new epoch after a fault.

        The stream ends with the iterator: use contextlib.aclosing, so that it ends when you say. Raises
        LocalMisuse when a stream runs already, DeviceError when there can be none, and the last fault when
        the stream does not come back.
        """
        if self._streaming is not None:
            raise LocalMisuse(f"{self.name} streams tags already: one reader at a time")
        self._check_streamable()
        queue = TagQueue(self._stream_limits().blocks_waiting_max)
        self._ending = False
        self._streaming = asyncio.get_running_loop().create_task(self._keep_streaming(queue))
        try:
            while True:
                yield await queue.get()
        finally:
            self.blocks_dropped += queue.blocks_dropped
            await self._stop_stream()

    async def close(self) -> None:
        """End a stream in good order, then close."""
        await self._stop_stream()
        await super().close()

    async def _keep_streaming(self, queue: TagQueue) -> None:
        failures = 0
        while not self._ending:
            stream = self._stream = self._new_run(queue, self._epoch)
            self._epoch += 1
            try:
                await stream.run()
            except self.stream_ends as fault:
                queue.end(fault)
                return
            except DeviceFault as fault:
                failures = 0 if stream.blocks else failures + 1
                if failures > self._stream_limits().restarts_max or not await self._comes_back(failures):
                    queue.end(fault)
                    return
                self.stream_restarts += 1

    async def _comes_back(self, failures: int) -> bool:
        """Wait until the instrument can be used again; False when it cannot in time."""
        recovery_s = self._stream_limits().recovery_s
        try:
            async with asyncio.timeout(recovery_s):
                await asyncio.sleep(STREAM_RETRY_S * 2**failures)
                while not self._ending:
                    await self.wait_for(Condition.READY, recovery_s)
                    if self._is_open():
                        return True
                    await asyncio.sleep(STREAM_RETRY_S)
        except (TimeoutError, LinkTimeout):
            return False
        return False

    async def _stop_stream(self) -> None:
        task, self._streaming = self._streaming, None
        if task is None:
            return
        self._ending = True
        if self._stream is not None:
            self._stream.stop()
        _, pending = await asyncio.wait({task}, timeout=STREAM_END_S)
        for late in pending:
            late.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._stream = None
