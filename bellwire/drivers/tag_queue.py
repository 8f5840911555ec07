"""Blocks of tags between a tagger that does not wait and a reader who may be slow.

Owns the bound. When the reader is too slow, blocks are dropped whole, counted, and the next block that is
handed over covers their time as a loss: memory is bounded, and no gap is silent. Refuses to hold the tagger
back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from bellwire.core.errors import DeviceFault
from bellwire.drivers.time_tags import TagBlock

BLOCKS_WAITING_MAX = 64
TAGS_WAITING_MAX = 20_000_000


class TagQueue:
    """Blocks in order. `blocks_dropped`, `tags_dropped`: what a slow reader has cost so far."""

    def __init__(self, blocks_max: int = BLOCKS_WAITING_MAX, tags_max: int = TAGS_WAITING_MAX) -> None:
        self.blocks_dropped = 0
        self.tags_dropped = 0
        self._blocks_max = blocks_max
        self._tags_max = tags_max
        self._waiting: deque[TagBlock] = deque()
        self._tags_waiting = 0
        self._gap: tuple[int, int, int] | None = None  # epoch, from, to
        self._end: DeviceFault | None = None
        self._arrived = asyncio.Event()

    def put(self, block: TagBlock) -> None:
        """Hand a block over, or drop it when too much is waiting."""
        tags = len(block.time_ps)
        full = len(self._waiting) >= self._blocks_max or self._tags_waiting + tags > self._tags_max
        if full and self._waiting:
            self.blocks_dropped += 1
            self.tags_dropped += tags
            if self._gap is not None and self._gap[0] == block.epoch:
                self._gap = (block.epoch, self._gap[1], block.stop_ps)
            else:  # a new epoch says by itself that what came before is over
                self._gap = (block.epoch, block.start_ps, block.stop_ps)
            return
        if self._gap is not None:
            epoch, start_ps, stop_ps = self._gap
            self._gap = None
            if epoch == block.epoch:
                lost = ((start_ps, stop_ps), *block.lost)
                block = replace(block, start_ps=start_ps, lost=lost)
        self._waiting.append(block)
        self._tags_waiting += tags
        self._arrived.set()

    def end(self, fault: DeviceFault) -> None:
        """No more blocks will come; whoever reads gets the fault after what is still waiting."""
        self._end = fault
        self._arrived.set()

    async def get(self) -> TagBlock:
        """The next block. Raises the fault that ended the stream."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._arrived.clear()
            await self._arrived.wait()
        block = self._waiting.popleft()
        self._tags_waiting -= len(block.time_ps)
        return block
