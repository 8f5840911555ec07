"""Byte codec of the framed protocol on a serial line (fpga.md section 7): flags, escapes, CRC, message
header.

Owns the bytes between the two flags. Sans I/O: it takes bytes and gives messages, for the host and for the
device alike. Refuses to know what a message means (`frames.py`) and who answers whom (`framed_device.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

FLAG = 0x7E
ESCAPE = 0x7D
ESCAPE_XOR = 0x20
HEADER = struct.Struct("<BBHBB")
FRAME_BYTES_MAX = 2048
"""Longest unescaped frame, CRC included; a longer one is noise and is dropped."""
PROTOCOL_VERSION = 1
REPLY_BIT = 0x80


class FrameType(IntEnum):
    """First byte of a message."""

    WRITE = 0x01
    READ = 0x02
    READ_FIXED = 0x03
    WRITE_FIXED = 0x04
    HELLO = 0x05
    GET = 0x06
    CREDIT = 0x10
    EVENTS = 0x40
    BOUND = 0x41
    LOST = 0x42


class Status(IntEnum):
    """Status byte of a reply."""

    OK = 0
    BAD_TYPE = 1
    BAD_ADDRESS = 2
    READ_ONLY = 3
    RANGE = 4
    BUSY = 5


@dataclass(frozen=True, slots=True)
class Message:
    """One message: header fields and payload. `status` is flags in a request and a Status in a reply."""

    type: int
    seq: int
    address: int = 0
    count: int = 0
    status: int = 0
    payload: bytes = b""

    def words(self) -> tuple[int, ...]:
        """The payload as 32-bit little-endian words (a ragged tail is left out)."""
        return struct.unpack_from(f"<{len(self.payload) // 4}I", self.payload)


def pack_words(words: tuple[int, ...] | list[int]) -> bytes:
    """32-bit words as payload bytes, little endian."""
    return struct.pack(f"<{len(words)}I", *words)


def spoken(words: type[IntEnum], value: int) -> str:
    """The name of an enumerated word in plain letters, or its number when it has none."""
    try:
        return words(value).name.lower().replace("_", " ")
    except ValueError:
        return str(value)


def _crc_table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_TABLE = _crc_table()


def crc16_x25(octets: bytes) -> int:
    """CRC-16/X.25: polynomial 0x1021 reflected, start and final XOR 0xFFFF; "123456789" gives 0x906E."""
    crc = 0xFFFF
    for octet in octets:
        crc = (crc >> 8) ^ _TABLE[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFF


def encode_frame(message: Message) -> bytes:
    """The message as bytes for the line: flag, escaped header + payload + CRC (low byte first), flag."""
    body = (
        HEADER.pack(message.type, message.seq, message.address, message.count, message.status)
        + message.payload
    )
    body += struct.pack("<H", crc16_x25(body))
    body = body.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return b"\x7e" + body + b"\x7e"


class FrameDecoder:
    """Cuts a byte stream into messages. Damaged frames are dropped and counted, never repaired.

    Counters: `crc_errors` (CRC or escape wrong), `short_frames` (too short for a header), `long_frames`.
    """

    __slots__ = ("_frame", "_overlong", "crc_errors", "long_frames", "short_frames")

    def __init__(self) -> None:
        self._frame = bytearray()
        self._overlong = False
        self.crc_errors = 0
        self.short_frames = 0
        self.long_frames = 0

    def feed(self, octets: bytes) -> list[Message]:
        """The messages completed by these bytes, in order."""
        messages: list[Message] = []
        start = 0
        while (end := octets.find(FLAG, start)) >= 0:
            self._append(octets[start:end])
            message = self._finish()
            if message is not None:
                messages.append(message)
            start = end + 1
        self._append(octets[start:])
        return messages

    def _append(self, part: bytes) -> None:
        # Twice the limit because every byte may have been escaped; what is longer cannot become a frame any
        # more.
        if self._overlong or len(self._frame) + len(part) > 2 * FRAME_BYTES_MAX:
            self._overlong = True
            self._frame.clear()
            return
        self._frame += part

    def _finish(self) -> Message | None:
        escaped, overlong = bytes(self._frame), self._overlong
        self._frame.clear()
        self._overlong = False
        if overlong:
            self.long_frames += 1
            return None
        if not escaped:  # two flags in a row: closing and opening
            return None
        body = _unescape(escaped)
        if body is None:
            self.crc_errors += 1
            return None
        if len(body) < HEADER.size + 2:
            self.short_frames += 1
            return None
        if crc16_x25(body[:-2]) != body[-2] | body[-1] << 8:
            self.crc_errors += 1
            return None
        kind, seq, address, count, status = HEADER.unpack_from(body)
        return Message(kind, seq, address, count, status, body[HEADER.size : -2])


def _unescape(escaped: bytes) -> bytes | None:
    """The bytes without escapes, or None when an escape is followed by nothing (an aborted frame)."""
    if ESCAPE not in escaped:
        return escaped
    pieces = escaped.split(b"\x7d")
    body = bytearray(pieces[0])
    for piece in pieces[1:]:
        if not piece:
            return None
        body.append(piece[0] ^ ESCAPE_XOR)
        body += piece[1:]
    return bytes(body)
