"""The end of a shift at one end of a link: pairs that are left of it give their lanes to those who work now.

Owns the moment in which nothing of the shift before can come any more, and the word about each end that is
left. Refuses the choice of who works (schedulers/shifts.py), and what becomes of such an end: a node that
swaps it gives it up, and the others hear of that from the ledger.

A pair that waits for a partner which nobody makes in this shift would keep a lane from those who work, and
two such pairs on two links could keep each other's partners from being made, for ever.
"""

from bellwire.core.link_messages import ScheduleEntry, Window
from bellwire.core.machine import Step
from bellwire.core.notices import ShiftOver
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.schedulers.words import Key


class LaneShifts:
    """Timed part of an end of a link whose lanes may work in shifts."""

    def __init__(self, ground: Ground, waiting: set[Key]) -> None:
        """waiting: requests whose pairs wait for partners."""
        ground.begin_counters("shifts_over")
        self._link = ground.link
        self._book = ground.book
        self._slots = ground.slots
        self._requests = ground.requests
        self._counters = ground.counters
        self._waiting = waiting
        self._due_ns: int | None = None

    def look(self) -> None:
        """A window was agreed: when it rules, and some work and some do not, a shift begins."""
        if self._in_shifts(self._book.windows[-1]):
            self._due_ns = self._book.decided_ns(self._book.windows[-1].first)

    def forget(self) -> None:
        """The run is over: nothing begins any more."""
        self._due_ns = None

    def deadline_ns(self) -> int | None:
        """When the last pairs of the shift before have come."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Say of which ends the shift is over: those of requests that do not work, or on another lane."""
        self._due_ns = None
        window = None if self._book.run is None else self._book.ruling(self._book.attempt_at(step.now_ns))
        if window is None or not self._in_shifts(window):
            return
        served = _served(window)
        for slot in self._slots.of_link(self._link.link):
            key = (slot.request, slot.tree)
            if slot.state != "held" or slot.link != self._link.link or key not in self._waiting:
                continue
            elsewhere = slot.lane < len(window.owners) and _key(window.owners[slot.lane]) != key
            if slot.end is not None and (elsewhere or key not in served):
                self._counters["shifts_over"] += 1
                step.tell(ShiftOver(end=slot.end))

    def _in_shifts(self, window: Window) -> bool:
        """True when somebody waits whose time it is as much as that of those who work."""
        served = _served(window)
        working: list[int] = []
        resting: list[int] = []
        for key in self._waiting:
            plan = self._requests.get(key)
            if plan is not None and not plan.background:
                (working if key in served else resting).append(plan.priority)
        return bool(working and resting) and max(resting) >= min(working)


def _key(entry: ScheduleEntry) -> Key:
    return entry.request, entry.tree


def _served(window: Window) -> set[Key]:
    return {_key(entry) for entry in (*window.owners, *window.schedule)}
