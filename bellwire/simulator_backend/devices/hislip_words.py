"""The words of HiSLIP 1.0 (IVI-6.1): message types, the header of 16 bytes, control codes.

Owns numbers and headers. Refuses to act: that is hislip_server.py. TLS and SASL of HiSLIP 2.0 are not here; a
server of 1.0 answers them with "unrecognized message type".
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum

from bellwire.core.errors import PeerViolation

PROLOGUE = b"HS"
PROTOCOL_VERSION = 0x0100
VENDOR = 0x4257
"""BW; bellwire has no vendor prefix of the IVI foundation."""

NO_MESSAGE_ID = 0xFFFF_FFFF
FIRST_MESSAGE_ID = 0xFFFF_FF00
"""Of a client, after initialisation and after device clear."""

MESSAGE_BYTES_MAX = 1 << 20
"""Of one HiSLIP message to the server, header included, as AsyncMaximumMessageSize tells the client."""

_HEADER = struct.Struct(">2sBBIQ")
HEADER_BYTES = _HEADER.size
PEER = "HiSLIP client"


class Kind(IntEnum):
    """Message types."""

    INITIALIZE = 0
    INITIALIZE_RESPONSE = 1
    FATAL_ERROR = 2
    ERROR = 3
    ASYNC_LOCK = 4
    ASYNC_LOCK_RESPONSE = 5
    DATA = 6
    DATA_END = 7
    DEVICE_CLEAR_COMPLETE = 8
    DEVICE_CLEAR_ACKNOWLEDGE = 9
    ASYNC_REMOTE_LOCAL_CONTROL = 10
    ASYNC_REMOTE_LOCAL_RESPONSE = 11
    TRIGGER = 12
    INTERRUPTED = 13
    ASYNC_INTERRUPTED = 14
    ASYNC_MAX_MESSAGE_SIZE = 15
    ASYNC_MAX_MESSAGE_SIZE_RESPONSE = 16
    ASYNC_INITIALIZE = 17
    ASYNC_INITIALIZE_RESPONSE = 18
    ASYNC_DEVICE_CLEAR = 19
    ASYNC_SERVICE_REQUEST = 20
    ASYNC_STATUS_QUERY = 21
    ASYNC_STATUS_RESPONSE = 22
    ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 23
    ASYNC_LOCK_INFO = 24
    ASYNC_LOCK_INFO_RESPONSE = 25


class Fatal(IntEnum):
    """Control codes of FatalError; the connection ends."""

    UNIDENTIFIED = 0
    BAD_HEADER = 1
    CHANNELS_MISSING = 2
    BAD_INITIALIZATION = 3
    TOO_MANY_CLIENTS = 4


class Mistake(IntEnum):
    """Control codes of Error; the message is ignored and the session goes on."""

    UNIDENTIFIED = 0
    MESSAGE_TYPE = 1
    CONTROL_CODE = 2
    VENDOR_MESSAGE = 3
    TOO_LARGE = 4


class LockAnswer(IntEnum):
    """Control codes of AsyncLockResponse."""

    FAILURE = 0
    SUCCESS = 1
    SHARED_RELEASED = 2
    ERROR = 3


RELEASE, REQUEST = 0, 1
"""Control codes of AsyncLock."""

RMT_DELIVERED = 1
"""Control code of Data, DataEnd, Trigger, AsyncStatusQuery: the client has read the last response to its
end.
"""

REMOTE_LOCAL_CODES = range(7)
VENDOR_KINDS = range(128, 256)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `kind` is a Kind where the number is one. `payload` None: it was too long and is lost."""

    kind: int
    control: int
    parameter: int
    payload: bytes | None = b""


def pack(kind: Kind, control: int = 0, parameter: int = 0, payload: bytes = b"") -> bytes:
    """A message as it is sent."""
    return _HEADER.pack(PROLOGUE, kind, control, parameter, len(payload)) + payload


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message; a payload beyond MESSAGE_BYTES_MAX is passed over.

    Raises PeerViolation for what is no header, IncompleteReadError at the end.
    """
    header = await reader.readexactly(HEADER_BYTES)
    prologue, kind, control, parameter, length = _HEADER.unpack(header)
    if prologue != PROLOGUE:
        raise PeerViolation(PEER, f"a message begins with {prologue!r} instead of {PROLOGUE!r}")
    if length <= MESSAGE_BYTES_MAX:
        return Message(kind, control, parameter, await reader.readexactly(length))
    while length > 0:
        length -= len(await reader.readexactly(min(length, MESSAGE_BYTES_MAX)))
    return Message(kind, control, parameter, None)
