"""Emulated OZ Optics ODL-650: replies that end with Done or an error, a position that is unknown until it was
homed, backlash.

Owns the dialect and the motor. The delay of the light is the knob `delay_ps` of the World. It echoes until it
is told not to: the public driver looks for what it asked for in the second line.
"""

from __future__ import annotations

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

BAUD_RATE = 9_600
STEP_FS = 5.08e-3 / 32_768 / 299_792_458 * 1e15
STEPS_MAX = 1_257_000
STEPS_PER_S = 60_000
ANSWER_S = 0.02
BACKLASH_STEPS = 150
DRIFT_STEPS = 40
BAD_COMMAND, OVERFLOW = "Error-2", "Error-6"


class Odl650Model(LineModel):
    """One powered line. It stands somewhere, and does not know where before FH."""

    terminator = b"\r\n\r\n"

    def __init__(self, wiring: Wiring, serial_number: str, somewhere: int) -> None:
        self._wiring = wiring
        self._serial_number = serial_number
        self._motor = somewhere  # what the motor has done; the carriage follows within its play
        self._carriage = float(somewhere)
        self.known = False
        self.echo = True
        self._slipping = False
        self._took_s = 0.0

    @property
    def steps(self) -> int:
        """What the controller counts."""
        return self._motor

    @property
    def delay_ps(self) -> float:
        """The delay that light really has."""
        return self._carriage * STEP_FS / 1000

    def power_on(self, now_ns: int) -> None:
        self._wiring.turn("delay_ps", self.delay_ps, now_ns)

    def changes(self, request: bytes) -> bool:
        return request.strip().upper() not in (b"S?", b"V1", b"V2", b"D?", b"?")

    def reply(self, line: str, now_ns: int) -> str | None:
        self._took_s = 0.0
        echo = f"{line}\r\n" if self.echo else ""
        content = self._content(line.upper(), now_ns)
        if content.startswith("Error"):
            return f"{echo}{content}"
        return f"{echo}{content}\r\nDone" if content else f"{echo}Done"

    def delay_s(self, request: bytes) -> float:
        return ANSWER_S + self._took_s

    def acknowledges(self, request: bytes) -> list[Answer]:
        echo = request.strip() + b"\r\n" if self.echo else b""
        return [Answer(echo + b"Done" + self.terminator, ANSWER_S)]

    def unasked(self, now_ns: int) -> bytes:
        return b"Done\r\n"

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is not Fault.DRIFT:
            raise LocalMisuse(f"an ODL-650 has no {fault.value}")
        self._slipping = on  # the belt slips at each move, and the controller does not know

    def _content(self, command: str, now_ns: int) -> str:
        match command:
            case "V1":
                return "ODL650V2.1_MC"
            case "V2":
                return self._serial_number
            case "D?":
                return "2021-04-12"
            case "S?":
                return f"Pos:{self._motor}" if self.known else "UNKNOWN"
            case "FH":
                self._took_s = self._motor / STEPS_PER_S
                self._motor, self._carriage, self.known = 0, 0.0, True
                self._wiring.turn("delay_ps", 0.0, now_ns)
                return ""
            case "GF" | "GR" if self.known:
                self._move(STEPS_MAX if command == "GF" else 0, now_ns)
                return ""
            case "E0" | "E1":
                self.echo = command == "E1"
                return ""
            case "G0" | "RESET":
                return ""
            case _:
                pass
        goal = command.removeprefix("S")
        if command.startswith("S") and goal.isdigit() and self.known:
            if int(goal) > STEPS_MAX:
                return OVERFLOW
            self._move(int(goal), now_ns)
            return ""
        return BAD_COMMAND

    def _move(self, goal: int, now_ns: int) -> None:
        self._took_s = abs(goal - self._motor) / STEPS_PER_S
        self._motor = goal
        # Pushing forwards the carriage is at the motor; drawn back, it lags by the play of the screw.
        self._carriage = min(max(self._carriage, float(goal)), goal + BACKLASH_STEPS)
        if self._slipping:
            self._carriage += DRIFT_STEPS
        self._wiring.turn("delay_ps", self.delay_ps, now_ns)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """An ODL-650 on a serial line."""
    return InstrumentEmulator(
        order.name,
        lambda: Odl650Model(order.wiring, order.serial_number or "ODL-1234", 12_000 + order.seed % 1_000),
        [order.terminal(BAUD_RATE)],
        pace=order.pace,
        seed=order.seed,
    )
