"""Ring of event records in a device: absolute sequence numbers, drop-newest on overflow, release by
acknowledgement.

Owns the records between oldest and next. Refuses to overwrite, reorder or forget an unacknowledged record.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bellwire.drivers.frames import RecordKind


@dataclass(frozen=True, slots=True)
class RingEntry:
    """A record with what its frame header must say."""

    run_short: int
    time_epoch: int
    record: bytes
    kind: RecordKind = RecordKind.DECISION


class EventRing:
    """Records `oldest .. next - 1`. While `is_blocked`, every record finds the ring full."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.oldest = 0
        self.is_blocked = False
        self._entries: deque[RingEntry] = deque()

    @property
    def next(self) -> int:
        """Sequence number of the record to come."""
        return self.oldest + len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, entry: RingEntry) -> bool:
        """Append; False when the ring is full, and then the NEWEST record (this one) is dropped (fpga.md
        section 8).
        """
        if self.is_blocked or len(self._entries) >= self.depth:
            return False
        self._entries.append(entry)
        return True

    def acknowledge(self, sequence: int) -> None:
        """Release the records below `sequence`; nonsense beyond `next` is ignored."""
        if sequence > self.next:
            return
        while self.oldest < sequence:
            self._entries.popleft()
            self.oldest += 1

    def entry(self, sequence: int) -> RingEntry:
        """The record at an absolute sequence number inside the ring."""
        return self._entries[sequence - self.oldest]

    def window_word(self, index: int) -> int:
        """Word `index` of the fixed read window: record number index // 4 modulo depth, 0 where none is."""
        place, word = divmod(index, 4)
        sequence = self.oldest + (place - self.oldest) % self.depth
        if place >= self.depth or sequence >= self.next:
            return 0
        return int.from_bytes(self.entry(sequence).record[4 * word : 4 * word + 4], "little")
