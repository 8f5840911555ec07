"""When the turn of a link begins and ends at one end.

Owns the moments at which attempts are ordered for the next stretch of granted turns, and at which memories
that other links use are given back. Refuses to know which turns are granted (window book) and how lanes are
armed (lanes.py).
"""

from collections.abc import Callable

from bellwire.core.machine import Step
from bellwire.link_layer.agreement import WindowBook
from bellwire.link_layer.lanes import Lanes


class TurnTaker:
    """Of one end of a link that takes turns. Satisfies uses.Timed."""

    def __init__(self, book: WindowBook, lanes: Lanes, arm: Callable[[Step], None]) -> None:
        """`arm`: order attempts on every lane that may attempt now."""
        self.begun = 0  # stretches in which this end attempted
        self._book = book
        self._lanes = lanes
        self._arm = arm
        self._last = -1  # attempt of the present stretch
        self._until_ns: int | None = None  # that attempt is decided then
        self._due_ns: int | None = None

    def deadline_ns(self) -> int | None:
        """When the present stretch is over, or the next one begins."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """A stretch is over, or begins."""
        self.look(step)

    def forget(self) -> None:
        """The run is left: no turn is ours."""
        self._until_ns = self._due_ns = None

    def end_if_over(self, step: Step) -> None:
        """Give back what others may use, when the present stretch is over."""
        if self._until_ns is None or self._until_ns > step.now_ns:
            return
        self._until_ns = None
        if not self._goes_on(step.now_ns) and self._lanes.may_start is not None:
            self._lanes.end_turn(step)

    def _goes_on(self, now_ns: int) -> bool:
        """True when it is our turn; notes how long."""
        book = self._book
        now = book.attempt_at(now_ns)
        span = book.span_from(now) if book.run is not None and book.windows else None
        if span is None or span[0] > now:
            return False
        self._last = span[1]
        self._until_ns = book.decided_ns(self._last)
        return True

    def look(self, step: Step) -> None:
        """The time or the windows have changed: attempt when it is our turn."""
        book = self._book
        self.end_if_over(step)
        if book.run is None or not book.windows:
            self.forget()
            return
        was_ours = self._until_ns is not None
        if self._goes_on(step.now_ns):
            self.begun += not was_ours
            self._due_ns = self._until_ns
            self._arm(step)
            return
        now = book.attempt_at(step.now_ns)
        if was_ours and now <= self._last:
            # A window that was agreed late has ended the turn before its time.
            self._until_ns = None
            if self._lanes.may_start is not None:
                self._lanes.end_turn(step)
        span = book.span_from(now)
        if self._lanes.may_start is None and span is not None:
            self._arm(step)  # memories of its own can be armed for the next turn at once
        self._due_ns = self._until_ns
        if self._until_ns is None and span is not None:
            self._due_ns = book.starts_ns(span[0])
