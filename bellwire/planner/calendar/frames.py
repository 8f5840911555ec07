"""The frame of a network schedule: slots of one length that repeat, and what a link needs of them.

Owns slots on the common clock, the least length of a slot, and the guard that clocks need. Refuses bookings
(bookings.py) and the choice of slots (admission.py).

A slot belongs to one request on a link. An attempt lies in a slot when it starts there and is decided, with
the guard, before the slot ends; slots of a link that follow each other are one window, with one guard at its
end.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Final, NamedTuple, Protocol

from bellwire.core.errors import ConfigError
from bellwire.core.ids import LinkId, NodeId
from bellwire.planner.calendar.bookings import Claim

GUARD_SIGMAS: Final = 4.0
"""A guard is so many times the sum of the standard errors of two clocks. For normal errors the next user of a
resource begins too early in at most one of 31 000 hand-overs (3.2e-5, the tail of the normal distribution
beyond 4; the sum of two standard errors is never less than the error of their difference)."""

SLOTS_MAX: Final = 256
"""Of a frame."""


class Frame(NamedTuple):
    """Slots of a cycle. Slot 0 of a cycle starts at a whole multiple of the cycle on the common clock."""

    slot_ns: int
    slots: int

    @property
    def cycle_ns(self) -> int:
        """Length of all slots."""
        return self.slot_ns * self.slots

    def span_ns(self, window: "Window") -> tuple[int, int]:
        """From and to of a window within the cycle."""
        return window.first * self.slot_ns, (window.first + window.slots) * self.slot_ns


class Window(NamedTuple):
    """Slots that follow each other; never over the end of a cycle."""

    first: int
    slots: int


class LinkNeed(NamedTuple):
    """What one link needs of a schedule."""

    link: LinkId
    nodes: tuple[NodeId, NodeId]
    claims: tuple[Claim, ...]  # resources that are its own while it attempts
    period_ns: int  # of attempts
    decided_ns: int  # from the start of an attempt until both ends know what it gave
    guard_ns: int
    owner: NodeId  # who decides about its slots
    rounds: int = 1  # periods in which every lane attempts once: more than one with fewer emitters than lanes

    @property
    def least_ns(self) -> int:
        """The shortest window in which every lane attempts once and hears of it."""
        return self.rounds * self.period_ns + self.decided_ns + self.guard_ns


def guard_ns(sigmas_ns: Iterable[float], sigmas: float = GUARD_SIGMAS) -> int:
    """The guard between users of a resource whose clocks have these standard errors: `sigmas` times the sum
    of the two largest (ages compare with the sum of sigmas as well)."""
    largest = sorted(sigmas_ns, reverse=True)[:2]
    return ceil(sigmas * sum(largest))


def check_frame(frame: Frame, needs: Mapping[LinkId, LinkNeed]) -> None:
    """Raises ConfigError when a slot is shorter than the attempts of a link need, or a frame is none."""
    if not 1 <= frame.slots <= SLOTS_MAX:
        raise ConfigError(f"a frame has 1 to {SLOTS_MAX} slots, not {frame.slots}")
    if not needs:
        return
    slowest = max(needs.values(), key=lambda need: (need.least_ns, need.link))
    if frame.slot_ns < slowest.least_ns:
        raise ConfigError(
            f"slots of {frame.slot_ns / 1e6:g} ms are too short for link {slowest.link}: an attempt, its "
            f"herald and the guard need {slowest.least_ns / 1e6:g} ms; give slot_ms at least that"
        )


def windows_of(slots: Iterable[int]) -> tuple[Window, ...]:
    """Slots as windows, in order."""
    found: list[Window] = []
    for slot in sorted(set(slots)):
        if found and slot == found[-1].first + found[-1].slots:
            found[-1] = found[-1]._replace(slots=found[-1].slots + 1)
        else:
            found.append(Window(slot, 1))
    return tuple(found)


class AttemptTimes(Protocol):
    """What the slot table of a link follows from; a LinkNeed has it."""

    @property
    def period_ns(self) -> int: ...

    @property
    def decided_ns(self) -> int: ...

    @property
    def guard_ns(self) -> int: ...


def attempts_in(frame: Frame, need: AttemptTimes, slots: int) -> int:
    """Attempts of one lane in a window of so many slots, the first one at its start."""
    room_ns = slots * frame.slot_ns - need.decided_ns - need.guard_ns
    return room_ns // need.period_ns + 1 if room_ns >= 0 else 0


class SlotRow(NamedTuple):
    """A row of the slot table of a heralding FPGA: attempts one period apart, then a pause."""

    attempts: int
    gap_ns: int


class SlotTable(NamedTuple):
    """The cycle of one link as its station's sequencer executes it; rows and pauses sum to the cycle."""

    starts_ns: int  # the first row begins so long after the start of a cycle on the common clock
    rows: tuple[SlotRow, ...]  # empty: the link attempts nothing


def slot_table(frame: Frame, need: AttemptTimes, granted: Sequence[int]) -> SlotTable:
    """A row for each window; the pause until the next one, over the end of the cycle too, belongs to it.

    A slot has a whole number of periods. To both ends of the link, slots at the end of a cycle and at the
    start of the next are one stretch: attempts go on over the end of the cycle then, without a guard.
    """
    windows = windows_of(granted)
    if not windows:
        return SlotTable(0, ())
    starts_ns = [frame.span_ns(window)[0] for window in windows]
    ends_ns = [*starts_ns[1:], starts_ns[0] + frame.cycle_ns]
    counts = [attempts_in(frame, need, window.slots) for window in windows]
    if windows[0].first == 0 and sum(windows[-1]) == frame.slots:
        counts[-1] = windows[-1].slots * frame.slot_ns // need.period_ns
    rows = [
        SlotRow(attempts, end_ns - start_ns - attempts * need.period_ns)
        for start_ns, end_ns, attempts in zip(starts_ns, ends_ns, counts, strict=True)
    ]
    return SlotTable(starts_ns[0], tuple(rows))
