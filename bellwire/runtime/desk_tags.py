"""One stream of tags from a tagger of this agent to the console: chunk by chunk, as fast as the console asks.

Owns the credit. While it is used up the tagger's own bounded queue fills, drops, and tells the gap as a loss;
nothing else of this agent waits, because chunks leave in a low class and are packed in a thread. Refuses to
cut a block that has begun: the last block may end later than was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.instrument_messages import TagsChunk, TagsEnded, TagsWanted
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.roles import TimeTagger
from bellwire.runtime.tag_chunks import chunks_of, only, pack

CREDIT_MAX: Final = 64
"""Chunks of one stream that may be on their way, whatever the console grants."""


class TagSender:
    """One stream; `run` is the work, `grant` comes from the console."""

    def __init__(self, wanted: TagsWanted, send: Callable[[TagsChunk], None]) -> None:
        self._wanted = wanted
        self._send = send
        self._credit = 0
        self._granted = asyncio.Event()
        self.chunks = 0
        self.grant(wanted.credit)

    def grant(self, chunks: int) -> None:
        """So many further chunks may leave."""
        self._credit = min(self._credit + max(chunks, 0), CREDIT_MAX)
        if self._credit:
            self._granted.set()

    async def run(self, driver: Equipment) -> TagsEnded:
        """Stream until the duration is covered, or cancelled. Raises LocalMisuse, DeviceFault."""
        wanted = self._wanted
        if not isinstance(driver, TimeTagger):
            raise LocalMisuse(f"{driver.name} is no time tagger")
        if wanted.duration_ps <= 0:
            raise LocalMisuse(f"tags of {wanted.duration_ps} ps: the duration must be positive")
        covered_ps = 0
        async with aclosing(driver.tags()) as blocks:
            async for block in blocks:
                for part in chunks_of(only(block, wanted.channels)):
                    packed = await asyncio.to_thread(pack, part.time_ps, part.channel, part.start_ps)
                    while not self._credit:
                        self._granted.clear()
                        await self._granted.wait()
                    self._credit -= 1
                    self.chunks += 1
                    self._send(
                        TagsChunk(
                            number=wanted.number,
                            index=self.chunks,
                            epoch=block.epoch,
                            start_ps=part.start_ps,
                            stop_ps=part.stop_ps,
                            tags=len(part.time_ps),
                            packed=packed,
                            lost=part.lost,
                        )
                    )
                covered_ps += block.stop_ps - block.start_ps
                if covered_ps >= wanted.duration_ps:
                    break
        return TagsEnded(number=wanted.number, chunks=self.chunks)
