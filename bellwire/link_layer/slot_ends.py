"""The end of a slot of the network schedule at one end of a link: memories go to whoever has the next slot.

Owns the moment in which nothing of the slot before can come any more, and the word about each end that is
left of it. Refuses the schedule (planner/calendar), and what becomes of such an end: a node that swaps it
gives it up, and others hear of that from the ledger (as at the end of a shift, lane_shifts.py).

A slot that belongs to nobody ends nothing: pairs of the slot before may wait there for their partners.
"""

from bellwire.core.link_messages import Window
from bellwire.core.machine import Step
from bellwire.core.notices import ShiftOver
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.schedulers.words import Key


class SlotEnds:
    """Timed part of an end of a link that follows a network schedule."""

    def __init__(self, ground: Ground, waiting: set[Key]) -> None:
        """waiting: requests whose pairs wait for partners."""
        ground.begin_counters("slots_over")
        self._link = ground.link
        self._book = ground.book
        self._slots = ground.slots
        self._counters = ground.counters
        self._waiting = waiting
        self._due_ns: int | None = None
        self._next: Key | None = None  # has the slot from which on the present deadline counts

    def look(self, now_ns: int) -> None:
        """A window was agreed, or a slot has begun: find the next one that somebody else has."""
        self._due_ns = self._next = None
        window = self._ruling(now_ns)
        if window is None or not window.anchored:
            return
        cycle, frame_attempts = window.schedule, window.frame_attempts
        frame = max(self._book.attempt_at(now_ns), window.first) // frame_attempts
        for step in range(1, len(cycle) + 1):
            before, entry = cycle[(frame + step - 1) % len(cycle)], cycle[(frame + step) % len(cycle)]
            if entry.request and entry != before:
                self._next = (entry.request, entry.tree)
                self._due_ns = self._book.decided_ns((frame + step) * frame_attempts)
                return

    def forget(self) -> None:
        """The run is over: nothing begins any more."""
        self._due_ns = self._next = None

    def deadline_ns(self) -> int | None:
        """When the last pairs of the slot before have come."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Say of which ends the slot is over: those of others, in the memories that the link uses."""
        served = self._next
        for slot in self._slots.of_link(self._link.link):
            key = (slot.request, slot.tree)
            elsewhere = slot.link != self._link.link  # of a bank: made by another link of this node
            if slot.state != "held" or slot.end is None or key == served:
                continue
            if elsewhere or key in self._waiting:
                self._counters["slots_over"] += 1
                step.tell(ShiftOver(end=slot.end))
        self.look(step.now_ns)

    def _ruling(self, now_ns: int) -> Window | None:
        book = self._book
        if book.run is None or not book.windows:
            return None
        return book.ruling(book.attempt_at(now_ns)) or book.windows[-1]
