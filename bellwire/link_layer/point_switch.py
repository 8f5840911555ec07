"""The change from one operating point to another while attempts go on.

Owns the moment in which an end arms its lanes anew: the first attempt of the window that has another point.
Until then no order reaches beyond (WindowBook.span_from), so no attempt is made at a point that its window
does not name. Refuses the choice of points.
"""

from collections.abc import Callable

from bellwire.core.machine import Step
from bellwire.link_layer.agreement import WindowBook


class PointSwitch:
    """Timed part of an end of a link that has several operating points."""

    def __init__(self, book: WindowBook, arm: Callable[[Step], None]) -> None:
        """`arm`: attempt on every lane as far as windows are agreed."""
        self._book = book
        self._arm = arm
        self._due_ns: int | None = None

    def look(self, now_ns: int) -> None:
        """Windows changed: find the next change of the point."""
        attempt = self._book.switch_after(self._book.attempt_at(now_ns))
        self._due_ns = None if attempt is None else self._book.starts_ns(attempt)

    def deadline_ns(self) -> int | None:
        """Start of the first attempt at another point."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Go on at the point that rules now."""
        self.look(step.now_ns)
        self._arm(step)
