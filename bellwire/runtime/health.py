"""Health of one process: named events with counts, and the last few of them with their fields.

Owns `Health`. Every limit of the host ends in a call of `count` here, so that nothing is lost in silence.
Refuses verdicts: what is bad enough to act on is decided by people and by `supervisor.py`.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

RECENT_EVENTS_KEPT = 256
LOUD_COUNTS = frozenset({1, 10, 100, 1_000, 10_000, 100_000, 1_000_000})
"""An event is handed to the listener at these counts only; a storm of one kind must not drown the log."""

Listener = Callable[[str, int, dict[str, Any]], None]
"""Called with the name of the event, how often it has happened so far, and its fields."""


class Health:
    """Counts of named events."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.recent: deque[tuple[str, dict[str, Any]]] = deque(maxlen=RECENT_EVENTS_KEPT)
        self._listener = listener

    def count(self, name: str, **fields: Any) -> None:
        """Something happened that an operator may want to know."""
        self.counts[name] += 1
        seen = self.counts[name]
        if seen in LOUD_COUNTS:
            self.recent.append((name, fields))
            if self._listener is not None:
                self._listener(name, seen, fields)

    def tell(self, name: str, **fields: Any) -> None:
        """As `count`, but every single one is handed on: for rare events such as a peer's verdict."""
        self.counts[name] += 1
        self.recent.append((name, fields))
        if self._listener is not None:
            self._listener(name, self.counts[name], fields)
