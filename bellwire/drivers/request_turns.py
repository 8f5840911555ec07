"""Who may have a request in flight: a few at once, or one alone.

Owns the waiting. Refuses to know what is requested. Turns are given in the order in which they were asked
for, so that somebody who wants to be alone is not kept waiting by those who come later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bellwire.core.errors import LocalMisuse


class RequestTurns:
    """`window` turns, 1 or more."""

    def __init__(self, window: int) -> None:
        if window < 1:
            raise LocalMisuse(f"window = {window} must be 1 or more")
        self.window = window
        self._free = asyncio.Semaphore(window)
        self._gate = asyncio.Lock()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """One of the turns."""
        async with self._gate:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """All turns: nobody else has a request in flight."""
        taken = 0
        try:
            async with self._gate:
                while taken < self.window:
                    await self._free.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._free.release()
