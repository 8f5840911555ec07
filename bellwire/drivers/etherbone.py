"""Byte codec of Etherbone 1 with 32-bit addresses and data: register reads and writes in UDP packets.

Owns the bytes. Sans I/O, for the host and for the device alike. Big endian; addresses are of bytes. Refuses
the parts that LiteX does not use either: configuration space, other widths, and writes of one record to a
single address, whose flag stands at opposite ends of its byte in the specification and in LiteX.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse, PeerViolation

MAGIC = 0x4E6F
VERSION = 1
WORDS_MAX = 255
"""Reads, and writes, of one record."""
_PACKET = struct.Struct(">HBB4x")
_RECORD = struct.Struct(">BBBB")
_WORD = struct.Struct(">I")
_SIZES = 0x44
"""32-bit addresses, 32-bit port."""
_PROBE, _PROBE_REPLY, _NO_READS = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Record:
    """Writes to `write_base` and the addresses after it, then reads.

    `reads`: an address each. The answer carries their values as writes to `return_base`.
    """

    write_base: int = 0
    writes: tuple[int, ...] = ()
    return_base: int = 0
    reads: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Packet:
    """Records, or a probe, or the answer to a probe."""

    records: tuple[Record, ...] = ()
    probe: bool = False
    probe_reply: bool = False


def encode_packet(packet: Packet) -> bytes:
    """The bytes of a packet. Raises LocalMisuse for a record of more than 255 reads or writes."""
    flags = _PROBE * packet.probe | _PROBE_REPLY * packet.probe_reply
    if not any(record.reads for record in packet.records):
        flags |= _NO_READS
    octets = [_PACKET.pack(MAGIC, VERSION << 4 | flags, _SIZES)]
    for record in packet.records:
        if max(len(record.writes), len(record.reads)) > WORDS_MAX:
            raise LocalMisuse(
                f"a record of {len(record.writes)} writes and {len(record.reads)} reads, at most {WORDS_MAX}"
            )
        octets.append(_RECORD.pack(0, 0x0F, len(record.writes), len(record.reads)))
        if record.writes:
            octets += [_WORD.pack(word) for word in (record.write_base, *record.writes)]
        if record.reads:
            octets += [_WORD.pack(word) for word in (record.return_base, *record.reads)]
    return b"".join(octets)


def decode_packet(octets: bytes) -> Packet:
    """The packet of these bytes. Raises PeerViolation when they are none."""
    if len(octets) < _PACKET.size:
        raise PeerViolation("etherbone", f"{len(octets)} bytes are no packet")
    magic, flags, sizes = _PACKET.unpack_from(octets)
    if (magic, flags >> 4, sizes) != (MAGIC, VERSION, _SIZES):
        raise PeerViolation("etherbone", f"packet begins with {octets[:4].hex()}, not 4e6f 1x 44")
    records: list[Record] = []
    at = _PACKET.size
    while at < len(octets):
        record, at = _decode_record(octets, at)
        records.append(record)
    return Packet(tuple(records), bool(flags & _PROBE), bool(flags & _PROBE_REPLY))


def _decode_record(octets: bytes, at: int) -> tuple[Record, int]:
    if at + _RECORD.size > len(octets):
        raise PeerViolation("etherbone", "a record is cut short")
    _, _, writes, reads = _RECORD.unpack_from(octets, at)
    at += _RECORD.size
    write_base, written, at = _words(octets, at, writes)
    return_base, asked, at = _words(octets, at, reads)
    return Record(write_base, written, return_base, asked), at


def _words(octets: bytes, at: int, count: int) -> tuple[int, tuple[int, ...], int]:
    """A base address and `count` words; nothing when there are none."""
    if not count:
        return 0, (), at
    end = at + _WORD.size * (count + 1)
    if end > len(octets):
        raise PeerViolation("etherbone", f"a record announces {count} words that are not there")
    base, *words = struct.unpack_from(f">{count + 1}I", octets, at)
    return base, tuple(words), end
