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
        self._until_ns: int | None = None  # the last attempt of the present stretch is decided then
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
        self._until_ns = self._end_of_turn_ns(step.now_ns)  # a later window may have made it longer
        if self._until_ns is None and self._lanes.may_start is not None:
            self._lanes.end_turn(step)

    def _end_of_turn_ns(self, now_ns: int) -> int | None:
        """When the last attempt of the present stretch is decided; None: it is not our turn."""
        book = self._book
        if book.run is None or not book.windows:
            return None
        now = book.attempt_at(now_ns)
        span = book.span_from(now)
        return book.decided_ns(span[1]) if span is not None and span[0] == now else None

    def look(self, step: Step) -> None:
        """The time or the windows have changed: attempt when it is our turn."""
        book = self._book
        self.end_if_over(step)
        if book.run is None or not book.windows:
            self.forget()
            return
        end_ns = self._end_of_turn_ns(step.now_ns)
        if end_ns is not None:
            if self._until_ns is None:
                self.begun += 1
            self._until_ns = self._due_ns = end_ns
            self._arm(step)
            return
        span = book.span_from(book.attempt_at(step.now_ns))
        if self._lanes.may_start is None and span is not None:
            self._arm(step)  # memories of its own can be armed for the next turn at once
        self._due_ns = self._until_ns
        if self._until_ns is None and span is not None:
            self._due_ns = book.starts_ns(span[0])
