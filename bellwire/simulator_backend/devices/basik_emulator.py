"""Emulated NKT Koheras BASIK in its ADJUSTIK frame: registers behind NKTP telegrams (instruments.md 6.1).

Owns the registers of two modules of one bus, the laser (33h at address 1) and the frame (34h at 80h), and
the light. The power at the laser's output is the knob `pump_mw` of the World. A telegram with a wrong
checksum is answered with CRCERR, an unknown register and a value that is not allowed with NACK.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.nktp_words import (
    DATA_BYTES_MAX,
    HOSTS,
    BadTelegram,
    Kind,
    Telegram,
    next_frame,
    unframed,
)
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

LASER, FRAME = 0x01, 0x80
SERIAL_NUMBER = "18370042"
FIRMWARE = struct.pack("<H", 0x0103) + b"BASIK emulated\0"
RATED_MW = 500.0
"""What the emulated module can; a boosted one."""
SETTLING_S = 0.2
DRIFT_PER_S = 0.02
"""Share of its power that a drifting laser loses in a second."""
ANSWER_S = 0.003
BUFFER_BYTES_MAX = 2 * (DATA_BYTES_MAX + 8) + 2
EMITTING, INTERLOCK_OFF, STABLE, ERROR_PRESENT = 0x0001, 0x0002, 0x4000, 0x8000
NO_ERROR, INTERLOCK = 0, 2


@dataclass(frozen=True, slots=True)
class _Register:
    """How a register is read; and, if it may be written, what takes the bytes (False: not allowed)."""

    read: Callable[[], bytes]
    write: Callable[[bytes], bool] | None = None


class BasikModel(DeviceModel):
    """One powered laser: emission off, power setpoint as delivered."""

    tick_s = 0.1

    def __init__(self, wiring: Wiring, *, serial_number: str = SERIAL_NUMBER, pace: float = 1.0) -> None:
        self._wiring = wiring
        self._settling_s = SETTLING_S * pace
        self.emission = False
        self.power_set_units = 1000
        self.wavelength_offset_units = 0
        self.setup_bits = 0
        self.user_area = b"\0" * DATA_BYTES_MAX
        self.power_mw = 0.0
        self.interlock_open = False
        self._drifting = False
        self._lost_share = 0.0
        self._at_ns: int | None = None
        self._modules = {
            LASER: self._laser(serial_number.encode("ascii")),
            FRAME: {
                0x61: _Register(lambda: b"\x34"),
                0x65: _Register(lambda: b"FRAME1\0\0"),
                0x66: _Register(lambda: b"\0\0"),
                0x67: _Register(lambda: b"\0"),
            },
        }

    def _laser(self, serial_number: bytes) -> dict[int, _Register]:
        def fixed(value: bytes) -> _Register:
            return _Register(lambda: value)

        return {
            0x17: _Register(lambda: _u16(round(self.power_mw * 100))),
            0x1C: fixed(struct.pack("<h", 254)),
            0x1E: fixed(_u16(12_050)),
            0x22: _Register(lambda: _u16(self.power_set_units), self._set_power),
            0x2A: _Register(lambda: struct.pack("<h", self.wavelength_offset_units), self._set_offset),
            0x30: _Register(lambda: bytes([self.emission]), self._set_emission),
            0x31: _Register(lambda: _u16(self.setup_bits), self._set_setup),
            0x32: fixed(struct.pack("<L", 15_501_200)),
            0x61: fixed(b"\x33"),
            0x64: fixed(FIRMWARE),
            0x65: fixed(serial_number),
            0x66: _Register(lambda: _u16(self._status())),
            0x67: _Register(lambda: bytes([INTERLOCK if self.interlock_open else NO_ERROR])),
            0x72: _Register(lambda: struct.pack("<l", self.wavelength_offset_units)),
            0x8D: _Register(lambda: self.user_area, self._set_user_area),
            0x90: _Register(lambda: struct.pack("<h", _dbm_units(self.power_mw))),
            0xA0: _Register(
                lambda: struct.pack("<h", _dbm_units(self.power_set_units / 100)), self._set_power_dbm
            ),
        }

    # -- telegrams ------------------------------------------------------------------------------------------

    def split(self, buffer: bytearray) -> list[bytes]:
        frames: list[bytes] = []
        rest = bytes(buffer)
        while (found := next_frame(rest)) is not None:
            frames.append(found[0])
            rest = found[1]
        buffer[:] = rest[-BUFFER_BYTES_MAX:]
        return frames

    def changes(self, request: bytes) -> bool:
        try:
            kind = Telegram.decoded(request).kind
        except BadTelegram:
            return False
        return kind in (Kind.WRITE, Kind.SET_BITS, Kind.CLEAR_BITS, Kind.TOGGLE_BITS)

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._shine(now_ns)
        try:
            asked = Telegram.decoded(request)
        except BadTelegram:
            return self._complaint(request)
        module = self._modules.get(asked.destination)
        if module is None:
            return []  # nobody on the bus has this address
        kind, data = self._answered(module.get(asked.register), asked)
        self._shine(now_ns)
        return [_reply(asked, kind, data)]

    def tick(self, now_ns: int) -> list[Answer]:
        self._shine(now_ns)
        return []

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [_reply(Telegram.decoded(request), Kind.ACK)]

    def unasked(self, now_ns: int) -> bytes:
        return Telegram(HOSTS[-1], LASER, Kind.DATAGRAM, 0x17, b"\0\0").encoded()

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is Fault.INTERLOCK:
            self.interlock_open = on
            self.emission = self.emission and not on
        elif fault is Fault.DRIFT:
            self._shine(now_ns)
            self._drifting = on
        else:
            raise LocalMisuse(f"a BASIK has no {fault.value}")
        self._shine(now_ns)

    def _complaint(self, request: bytes) -> list[Answer]:
        """CRCERR to whoever seems to have asked; nothing when the addresses are lost too."""
        try:
            plain = unframed(request)
        except BadTelegram:
            return []
        if len(plain) < 4 or plain[0] not in self._modules or plain[1] not in HOSTS:
            return []
        return [Answer(Telegram(plain[1], plain[0], Kind.CRC_ERROR, plain[3]).encoded(), ANSWER_S)]

    def _answered(self, register: _Register | None, asked: Telegram) -> tuple[Kind, bytes]:
        if register is None:
            return Kind.NACK, b""
        if asked.kind is Kind.READ:
            return Kind.DATAGRAM, register.read()
        if register.write is None:
            return Kind.NACK, b""
        value = asked.data
        if asked.kind is not Kind.WRITE:
            held = int.from_bytes(register.read(), "little")
            bits = int.from_bytes(asked.data, "little")
            changed = {
                Kind.SET_BITS: held | bits,
                Kind.CLEAR_BITS: held & ~bits,
                Kind.TOGGLE_BITS: held ^ bits,
            }.get(asked.kind)
            if changed is None or len(asked.data) != len(register.read()):
                return Kind.NACK, b""
            value = changed.to_bytes(len(asked.data), "little")
        return (Kind.ACK if register.write(value) else Kind.NACK), b""

    # -- registers ------------------------------------------------------------------------------------------

    def _set_power(self, value: bytes) -> bool:
        if len(value) != 2 or int.from_bytes(value, "little") > RATED_MW * 100:
            return False
        self.power_set_units = int.from_bytes(value, "little")
        return True

    def _set_power_dbm(self, value: bytes) -> bool:
        if len(value) != 2:
            return False
        (units,) = struct.unpack("<h", value)
        return self._set_power(_u16(min(0xFFFF, round(100 * 10 ** (units / 1000)))))

    def _set_offset(self, value: bytes) -> bool:
        if len(value) != 2:
            return False
        (self.wavelength_offset_units,) = struct.unpack("<h", value)
        return True

    def _set_emission(self, value: bytes) -> bool:
        if value not in (b"\0", b"\1") or (value == b"\1" and self.interlock_open):
            return False
        self.emission = value == b"\1"
        return True

    def _set_setup(self, value: bytes) -> bool:
        if len(value) != 2:
            return False
        self.setup_bits = int.from_bytes(value, "little")
        return True

    def _set_user_area(self, value: bytes) -> bool:
        self.user_area = value.ljust(DATA_BYTES_MAX, b"\0")
        return True

    def _status(self) -> int:
        if self.interlock_open:
            return INTERLOCK_OFF | ERROR_PRESENT
        return STABLE | (EMITTING if self.emission else 0)

    # -- light ----------------------------------------------------------------------------------------------

    def _shine(self, now_ns: int) -> None:
        """First order towards the set power; dark at once when emission goes off."""
        elapsed_s = 0.0 if self._at_ns is None else (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        if self._drifting:
            self._lost_share = 1 - (1 - self._lost_share) * math.exp(-DRIFT_PER_S * elapsed_s)
        goal_mw = self.power_set_units / 100 if self.emission else 0.0
        settled = not self.emission or self._settling_s <= 0
        share = 1.0 if settled else -math.expm1(-elapsed_s / self._settling_s)
        self.power_mw += (goal_mw - self.power_mw) * share
        # Its own power meter drifts with it: only a meter behind the laser shows the loss.
        self._wiring.turn("pump_mw", self.power_mw * (1 - self._lost_share), now_ns)


def _u16(value: int) -> bytes:
    return struct.pack("<H", value)


def _dbm_units(power_mw: float) -> int:
    return max(-0x8000, round(1000 * math.log10(power_mw))) if power_mw > 0 else -0x8000


def _reply(asked: Telegram, kind: Kind, data: bytes = b"") -> Answer:
    return Answer(Telegram(asked.source, asked.destination, kind, asked.register, data).encoded(), ANSWER_S)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A BASIK on a serial line."""
    serial_number = SERIAL_NUMBER if order.serial_number is None else order.serial_number
    return InstrumentEmulator(
        order.name,
        lambda: BasikModel(order.wiring, serial_number=serial_number, pace=order.pace),
        [order.terminal()],
        pace=order.pace,
        seed=order.seed,
    )
