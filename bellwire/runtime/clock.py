"""The clock of a live host: unix time in whole nanoseconds that never runs backwards, and one timer.

Owns `LiveClock` and `DeadlineTimer`. Refuses to correct a wrong clock: when the system clock is set back,
time stands still here until it has caught up, and the host is told so.
"""

import asyncio
import time
from collections.abc import Callable

TIMER_SLEEP_MAX_NS = 3_600_000_000_000
"""A timer wakes at least this often and looks again, because sleeping follows another clock than `now_ns`."""


class LiveClock:
    """Unix time in nanoseconds, not decreasing within one process."""

    def __init__(self, read_ns: Callable[[], int] = time.time_ns) -> None:
        self._read_ns = read_ns
        self._latest_ns = 0
        self.steps_back = 0  # how often the system clock was seen behind a time already told
        self.step_back_max_ns = 0

    def now_ns(self) -> int:
        """The time to tell a machine; two readings may be equal."""
        read = self._read_ns()
        if read < self._latest_ns:
            self.steps_back += 1
            self.step_back_max_ns = max(self.step_back_max_ns, self._latest_ns - read)
        else:
            self._latest_ns = read
        return self._latest_ns


class DeadlineTimer:
    """One timer: calls `on_due` at or after the deadline that was set last, never before it."""

    def __init__(self, clock: LiveClock, on_due: Callable[[], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._deadline_ns: int | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, deadline_ns: int | None) -> None:
        """Replace the deadline; None: no deadline."""
        if deadline_ns == self._deadline_ns and (self._handle is not None or deadline_ns is None):
            return
        self._deadline_ns = deadline_ns
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if deadline_ns is not None:
            self._sleep(deadline_ns)

    def _sleep(self, deadline_ns: int) -> None:
        wait_ns = min(max(0, deadline_ns - self._clock.now_ns()), TIMER_SLEEP_MAX_NS)
        self._handle = asyncio.get_running_loop().call_later(wait_ns / 1e9, self._wake)

    def _wake(self) -> None:
        self._handle = None
        deadline_ns = self._deadline_ns
        if deadline_ns is None:
            return
        if self._clock.now_ns() < deadline_ns:
            self._sleep(deadline_ns)
            return
        self._deadline_ns = None
        self._on_due()
