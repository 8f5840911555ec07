"""Words of the Thorlabs APT protocol, as far as a polarisation controller speaks it (instruments.md 5.3).

Owns framing and the layout of each message, both ways; no bytes move here. The protocol has neither checksum
nor start byte: whoever reads an unknown message id has lost the place and must drain the line. Sources: the
public drivers of QMI and PnPQ, which disagree about the length of MOVE_COMPLETED: both are read here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

HEADER_BYTES = 6
DATA_BYTES_MAX = 256
LONG = 0x80
"""In the destination: data follow the header."""
HOST, DEVICE = 0x01, 0x50
ENABLED, DISABLED = 0x01, 0x02


class Id(IntEnum):
    """Message ids."""

    HW_DISCONNECT = 0x0002
    HW_REQ_INFO = 0x0005
    HW_GET_INFO = 0x0006
    HW_START_UPDATEMSGS = 0x0011
    HW_STOP_UPDATEMSGS = 0x0012
    SET_CHANENABLESTATE = 0x0210
    REQ_CHANENABLESTATE = 0x0211
    GET_CHANENABLESTATE = 0x0212
    IDENTIFY = 0x0223
    MOVE_HOME = 0x0443
    MOVE_HOMED = 0x0444
    MOVE_ABSOLUTE = 0x0453
    MOVE_COMPLETED = 0x0464
    MOVE_STOP = 0x0465
    MOVE_STOPPED = 0x0466
    MOVE_JOG = 0x046A
    REQ_USTATUSUPDATE = 0x0490
    GET_USTATUSUPDATE = 0x0491
    ACK_USTATUSUPDATE = 0x0492
    SET_EEPROMPARAMS = 0x04B9
    POL_SET_PARAMS = 0x0530
    POL_REQ_PARAMS = 0x0531
    POL_GET_PARAMS = 0x0532


class StatusBit(IntFlag):
    """Bits of a status message that concern a paddle."""

    MOVING_FORWARD = 0x0000_0010
    MOVING_REVERSE = 0x0000_0020
    JOGGING_FORWARD = 0x0000_0040
    JOGGING_REVERSE = 0x0000_0080
    CONNECTED = 0x0000_0100
    HOMING = 0x0000_0200
    HOMED = 0x0000_0400
    POSITION_ERROR = 0x0000_4000
    INSTRUMENT_ERROR = 0x0000_8000
    OVER_TEMPERATURE = 0x0002_0000
    OVERLOAD = 0x0100_0000
    ENCODER_FAULT = 0x0200_0000
    OVER_CURRENT = 0x0400_0000
    POWER_OK = 0x1000_0000
    ACTIVE = 0x2000_0000
    ERROR = 0x4000_0000
    ENABLED = 0x8000_0000


MOVING = (
    StatusBit.MOVING_FORWARD
    | StatusBit.MOVING_REVERSE
    | StatusBit.JOGGING_FORWARD
    | StatusBit.JOGGING_REVERSE
    | StatusBit.HOMING
)
FAULTY = (
    StatusBit.POSITION_ERROR
    | StatusBit.INSTRUMENT_ERROR
    | StatusBit.OVER_TEMPERATURE
    | StatusBit.OVERLOAD
    | StatusBit.ENCODER_FAULT
    | StatusBit.OVER_CURRENT
    | StatusBit.ERROR
)

_HEADER = struct.Struct("<HBBBB")
_LENGTH = struct.Struct("<H")
_HARDWARE = struct.Struct("<l8sHL60sHHH")
_STATUS = struct.Struct("<HlhhI")
_POSITION = struct.Struct("<Hl")
_PADDLES = struct.Struct("<6H")


class UnknownMessage(ValueError):
    """What stands where a message should begin is none: the place in the stream is lost."""


@dataclass(frozen=True, slots=True)
class AptMessage:
    """One message. `data` None: a short one with two parameters; else the parameters are not sent."""

    message_id: Id
    parameter_1: int = 0
    parameter_2: int = 0
    data: bytes | None = None
    destination: int = DEVICE
    source: int = HOST

    def encoded(self) -> bytes:
        """Its bytes on the line."""
        if self.data is None:
            first, second, destination, data = self.parameter_1, self.parameter_2, self.destination, b""
        else:
            first, second = _LENGTH.pack(len(self.data))
            destination, data = self.destination | LONG, self.data
        return _HEADER.pack(self.message_id, first, second, destination, self.source) + data


def decoded(octets: bytes) -> tuple[AptMessage, int] | None:
    """The first message and its length in bytes; None while it is incomplete. Raises UnknownMessage."""
    if len(octets) < HEADER_BYTES:
        return None
    number, first, second, destination, source = _HEADER.unpack_from(octets)
    try:
        message_id = Id(number)
    except ValueError:
        raise UnknownMessage(f"0x{number:04X} is no message id ({octets[:HEADER_BYTES].hex(' ')})") from None
    if not destination & LONG:
        message = AptMessage(message_id, first, second, None, destination, source)
        return message, HEADER_BYTES
    length = first | second << 8
    if length > DATA_BYTES_MAX:
        raise UnknownMessage(f"{message_id.name} of {length} bytes, more than {DATA_BYTES_MAX}")
    stop = HEADER_BYTES + length
    if len(octets) < stop:
        return None
    data = bytes(octets[HEADER_BYTES:stop])
    return AptMessage(message_id, 0, 0, data, destination & ~LONG, source), stop


def messages(octets: bytes) -> tuple[list[AptMessage], bytes]:
    """All whole messages, and what is left. Raises UnknownMessage."""
    found: list[AptMessage] = []
    while (one := decoded(octets)) is not None:
        found.append(one[0])
        octets = octets[one[1] :]
    return found, octets


def channel_mask(paddle: int) -> int:
    """Paddles 1, 2, 3 are the bits 1, 2, 4."""
    return 1 << (paddle - 1)


@dataclass(frozen=True, slots=True)
class Hardware:
    """HW_GET_INFO. `firmware` as three numbers, the highest first."""

    serial_number: int
    model: str
    firmware: tuple[int, int, int]
    channels: int

    def encoded(self) -> bytes:
        """The data of the message."""
        major, interim, minor = self.firmware
        name = self.model.encode("ascii")
        packed = minor | interim << 8 | major << 16
        return _HARDWARE.pack(self.serial_number, name, 0, packed, bytes(60), 3, 0, self.channels)

    @classmethod
    def decoded(cls, data: bytes) -> Hardware:
        """Raises ValueError when the length is not 84 or the model is no text."""
        serial_number, model, _, firmware, _, _, _, channels = _unpack(_HARDWARE, data)
        numbers = (firmware >> 16 & 0xFF, firmware >> 8 & 0xFF, firmware & 0xFF)
        return cls(serial_number, model.rstrip(b"\0 ").decode("ascii"), numbers, channels)


@dataclass(frozen=True, slots=True)
class PaddleStatus:
    """GET_USTATUSUPDATE, and the long MOVE_COMPLETED. `position` in counts; `velocity` in units of the
    controller, signed; `current_ma` of the motor.
    """

    mask: int
    position: int
    velocity: int
    current_ma: int
    bits: StatusBit

    def encoded(self) -> bytes:
        """The data of the message."""
        return _STATUS.pack(self.mask, self.position, self.velocity, self.current_ma, self.bits)

    @classmethod
    def decoded(cls, data: bytes) -> PaddleStatus:
        """Raises ValueError when the length is not 14."""
        mask, position, velocity, current_ma, bits = _unpack(_STATUS, data)
        return cls(mask, position, velocity, current_ma, StatusBit(bits))


@dataclass(frozen=True, slots=True)
class PaddleParameters:
    """POL_SET_PARAMS and POL_GET_PARAMS: velocity in percent of 400 deg/s, positions and steps in counts."""

    velocity_percent: int
    home_position: int
    jog_steps: tuple[int, int, int]

    def encoded(self) -> bytes:
        """The data of the message."""
        return _PADDLES.pack(0, self.velocity_percent, self.home_position, *self.jog_steps)

    @classmethod
    def decoded(cls, data: bytes) -> PaddleParameters:
        """Raises ValueError when the length is not 12."""
        _, velocity, home, first, second, third = _unpack(_PADDLES, data)
        return cls(velocity, home, (first, second, third))


@dataclass(frozen=True, slots=True)
class MoveTo:
    """MOVE_ABSOLUTE: the channel mask and a position in counts."""

    mask: int
    position: int

    def encoded(self) -> bytes:
        """The data of the message."""
        return _POSITION.pack(self.mask, self.position)

    @classmethod
    def decoded(cls, data: bytes) -> MoveTo:
        """Raises ValueError when the length is not 6."""
        mask, position = _unpack(_POSITION, data)
        return cls(mask, position)


def _unpack(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise ValueError(f"{len(data)} bytes of data where {layout.size} belong")
    return layout.unpack(data)
