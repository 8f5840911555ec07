"""Virtual time: a heap of appointments ordered by (time, priority, counter).

Owns the order of simultaneous things: hardware first, then messages, then timers, then the host's own
rounds; equal priorities in the order in which they were made. Never decided by the shape of the heap or by
addresses.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

HARDWARE: Final = 0
MESSAGE: Final = 1
TIMER: Final = 2
HOUSEKEEPING: Final = 3

Appointment = tuple[int, int, int, Callable[..., None], tuple[Any, ...]]
"""(time in ns, priority, counter, what to call, with what); the counter is unique, so the rest is never
compared."""


class VirtualClock:
    """Owns now_ns and the heap."""

    __slots__ = ("_counter", "_heap", "_perturb", "now_ns")

    def __init__(self, perturb: Callable[[int], int] | None = None) -> None:
        """`perturb` replaces the counter by another order among equals (tests of permuted ties); None keeps
        it."""
        self.now_ns = 0
        self._heap: list[Appointment] = []
        self._counter = 0
        self._perturb = perturb

    def at(self, when_ns: int, priority: int, call: Callable[..., None], *arguments: Any) -> None:
        """Make an appointment; the past is now."""
        self._counter += 1
        order = self._counter if self._perturb is None else self._perturb(self._counter)
        if when_ns < self.now_ns:
            when_ns = self.now_ns
        heappush(self._heap, (when_ns, priority, order, call, arguments))

    def run(self, until_ns: int) -> int:
        """Keep appointments up to and including `until_ns`; returns how many."""
        heap = self._heap
        kept = 0
        while heap and heap[0][0] <= until_ns:
            when_ns, _, _, call, arguments = heappop(heap)
            self.now_ns = when_ns
            call(*arguments)
            kept += 1
        self.now_ns = max(self.now_ns, until_ns)
        return kept
