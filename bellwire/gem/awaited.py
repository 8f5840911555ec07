"""Own ends whose partner half has not come: its owner is asked about it, again and again.

Owns when it is asked. Needed where ledgers keep to routes: an author tells those of whom it knows that they
are concerned, and one that has restarted, or has not heard of the newest plan, does not know all of them.
Refuses answers: they are facts (`streams.py`).
"""

from bellwire.core.machine import Step
from bellwire.core.messages import FactsWanted
from bellwire.gem.replica import Replica


class HalvesAwaited:
    """Of one node. Idle while it holds no end."""

    def __init__(self, replica: Replica, interval_ns: int) -> None:
        self._replica = replica
        self._interval_ns = interval_ns
        self._due_ns: int | None = None  # None: no own end is there
        self.asked = 0

    def born(self, now_ns: int) -> None:
        """An own end was born."""
        if self._due_ns is None:
            self._due_ns = now_ns + self._interval_ns

    def deadline_ns(self) -> int | None:
        """The next look; None while no end is there."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Ask about every half that should have come by now."""
        if self._due_ns is None or step.now_ns < self._due_ns:
            return
        replica = self._replica
        fold, streams = replica.fold, replica.streams
        self._due_ns = None
        for end, record in fold.ends.items():
            if record.born is None or not replica.owns(end):
                continue
            self._due_ns = step.now_ns + self._interval_ns
            if step.now_ns - record.born.at_ns < self._interval_ns:
                continue
            for far in fold.awaited(end):
                author = fold.owner(far)
                incarnation = streams.incarnation(author) or 1
                first = streams.next_number(author, incarnation)
                step.send(author, FactsWanted(incarnation=incarnation, first=first, about=far), "control")
                self.asked += 1
