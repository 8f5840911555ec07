"""Emulated White Rabbit switch: a slave port, its servo, and the SNMP agent in front (instruments.md 3.4).

Owns the objects of WR-SWITCH-MIB that concern the clock, and a servo whose offset wanders by some ps while
it tracks. Quirks that are on: the agent reads the servo only every 5 s; the offset is told as its magnitude,
as newer releases do; a servo that has stopped (`stopped`) keeps showing its last state. Without lock
(Fault.DRIFT) it goes back to SYNC_PHASE and the offset runs away.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from pysnmp.proto.api import v2c

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.snmp_words import ObjectId
from bellwire.drivers.wr_objects import CACHE_S, Servo, ServoState, Version
from bellwire.simulator_backend.devices.datagram_line import DatagramLine
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.snmp_agent import SnmpAgent, is_set

PORT = 161
SERIAL_NUMBER = "WRS-0042"
SOFTWARE = "v6.1"
SYSTEM: ObjectId = (1, 3, 6, 1, 2, 1, 1)
DESCRIPTION = b"White Rabbit switch, emulated"

UPDATE_S = 1.0
FIBRE_M = 5_000
LIGHT_M_PER_S = 299_792_458.0
REFRACTIVE_INDEX = 1.4688
"""What the agent takes for G.652 fibre."""
DELTAS_PS = (223_000, 226_000, 223_000, 227_000)
WANDER_PS = ((6.0, 37.0), (3.0, 11.0), (1.5, 3.3))
"""Amplitude and period in s of what the offset wanders by while the servo tracks."""
RUNAWAY_PS_PER_S = 800.0
INTEGER_MAX = (1 << 31) - 1


class WrSwitchModel(DeviceModel):
    """One powered switch. `pace` multiplies the periods of agent and servo."""

    def __init__(
        self,
        *,
        serial_number: str = SERIAL_NUMBER,
        pace: float = 1.0,
        seed: int = 0,
        fibre_m: float = FIBRE_M,
    ) -> None:
        chance = random.Random(seed)
        self._phases = [chance.uniform(0.0, 2 * math.pi) for _ in WANDER_PS]
        self._update_s, self._cache_s = UPDATE_S * pace, CACHE_S * pace
        self._round_trip_ps = round(2e12 * fibre_m * REFRACTIVE_INDEX / LIGHT_M_PER_S)
        self.stopped = False
        self.updates = 0
        self._state_errors = 0
        self._begun_ns: int | None = None
        self._updated_at_ns = 0
        self._unlocked_at_ns: int | None = None
        self._read_at_ns: int | None = None
        self._row: dict[Servo, Any] = {}
        self._now_ns = 0
        self._agent = SnmpAgent(self._objects(serial_number.encode("utf-8")))

    def _objects(self, serial_number: bytes) -> dict[ObjectId, Callable[[], Any]]:
        texts = {
            Version.SOFTWARE: SOFTWARE.encode("ascii"),
            Version.BUILD_BY: b"emulated",
            Version.BUILD_DATE: b"unknown",
            Version.BACKPLANE: b"3.3",
            Version.FPGA_TYPE: b"LX240T",
            Version.MANUFACTURER: b"emulated",
            Version.SERIAL_NUMBER: serial_number,
        }
        objects: dict[ObjectId, Callable[[], Any]] = {
            (*SYSTEM, 1, 0): lambda: v2c.OctetString(DESCRIPTION),
            (*SYSTEM, 3, 0): lambda: v2c.TimeTicks(self._up_s() * 100 % 2**32),
        }
        for version, text in texts.items():
            objects[version.object_id] = partial(v2c.OctetString, text)
        for column in Servo:
            objects[column.object_id] = partial(self._told, column)
        return objects

    def _told(self, column: Servo) -> Any:
        return self._row[column]

    # -- datagrams ------------------------------------------------------------------------------------------

    def split(self, buffer: bytearray) -> list[bytes]:
        datagram = bytes(buffer)
        buffer.clear()
        return [datagram]

    def changes(self, request: bytes) -> bool:
        return is_set(request)

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._serve(now_ns)
        reply = self._agent.answer(request)
        return [] if reply is None else [Answer(reply)]

    def damaged(self, octets: bytes) -> bytes:
        """UDP has a checksum: the receiving host drops such a datagram, and nobody sees it."""
        return b""

    def unasked(self, now_ns: int) -> bytes:
        return b"\x30\x00"

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is not Fault.DRIFT:
            raise LocalMisuse(f"a White Rabbit switch has no {fault.value}")
        self._unlocked_at_ns = now_ns if on else None
        self._state_errors += on
        self._read_at_ns = None

    # -- servo ----------------------------------------------------------------------------------------------

    def _serve(self, now_ns: int) -> None:
        self._now_ns = now_ns
        if self._begun_ns is None:
            self._begun_ns = self._updated_at_ns = now_ns
        if not self.stopped:
            self._update(now_ns)
        if self._read_at_ns is None or now_ns - self._read_at_ns >= self._cache_s * 1e9:
            self._read_at_ns = now_ns
            self._row = self._fresh_row()

    def _update(self, now_ns: int) -> None:
        period_ns = round(self._update_s * 1e9)
        due = 1 if period_ns == 0 else (now_ns - self._updated_at_ns) // period_ns
        self.updates += due
        self._updated_at_ns += due * period_ns

    def _up_s(self) -> int:
        return 0 if self._begun_ns is None else (self._now_ns - self._begun_ns) // 10**9

    def _offset_ps(self) -> float:
        at_s = self._updated_at_ns / 1e9 % 1e6
        offset_ps = sum(
            amplitude * math.sin(2 * math.pi * at_s / period + phase)
            for (amplitude, period), phase in zip(WANDER_PS, self._phases, strict=True)
        )
        if self._unlocked_at_ns is not None:
            offset_ps += RUNAWAY_PS_PER_S * (self._now_ns - self._unlocked_at_ns) / 1e9
        return offset_ps

    def _fresh_row(self) -> dict[Servo, Any]:
        locked = self._unlocked_at_ns is None
        state = ServoState.TRACK_PHASE if locked else ServoState.SYNC_PHASE
        offset_ps = abs(round(self._offset_ps()))
        tx_master, rx_master, tx_slave, rx_slave = DELTAS_PS
        length_m = int(self._round_trip_ps / 2e12 * LIGHT_M_PER_S / REFRACTIVE_INDEX)
        return {
            Servo.PORT_NAME: v2c.OctetString(b"wri1"),
            Servo.GRANDMASTER_ID: v2c.OctetString(bytes.fromhex("080030fffe000001")),
            Servo.OWN_ID: v2c.OctetString(bytes.fromhex("080030fffe000002")),
            Servo.MODE: v2c.Integer32(3),
            Servo.STATE: v2c.OctetString(state.name.encode("ascii")),
            Servo.STATE_NUMBER: v2c.Integer32(state),
            Servo.PHASE_TRACKING: v2c.Integer32(2 if locked else 1),
            Servo.SYNC_SOURCE: v2c.OctetString(b"wri1"),
            Servo.CLOCK_OFFSET_PS: v2c.Counter64(offset_ps),
            Servo.CLOCK_OFFSET_READABLE_PS: v2c.Integer32(min(offset_ps, INTEGER_MAX)),
            Servo.SKEW_PS: v2c.Integer32(0),
            Servo.ROUND_TRIP_PS: v2c.Counter64(self._round_trip_ps + sum(DELTAS_PS)),
            Servo.LINK_LENGTH_M: v2c.Unsigned32(length_m),
            Servo.UPDATES: v2c.Counter32(self.updates % 2**32),
            Servo.DELTA_TX_MASTER_PS: v2c.Integer32(tx_master),
            Servo.DELTA_RX_MASTER_PS: v2c.Integer32(rx_master),
            Servo.DELTA_TX_SLAVE_PS: v2c.Integer32(tx_slave),
            Servo.DELTA_RX_SLAVE_PS: v2c.Integer32(rx_slave),
            Servo.STATE_ERRORS: v2c.Counter32(self._state_errors),
            Servo.OFFSET_ERRORS: v2c.Counter32(0),
            Servo.ROUND_TRIP_ERRORS: v2c.Counter32(0),
            Servo.UPDATE_TIME_NS: v2c.Counter64(self._updated_at_ns),
        }


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A White Rabbit switch on a UDP port."""
    place = order.tcp(PORT)  # the grammar of places is the same
    serial_number = SERIAL_NUMBER if order.serial_number is None else order.serial_number
    return InstrumentEmulator(
        order.name,
        lambda: WrSwitchModel(serial_number=serial_number, pace=order.pace, seed=order.seed),
        [DatagramLine(place.port, place.host)],
        pace=order.pace,
        seed=order.seed,
    )
