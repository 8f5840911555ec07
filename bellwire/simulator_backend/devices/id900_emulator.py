"""Emulated ID Quantique Time Controller with its DataLinkTarget, on ZeroMQ (instruments.md 2.1). Unconfirmed:
no program of anybody else has driven it.

Owns the dialect: every message gets one reply, each query a line of it, a set is answered in words, and the
first error ends the message. What the instrument does between is id900_signals.py and id900_recorder.py. The
connection between DataLinkTarget and the instrument is not emulated: it is not public. Power of the emulator
is that of the instrument; acquisitions of the DataLinkTarget survive it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.id900_words import GATES, second_delay
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.id900_data_link import DataLinkFace, DataLinkProgram
from bellwire.simulator_backend.devices.id900_recorder import CHANNELS, Recorder
from bellwire.simulator_backend.devices.id900_settings import (
    ACTIONS,
    LICENCES,
    SETTINGS,
    NoConnection,
    Setting,
)
from bellwire.simulator_backend.devices.id900_signals import Signals
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import Line, ZmqReplyLine
from bellwire.simulator_backend.devices.scpi_errors import ScpiError
from bellwire.simulator_backend.devices.scpi_parameters import Value
from bellwire.simulator_backend.devices.scpi_syntax import Unit, parse_unit, split_units
from bellwire.simulator_backend.devices.scpi_tree import CommandTree
from bellwire.simulator_backend.devices.surroundings import Wiring
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine

SERIAL_NUMBER = "2107001T010"
FIRMWARE = "2.4.1"
PORT, DATA_LINK_PORT = 5555, 6060
ANSWER_S = 0.001
MESSAGE_BYTES_MAX = 1 << 16
ACCUMULATED_PS_MAX = 60_000_000_000_000
_HEADER_ERRORS = {-101, -102, -110, -111, -112, -113, -114}
BIN_WIDTH_PS = {"HIRES": 1, "LOWRES": 100}

_SETTINGS = {setting.key: setting for setting in SETTINGS}
_LICENCE_OF = {command.method: licence for command, licence in ACTIONS}
_TREE = CommandTree(
    [*(command for setting in SETTINGS for command in setting.commands()), *(one for one, _ in ACTIONS)]
)


class Id900Model(DeviceModel):
    """One powered Time Controller in the wiring INIT, inputs on, at 1 V."""

    tick_s = 0.02

    def __init__(
        self,
        wiring: Wiring,
        program: DataLinkProgram,
        *,
        model: str = "ID900",
        serial_number: str = SERIAL_NUMBER,
        licence: str = "MASTER-HR",
    ) -> None:
        if licence not in LICENCES:
            raise LocalMisuse(f"a licence is one of {', '.join(LICENCES)}, not {licence!r}")
        self._wiring = wiring
        self._program = program
        self._identity = f"IDQ,{model},{serial_number},{FIRMWARE}"
        self._licensed = LICENCES[licence]
        self._values: dict[tuple[str, int], Value] = {}
        self._reset_at_ps: dict[str, int] = {}
        self._input_errors: dict[str, int] = {}
        self._now_ps = 0
        self._inside: tuple[Signals, Recorder] | None = None
        self._data_link = DataLinkFace(program)
        self.load("INIT")
        if "hires" not in self._licensed:
            self._values["resolution", 1] = "LOWRES"

    def setting(self, key: str, number: int = 1) -> Value:
        """A setting as it stands."""
        return self._values.get((key, number), _SETTINGS[key].default)

    # -- DeviceModel ----------------------------------------------------------------------------------------

    def face(self, line: int) -> DeviceModel:
        return self if line == 0 else self._data_link

    def split(self, buffer: bytearray) -> list[bytes]:
        message = bytes(buffer[:MESSAGE_BYTES_MAX])
        buffer.clear()
        return [message]

    def changes(self, request: bytes) -> bool:
        for piece in split_units(request):
            try:
                if not parse_unit(piece).query:
                    return True
            except ScpiError:
                continue
        return False

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._advance(now_ns)
        replies: list[str] = []
        path: tuple[str, ...] = ()
        for piece in split_units(request):
            try:
                unit = parse_unit(piece)
                if not unit.is_common:
                    full = unit.mnemonics if unit.absolute else path + unit.mnemonics
                    path = full[:-1]
                    unit = Unit(full, True, unit.query, unit.elements)
                replies.append(self._carry_out(unit))
            except ScpiError as error:
                replies.append(_refusal(error))
                break
        reply = "\n".join(replies) or "SCPI_ERR_NO_COMMAND"
        return [Answer(reply.encode("latin-1", "replace"), ANSWER_S)]

    def acknowledges(self, request: bytes) -> list[Answer]:
        value = request.decode("latin-1").rpartition(" ")[2]
        return [Answer(f"Value set to {value}".encode("latin-1"), ANSWER_S)]

    def tick(self, now_ns: int) -> list[Answer]:
        self._advance(now_ns)
        return []

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is Fault.OVERFLOW:
            self._advance(now_ns)[1].losing = on
        elif fault is Fault.DRIFT:  # the sampling has drifted: it wants to be calibrated anew
            if on:
                self._input_errors = dict.fromkeys(["STAR", *(f"INPU{k}" for k in CHANNELS)], 1)
        else:
            raise LocalMisuse(f"a Time Controller has no {fault.value}")

    # -- commands -------------------------------------------------------------------------------------------

    def _carry_out(self, unit: Unit) -> str:
        command, suffixes = _TREE.find(unit.mnemonics, unit.query)
        if len(unit.elements) > len(command.parameters):
            raise ScpiError(-108)
        setting = _SETTINGS.get(command.method)
        needs = setting.licence if setting is not None else _LICENCE_OF[command.method]
        if needs and needs not in self._licensed:
            raise ScpiError(-113, unit.header)
        values = [
            parameter.value(element, self)
            for parameter, element in zip(command.parameters, unit.elements, strict=False)
        ]
        if setting is None:
            if len(values) < len(command.parameters):
                raise ScpiError(-109)
            action: Callable[..., str] = getattr(self, command.method)
            return action(*suffixes, *values)
        number = suffixes[0] if suffixes else 1
        if unit.query:
            return self._shown(setting, self.setting(setting.key, number))
        return self._set(setting, number, values[0] if values else setting.default)

    def _set(self, setting: Setting, number: int, value: Value) -> str:
        self._values[setting.key, number] = value
        if setting.key == "REC.duration":
            self._values["REC.width", 1] = value
        return f"Value set to {self._shown(setting, value)}"

    @staticmethod
    def _shown(setting: Setting, value: Value) -> str:
        match value:
            case bool():
                return "ON" if value else "OFF"
            case int():
                return "INF" if value < 0 else f"{value}{setting.unit}"
            case float():
                return f"{value:.4f}{setting.unit}"
            case _:
                return str(value)

    def identify(self) -> str:
        """*IDN?"""
        return self._identity

    def bin_width(self) -> str:
        """DEVIce:RESolution:BWIDth?"""
        return str(BIN_WIDTH_PS[str(self.setting("resolution"))])

    def load(self, preset: str) -> str:
        """DEVIce:CONFIguration:LOAD: everything to its default, then the wiring of the preset."""
        kept = {
            key: value for key, value in self._values.items() if key[0].startswith(("REC.", "resolution"))
        }
        self._values = kept
        if preset == "BLANK":
            return "Configuration loaded"
        for channel in CHANNELS:
            self._values["DELA.link", channel] = f"INPU{channel}"
            self._values["TSCO.first", channel + 4] = f"DELA{channel}"
        if preset == "COUNT":
            self._wire_gates()
        return "Configuration loaded"

    def _wire_gates(self) -> None:
        for channel in CHANNELS[1:]:
            self._values["DELA.link", second_delay(channel)] = f"INPU{channel}"
        for gate in GATES.values():
            wiring: dict[str, Value] = {
                "window": True,
                "begin_link": gate.opened_by,
                "end_link": gate.opened_by,
                "first": gate.passed,
                "outside": "MUTE",
            }
            for key, value in wiring.items():
                self._values[f"TSCO.{key}", gate.combiner] = value

    def recalibrate(self) -> str:
        """DEVIce:SAMPling:RECAlibrate"""
        self._input_errors.clear()
        return "Recalibration done"

    def input_count(self, number: int) -> str:
        """INPUt#:COUNter?"""
        return self._count(f"INPU{number}", "INPU", number)

    def input_reset(self, number: int) -> str:
        """INPUt#:COUNter:RESEt"""
        return self._reset(f"INPU{number}")

    def input_error(self, number: int) -> str:
        """INPUt#:HIREs:ERROr?"""
        return str(self._input_errors.get(f"INPU{number}", 0))

    def clear_input_error(self, number: int) -> str:
        """INPUt#:HIREs:ERROr:CLEAr"""
        self._input_errors.pop(f"INPU{number}", None)
        return "Cleared Highres errors"

    def start_count(self) -> str:
        """STARt:COUNter?"""
        return self._count("STAR", "STAR", 1)

    def start_reset(self) -> str:
        """STARt:COUNter:RESEt"""
        return self._reset("STAR")

    def start_error(self) -> str:
        """STARt:HIREs:ERROr?"""
        return str(self._input_errors.get("STAR", 0))

    def clear_start_error(self) -> str:
        """STARt:HIREs:ERROr:CLEAr"""
        self._input_errors.pop("STAR", None)
        return "Cleared Highres errors"

    def combiner_count(self, number: int) -> str:
        """TSCO#:COUNter?"""
        return self._count(f"TSCO{number}", "TSCO", number)

    def combiner_reset(self, number: int) -> str:
        """TSCO#:COUNter:RESEt"""
        return self._reset(f"TSCO{number}")

    def flush(self, number: int) -> str:
        """HISTogram#:FLUSh"""
        self._recorder.flush(number)
        return "Flushed Histogram!"

    def histogram(self, number: int) -> str:
        """HISTogram#:DATA?"""
        return str(self._recorder.histogram(number))

    def raw_errors(self, number: int) -> str:
        """RAW#:ERRORS?"""
        return str(self._recorder.errors[number])

    def clear_raw_errors(self, number: int) -> str:
        """RAW#:ERRORS:CLEAR"""
        self._recorder.clear_errors(number)
        return "Cleared errors"

    def play(self) -> str:
        """RECord:PLAY"""
        return "Playing" if self._recorder.play(self._now_ps) else "Recorder is not enabled"

    def stop(self) -> str:
        """RECord:STOP"""
        self._recorder.stop()
        return "Stopped"

    def stage(self) -> str:
        """RECord:STAGe?"""
        return "PLAYING" if self._recorder.is_playing(self._now_ps) else "IDLE"

    def generator_play(self, number: int) -> str:
        """GENerator#:PLAY"""
        self._signals.generator(number, self._now_ps)
        return "Playing"

    def generator_stop(self, number: int) -> str:
        """GENerator#:STOP"""
        self._signals.generator(number, None)
        return "Stopped"

    # -- inside ---------------------------------------------------------------------------------------------

    @property
    def _signals(self) -> Signals:
        assert self._inside is not None
        return self._inside[0]

    @property
    def _recorder(self) -> Recorder:
        assert self._inside is not None
        return self._inside[1]

    def _advance(self, now_ns: int) -> tuple[Signals, Recorder]:
        if self._inside is None:
            signals = Signals(self._wiring, now_ns, self.setting)
            self._inside = signals, Recorder(signals, self._program, self.setting)
        signals, recorder = self._inside
        self._now_ps = signals.since_start_ps(now_ns)
        recorder.advance(self._now_ps, now_ns)
        return self._inside

    def _reset(self, block: str) -> str:
        self._reset_at_ps[block] = self._now_ps
        return "Counter value set to 0 "

    def _count(self, block: str, key: str, number: int) -> str:
        """Events of the last whole cycle since the reset, or of all the time since."""
        since_ps = self._reset_at_ps.get(block, 0)
        if self.setting(f"{key}.counter_mode", number) == "ACCUM":
            start_ps, stop_ps = max(since_ps, self._now_ps - ACCUMULATED_PS_MAX), self._now_ps
        else:
            integration_ms = self.setting(f"{key}.integration", number)
            assert isinstance(integration_ms, int)
            cycle_ps = integration_ms * 10**9
            stop_ps = since_ps + (self._now_ps - since_ps) // cycle_ps * cycle_ps
            start_ps = max(stop_ps - cycle_ps, since_ps)
        return str(len(self._signals.events(block, start_ps, stop_ps)))


def _refusal(error: ScpiError) -> str:
    if isinstance(error, NoConnection):
        return "No connection"
    if error.code in (-108, -109):
        return "SCPI_ERR_PARAM_COUNT"
    return "SCPI_ERR_INVALID_CMD" if error.code in _HEADER_ERRORS else "SCPI_ERR_PARAM_TYPE"


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A Time Controller at `tcp://127.0.0.1:PORT[,127.0.0.1:PORT]`; without the second part it has no
    DataLinkTarget.
    """
    return _made(order, "ID900")


def make_id1000(order: EmulatorOrder) -> InstrumentEmulator:
    """The same as an ID1000."""
    return _made(order, "ID1000")


def _made(order: EmulatorOrder, model: str) -> InstrumentEmulator:
    controller, *rest = (piece.strip() for piece in order.address.split(","))
    if len(rest) > 2:
        raise ConfigError(f'"{order.address}" has more than three parts', where=order.name)
    lines: list[Line] = [_reply_line(order, controller, PORT)]
    streams = TagStreamLine()
    if rest:
        data_link = _reply_line(order, rest[0], DATA_LINK_PORT)
        streams = TagStreamLine(data_link.host)
        lines += [data_link, streams]
    program = DataLinkProgram(streams)
    serial_number = order.serial_number or SERIAL_NUMBER
    return InstrumentEmulator(
        order.name,
        lambda: Id900Model(order.wiring, program, model=model, serial_number=serial_number),
        lines,
        pace=order.pace,
        seed=order.seed,
        clock=order.now_ns,
    )


def _reply_line(order: EmulatorOrder, address: str, port: int) -> ZmqReplyLine:
    found = replace(order, address=address).tcp(port)
    return ZmqReplyLine(found.port, found.host)
