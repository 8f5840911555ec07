"""Host side of an event stream: what was received, what is missing, what may be acknowledged.

Owns the next expected stream sequence number (32 bits, counted since the device started). Sans I/O. Refuses
to deliver a record twice or out of order; a hole is reported, never jumped silently (fpga.md sections 7 and
8).
"""

from __future__ import annotations

from bellwire.drivers.frames import Bound, Credit, Events

CREDIT_WINDOW = 128
"""Records that the device may send beyond what we have taken."""


class EventStream:
    """Go-back-N receiver."""

    __slots__ = ("expected", "repeats", "rerequests")

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
        self.repeats = 0
        self.rerequests = 0

    def take(self, events: Events) -> Events | None:
        """The part of `events` that is new (perhaps with no record), or None when records before it are
        missing.
        """
        if events.first > self.expected:
            self.rerequests += 1
            return None
        known = self.expected - events.first
        fresh = events.records[known:]
        self.repeats += len(events.records) - len(fresh)
        first = self.expected
        self.expected += len(fresh)
        return Events(first, events.run_short, events.time_epoch, fresh, events.kind)

    def covers(self, bound: Bound) -> bool:
        """Whether every record that precedes the bound was taken."""
        return bound.next_event <= self.expected

    def skip_to(self, sequence: int) -> int:
        """Give up on the records before `sequence`; how many those are."""
        skipped = max(0, sequence - self.expected)
        self.expected += skipped
        return skipped

    def credit(self) -> Credit:
        """The counters to tell the device; absolute, so that a lost one heals with the next."""
        return Credit(self.expected + CREDIT_WINDOW, self.expected)
