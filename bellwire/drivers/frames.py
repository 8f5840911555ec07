"""Payloads of the framed protocol: identification, events, bounds, losses, credit, and the two kinds of
record.

Owns the layouts, little endian, and the meaning of each field. Refuses to send or sequence anything.
Stream sequence numbers count event records since the device started; they are absolute and 32 bits wide.
"""

from __future__ import annotations

import struct
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
HERALD_RECORD_BYTES = _HERALD.size
MEMORY_RECORD_BYTES = _MEMORY.size


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
    long.
    """

    first: int
    run_short: int
    time_epoch: int
    records: tuple[bytes, ...]

    def pack(self) -> bytes:
        """The payload bytes."""
        return _EVENTS.pack(self.first, self.run_short, self.time_epoch, len(self.records)) + b"".join(
            self.records
        )

    @classmethod
    def unpack(cls, payload: bytes, record_bytes: int) -> Self:
        """From payload bytes. Raises PeerViolation when count and length disagree."""
        first, run_short, time_epoch, count = _unpack(_EVENTS, payload, "EVENTS")
        body = payload[_EVENTS.size :]
        if len(body) != count * record_bytes:
            raise PeerViolation(
                "instrument", f"EVENTS announces {count} records but carries {len(body)} bytes"
            )
        records = tuple(body[k : k + record_bytes] for k in range(0, len(body), record_bytes))
        return cls(first, run_short, time_epoch, records)


@dataclass(frozen=True, slots=True)
class Bound:
    """Everything up to attempt `decided_to` is decided, and its records are sent before stream sequence
    `next_event`.

    `decided_to` is None when no attempt of the run was decided yet, or the device has no attempts (memory
    controller). `lost` counts lost attempts (records for the memory controller) since the device started.
    `pps_count` is the unix second of the last PPS, `now_ns` the nanoseconds since.
    """

    run_short: int
    time_epoch: int
    decided_to: int | None
    next_event: int
    lost: int
    boot_count: int
    pps_count: int
    now_ns: int

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
    def unpack(cls, payload: bytes) -> Self:
        """From payload bytes. Raises PeerViolation when they are too few."""
        run_short, epoch, valid, decided_to, next_event, lost, boot, pps, now_ns = _unpack(
            _BOUND, payload, "BOUND"
        )
        return cls(run_short, epoch, decided_to if valid & 1 else None, next_event, lost, boot, pps, now_ns)


@dataclass(frozen=True, slots=True)
class Lost:
    """`count` attempts inside `first .. last` of a run have no record although they may have had a herald."""

    first: int
    last: int
    count: int
    run_short: int

    def pack(self) -> bytes:
        """The payload bytes."""
        return _LOST.pack(self.first, self.last, self.count, self.run_short)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """From payload bytes. Raises PeerViolation when they are too few."""
        return cls(*_unpack(_LOST, payload, "LOST"))


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


class MemoryEvent(IntEnum):
    """What a record of the memory controller tells."""

    HELD = 1
    OPERATION = 2
    DISARMED = 3


@dataclass(frozen=True, slots=True)
class MemoryWords:
    """Record of the memory controller, 32 bytes. Fields that a kind does not use are 0.

    HELD: slot, port, lane, run, attempt, stamp. OPERATION: slot = state, operation, result = result.
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
