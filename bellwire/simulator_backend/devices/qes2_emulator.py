"""Emulated Qubitekk QES2: a slow box with silent orders, a crystal and a pump laser (instruments.md 4.5).

Owns the dialect, the crystal and the laser. Knobs of the World: `temperature_c` of the crystal, `current_ma`
of the diode, `pump_mw` of its light. How the set point becomes degrees, and how the power's steps become a
current, is known of no real box: the laws here are falling and rising straight lines, so that a driver which
takes the numbers for degrees or milliamperes is found out.
"""

from __future__ import annotations

import math

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

BAUD_RATE = 115_200
FIRMWARE = "QES v2.4"
LASER_ID = "PL-2024-017"
SETPOINT = (10_000, 50_000)
SETPOINT_DEFAULT = 35_000
POWER_STEPS_MAX = 8_000
CURRENT_MA = (20, 120)
THRESHOLD_MA, SLOPE_MW_PER_MA = 30.0, 0.6
ROOM_C = 23.0
CRYSTAL_S = 3.0
ANSWER_S = 0.1
ORDER_S = 0.6
DRIFT_C_PER_S = 0.05


def setpoint_c(setpoint: int) -> float:
    """The temperature that a set point means, in C: 50 at 10000 steps, 10 at 50000."""
    return 60.0 - setpoint / 1000


class Qes2Model(LineModel):
    """One powered box: laser off, crystal regulated from room temperature on. `settling_s` is the time
    constant of the crystal.
    """

    tick_s = 0.1
    line_bytes_max = 64

    def __init__(self, wiring: Wiring, laser_id: str = LASER_ID, settling_s: float = CRYSTAL_S) -> None:
        self._wiring = wiring
        self._laser_id = laser_id
        self._settling_s = settling_s
        self.setpoint = SETPOINT_DEFAULT
        self.current_set_ma: float = CURRENT_MA[0]
        self.lit = False
        self.temperature_c = ROOM_C
        self.at_fault = False
        self.turned_on = 0
        self._drifting = False
        self._drift_c = 0.0
        self._at_ns: int | None = None

    @property
    def current_ma(self) -> float:
        """What flows through the diode."""
        return float(self.current_set_ma) if self.lit else 0.0

    @property
    def power_steps(self) -> int:
        """The set power: the same quantity as the set current, on another scale."""
        least_ma, most_ma = CURRENT_MA
        return round((self.current_set_ma - least_ma) / (most_ma - least_ma) * POWER_STEPS_MAX)

    def power_on(self, now_ns: int) -> None:
        self._pass_time(now_ns)

    def power_off(self, now_ns: int) -> None:
        self.lit = False
        self._show(now_ns)
        self._wiring.turn("temperature_c", ROOM_C, now_ns)  # nobody watches it cool down

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._pass_time(now_ns)
        answers = super().execute(request, now_ns)
        self._show(now_ns)
        return answers or [Answer(b"", ORDER_S if self.changes(request) else 0.0)]

    def delay_s(self, request: bytes) -> float:
        return ANSWER_S

    def reply(self, line: str, now_ns: int) -> str | None:
        command, _, value = line.upper().partition(" ")
        match command:
            case "FIRM?":
                return FIRMWARE
            case "TEMP?":
                return f"{self.temperature_c:.2f}"
            case "SETP?":
                return str(self.setpoint)
            case "FAUL?":
                return str(int(self.at_fault))
            case "HORC?":
                return "H" if setpoint_c(self.setpoint) > ROOM_C else "C"
            case "PLST?":
                return "APC" if self.lit else "OFF"
            case "PLCR?":
                return f"{self.current_ma:.1f}"
            case "PLDC?":
                return str(self.power_steps)
            case "PLID?":
                return self._laser_id
            case "PLTO?":
                return str(self.turned_on)
            case _:
                self._obey(command, value.strip())
                return None  # orders are silent, and so is what it does not know

    def tick(self, now_ns: int) -> list[Answer]:
        self._pass_time(now_ns)
        return []

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is Fault.INTERLOCK:
            self.at_fault = on
            self.lit = self.lit and not on
        elif fault is Fault.DRIFT:
            self._pass_time(now_ns)
            self._drifting = on  # the crystal leaves the sensor behind
        else:
            raise LocalMisuse(f"a QES2 has no {fault.value}")
        self._show(now_ns)

    def _obey(self, command: str, value: str) -> None:
        if command == ":PLON" and not self.at_fault:
            self.turned_on += not self.lit
            self.lit = True
        elif command == ":PLOF":
            self.lit = False
        if not value.isdigit():
            return
        number = int(value)
        if command == ":SETT" and SETPOINT[0] <= number <= SETPOINT[1]:
            self.setpoint = number
        elif command == ":PLDC" and CURRENT_MA[0] <= number <= CURRENT_MA[1]:
            self.current_set_ma = number
        elif command == ":PLSD" and number <= POWER_STEPS_MAX:
            least_ma, most_ma = CURRENT_MA
            self.current_set_ma = least_ma + number / POWER_STEPS_MAX * (most_ma - least_ma)

    def _pass_time(self, now_ns: int) -> None:
        elapsed_s = 0.0 if self._at_ns is None else (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        if self._drifting:
            self._drift_c += DRIFT_C_PER_S * elapsed_s
        share = 1.0 if self._settling_s <= 0 else -math.expm1(-elapsed_s / self._settling_s)
        if elapsed_s > 0:
            self.temperature_c += (setpoint_c(self.setpoint) - self.temperature_c) * share
        self._show(now_ns)

    def _show(self, now_ns: int) -> None:
        self._wiring.turn("temperature_c", self.temperature_c + self._drift_c, now_ns)
        self._wiring.turn("current_ma", self.current_ma, now_ns)
        self._wiring.turn("pump_mw", SLOPE_MW_PER_MA * max(0.0, self.current_ma - THRESHOLD_MA), now_ns)


def make(order: EmulatorOrder, *, baud_rate: int = BAUD_RATE) -> InstrumentEmulator:
    """A QES2 on a serial line, at the rate that the box was made for."""
    return InstrumentEmulator(
        order.name,
        lambda: Qes2Model(order.wiring, order.serial_number or LASER_ID, CRYSTAL_S * order.pace),
        [order.terminal(baud_rate)],
        pace=order.pace,
        seed=order.seed,
    )
