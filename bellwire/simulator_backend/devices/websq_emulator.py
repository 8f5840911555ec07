"""Emulated WebSQ of Single Quantum: control port and port of counts (instruments.md section 5.1).

Owns the dialect: labels, broadcasts of what has changed, errors as labels, and the timing of counts. Its
detectors are websq_detectors.py. There are as many as the wiring names, else eight. Which labels beside
those of the maker's client a controller has, and the names of its errors, are guessed.
"""

from __future__ import annotations

import json
import re
import socket
from random import SystemRandom
from typing import Any

from bellwire.core.errors import ConfigError
from bellwire.drivers.websq_words import CONTROL_PORT, COUNTS_ABOVE, Label, encode, glued
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.surroundings import Wiring
from bellwire.simulator_backend.devices.websq_detectors import BIAS_UA, TRIGGER_MV, WebSqDetectors

DETECTORS = 8
ANSWER_S = 0.002
BROADCAST_S = 0.02
CALIBRATION_S = 0.5
PERIOD_START_MS = 50
PERIOD_MS = (10, 60_000)
REQUEST_BYTES_MAX = 1 << 16
PERIODS_BEHIND_MAX = 10
LOOKS_IN_PERIOD = 8
FREE_PORTS = range(20_000, 30_000)
ERROR = "ErrorMessage"


class WebSqModel(DeviceModel):
    """One powered WebSQ; this is its control port."""

    tick_s = BROADCAST_S

    def __init__(self, wiring: Wiring, count: int, seed: int) -> None:
        self.detectors = WebSqDetectors(wiring, count, seed)
        self.period_ms = PERIOD_START_MS
        self._dark_counts = [0.0] * count
        self._found_bias_ua = [0.0] * count
        self._calibrated_at_ns: int | None = None
        self._news: list[Label] = []
        self._counts = _CountsPort(self)

    def face(self, line: int) -> DeviceModel:
        return self._counts if line == 1 else self

    def split(self, buffer: bytearray) -> list[bytes]:
        try:
            objects, rest = glued(buffer.decode("utf-8", "replace"))
        except ValueError as error:
            buffer.clear()
            self._complain(f"not JSON: {error}")
            return []
        buffer[:] = rest.encode() if len(rest) <= REQUEST_BYTES_MAX else b""
        return [json.dumps(one).encode() for one in objects]

    def changes(self, request: bytes) -> bool:
        return "command" in json.loads(request)

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        asked: Label = json.loads(request)
        if "command" in asked:
            self._command(asked, now_ns)
            return []  # what has changed is told to everybody by the next broadcast
        if asked.get("request") == "labelProps":
            return [Answer(encode(*self._dump(now_ns)), ANSWER_S)]
        values = self._values(now_ns)
        name = asked.get("request")
        if not isinstance(name, str) or name not in values:
            self._complain(f"unknown request {name!r}")
            return []
        return [Answer(encode({"label": name, "value": values[name][0]}), ANSWER_S)]

    def unasked(self, now_ns: int) -> bytes:
        return encode({"label": "BoardTemp1", "value": 31.5})

    def tick(self, now_ns: int) -> list[Answer]:
        if self._calibrated_at_ns is not None and now_ns >= self._calibrated_at_ns:
            self._calibrated_at_ns = None
            self._found_bias_ua = self.detectors.search(self._dark_counts, self.period_ms / 1000, now_ns)
            self._tell("BiasCurrentAutoIV", self._found_bias_ua)
            self._tell("BiasCurrent", self.detectors.bias_ua)
            self._tell("StartAutoIV", False)
        told, self._news = self._news, []
        return [Answer(encode(*told), solicited=False)] if told else []

    def _command(self, asked: Label, now_ns: int) -> None:
        self._counts.close_periods(now_ns)  # what is over was counted under the settings until now
        name: Any = asked["command"]
        value: Any = asked.get("value")
        detectors = self.detectors
        match name:
            case "SetAllBiasCurrents" if detectors.fits(value, BIAS_UA):
                detectors.set_bias(value, now_ns)
                self._tell("BiasCurrent", detectors.bias_ua)
            case "SetAllTriggerLevels" if detectors.fits(value, TRIGGER_MV):
                detectors.set_trigger(value, now_ns)
                self._tell("TriggerLevel", detectors.trigger_mv)
            case "SetMeasurementPeriod" if _is_number(value) and PERIOD_MS[0] <= value <= PERIOD_MS[1]:
                self.period_ms = int(value)
                self._tell("InptMeasurementPeriod", self.period_ms)
            case "DetectorEnable" if isinstance(value, bool):
                detectors.enable(value, now_ns)
                self._tell("DetectorEnable", value)
            case "DarkCountsAutoIV" if detectors.fits(value, (0.0, 1e9)):
                self._dark_counts = list(value)
                self._tell("DarkCountsAutoIV", self._dark_counts)
            case "AutoCaliBiasCurrents" if isinstance(value, bool):
                self._calibrated_at_ns = now_ns + int(CALIBRATION_S * 1e9) if value else None
                self._tell("StartAutoIV", value)
            case _:
                self._complain(f"{name} does not take {value!r}")

    def _tell(self, label: str, value: Any) -> None:
        self._news.append({"label": label, "value": value})

    def _complain(self, text: str) -> None:
        self._tell(ERROR, text)

    def _values(self, now_ns: int) -> dict[str, tuple[Any, str]]:
        detectors = self.detectors
        return {
            "NumberOfDetectors": (detectors.count, ""),
            "BiasCurrent": (detectors.bias_ua, "uA"),
            "TriggerLevel": (detectors.trigger_mv, "mV"),
            "InptMeasurementPeriod": (self.period_ms, "ms"),
            "DetectorEnable": (detectors.enabled, ""),
            "BiasVoltage": (detectors.bias_voltage_mv(now_ns), "mV"),
            "DarkCountsAutoIV": (self._dark_counts, ""),
            "StartAutoIV": (self._calibrated_at_ns is not None, ""),
            "BiasCurrentAutoIV": (self._found_bias_ua, "uA"),
        }

    def _dump(self, now_ns: int) -> list[Label]:
        bounds = {"BiasCurrent": BIAS_UA, "TriggerLevel": TRIGGER_MV}
        return [
            {"label": label, "value": {"value": value, "unit": unit, "bounds": bounds.get(label)}}
            for label, (value, unit) in self._values(now_ns).items()
        ]


class _CountsPort(DeviceModel):
    """Counts of each measurement period, to whoever is connected; takes no requests."""

    def __init__(self, model: WebSqModel) -> None:
        self._model = model
        self._begun_ns: int | None = None
        self._lines: list[bytes] = []

    @property
    def tick_s(self) -> float:  # type: ignore[override]
        """A part of a period, so that each line leaves soon after its period."""
        return self._model.period_ms / 1000 / LOOKS_IN_PERIOD

    def split(self, buffer: bytearray) -> list[bytes]:
        buffer.clear()
        return []

    def changes(self, request: bytes) -> bool:
        return False

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        return []

    def tick(self, now_ns: int) -> list[Answer]:
        self.close_periods(now_ns)
        lines, self._lines = self._lines, []
        return [Answer(line, solicited=False) for line in lines]

    def close_periods(self, now_ns: int) -> None:
        """Count up to the end of the last period that is over; its line leaves with the next look."""
        period_ns, detectors = self._model.period_ms * 1_000_000, self._model.detectors
        if self._begun_ns is None or now_ns - self._begun_ns > PERIODS_BEHIND_MAX * period_ns:
            self._begun_ns = now_ns
            detectors.begin(now_ns)
        while self._begun_ns + period_ns <= now_ns:
            self._begun_ns += period_ns
            counts = map(str, detectors.end(self._begun_ns))
            self._lines.append(",".join((f"{self._begun_ns / 1e9:.3f}", *counts)).encode("ascii") + b"\n")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _two_free_ports(host: str, where: str) -> int:
    """A port of control that is free together with its port of counts."""
    for port in SystemRandom().sample(FREE_PORTS, len(FREE_PORTS)):
        with socket.socket() as control, socket.socket() as counts:
            try:
                control.bind((host, port))
                counts.bind((host, port + COUNTS_ABOVE))
            except OSError:
                continue
            return port
    raise ConfigError(f"no two ports {COUNTS_ABOVE} apart are free on {host}", where=where)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A WebSQ; its counts come from the port that lies as far above its control port as the maker's do."""
    control = order.tcp(CONTROL_PORT)
    if control.port == 0:
        control = TcpLine(_two_free_ports(control.host, order.name), control.host)
    counts = TcpLine(control.port + COUNTS_ABOVE, control.host)
    named = [
        int(found[1]) for word in order.wiring.names if (found := re.fullmatch(r"(?:\w+\.)?(\d+)", word))
    ]
    count = max(named, default=DETECTORS)
    return InstrumentEmulator(
        order.name,
        lambda: WebSqModel(order.wiring, count, order.seed),
        [control, counts],
        pace=order.pace,
        seed=order.seed,
    )
