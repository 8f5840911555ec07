"""The words of VXI-11 (TCP/IP Instrument Protocol, revision 1.0) and of ONC RPC that carries it (RFC 5531,
RFC 4506).

Owns numbers, XDR, call headers, replies and record marks. Sans I/O, but for reading a record from a stream.
Refuses to act: that is vxi11_server.py.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from bellwire.core.errors import PeerViolation

CORE_PROGRAM = 0x0607AF
ABORT_PROGRAM = 0x0607B0
PROGRAM_VERSION = 1
RPC_VERSION = 2
LAST_FRAGMENT = 0x8000_0000
FRAGMENTS_MAX = 1024
PEER = "VXI-11 client"


class Procedure(IntEnum):
    """Of the core program."""

    CREATE_LINK = 10
    DEVICE_WRITE = 11
    DEVICE_READ = 12
    DEVICE_READSTB = 13
    DEVICE_TRIGGER = 14
    DEVICE_CLEAR = 15
    DEVICE_REMOTE = 16
    DEVICE_LOCAL = 17
    DEVICE_LOCK = 18
    DEVICE_UNLOCK = 19
    DEVICE_ENABLE_SRQ = 20
    DEVICE_DOCMD = 22
    DESTROY_LINK = 23
    CREATE_INTR_CHAN = 25
    DESTROY_INTR_CHAN = 26


NULL_PROCEDURE = 0
DEVICE_ABORT = 1
"""Of the abort program."""


class Trouble(IntEnum):
    """Device_ErrorCode."""

    NONE = 0
    SYNTAX = 1
    NOT_ACCESSIBLE = 3
    INVALID_LINK = 4
    PARAMETER = 5
    NO_CHANNEL = 6
    NOT_SUPPORTED = 8
    OUT_OF_RESOURCES = 9
    LOCKED = 11
    NO_LOCK = 12
    IO_TIMEOUT = 15
    IO = 17
    ABORTED = 23
    CHANNEL_EXISTS = 29


class Flag(IntFlag):
    """Device_Flags."""

    WAIT_LOCK = 1
    END = 8
    TERMINATOR_SET = 128


class Reason(IntFlag):
    """Why device_read ended."""

    REQUEST_COUNT = 1
    TERMINATOR = 2
    END = 4


class Accepted(IntEnum):
    """accept_stat of RPC."""

    SUCCESS = 0
    PROGRAM_UNAVAILABLE = 1
    PROGRAM_MISMATCH = 2
    PROCEDURE_UNAVAILABLE = 3
    GARBAGE_ARGUMENTS = 4


class XdrReader:
    """Takes XDR values from bytes. Raises PeerViolation where they end too early."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def unsigned(self) -> int:
        """A 32-bit unsigned integer."""
        return int.from_bytes(self._take(4), "big")

    def opaque(self) -> bytes:
        """Bytes of variable length, with their padding to four."""
        length = self.unsigned()
        octets = self._take(length)
        self._take(-length % 4)
        return octets

    def _take(self, count: int) -> bytes:
        octets = self._octets[self._at : self._at + count]
        if len(octets) != count:
            raise PeerViolation(PEER, f"XDR ends {count - len(octets)} bytes too early")
        self._at += count
        return octets


def words(*values: int) -> bytes:
    """32-bit integers in XDR."""
    return struct.pack(f">{len(values)}I", *(value & 0xFFFF_FFFF for value in values))


def opaque(octets: bytes) -> bytes:
    """Bytes of variable length in XDR."""
    return words(len(octets)) + octets + bytes(-len(octets) % 4)


@dataclass(frozen=True, slots=True)
class Call:
    """An RPC call; `arguments` stand at the parameters of the procedure."""

    transaction: int
    rpc_version: int
    program: int
    version: int
    procedure: int
    arguments: XdrReader


def parse_call(record: bytes) -> Call:
    """A call from its record. Raises PeerViolation when it is none."""
    reader = XdrReader(record)
    transaction = reader.unsigned()
    kind = reader.unsigned()
    if kind != 0:
        raise PeerViolation(PEER, f"an RPC message of type {kind} came to a server, which takes calls (0)")
    rpc_version, program, version, procedure = (reader.unsigned() for _ in range(4))
    if rpc_version == RPC_VERSION:
        for _ in ("credential", "verifier"):
            reader.unsigned()
            reader.opaque()
    return Call(transaction, rpc_version, program, version, procedure, reader)


def accepted(transaction: int, status: Accepted, results: bytes = b"") -> bytes:
    """The record of a reply to an accepted call."""
    return _record(words(transaction, 1, 0, 0, 0, status) + results)


def version_denied(transaction: int) -> bytes:
    """The record of a reply to a call of another RPC version."""
    return _record(words(transaction, 1, 1, 0, RPC_VERSION, RPC_VERSION))


def _record(octets: bytes) -> bytes:
    return words(LAST_FRAGMENT | len(octets)) + octets


async def read_record(reader: asyncio.StreamReader, octets_max: int) -> bytes:
    """One record, of one or more fragments. Raises PeerViolation beyond `octets_max`, IncompleteReadError
    at the end.
    """
    record = b""
    for _ in range(FRAGMENTS_MAX):
        mark = int.from_bytes(await reader.readexactly(4), "big")
        length = mark & ~LAST_FRAGMENT
        if len(record) + length > octets_max:
            raise PeerViolation(PEER, f"an RPC record of more than {octets_max} bytes")
        record += await reader.readexactly(length)
        if mark & LAST_FRAGMENT:
            return record
    raise PeerViolation(PEER, f"an RPC record of more than {FRAGMENTS_MAX} fragments")
