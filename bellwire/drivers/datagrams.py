"""Byte codec of the framed protocol on UDP (fpga.md section 7): magic, version, several messages, CRC-32.

Owns the bytes of a datagram. Sans I/O, for the host and for the device alike. Refuses to know what a message
means (`frames.py`). Little endian: "HR", version (1 byte), messages (1 byte); then for each message the
length of its payload (2 bytes), the header of framing.py and the payload; at last CRC-32 of all before it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.framing import HEADER, PROTOCOL_VERSION, Message

MAGIC = b"HR"
DATAGRAM_BYTES_MAX = 1400
"""Fits any Ethernet without fragments."""
MESSAGES_MAX = 255
_HEAD = struct.Struct("<2sBB")
_LENGTH = struct.Struct("<H")
_CRC = struct.Struct("<I")


def encode_datagrams(messages: Iterable[Message]) -> list[bytes]:
    """The messages in as few datagrams as keep the limit, in order.

    Raises LocalMisuse for a message that does not fit into one.
    """
    bodies: list[list[bytes]] = []
    room = 0
    for message in messages:
        body = (
            _LENGTH.pack(len(message.payload))
            + HEADER.pack(message.type, message.seq, message.address, message.count, message.status)
            + message.payload
        )
        if len(body) > DATAGRAM_BYTES_MAX - _HEAD.size - _CRC.size:
            raise LocalMisuse(f"a message of {len(body)} bytes does not fit into {DATAGRAM_BYTES_MAX}")
        if len(body) > room or len(bodies[-1]) == MESSAGES_MAX:
            bodies.append([])
            room = DATAGRAM_BYTES_MAX - _HEAD.size - _CRC.size
        bodies[-1].append(body)
        room -= len(body)
    datagrams: list[bytes] = []
    for group in bodies:
        octets = _HEAD.pack(MAGIC, PROTOCOL_VERSION, len(group)) + b"".join(group)
        datagrams.append(octets + _CRC.pack(zlib.crc32(octets)))
    return datagrams


class DatagramDecoder:
    """Cuts datagrams into messages. A damaged one is dropped whole and counted.

    Counters: `crc_errors` (the CRC differs), `foreign` (other magic or version, lengths that do not add up).
    """

    __slots__ = ("crc_errors", "foreign")

    def __init__(self) -> None:
        self.crc_errors = 0
        self.foreign = 0

    def feed(self, datagram: bytes) -> list[Message]:
        """The messages of one datagram, in order; none when it is damaged."""
        if len(datagram) < _HEAD.size + _CRC.size:
            self.foreign += 1
            return []
        octets, end = datagram[: -_CRC.size], len(datagram) - _CRC.size
        if _CRC.unpack_from(datagram, end)[0] != zlib.crc32(octets):
            self.crc_errors += 1
            return []
        magic, version, count = _HEAD.unpack_from(octets)
        messages = None if (magic, version) != (MAGIC, PROTOCOL_VERSION) else _cut(octets, count)
        if messages is None:
            self.foreign += 1
            return []
        return messages


def _cut(octets: bytes, count: int) -> list[Message] | None:
    """The announced messages, or None when their lengths and the datagram's disagree."""
    messages: list[Message] = []
    at = _HEAD.size
    for _ in range(count):
        if at + _LENGTH.size + HEADER.size > len(octets):
            return None
        (length,) = _LENGTH.unpack_from(octets, at)
        kind, seq, address, words, status = HEADER.unpack_from(octets, at + _LENGTH.size)
        at += _LENGTH.size + HEADER.size
        payload = octets[at : at + length]
        at += length
        messages.append(Message(kind, seq, address, words, status, payload))
    return messages if at == len(octets) else None
