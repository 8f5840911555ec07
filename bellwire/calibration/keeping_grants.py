"""When trackers may look: windows beside operation, a stated share of the time.

Owns the small protocol between a keeper and whoever grants windows, the grant by duty cycle, and the grant by
the schedule of the link itself, which makes no attempts in a window. Refuses instruments: whether they are
free is found out by asking for their leases.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.core.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class Granted:
    """A window that begins now; no look is begun once `length_s` have passed. `ends`: a look that is not done
    by then is broken off, because what follows would disturb it, and it that.
    """

    length_s: float
    ends: bool = False


class GrantRefused(Exception):
    """No window can be had now; the next one is asked for in its time."""


class Grant(Protocol):
    """Whoever grants windows."""

    async def next(self) -> Granted | None:
        """Wait for the next window; None: there will be none any more. Raises GrantRefused."""
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

    async def next(self) -> Granted:
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


class LinkSchedule:
    """Windows that the link grants: in each it makes no attempts at either end.

    `rest`: asks the link for a rest of so many seconds, and returns when it begins and ends, unix time in ns;
    what it raises for a link that cannot be asked becomes GrantRefused.
    """

    def __init__(
        self,
        rest: Callable[[float], Awaitable[tuple[int, int]]],
        cycle: DutyCycle,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`cycle`: how often a window is asked for, and how long."""
        self._rest = rest
        self._cycle = cycle
        self._now_ns = now_ns
        self._sleep = sleep

    @property
    def every_s(self) -> float:
        """From window to window."""
        return self._cycle.every_s

    @property
    def length_s(self) -> float:
        """Of a window, at most."""
        return self._cycle.length_s

    async def next(self) -> Granted | None:
        """As of `Grant`."""
        wanted = await self._cycle.next()
        try:
            begins_ns, ends_ns = await self._rest(wanted.length_s)
        except (DeviceFault, LocalMisuse) as refused:
            raise GrantRefused(str(refused)) from refused
        await self._sleep(max(0, begins_ns - self._now_ns()) / NS_PER_S)
        left_ns = ends_ns - self._now_ns()
        if left_ns <= 0:
            raise GrantRefused("the link's rest was over before it was heard of")
        return Granted(left_ns / NS_PER_S, ends=True)

    def used(self, window_s: float) -> None:
        """As of `Grant`."""
        self._cycle.used(window_s)
