"""Telegrams of NKT Photonics' Interbus (NKTP): frames, escapes, checksum (instruments.md 6.1).

Owns the bytes, both ways; no bytes move here. A frame begins at the last 0x0D before its 0x0A, so a damaged
one costs itself and nothing after it. A module answers to the address that asked: a host that takes another
address for each request recognises late answers. Sources: the public drivers of QMI and MSL-Equipment.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from enum import IntEnum

START, END, ESCAPE, SHIFT = 0x0D, 0x0A, 0x5E, 0x40
SPECIAL = frozenset({START, END, ESCAPE})
DATA_BYTES_MAX = 240
TELEGRAM_BYTES_MIN = 6
HOSTS = range(161, 256)
MODULES = range(1, 161)


class Kind(IntEnum):
    """What a telegram is."""

    NACK = 0
    CRC_ERROR = 1
    BUSY = 2
    ACK = 3
    READ = 4
    WRITE = 5
    SET_BITS = 6
    CLEAR_BITS = 7
    DATAGRAM = 8
    TOGGLE_BITS = 9


class BadTelegram(ValueError):
    """A frame that is none: too short, wrong checksum, unknown kind, a broken escape."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """One telegram: addresses, kind, register and data."""

    destination: int
    source: int
    kind: Kind
    register: int
    data: bytes = b""

    def encoded(self) -> bytes:
        """Its bytes on the line. Raises ValueError for more than 240 bytes of data."""
        if len(self.data) > DATA_BYTES_MAX:
            raise ValueError(f"{len(self.data)} bytes of data, more than {DATA_BYTES_MAX}")
        plain = bytes((self.destination, self.source, self.kind, self.register)) + self.data
        return framed(plain + checksum(plain).to_bytes(2, "big"))

    @classmethod
    def decoded(cls, frame: bytes) -> Telegram:
        """The telegram of a frame with its 0x0D and 0x0A. Raises BadTelegram."""
        plain = unframed(frame)
        if len(plain) < TELEGRAM_BYTES_MIN:
            raise BadTelegram(f"{len(plain)} bytes, fewer than {TELEGRAM_BYTES_MIN}")
        body, wanted = plain[:-2], int.from_bytes(plain[-2:], "big")
        if checksum(body) != wanted:
            raise BadTelegram(f"checksum 0x{wanted:04X}, the bytes make 0x{checksum(body):04X}")
        destination, source, number, register = body[:4]
        try:
            kind = Kind(number)
        except ValueError:
            raise BadTelegram(f"{number} is no kind of telegram") from None
        return cls(destination, source, kind, register, body[4:])


def checksum(octets: bytes) -> int:
    """CRC-16 XMODEM: polynomial 0x1021, begins with 0; 0x31C3 for b"123456789"."""
    return binascii.crc_hqx(octets, 0)


def framed(plain: bytes) -> bytes:
    """Escaped, between 0x0D and 0x0A."""
    frame = bytearray([START])
    for octet in plain:
        if octet in SPECIAL:
            frame += bytes((ESCAPE, octet + SHIFT))
        else:
            frame.append(octet)
    frame.append(END)
    return bytes(frame)


def unframed(frame: bytes) -> bytes:
    """Without its ends and escapes. Raises BadTelegram."""
    if len(frame) < 2 or frame[0] != START or frame[-1] != END:
        raise BadTelegram("not between 0x0D and 0x0A")
    plain = bytearray()
    inner = iter(frame[1:-1])
    for octet in inner:
        if octet != ESCAPE:
            plain.append(octet)
            continue
        shifted = next(inner, None)
        if shifted is None or shifted - SHIFT not in SPECIAL:
            raise BadTelegram("a broken escape")
        plain.append(shifted - SHIFT)
    return bytes(plain)


def next_frame(octets: bytes) -> tuple[bytes, bytes] | None:
    """The first whole frame and what follows it; None while there is none. What precedes is passed over."""
    consumed = 0
    while (end := octets.find(END, consumed)) >= 0:
        start = octets.rfind(START, consumed, end)
        if start >= 0:
            return bytes(octets[start : end + 1]), bytes(octets[end + 1 :])
        consumed = end + 1
    return None
