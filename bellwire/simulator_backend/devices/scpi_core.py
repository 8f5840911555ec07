"""An emulated SCPI instrument, sans I/O: a table of commands, the common commands, status and error queue.

Owns what every SCPI device does (IEEE 488.2 and SCPI-1999): messages of several units with the current
path, the common commands, SYSTem:ERRor, SYSTem:VERSion, STATus, operations that take time (*OPC, *WAI). A
subclass gives `identity`, `commands` and the methods they name; a method refuses by ScpiError. Refuses to
know lines and faults.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.message_device import OUTPUT_BYTES_MAX, QueryError
from bellwire.simulator_backend.devices.scpi_errors import (
    ErrorQueue,
    ScpiError,
    StandardEvent,
    event_of,
    queued,
)
from bellwire.simulator_backend.devices.scpi_parameters import Response, Value, Whole, response_bytes
from bellwire.simulator_backend.devices.scpi_status import StatusRegisters
from bellwire.simulator_backend.devices.scpi_syntax import (
    Unit,
    WordElement,
    parse_unit,
    split_units,
    take_messages,
)
from bellwire.simulator_backend.devices.scpi_tree import Command, CommandTree

INPUT_BYTES_MAX = 1 << 20
ERRORS_MAX = 20

_BYTE = (Whole(minimum=0, maximum=255),)
_REGISTER = (Whole(minimum=0, maximum=65535),)

COMMON = (
    Command("*CLS", "clear_status"),
    Command("*ESE", "status.write_standard_enable", _BYTE),
    Command("*ESE?", "status.read_standard_enable"),
    Command("*ESR?", "standard_events"),
    Command("*IDN?", "identify"),
    Command("*OPC", "announce_completion"),
    Command("*OPC?", "await_completion"),
    Command("*RST", "reset_device"),
    Command("*SRE", "status.write_service_enable", _BYTE),
    Command("*SRE?", "status.read_service_enable"),
    Command("*STB?", "master_status"),
    Command("*TRG", "trigger"),
    Command("*TST?", "self_test"),
    Command("*WAI", "wait"),
    Command("SYSTem:ERRor[:NEXT]?", "next_error"),
    Command("SYSTem:ERRor:ALL?", "all_errors"),
    Command("SYSTem:ERRor:COUNt?", "count_errors"),
    Command("SYSTem:VERSion?", "scpi_version"),
    Command("STATus:PRESet", "status.preset"),
    Command("STATus:OPERation[:EVENt]?", "status.operation.take_event"),
    Command("STATus:OPERation:CONDition?", "status.operation.read_condition"),
    Command("STATus:OPERation:ENABle", "status.operation.write_enable", _REGISTER),
    Command("STATus:OPERation:ENABle?", "status.operation.read_enable"),
    Command("STATus:QUEStionable[:EVENt]?", "status.questionable.take_event"),
    Command("STATus:QUEStionable:CONDition?", "status.questionable.read_condition"),
    Command("STATus:QUEStionable:ENABle", "status.questionable.write_enable", _REGISTER),
    Command("STATus:QUEStionable:ENABle?", "status.questionable.read_enable"),
)
"""What every SCPI device knows."""


class ScpiDevice(DeviceModel):
    """One powered SCPI instrument.

    `commands` adds to those of the base classes; a pattern that a base class has as well is replaced. An
    operation that takes time sets `busy_until_ns`. `now_ns` is the time of the command that is carried out.
    """

    identity: str = "bellwire,SCPI device,0,0"
    commands: ClassVar[tuple[Command, ...]] = COMMON
    errors_max: int = ERRORS_MAX
    latency_s: float = 0.0
    """How long the device takes for a message."""

    def __init__(self) -> None:
        self.status = StatusRegisters()
        self.errors = ErrorQueue(self.errors_max)
        self.now_ns = 0
        self.busy_until_ns = 0
        self._completes_at_ns: int | None = None
        self._responses: list[bytes] = []
        self._tree = _tree(type(self))

    # -- what a subclass may say otherwise ------------------------------------------------------------------

    def reset(self) -> None:
        """*RST: settings to their defaults; status and errors stay."""

    def trigger(self) -> None:
        """*TRG, and the trigger of the transport. Raises ScpiError."""
        raise ScpiError(-211)

    def self_test(self) -> int:
        """*TST?: 0 is good."""
        return 0

    def fail(self, error: ScpiError) -> None:
        """An error happens: it is queued, and its class is an event."""
        self.status.raise_event(event_of(error.code))
        if not self.errors.push(queued(error)):
            self.status.raise_event(StandardEvent.DEVICE_ERROR)

    # -- DeviceModel ----------------------------------------------------------------------------------------

    def split(self, buffer: bytearray) -> list[bytes]:
        messages = take_messages(buffer, INPUT_BYTES_MAX)
        if len(buffer) > INPUT_BYTES_MAX:
            buffer.clear()
            self.input_overrun()
        return messages

    def changes(self, request: bytes) -> bool:
        """Whether any unit is no query; what cannot be understood changes nothing."""
        return False in _queries(request)

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        return self._answers(request, now_ns, ignore_sets=False)

    def acknowledges(self, request: bytes) -> list[Answer]:
        """Queries that stand beside an ignored set are answered nevertheless."""
        return self._answers(request, self.now_ns, ignore_sets=True)

    def query(self, message: str, now_ns: int = 0) -> str:
        """Carry out a message at once; its response without terminator, empty when there is none."""
        answers = self.execute(message.encode("latin-1"), now_ns)
        return b"".join(answer.octets for answer in answers).decode("latin-1").removesuffix("\n")

    def unasked(self, now_ns: int) -> bytes:
        return b"0\n"

    def _answers(self, request: bytes, now_ns: int, *, ignore_sets: bool) -> list[Answer]:
        self.now_ns = now_ns
        self._settle()
        self._responses = []
        deadlocked = False
        path: tuple[str, ...] = ()
        pieces = split_units(request)
        for number, piece in enumerate(pieces):
            try:
                unit = parse_unit(piece)
                if not unit.is_common:
                    full = unit.mnemonics if unit.absolute else path + unit.mnemonics
                    path = full[:-1]
                    unit = Unit(full, True, unit.query, unit.elements)
                if ignore_sets and not unit.query:
                    continue
                response = self._carry_out(unit)
            except ScpiError as error:
                self.fail(error)
                continue
            if response is None or deadlocked:
                continue
            self._responses.append(response_bytes(response))
            if number + 1 < len(pieces) and sum(map(len, self._responses)) > OUTPUT_BYTES_MAX:
                deadlocked = True
                self._responses = []
                self.query_error(QueryError.DEADLOCKED)
        after_s = (self.now_ns - now_ns) / 1e9 + self.latency_s
        if self._responses:
            return [Answer(b";".join(self._responses) + b"\n", after_s)]
        return [Answer(b"", after_s)] if after_s > 0 else []

    # -- MessageDevice --------------------------------------------------------------------------------------

    def status_byte(self, message_available: bool, now_ns: int) -> int:
        """The status byte by serial poll."""
        self.now_ns = max(self.now_ns, now_ns)
        self._settle()
        return self.status.poll(len(self.errors) > 0, message_available)

    def asks(self, message: bytes) -> bool:
        """Whether any unit is a query."""
        return True in _queries(message)

    def query_error(self, error: QueryError) -> None:
        """The exchange was broken by a client."""
        self.fail(ScpiError(error))

    def input_overrun(self) -> None:
        """A message exceeded the input buffer and was dropped."""
        self.fail(ScpiError(-363))

    def device_clear(self) -> None:
        """Nobody waits for the end of an operation any more (IEEE 488.2 section 12.5)."""
        self._completes_at_ns = None

    def group_trigger(self, now_ns: int) -> None:
        """A trigger that is no message."""
        self.now_ns = max(self.now_ns, now_ns)
        try:
            self.trigger()
        except ScpiError as error:
            self.fail(error)

    # -- commands of all devices ----------------------------------------------------------------------------

    def clear_status(self) -> None:
        """*CLS"""
        self.status.clear()
        self.errors.clear()
        self._completes_at_ns = None

    def standard_events(self) -> int:
        """*ESR?"""
        self._settle()
        return self.status.take_standard()

    def identify(self) -> str:
        """*IDN?"""
        return self.identity

    def announce_completion(self) -> None:
        """*OPC: an event when all operations have ended."""
        self._completes_at_ns = max(self.now_ns, self.busy_until_ns)
        self._settle()

    def await_completion(self) -> int:
        """*OPC?: 1, as soon as all operations have ended."""
        self.wait()
        return 1

    def wait(self) -> None:
        """*WAI: what follows is carried out when all operations have ended."""
        self.now_ns = max(self.now_ns, self.busy_until_ns)
        self._settle()

    def reset_device(self) -> None:
        """*RST"""
        self._completes_at_ns = None
        self.busy_until_ns = self.now_ns
        self.reset()

    def master_status(self) -> int:
        """*STB?; a response before it in the same message is available."""
        self._settle()
        return self.status.byte(len(self.errors) > 0, bool(self._responses))

    def next_error(self) -> str:
        """SYSTem:ERRor?"""
        return str(self.errors.pop())

    def all_errors(self) -> str:
        """SYSTem:ERRor:ALL?"""
        return ",".join(map(str, self.errors.pop_all()))

    def count_errors(self) -> int:
        """SYSTem:ERRor:COUNt?"""
        return len(self.errors)

    def scpi_version(self) -> str:
        """SYSTem:VERSion?"""
        return "1999.0"

    # -- inside ---------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self._completes_at_ns is not None and self.now_ns >= self._completes_at_ns:
            self._completes_at_ns = None
            self.status.raise_event(StandardEvent.OPERATION_COMPLETE)

    def _carry_out(self, unit: Unit) -> Response | None:
        command, suffixes = self._tree.find(unit.mnemonics, unit.query)
        elements = unit.elements
        if command.limits is not None and len(elements) == 1:
            (word,) = elements
            if not isinstance(word, WordElement):
                raise ScpiError(-104, "MIN, MAX or DEF is wanted")
            return command.limits.limit(word.word, self)
        if len(elements) > len(command.parameters):
            raise ScpiError(-108, unit.header)
        missing = command.parameters[len(elements) :]
        if missing and not missing[0].optional:
            raise ScpiError(-109, unit.header)
        values: list[Value] = [
            parameter.value(element, self)
            for parameter, element in zip(command.parameters, elements, strict=False)
        ]
        method: Callable[..., Response | None] = operator.attrgetter(command.method)(self)
        response = method(*suffixes, *values)
        if (response is None) is unit.query:
            raise LocalMisuse(
                f"{type(self).__name__}.{command.method} answered {response!r} to {unit.header}"
            )
        return response


def _queries(message: bytes) -> list[bool]:
    """Of each unit that is one, whether it is a query."""
    queries: list[bool] = []
    for piece in split_units(message):
        with contextlib.suppress(ScpiError):
            queries.append(parse_unit(piece).query)
    return queries


@functools.cache
def _tree(device: type[ScpiDevice]) -> CommandTree:
    """The commands of a class and of its bases, the same pattern as its most derived class has it."""
    commands: dict[str, Command] = {}
    for base in reversed(device.__mro__):
        if issubclass(base, ScpiDevice) and "commands" in vars(base):
            commands |= {command.pattern: command for command in base.commands}
    return CommandTree(commands.values())
