"""Golden model of the attempt sequencer: integers only, in fine units (fpga.md sections 4 and 9).

Owns when attempts begin, in which slot of which frame, and which output pulses go with them. Refuses to know
registers, light and decisions (`herald_golden.py`): an attempt that begins before the decision of the one
before it is made all the same, and the decision logic calls it an overrun.

Frames: the slots follow each other from the start of the frame, each with its attempts PERIOD apart and its
gap; the rest of the frame is quiet; attempts that would begin after the end of the frame are not made.
Without frames the attempts follow each other for ever. A change of the slots takes effect at a boundary and
goes on with the numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from bellwire.drivers.herald_frames import OutputSource


@dataclass(frozen=True, slots=True)
class Slot:
    """A run of attempts of one link. `outputs`: bit mask; `bank`: of windows and outcome table."""

    attempts: int
    link: int = 0
    outputs: int = 0
    bank: int = 0
    gap_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """An output of the sequencer: high from `start` to `stop` after the attempt edge, fine units."""

    source: OutputSource = OutputSource.LOW
    start: int = 0
    stop: int = 0
    inverted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencerSettings:
    """Registers in force. `frame_ticks` 0 = no frames; `attempts_max` None = the run has no end."""

    fine_bits: int
    period_ticks: int
    frame_ticks: int = 0
    slots: tuple[Slot, ...] = ()
    outputs: tuple[Output, ...] = ()
    attempts_max: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptEdge:
    """Where an attempt begins. `slot` is 0 without frames."""

    attempt: int
    stamp: int
    slot: int
    link: int
    bank: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """An output is high (or low, when inverted) from stamp `rise` to stamp `fall`."""

    output: int
    rise: int
    fall: int
    inverted: bool


class _Layout:
    """The attempts from stamp `base_stamp` on under one set of settings; the first is `base_attempt`."""

    def __init__(self, settings: SequencerSettings, base_stamp: int, base_attempt: int) -> None:
        self.settings = settings
        self.base_stamp = base_stamp
        self.base_attempt = base_attempt
        self.period = settings.period_ticks << settings.fine_bits
        self.frame = settings.frame_ticks << settings.fine_bits
        self.per_frame = 0
        # Of the slots that hold attempts: index, offset in the frame, attempts of the frame before it.
        self._slots: list[int] = []
        self._starts: list[int] = []
        self._firsts: list[int] = []
        offset = 0
        for index, slot in enumerate(settings.slots if self.frame and self.period else ()):
            fitting = min(slot.attempts, max(0, -(-(self.frame - offset) // self.period)))
            if fitting:
                self._slots.append(index)
                self._starts.append(offset)
                self._firsts.append(self.per_frame)
                self.per_frame += fitting
            if slot.attempts:
                offset += slot.attempts * self.period + (slot.gap_ticks << settings.fine_bits)
        self.shortest_spacing = self._shortest_spacing()

    @property
    def is_empty(self) -> bool:
        """No attempts are made."""
        return not self.period or (self.frame > 0 and not self.per_frame)

    def number_at(self, since: int) -> int:
        """How many attempts lie before the last one that began `since` fine units or less after the base."""
        if not self.frame:
            return since // self.period
        frame, within = divmod(since, self.frame)
        place = bisect_right(self._starts, within) - 1
        number = self._firsts[place] + (within - self._starts[place]) // self.period
        following = self._firsts[place + 1] if place + 1 < len(self._firsts) else self.per_frame
        return frame * self.per_frame + min(number, following - 1)

    def edge(self, number: int) -> AttemptEdge:
        """The edge of attempt base_attempt + `number`."""
        attempt = self.base_attempt + number
        if not self.frame:
            return AttemptEdge(attempt, self.base_stamp + number * self.period, 0, 0, 0, 0)
        frame, within = divmod(number, self.per_frame)
        place = bisect_right(self._firsts, within) - 1
        offset = self._starts[place] + (within - self._firsts[place]) * self.period
        stamp = self.base_stamp + frame * self.frame + offset
        slot = self.settings.slots[self._slots[place]]
        return AttemptEdge(attempt, stamp, self._slots[place], slot.link, slot.bank, slot.outputs)

    def _shortest_spacing(self) -> int | None:
        if self.is_empty:
            return None
        if not self.frame:
            return self.period
        edges = [self.edge(first).stamp for first in self._firsts]
        lasts = [self.edge(first - 1).stamp for first in (*self._firsts[1:], self.per_frame)]
        spacings = [
            start - last for start, last in zip((*edges[1:], edges[0] + self.frame), lasts, strict=True)
        ]
        if self.per_frame > len(self._firsts):
            spacings.append(self.period)
        return min(spacings)


class Sequencer:
    """The attempts of one run, from stamp `start` on, numbered from 0."""

    def __init__(self, settings: SequencerSettings, start: int) -> None:
        self._layout = _Layout(settings, start, 0)
        self._before: _Layout | None = None

    @property
    def settings(self) -> SequencerSettings:
        """What is in force since the last change."""
        return self._layout.settings

    def last_at(self, stamp: int) -> AttemptEdge | None:
        """The last attempt that began at or before a stamp; None before the first.

        Answers for stamps since the change before the last one.
        """
        layout = self._layout
        if stamp < layout.base_stamp or layout.is_empty:
            before, earlier = self._before, min(stamp, layout.base_stamp - 1)
            if before is None or earlier < before.base_stamp:
                return None
            return self._limited(before, before.number_at(earlier - before.base_stamp))
        return self._limited(layout, layout.number_at(stamp - layout.base_stamp))

    def _limited(self, layout: _Layout, number: int) -> AttemptEdge:
        limit = layout.settings.attempts_max
        return layout.edge(number if limit is None else min(number, limit - 1 - layout.base_attempt))

    def edge_of(self, attempt: int) -> AttemptEdge | None:
        """Where an attempt begins; None when it is not made, or lies before the last change of the slots."""
        layout = self._layout
        limit = layout.settings.attempts_max
        number = attempt - layout.base_attempt
        if number < 0 or layout.is_empty or (limit is not None and attempt >= limit):
            return None
        return layout.edge(number)

    def next_boundary(self, stamp: int) -> int | None:
        """The first boundary after a stamp at which a commit takes effect: a frame, or without frames an
        attempt edge. None when no attempts are made.
        """
        layout = self._layout
        if not layout.period:
            return None
        step = layout.frame or layout.period
        since = stamp - layout.base_stamp
        return layout.base_stamp if since < 0 else layout.base_stamp + (since // step + 1) * step

    def change(self, settings: SequencerSettings, boundary: int) -> None:
        """New settings from a boundary on; the numbers go on."""
        last = self.last_at(boundary - 1)
        following = self._layout.base_attempt if last is None else last.attempt + 1
        if not self._layout.is_empty:
            self._before = self._layout
        self._layout = _Layout(settings, boundary, following)

    def shortest_spacing(self) -> int | None:
        """Fewest fine units between two attempt edges; None when no attempts are made. A decision that takes
        longer makes overruns.
        """
        return self._layout.shortest_spacing

    def pulses(self, edge: AttemptEdge) -> tuple[Pulse, ...]:
        """The output pulses of one attempt; outputs whose level stays have none."""
        found: list[Pulse] = []
        for number, output in enumerate(self.settings.outputs):
            named = output.source == OutputSource.EACH_ATTEMPT or (
                output.source == OutputSource.SLOTS and edge.outputs >> number & 1
            )
            if named and output.stop > output.start:
                found.append(
                    Pulse(number, edge.stamp + output.start, edge.stamp + output.stop, output.inverted)
                )
        return tuple(found)
