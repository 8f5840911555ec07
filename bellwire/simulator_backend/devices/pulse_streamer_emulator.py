"""Emulated Swabian Pulse Streamer 8/2: JSON-RPC over HTTP, and sequences by binary messages
(instruments.md section 3.2).

Owns the dialect of both ports. The maker's client knows its ports by heart, so each emulated instrument has
a loopback address of its own. Of two slots and their switching only one slot is emulated: an upload replaces
what is held. Error codes other than 0 are our own. What plays is pulse_player.py.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Any

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.pulse_streamer_words import (
    BAD_COMMAND,
    BAD_MAGIC,
    BAD_SEQUENCE,
    BINARY_PORT,
    CLOCKS,
    COMMAND,
    HEADER_BYTES,
    MAGIC,
    OK,
    REARMS,
    RPC_PATH,
    RPC_PORT,
    STARTS,
    STEP,
    STEPS_MAX,
    STREAM_COMMAND,
    UPLOAD_COMMAND,
    UPLOADED,
    reply_of,
    sequence_of,
    whole_bytes,
)
from bellwire.drivers.pulse_streamer_words import Sequence as SentSequence
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.json_rpc_http import (
    INVALID_PARAMETERS,
    NO_METHOD,
    CallRefused,
    method_of,
    requests_of,
    respond,
)
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.pulse_player import PulsePlayer
from bellwire.simulator_backend.devices.surroundings import Wiring

FIRMWARE = "2.1.0"
HARDWARE = "2.3"
SERIAL_NUMBER = "00:26:32:F0:00:01"
CALL_S = 0.002
MESSAGE_BYTES_MAX = 3 * HEADER_BYTES + STEPS_MAX * STEP.size
TICK_S = 0.02
CLOCK_MHZ = 125.0
TEMPERATURE_C = 41.5
QUERIES = ("get", "has", "is")
"""How the names of methods begin that change nothing."""


class PulseStreamerModel(DeviceModel):
    """One powered Pulse Streamer; this is its JSON-RPC port."""

    tick_s = TICK_S

    def __init__(self, wiring: Wiring, serial_number: str) -> None:
        self.player = PulsePlayer(wiring)
        self.clock = 0
        self._serial_number = serial_number
        self._hostname = "pulsestreamer"
        self._now_ns = 0
        self._binary = _BinaryPort(self)
        self._calls = self._table()

    def face(self, line: int) -> DeviceModel:
        return self._binary if line == 1 else self

    def split(self, buffer: bytearray) -> list[bytes]:
        return requests_of(buffer, RPC_PATH, MESSAGE_BYTES_MAX)

    def changes(self, request: bytes) -> bool:
        method = method_of(request)
        return method in self._calls and not method.startswith(QUERIES)

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._now_ns = now_ns
        return [Answer(respond(request, self._call), CALL_S)]

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [Answer(respond(request, lambda method, parameters: None), CALL_S)]

    def unasked(self, now_ns: int) -> bytes:
        return b"HTTP/1.1 100 Continue\r\n\r\n"

    def tick(self, now_ns: int) -> list[Answer]:
        self.player.look(now_ns)
        return []

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is not Fault.OVERFLOW:
            raise LocalMisuse(f"a Pulse Streamer has no {fault.value}")
        if on:  # the memory does not keep up with the steps
            self.player.starve(now_ns)
        else:
            self.player.underflow = False

    def _call(self, method: str, parameters: Sequence[Any]) -> Any:
        if method not in self._calls:
            raise CallRefused(NO_METHOD, f"method {method} not found")
        try:
            return self._calls[method](*parameters)
        except TypeError:
            raise CallRefused(INVALID_PARAMETERS, f"{method} does not take {list(parameters)}") from None

    def _table(self) -> dict[str, Callable[..., Any]]:
        player = self.player
        return {
            "getSerial": lambda kind=1: self._serial_number,
            "getFPGAID": lambda: "0x00000001",
            "getFirmwareVersion": lambda: FIRMWARE,
            "getHardwareVersion": lambda: HARDWARE,
            "getHostname": lambda: self._hostname,
            "isRunning": lambda: int(player.streams(self._now_ns)),
            "isStreaming": lambda: int(player.streams(self._now_ns)),
            "hasSequence": lambda: int(player.sequence is not None),
            "hasFinished": lambda: int(player.state(self._now_ns).name == "FINISHED"),
            "isReadyForData": lambda slot=0: 1,
            "getUnderflow": lambda: int(player.underflow),
            "getTemperature": lambda: TEMPERATURE_C,
            "getClock": lambda: self.clock,
            "getTriggerStart": lambda: player.start,
            "getTriggerRearm": lambda: player.rearm,
            "getStreamingState": lambda: {"State": int(player.state(self._now_ns)), "StateCondition": 0},
            "setHostname": self._set_hostname,
            "selectClock": self._select_clock,
            "setTrigger": self._set_trigger,
            "startNow": lambda: int(player.software_trigger(self._now_ns)),
            "rearm": lambda: int(player.arm()),
            "stream": self._stream,
            "constant": self._constant,
            "forceFinal": self._force_final,
            "reset": self._reset,
        }

    def _set_hostname(self, name: str) -> int:
        self._hostname = str(name)
        return 0

    def _select_clock(self, source: int) -> int:
        self.clock = _choice(source, len(CLOCKS))
        return 0

    def _set_trigger(self, start: int, rearm: int) -> int:
        self.player.start, self.player.rearm = _choice(start, len(STARTS)), _choice(rearm, len(REARMS))
        return 0

    def _stream(self, steps: str, runs: int, final: Any) -> int:
        try:
            octets = base64.b64decode(steps, validate=True)
        except ValueError as error:
            raise CallRefused(INVALID_PARAMETERS, f"the steps are not base64: {error}") from None
        if not 0 < len(octets) <= STEPS_MAX * STEP.size or len(octets) % STEP.size:
            raise CallRefused(INVALID_PARAMETERS, f"{len(octets)} bytes are not steps of {STEP.size} bytes")
        if isinstance(runs, bool) or not isinstance(runs, int):
            raise CallRefused(INVALID_PARAMETERS, f"{runs!r} is not a number of runs")
        self.player.take(SentSequence(runs, octets, _mask(final), 0), self._now_ns)
        return 0

    def _constant(self, output: Any) -> int:
        self.player.halt(_mask(output), self._now_ns)
        return 0

    def _force_final(self) -> int:
        sequence = self.player.sequence
        self.player.halt(0 if sequence is None else sequence.idle_mask, self._now_ns)
        return 0

    def _reset(self) -> int:
        self.player.start = self.player.rearm = self.clock = 0
        self.player.halt(0, self._now_ns)
        return 0


class _BinaryPort(DeviceModel):
    """Sequences, by stream and upload."""

    def __init__(self, model: PulseStreamerModel) -> None:
        self._model = model

    def split(self, buffer: bytearray) -> list[bytes]:
        messages: list[bytes] = []
        while (length := whole_bytes(buffer)) is not None and len(buffer) >= min(length, MESSAGE_BYTES_MAX):
            if length > MESSAGE_BYTES_MAX:
                buffer.clear()  # more steps than there is memory
                break
            messages.append(bytes(buffer[:length]))
            del buffer[:length]
        return messages

    def changes(self, request: bytes) -> bool:
        return True

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        magic, _, command, _, _, _ = COMMAND.unpack_from(request)
        if magic != MAGIC:
            return [Answer(reply_of(request, BAD_MAGIC))]
        if command not in (STREAM_COMMAND, UPLOAD_COMMAND):
            return [Answer(reply_of(request, BAD_COMMAND))]
        try:
            sequence = sequence_of(request)
        except ValueError:
            return [Answer(reply_of(request, BAD_SEQUENCE))]
        self._model.player.take(sequence, now_ns)
        return self.acknowledges(request)

    def acknowledges(self, request: bytes) -> list[Answer]:
        if COMMAND.unpack_from(request)[2] == UPLOAD_COMMAND:
            further = UPLOADED.pack(*(8 * (0,)))
            return [Answer(reply_of(request, OK, further_bytes=len(further)) + further)]
        return [Answer(reply_of(request, OK))]

    def unasked(self, now_ns: int) -> bytes:
        return COMMAND.pack(MAGIC, 1, OK, 0, 0, 0)


def _mask(output: Any) -> int:
    """The digital outputs of a state: a step without duration."""
    if not isinstance(output, list) or len(output) != 4:
        raise CallRefused(INVALID_PARAMETERS, f"{output!r} is not a state of the outputs")
    return _choice(output[1], 256)


def _choice(number: Any, count: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
        raise CallRefused(INVALID_PARAMETERS, f"{number!r} is not one of 0 to {count - 1}")
    return number


def own_loopback_address() -> str:
    """A loopback address that most probably nobody else on this machine has: from the process and by lot.

    All of 127.0.0.0/8 is loopback on Linux; elsewhere an address must be made known to the system first.
    """
    process = os.getpid()
    return f"127.{1 + (process >> 8) % 254}.{process & 0xFF}.{SystemRandom().randrange(2, 255)}"


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A Pulse Streamer at the address of the order; port 0 gives it a loopback address of its own."""
    calls = order.tcp(RPC_PORT)
    if calls.port == 0:
        calls = TcpLine(RPC_PORT, own_loopback_address())
    if calls.port != RPC_PORT:
        raise ConfigError(
            f"its port is {RPC_PORT}, not {calls.port}: give each an address of its own, as 127.0.0.2",
            where=order.name,
        )
    return InstrumentEmulator(
        order.name,
        lambda: PulseStreamerModel(order.wiring, order.serial_number or SERIAL_NUMBER),
        [calls, TcpLine(BINARY_PORT, calls.host)],
        pace=order.pace,
        seed=order.seed,
    )
