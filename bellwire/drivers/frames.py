"""Payloads of the framed protocol: identification, events, bounds, losses, credit, and the two kinds of
record.

Owns the layouts, little endian, and the meaning of each field. Refuses to send or sequence anything.
Stream sequence numbers count event records since the device started; they are absolute and 32 bits wide.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from bellwire.core.errors import PeerViolation

_HELLO = struct.Struct("<8I")
_EVENTS = struct.Struct("<IIHH")
_BOUND = struct.Struct("<IHHQIIIII")
_LOST = struct.Struct("<QQII")
_CREDIT = struct.Struct("<II")
_HERALD = struct.Struct("<IIQ")
_MEMORY = struct.Struct("<BBBBIQIIII")
_FIRST_HITS = struct.Struct("<12sBBH")
_TAG = struct.Struct("<Q")


class RecordKind(IntEnum):
    """Which records EVENTS carries, and what a LOST or BOUND is about: the flags byte of the header.

    Attempts are numbered by DECISION; BOUND and LOST of TAG count fine units of the clock instead.
    """

    DECISION = 0
    FIRST_HITS = 1
    TAG = 2


HERALD_RECORDS_BYTES: Mapping[int, int] = {
    RecordKind.DECISION: _HERALD.size,
    RecordKind.FIRST_HITS: _FIRST_HITS.size,
    RecordKind.TAG: _TAG.size,
}
"""Bytes of each kind of record of the heralding FPGA."""

MEMORY_RECORDS_BYTES: Mapping[int, int] = {RecordKind.DECISION: _MEMORY.size}
"""The same for the memory controller, which has one kind."""


def _unpack(layout: struct.Struct, payload: bytes, what: str) -> tuple[int, ...]:
    if len(payload) < layout.size:
        raise PeerViolation("instrument", f"{what} has {len(payload)} bytes, needs {layout.size}")
    return layout.unpack_from(payload)


@dataclass(frozen=True, slots=True)
class Hello:
    """Answer to HELLO: who is there, whether it started anew, where its event stream stands.

    `nonce` repeats the host's, so that an old answer is not taken for the new one.
    """

    nonce: int
    identity: int
    abi: int
    map_hash: int
    boot_count: int
    frame_bytes_max: int
    oldest_event: int
    next_event: int

    def pack(self) -> bytes:
        """The payload bytes."""
        return _HELLO.pack(
            self.nonce,
            self.identity,
            self.abi,
            self.map_hash,
            self.boot_count,
            self.frame_bytes_max,
            self.oldest_event,
            self.next_event,
        )

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """From payload bytes. Raises PeerViolation when they are too few."""
        return cls(*_unpack(_HELLO, payload, "HELLO"))


@dataclass(frozen=True, slots=True)
class Events:
    """A run of event records: `first` is the stream sequence of the first, `records` are raw and equally
    long. `kind` travels in the header of the message.
    """

    first: int
    run_short: int
    time_epoch: int
    records: tuple[bytes, ...]
    kind: int = RecordKind.DECISION

    def pack(self) -> bytes:
        """The payload bytes."""
        return _EVENTS.pack(self.first, self.run_short, self.time_epoch, len(self.records)) + b"".join(
            self.records
        )

    @classmethod
    def unpack(cls, payload: bytes, record_bytes: int, kind: int = RecordKind.DECISION) -> Self:
        """From payload bytes. Raises PeerViolation when count and length disagree."""
        first, run_short, time_epoch, count = _unpack(_EVENTS, payload, "EVENTS")
        body = payload[_EVENTS.size :]
        if len(body) != count * record_bytes:
            raise PeerViolation(
                "instrument", f"EVENTS announces {count} records but carries {len(body)} bytes"
            )
        records = tuple(body[k : k + record_bytes] for k in range(0, len(body), record_bytes))
        return cls(first, run_short, time_epoch, records, kind)


@dataclass(frozen=True, slots=True)
class Bound:
    """Everything up to attempt `decided_to` is decided, and its records are sent before stream sequence
    `next_event`.

    `decided_to` is None when no attempt of the run was decided yet, or the device has no attempts (memory
    controller). `lost` counts lost attempts (records for the memory controller) since the device started.
    `pps_count` is the unix second of the last PPS, `now_ns` the nanoseconds since, at most 2**32 - 1. Of the
    kind TAG, `decided_to` is a stamp: no tag up to it can still come. `kind` travels in the header.
    """

    run_short: int
    time_epoch: int
    decided_to: int | None
    next_event: int
    lost: int
    boot_count: int
    pps_count: int
    now_ns: int
    kind: int = RecordKind.DECISION

    def pack(self) -> bytes:
        """The payload bytes."""
        valid = self.decided_to is not None
        return _BOUND.pack(
            self.run_short,
            self.time_epoch,
            int(valid),
            self.decided_to or 0,
            self.next_event,
            self.lost,
            self.boot_count,
            self.pps_count,
            self.now_ns,
        )

    @classmethod
    def unpack(cls, payload: bytes, kind: int = RecordKind.DECISION) -> Self:
        """From payload bytes. Raises PeerViolation when they are too few."""
        run_short, epoch, valid, decided_to, next_event, lost, boot, pps, now_ns = _unpack(
            _BOUND, payload, "BOUND"
        )
        decided = decided_to if valid & 1 else None
        return cls(run_short, epoch, decided, next_event, lost, boot, pps, now_ns, kind)


@dataclass(frozen=True, slots=True)
class Lost:
    """`count` attempts inside `first .. last` of a run have no record although they may have had a herald.

    Of the kind TAG: `count` tags inside the stamps `first .. last`. `kind` travels in the header.
    """

    first: int
    last: int
    count: int
    run_short: int
    kind: int = RecordKind.DECISION

    def pack(self) -> bytes:
        """The payload bytes."""
        return _LOST.pack(self.first, self.last, self.count, self.run_short)

    @classmethod
    def unpack(cls, payload: bytes, kind: int = RecordKind.DECISION) -> Self:
        """From payload bytes. Raises PeerViolation when they are too few."""
        first, last, count, run_short = _unpack(_LOST, payload, "LOST")
        return cls(first, last, count, run_short, kind)


@dataclass(frozen=True, slots=True)
class Credit:
    """Absolute counters: the host takes records below `granted` and keeps those below `acknowledged`."""

    granted: int
    acknowledged: int

    def pack(self) -> bytes:
        """The payload bytes."""
        return _CREDIT.pack(self.granted, self.acknowledged)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """From payload bytes. Raises PeerViolation when they are too few."""
        return cls(*_unpack(_CREDIT, payload, "CREDIT"))


class HeraldFlag(IntFlag):
    """Flags of a herald record, from bit 28 of its second word."""

    MULTI = 1
    WIDE = 2
    OVERRUN = 4
    LOST_BEFORE = 8


@dataclass(frozen=True, slots=True)
class HeraldWords:
    """Herald record of 16 bytes (fpga.md section 6).

    `stamp` is the attempt edge in fine units since the time epoch.
    """

    attempt: int
    mask: int
    outcome: int
    flags: int
    stamp: int

    def pack(self) -> bytes:
        """The record bytes."""
        second = self.attempt >> 32 | self.mask << 16 | self.outcome << 24 | self.flags << 28
        return _HERALD.pack(self.attempt & 0xFFFF_FFFF, second, self.stamp)

    @classmethod
    def unpack(cls, record: bytes) -> Self:
        """From record bytes."""
        first, second, stamp = _unpack(_HERALD, record, "herald record")
        attempt = first | (second & 0xFFFF) << 32
        return cls(attempt, second >> 16 & 0xFF, second >> 24 & 0xF, second >> 28, stamp)


@dataclass(frozen=True, slots=True)
class FirstHitsWords:
    """Second record of an attempt, 16 bytes: when each of four channels fired first (fpga.md section 6).

    `times`: after the attempt edge, fine units, 24 bits, offset of the channel included; None without a hit
    inside a window. The record follows the DECISION record of the same attempt when that one is sent;
    `attempt_low` are the low 16 bits of its number.
    """

    attempt_low: int
    outcome: int
    times: tuple[int | None, int | None, int | None, int | None]

    def pack(self) -> bytes:
        """The record bytes."""
        mask = sum(1 << channel for channel, time in enumerate(self.times) if time is not None)
        raw = b"".join(((time or 0) & 0xFF_FFFF).to_bytes(3, "little") for time in self.times)
        return _FIRST_HITS.pack(raw, mask, self.outcome, self.attempt_low & 0xFFFF)

    @classmethod
    def unpack(cls, record: bytes) -> Self:
        """From record bytes. Raises PeerViolation when they are too few."""
        if len(record) < _FIRST_HITS.size:
            raise PeerViolation("instrument", f"first-hit record has {len(record)} bytes")
        raw, mask, outcome, attempt_low = _FIRST_HITS.unpack_from(record)
        first, second, third, fourth = (
            int.from_bytes(raw[3 * k : 3 * k + 3], "little") if mask >> k & 1 else None for k in range(4)
        )
        return cls(attempt_low, outcome, (first, second, third, fourth))


class TagFlag(IntFlag):
    """Flags of a time tag, from bit 60."""

    FALLING = 1
    LOST_BEFORE = 8


@dataclass(frozen=True, slots=True)
class TagWords:
    """Time tag, 8 bytes. `stamp`: fine units since the time epoch, 56 bits (2.3 years at 1 ns)."""

    stamp: int
    channel: int
    flags: int

    def pack(self) -> bytes:
        """The record bytes."""
        return _TAG.pack(self.stamp & (1 << 56) - 1 | self.channel << 56 | self.flags << 60)

    @classmethod
    def unpack(cls, record: bytes) -> Self:
        """From record bytes. Raises PeerViolation when they are too few."""
        (word,) = _unpack(_TAG, record, "time tag")
        return cls(word & (1 << 56) - 1, word >> 56 & 0xF, word >> 60)


class MemoryEvent(IntEnum):
    """What a record of the memory controller tells."""

    HELD = 1
    OPERATION = 2
    DISARMED = 3


@dataclass(frozen=True, slots=True)
class MemoryWords:
    """Record of the memory controller, 32 bytes. Fields that a kind does not use are 0.

    HELD: slot, port, lane, run, attempt, stamp. OPERATION: slot = state, operation, result = result, stamp.
    DISARMED: slot, result = reason (1 lease expired). Stamp: unix second and nanoseconds inside it.
    """

    kind: int
    slot: int = 0
    port: int = 0
    lane: int = 0
    run_short: int = 0
    attempt: int = 0
    stamp_s: int = 0
    stamp_sub_ns: int = 0
    operation: int = 0
    result: int = 0

    def pack(self) -> bytes:
        """The record bytes."""
        return _MEMORY.pack(
            self.kind,
            self.slot,
            self.port,
            self.lane,
            self.run_short,
            self.attempt,
            self.stamp_s,
            self.stamp_sub_ns,
            self.operation,
            self.result,
        )

    @classmethod
    def unpack(cls, record: bytes) -> Self:
        """From record bytes."""
        return cls(*_unpack(_MEMORY, record, "memory record"))
