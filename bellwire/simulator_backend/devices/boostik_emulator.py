"""Emulated NKT BOOSTIK HPA: a fibre amplifier that answers every set with what it has kept (instruments.md
6.2).

Owns the dialect and the light. The power behind the amplifier is the knob `pump_mw` of the World; the light
that comes in is always enough.
"""

from __future__ import annotations

import math

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

SERIAL_NUMBER = "H0042"
CURRENT_MAX_MA = 5_000
THRESHOLD_MA, SLOPE_MW_PER_MA = 200.0, 0.25
INPUT_MW = 10.0
AMBIENT_C = 24.0
HEATING_C_PER_A = 2.5
SETTLING_S = 0.1
DRIFT_PER_S = 0.02
ANSWER_S = 0.004


class BoostikModel(LineModel):
    """One powered amplifier: output off, current 0."""

    tick_s = 0.1
    line_bytes_max = 64

    def __init__(self, wiring: Wiring, *, serial_number: str = SERIAL_NUMBER, pace: float = 1.0) -> None:
        self._wiring = wiring
        self._serial_number = serial_number
        self._settling_s = SETTLING_S * pace
        self.current_set_ma = 0
        self.output = False
        self.current_ma = 0.0
        self.interlock_open = False
        self._drifting = False
        self._lost_share = 0.0
        self._at_ns: int | None = None

    def changes(self, request: bytes) -> bool:
        words = request.split()
        return len(words) > 1 and words[0].upper() in (b"ACC", b"CDO")

    def delay_s(self, request: bytes) -> float:
        return ANSWER_S

    def reply(self, line: str, now_ns: int) -> str | None:
        self._shine(now_ns)
        words = line.upper().split()
        if words and words[0] == "ACC" and len(words) == 2:
            self._set_current(words[1])
        if words and words[0] == "CDO" and len(words) == 2 and words[1] in ("0", "1"):
            self.output = words[1] == "1" and not self.interlock_open
        self._shine(now_ns)
        return self._value(words)

    def acknowledges(self, request: bytes) -> list[Answer]:
        value = self._value(request.decode("ascii", "replace").upper().split())
        return [Answer((value or "").encode("ascii") + self.terminator, ANSWER_S)]

    def tick(self, now_ns: int) -> list[Answer]:
        self._shine(now_ns)
        return []

    def unasked(self, now_ns: int) -> bytes:
        return b"0.000" + self.terminator

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is Fault.INTERLOCK:
            self.interlock_open = on
            self.output = self.output and not on
        elif fault is Fault.DRIFT:
            self._shine(now_ns)
            self._drifting = on
        else:
            raise LocalMisuse(f"a BOOSTIK has no {fault.value}")
        self._shine(now_ns)

    def _value(self, words: list[str]) -> str | None:
        match words:
            case ["ACC", *_]:
                return f"{self.current_set_ma / 1000:.3f}"
            case ["CDO", *_]:
                return str(int(self.output))
            case ["AMC"]:
                return f"{self.current_ma / 1000:.3f}"
            case ["AMT", "1"]:
                return f"{AMBIENT_C + HEATING_C_PER_A * self.current_ma / 1000:.1f}"
            case ["CMA"]:
                return f"{AMBIENT_C:.1f}"
            case ["CMP", "1"]:
                return f"{INPUT_MW:.2f}"
            case ["CDI"]:
                return f"NKT Photonics BOOSTIK HPA SN {self._serial_number}"
            case _:
                return None  # it sends no errors

    def _set_current(self, word: str) -> None:
        try:
            current_ma = 1000 * float(word)
        except ValueError:
            return
        if 0 <= current_ma <= CURRENT_MAX_MA:
            self.current_set_ma = round(current_ma)

    def _shine(self, now_ns: int) -> None:
        elapsed_s = 0.0 if self._at_ns is None else (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        if self._drifting:
            self._lost_share = 1 - (1 - self._lost_share) * math.exp(-DRIFT_PER_S * elapsed_s)
        goal_ma = float(self.current_set_ma) if self.output else 0.0
        settled = not self.output or self._settling_s <= 0
        self.current_ma += (goal_ma - self.current_ma) * (
            1.0 if settled else -math.expm1(-elapsed_s / self._settling_s)
        )
        power_mw = SLOPE_MW_PER_MA * max(0.0, self.current_ma - THRESHOLD_MA)
        self._wiring.turn("pump_mw", power_mw * (1 - self._lost_share), now_ns)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A BOOSTIK HPA on a serial line."""
    serial_number = SERIAL_NUMBER if order.serial_number is None else order.serial_number
    return InstrumentEmulator(
        order.name,
        lambda: BoostikModel(order.wiring, serial_number=serial_number, pace=order.pace),
        [order.terminal()],
        pace=order.pace,
        seed=order.seed,
    )
