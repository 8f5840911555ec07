"""A stream of tags as the console gets it: chunks in order, credit given back as they are read.

Owns what waits for the reader, which the credit bounds. A chunk that is missing becomes a loss of the next
one of its epoch; refuses to pass over it in silence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from bellwire.core.instrument_messages import TagsChunk
from bellwire.drivers.time_tags import TagBlock
from bellwire.runtime.tag_chunks import unpack

CREDIT: Final = 16
"""Chunks of a stream that may be on their way or wait for the reader."""


class TagReceiver:
    """The chunks of one stream; `grant` asks the agent for more of them."""

    def __init__(self, instrument: str, grant: Callable[[int], None]) -> None:
        self._instrument = instrument
        self._grant = grant
        self._waiting: deque[TagsChunk] = deque()
        self._read = 0  # chunks read and not yet granted anew
        self._index = 0
        self._seen: tuple[int, int] | None = None  # epoch and end of the last chunk
        self._ended = False
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    def put(self, chunk: TagsChunk) -> None:
        """A chunk arrived."""
        self._waiting.append(chunk)
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._news.set()

    def fail(self, failure: Exception) -> None:
        """The right to these tags is lost: the reader hears of it at once, whatever waits."""
        self._failure = failure
        self._news.set()

    async def get(self) -> TagBlock | None:
        """The next block; None when the stream has ended. Raises what it failed by, ProtocolFault."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        if self._failure is not None:
            raise self._failure
        chunk = self._waiting.popleft()
        self._read += 1
        if self._read >= CREDIT // 2 and not self._ended:
            self._grant(self._read)
            self._read = 0
        return self._block(chunk)

    def _block(self, chunk: TagsChunk) -> TagBlock:
        times, channels = unpack(chunk.packed, chunk.tags, chunk.start_ps, self._instrument)
        start_ps, lost = chunk.start_ps, chunk.lost
        missing = chunk.index != self._index + 1
        if missing and self._seen is not None and self._seen[0] == chunk.epoch:
            start_ps = self._seen[1]
            lost = ((start_ps, chunk.start_ps), *lost)
        self._index = chunk.index
        self._seen = (chunk.epoch, chunk.stop_ps)
        return TagBlock(chunk.epoch, start_ps, chunk.stop_ps, times, channels, lost)
