"""Words of Swabian's Pulse Streamer 8/2: its ports, its binary messages, its choices.

Owns the layout of the binary protocol of port 21328 (instruments.md section 3.2), which the maker's client
speaks and an emulator must understand. Refuses to send anything.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

RPC_PORT = 8050
BINARY_PORT = 21328
"""Both are fixed in the maker's client: an instrument needs an address of its own."""
RPC_PATH = "/json-rpc"

CHANNELS = tuple(range(8))
GRAIN_NS = 8
"""Sequences are played in pieces of this length."""
STEPS_MAX = 2_000_000
FOR_EVER = -1

CLOCKS = ("internal", "external_125_mhz", "external_10_mhz")
STARTS = ("immediate", "software", "rising", "falling", "both_edges")
REARMS = ("auto", "manual")
"""Choices in the order of the maker's numbers."""

MAGIC = 0x53504953
COMMAND = struct.Struct("<4I2Q")
STREAM = struct.Struct("<qQ2h4BQ")
UPLOAD = struct.Struct("<qQ2h8BI")
UPLOADED = struct.Struct("<8i")
STEP = struct.Struct("<IBhh")
HEADER_BYTES = 32
STREAM_COMMAND, UPLOAD_COMMAND = 0x0, 0x100
OK, BAD_MAGIC, BAD_COMMAND, BAD_SEQUENCE = 0, 1, 2, 3
"""Error codes of a reply; only 0 is known from the maker."""


class Sequence(NamedTuple):
    """A sequence as it is sent: `runs` -1 = for ever; steps of 9 bytes each; digital mask at its end."""

    runs: int
    steps: bytes
    idle_mask: int
    slot: int


def whole_bytes(buffer: bytes | bytearray) -> int | None:
    """Length of the message that a buffer begins with; None while not even its header is there."""
    if len(buffer) < HEADER_BYTES:
        return None
    magic, _, _, _, length, _ = COMMAND.unpack_from(buffer)
    return HEADER_BYTES + length if magic == MAGIC else HEADER_BYTES


def sequence_of(message: bytes) -> Sequence:
    """The sequence in a stream or upload message. Raises ValueError when lengths do not agree."""
    if len(message) < HEADER_BYTES:
        raise ValueError(f"a message of {len(message)} bytes has no header")
    _, _, command, _, length, _ = COMMAND.unpack_from(message)
    layout = STREAM if command == STREAM_COMMAND else UPLOAD
    if length < HEADER_BYTES or len(message) != HEADER_BYTES + length:
        raise ValueError(f"a message of {len(message)} bytes says {length}")
    fields = layout.unpack_from(message, HEADER_BYTES)
    runs, count, idle_mask, slot = fields[0], fields[1], fields[4], fields[8]
    start, stop = 2 * HEADER_BYTES, 2 * HEADER_BYTES + count * STEP.size
    padded = stop + HEADER_BYTES - count * STEP.size % HEADER_BYTES
    if not 0 < count <= STEPS_MAX or padded != len(message):
        raise ValueError(f"{count} steps in a message of {len(message)} bytes")
    return Sequence(runs, bytes(message[start:stop]), idle_mask, slot)


def reply_of(message: bytes, code: int, *, further_bytes: int = 0) -> bytes:
    """The reply to a message: its number, and a code."""
    _, number, _, _, _, _ = COMMAND.unpack_from(message)
    return COMMAND.pack(MAGIC, number, code, 0, further_bytes, 0)
