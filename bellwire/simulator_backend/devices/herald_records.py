"""Records and losses of the emulated FPGA: into the ring, or counted and told as ranges (fpga.md section 8).

Owns the lost-before flags and the loss ranges not told yet. Refuses to decide anything.
"""

from __future__ import annotations

from bellwire.drivers.frames import (
    FirstHitsWords,
    HeraldFlag,
    HeraldWords,
    Lost,
    RecordKind,
    TagFlag,
    TagWords,
)
from bellwire.simulator_backend.devices.event_ring import EventRing, RingEntry
from bellwire.simulator_backend.devices.herald_golden import Decision
from bellwire.simulator_backend.devices.register_file import RegisterFile

LOST_RANGES_MAX = 16


class HeraldRecords:
    """What the device tells of the present run. `run_short` is of the run that goes on, or of the last one:
    RUN_ID may already name the next.
    """

    def __init__(self, ring: EventRing, registers: RegisterFile) -> None:
        self.run_short = 0
        self.lost_attempts = 0
        self.lost_tags = 0
        self._ring = ring
        self._registers = registers
        self._lost: list[Lost] = []
        self._lost_before = {RecordKind.DECISION: False, RecordKind.TAG: False}

    def begin(self, run_short: int) -> None:
        """A run begins."""
        self.run_short = run_short
        self._lost_before[RecordKind.DECISION] = False

    def decision(self, decision: Decision, epoch: int) -> None:
        """Record a decision, or lose it."""
        before = self._lost_before[RecordKind.DECISION]
        flags = decision.flags | (int(HeraldFlag.LOST_BEFORE) if before else 0)
        words = HeraldWords(decision.attempt, decision.mask, decision.outcome, flags, decision.stamp)
        if self._ring.push(RingEntry(self.run_short, epoch, words.pack())):
            self._lost_before[RecordKind.DECISION] = False
        else:
            self.lose_attempts(decision.attempt, decision.attempt)

    def first_hits(self, decision: Decision, epoch: int) -> None:
        """Record the first hits of an attempt. Without room there is none: they are for monitoring only."""
        first, second, third, fourth = decision.times
        words = FirstHitsWords(decision.attempt & 0xFFFF, decision.outcome, (first, second, third, fourth))
        self._ring.push(RingEntry(self.run_short, epoch, words.pack(), RecordKind.FIRST_HITS))

    def tag(self, channel: int, stamp: int, falling: bool, epoch: int) -> None:
        """Record a time tag, or lose it."""
        flags = TagFlag.FALLING if falling else TagFlag(0)
        if self._lost_before[RecordKind.TAG]:
            flags |= TagFlag.LOST_BEFORE
        words = TagWords(stamp, channel, int(flags))
        if self._ring.push(RingEntry(0, epoch, words.pack(), RecordKind.TAG)):
            self._lost_before[RecordKind.TAG] = False
        else:
            self.lost_tags += 1
            self._lose(Lost(stamp, stamp, 1, 0, RecordKind.TAG))

    def lose_attempts(self, first: int, last: int) -> None:
        """Nobody will ever know how these attempts ended."""
        self.lost_attempts += last - first + 1
        self._lose(Lost(first, last, last - first + 1, self.run_short))

    def _lose(self, lost: Lost) -> None:
        self._lost_before[RecordKind(lost.kind)] = True
        self._registers.raise_sticky("STICKY", "lost")
        for place in range(len(self._lost) - 1, -1, -1):
            known = self._lost[place]
            if (known.run_short, known.kind) != (lost.run_short, lost.kind):
                continue
            adjacent = known.last + 1 == lost.first
            if adjacent or lost.kind == RecordKind.TAG or len(self._lost) >= LOST_RANGES_MAX:
                first, last = min(known.first, lost.first), max(known.last, lost.last)
                count = known.count + lost.count
                self._lost[place] = Lost(first, last, count, lost.run_short, lost.kind)
                return
            break
        self._lost.append(lost)

    def take_lost(self) -> list[Lost]:
        """Losses not told yet."""
        lost, self._lost = self._lost, []
        return lost
