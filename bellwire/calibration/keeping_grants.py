"""When trackers may look: windows beside operation, a stated share of the time.

Owns the small protocol between a keeper and whoever grants windows, and the grant by duty cycle. Refuses
instruments: whether they are free is found out by asking for their leases.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from bellwire.core.errors import LocalMisuse


@dataclass(frozen=True, slots=True)
class Granted:
    """A window that begins now; no look is begun once `length_s` have passed."""

    length_s: float


class Grant(Protocol):
    """Whoever grants windows."""

    async def next(self) -> Granted | None:
        """Wait for the next window; None: there will be none any more."""
        ...

    def used(self, window_s: float) -> None:
        """How long the instruments were held in the last window."""
        ...


class DutyCycle:
    """`length_s` in every `every_s`, the first at once. A window that took longer puts the next one off, so
    that the share of the time is kept.
    """

    def __init__(
        self,
        every_s: float = 60.0,
        length_s: float = 5.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not 0.0 < length_s <= every_s:
            raise LocalMisuse(f"windows of {length_s} s in every {every_s} s: the share is 0..1")
        self.every_s = every_s
        self.length_s = length_s
        self._clock = clock
        self._sleep = sleep
        self._began_s: float | None = None
        self._due_s: float | None = None

    async def next(self) -> Granted | None:
        """As of `Grant`."""
        if self._due_s is not None:
            await self._sleep(max(0.0, self._due_s - self._clock()))
        self._began_s = self._clock()
        self._due_s = self._began_s + self.every_s
        return Granted(self.length_s)

    def used(self, window_s: float) -> None:
        """As of `Grant`."""
        if self._began_s is None:
            raise LocalMisuse("no window was granted yet")
        self._due_s = self._began_s + self.every_s * max(1.0, window_s / self.length_s)
