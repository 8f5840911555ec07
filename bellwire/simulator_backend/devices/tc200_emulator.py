"""Emulated Thorlabs TC200: echo, prompt, toggle, and an oven that takes its time (instruments.md section
4.2).

Owns the dialect and the thermal law. The temperature of the crystal is the knob `temperature_c` of the
World.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

FIRMWARE = "2.1.0"
ROOM_C = 23.0
HEATING_TIME_S = 2.0
COOLING_TIME_S = 12.0
ANSWER_S = 0.004
LINE_BYTES_MAX = 64
DRIFT_C_PER_S = 0.05
COMMAND = re.compile(r"(?P<name>[*]?[a-z]+)(?:=(?P<value>[-+.\d]*)|(?P<query>\?))?")
NUMBERS: dict[str, tuple[float, float, float, int]] = {
    # name: default, least, most, decimals
    "tset": (25.0, 20.0, 200.0, 1),
    "pmax": (18.0, 0.1, 18.0, 1),
    "tmax": (200.0, 20.0, 200.0, 1),
    "pgain": (125.0, 1.0, 250.0, 0),
    "igain": (10.0, 0.0, 250.0, 0),
    "dgain": (0.0, 0.0, 100.0, 0),
}


class Tc200Model(DeviceModel):
    """One powered TC200 with a PTC sensor, units Celsius. Starts with its heater off at room temperature."""

    tick_s = 0.1

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self.settings = {name: default for name, (default, _, _, _) in NUMBERS.items()}
        self.heating = False
        self.temperature_c = ROOM_C
        self._sensor_alarm = False
        self._drifting = False
        self._drift_c = 0.0
        self._at_ns: int | None = None

    def power_on(self, now_ns: int) -> None:
        self._warm(now_ns)

    def power_off(self, now_ns: int) -> None:
        self._wiring.turn("temperature_c", ROOM_C, now_ns)  # nobody watches it cool down

    def split(self, buffer: bytearray) -> list[bytes]:
        commands: list[bytes] = []
        while (end := buffer.find(b"\r")) >= 0:
            commands.append(bytes(buffer[:end]))
            del buffer[: end + 1]
        if len(buffer) > LINE_BYTES_MAX:
            buffer.clear()
        return commands

    def changes(self, request: bytes) -> bool:
        return bool(request.strip()) and not request.strip().endswith(b"?")

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._warm(now_ns)
        text = request.decode("ascii", "replace")
        reply = self._reply(text.strip())
        ending = " > " if text.strip() == "stat?" else "\r> "
        spoken = f"{text}\r{reply}{ending}" if reply else f"{text}\r> "
        return [Answer(spoken.encode("ascii", "replace"), ANSWER_S)]

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [Answer(request + b"\r> ", ANSWER_S)]

    def unasked(self, now_ns: int) -> bytes:
        return b"\r> "

    def tick(self, now_ns: int) -> list[Answer]:
        self._warm(now_ns)
        return []

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is Fault.INTERLOCK:  # the sensor comes off: the controller switches its output off
            self._sensor_alarm = on
            self.heating = self.heating and not on
        elif fault is Fault.DRIFT:
            self._warm(now_ns)
            self._drifting = on
        else:
            raise LocalMisuse(f"a TC200 has no {fault.value}")

    def _reply(self, line: str) -> str:
        if not line:
            return ""
        found = COMMAND.fullmatch(line)
        if found is None:
            return "CMD_NOT_DEFINED"
        name, value = found["name"], found["value"]
        queries: dict[str, Callable[[], str]] = {
            "id": lambda: f"THORLABS TC200 VERSION {FIRMWARE}",
            "*idn": lambda: f"THORLABS TC200 VERSION {FIRMWARE}",
            "stat": self._status,
            "tact": lambda: f"{self.temperature_c:.1f} C",
            "tset": lambda: f"{self.settings['tset']:.1f} Celsius",
            "pid": lambda: " ".join(f"{self.settings[key]:.0f}" for key in ("pgain", "igain", "dgain")),
            "config": lambda: "\r".join(
                ("NORMAL MODE", "PTC100", "CELSIUS", f"TSET {self.settings['tset']:.1f}")
            ),
        }
        if found["query"]:
            if name in queries:
                return queries[name]()
            if name in NUMBERS:
                return f"{self.settings[name]:.{NUMBERS[name][3]}f}"
            return "CMD_NOT_DEFINED"
        if name == "ens" and value is None:
            self.heating = not self.heating and not self._sensor_alarm
            return ""
        if name not in NUMBERS or value is None:
            return "CMD_NOT_DEFINED"
        return self._set(name, value)

    def _set(self, name: str, value: str) -> str:
        _, least, most, decimals = NUMBERS[name]
        try:
            number = round(float(value), decimals)
        except ValueError:
            return "CMD_ARG_RANGE_ERR"
        if name == "tset":
            most = min(most, self.settings["tmax"])
        if not least <= number <= most:
            return "CMD_ARG_RANGE_ERR"
        self.settings[name] = number
        return ""

    def _status(self) -> str:
        sensor, celsius = 0x04, 0x10
        return f"{self.heating * 0x01 | sensor | celsius | self._sensor_alarm * 0x40:02X}"

    def _warm(self, now_ns: int) -> None:
        """First order: towards the set temperature while heating, else towards the room."""
        elapsed_s = 0.0 if self._at_ns is None else (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        if self._drifting:
            self._drift_c += DRIFT_C_PER_S * elapsed_s
        goal_c = self.settings["tset"] if self.heating else ROOM_C
        time_s = HEATING_TIME_S if goal_c > self.temperature_c else COOLING_TIME_S
        self.temperature_c += (goal_c - self.temperature_c) * -math.expm1(-elapsed_s / time_s)
        self._wiring.turn("temperature_c", self.temperature_c + self._drift_c, now_ns)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A TC200 on a serial line."""
    return InstrumentEmulator(
        order.name, lambda: Tc200Model(order.wiring), [order.terminal()], pace=order.pace, seed=order.seed
    )
