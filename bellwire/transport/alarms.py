"""Deadlines of many small things behind one earliest deadline.

Owns due times by key. Refuses clocks: whoever asks says what time it is. A key has at most one alarm;
setting it again moves it. Stale heap entries are dropped when they surface, so that moving costs O(log n).
"""

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Alarms(Generic[Key]):
    """One alarm a key, the earliest of all in O(1) amortised."""

    __slots__ = ("_count", "_due", "_earliest_ns", "_heap", "_moved")

    def __init__(self) -> None:
        self._due: dict[Key, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._count = 0  # breaks ties in the order of setting, so that keys are never compared
        self._earliest_ns: int | None = None
        self._moved = False  # an alarm was set or cleared since the earliest was looked up

    def set(self, key: Key, due_ns: int) -> None:
        """Wake `key` at `due_ns`, and at no other time."""
        self._count += 1
        self._due[key] = (due_ns, self._count)
        heappush(self._heap, (due_ns, self._count, key))
        self._moved = True

    def is_set(self, key: Key) -> bool:
        """True when the alarm of `key` has not gone off yet."""
        return key in self._due

    def clear(self, key: Key) -> None:
        """Forget the alarm of `key`, if it has one."""
        self._due.pop(key, None)
        self._moved = True

    def earliest_ns(self) -> int | None:
        """When the next alarm is due; None: there is none. Asked in every step, looked up after changes."""
        if self._moved:
            self._moved = False
            self._earliest_ns = self._look_up()
        return self._earliest_ns

    def _look_up(self) -> int | None:
        heap = self._heap
        while heap:
            due_ns, count, key = heap[0]
            if self._due.get(key) == (due_ns, count):
                return due_ns
            heappop(heap)
        return None

    def take_due(self, now_ns: int) -> list[Key]:
        """Keys whose alarms are due, earliest first; their alarms are gone."""
        due: list[Key] = []
        while (earliest := self.earliest_ns()) is not None and earliest <= now_ns:
            key = heappop(self._heap)[2]
            del self._due[key]
            self._moved = True
            due.append(key)
        return due
