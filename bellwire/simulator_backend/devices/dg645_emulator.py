"""Emulated SRS DG645: commands, error queue, status registers (instruments.md section 3.1).

Owns the dialect of one powered DG645 on TCP, a serial line, VXI-11 or HiSLIP; what can be set is in
dg645_settings.py. Set commands are silent; a bad one shows only in `LERR?` and in the event register. Of the
instrument status register only the bit of a trigger moves, because cycles take no time here. Refuses the
commands that set up its network and serial ports (IFCF, EPHY, XTRM) as unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from bellwire.simulator_backend.devices.device_model import LineModel
from bellwire.simulator_backend.devices.dg645_settings import (
    CHANNELS,
    DELAY_MAX_S,
    DELAY_STEP_PS,
    SAVED,
    SETTINGS,
    STEPS,
    T0,
    T1,
    WHOLE,
    Dg645Memory,
    Dg645Settings,
)
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.message_device import QueryError
from bellwire.simulator_backend.devices.scpi_errors import StandardEvent
from bellwire.simulator_backend.devices.scpi_status import Status, StatusRegisters

PORT = 5025
SERIAL_NUMBER = "001234"
FIRMWARE = "ver1.14.10E"
MAC_ADDRESS = "00:19:b3:00:12:34"
ERRORS_MAX = 20
ILLEGAL_VALUE, ILLEGAL_MODE, ILLEGAL_DELAY, ILLEGAL_LINK, RECALL_FAILED = 10, 11, 12, 13, 14
UNDEFINED_COMMAND, ILLEGAL_QUERY, ILLEGAL_SET = 111, 112, 113
EXTRA_PARAMETERS, MISSING_PARAMETERS, OVERRUN, TOO_MANY_ERRORS = 115, 116, 171, 254
COMMAND_ERRORS = range(110, 127)
PS_PER_S = 10**12
DISPLAYS = range(15)
BYTE = range(256)
TRIGGERED = 1
"""Bit of the instrument status register: a trigger came."""

INSTRUMENT_STATUS = 1
"""Bit of the status byte: an enabled bit of the instrument status register is set."""


class Refused(Exception):
    """A command that the instrument refuses, by the code of its error queue."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Dg645Model(LineModel):
    """One powered DG645 with its default settings: no triggers but by *TRG, pulses of 10 ns at T0."""

    line_bytes_max = 256

    def __init__(
        self,
        serial_number: str = SERIAL_NUMBER,
        model: str = "DG645",
        memory: Dg645Memory | None = None,
    ) -> None:
        self.identity = f"Stanford Research Systems,{model},s/n{serial_number},{FIRMWARE}"
        self.status = StatusRegisters()
        self.errors: deque[int] = deque()
        self.triggers = 0
        self.settings = Dg645Settings()
        self.memory = memory or Dg645Memory()
        self._instrument_events = 0
        self._instrument_enable = 0
        self._locked = False
        if not self.memory.clears_enables:
            standard, service, self._instrument_enable = self.memory.enables
            self.status.write_standard_enable(standard)
            self.status.write_service_enable(service)
        self._queries: dict[str, Callable[[], str]] = {
            "*IDN": lambda: self.identity,
            "*TST": lambda: "0",
            "*CAL": lambda: "0",
            "*OPC": lambda: "1",
            "*ESR": lambda: str(self.status.take_standard()),
            "*STB": lambda: str(self._byte(False)),
            "*ESE": lambda: str(self.status.read_standard_enable()),
            "*SRE": lambda: str(self.status.read_service_enable()),
            "*PSC": lambda: str(int(self.memory.clears_enables)),
            "INSR": self._take_instrument_events,
            "INSE": lambda: str(self._instrument_enable),
            "LERR": lambda: str(self.errors.popleft() if self.errors else 0),
            "DISP": lambda: "{},{}".format(*self.settings.display),
            "EMAC": lambda: MAC_ADDRESS,
            "TIMB": lambda: "0",
            "LOCK": self._lock,
            "UNLK": self._unlock,
        }
        self._orders: dict[str, Callable[..., None]] = {
            "*TRG": lambda: self.group_trigger(0),
            "*RST": self._reset,
            "*CLS": self._clear,
            "*WAI": lambda: None,
            "*OPC": lambda: self.status.raise_event(StandardEvent.OPERATION_COMPLETE),
            "*ESE": lambda bits: self._enable("*ESE", bits),
            "*SRE": lambda bits: self._enable("*SRE", bits),
            "INSE": lambda bits: self._enable("INSE", bits),
            "*PSC": self._set_clearing,
            "*SAV": self._save,
            "*RCL": self._recall,
            "DISP": self._show,
            "LCAL": lambda: None,
            "REMT": lambda: None,
        }

    @property
    def delays(self) -> dict[int, tuple[int, int]]:
        """Channel -> (reference channel, delay in ps)."""
        return self.settings.delays

    @property
    def numbers(self) -> dict[str, Decimal]:
        """What has one value, by name."""
        return self.settings.numbers

    @property
    def numbered(self) -> dict[str, dict[int, Decimal]]:
        """What has a value for each output or prescaler, by name."""
        return self.settings.numbered

    # -- lines and messages ---------------------------------------------------------------------------------

    def changes(self, request: bytes) -> bool:
        return b"?" not in request

    def unasked(self, now_ns: int) -> bytes:
        return b"0" + self.terminator

    def overlong(self) -> None:
        self._fail(OVERRUN)

    def reply(self, line: str, now_ns: int) -> str | None:
        replies = [
            reply for command in line.split(";") if (reply := self._execute(command.strip())) is not None
        ]
        return ";".join(replies) if replies else None

    def status_byte(self, message_available: bool, now_ns: int) -> int:
        """The status byte by serial poll."""
        return self.status.poll(False, message_available) | (
            self._byte(message_available) & INSTRUMENT_STATUS
        )

    def asks(self, message: bytes) -> bool:
        """Whether the message contains a question."""
        return b"?" in message

    def query_error(self, error: QueryError) -> None:
        """The exchange was broken by a client."""
        self.status.raise_event(StandardEvent.QUERY_ERROR)

    def input_overrun(self) -> None:
        """A message exceeded the input buffer and was dropped."""
        self._fail(OVERRUN)

    def device_clear(self) -> None:
        """Settings stay, and so do errors."""

    def group_trigger(self, now_ns: int) -> None:
        """*TRG, or a trigger that is no message."""
        self.triggers += 1
        self._instrument_events |= TRIGGERED

    # -- commands -------------------------------------------------------------------------------------------

    def _execute(self, command: str) -> str | None:
        if not command:
            return None
        head, mark, rest = command.partition("?")
        if not mark:
            head, _, rest = command.partition(" ")
        arguments = [part.strip() for part in rest.split(",")] if rest.strip() else []
        try:
            if mark:
                return self._ask(head.strip().upper(), arguments)
            self._order(head.strip().upper(), arguments)
        except Refused as refusal:
            self._fail(refusal.code)
        except (InvalidOperation, ValueError):
            self._fail(ILLEGAL_VALUE)
        return None

    def _ask(self, name: str, arguments: list[str]) -> str:
        if name in self._queries:
            _expect(arguments, 0)
            return self._queries[name]()
        if name in ("DLAY", "LINK"):
            _expect(arguments, 1)
            reference, delay_ps = self._place_of(int(arguments[0]))
            return str(reference) if name == "LINK" else f"{reference},{_seconds(delay_ps):+.12f}"
        if name in SETTINGS:
            return self.settings.spoken(name, self._index(name, arguments, 0))
        raise Refused(ILLEGAL_QUERY if name in self._orders or name in STEPS else UNDEFINED_COMMAND)

    def _order(self, name: str, arguments: list[str]) -> None:
        if name in self._orders:
            wanted = {"DISP": 2, "*ESE": 1, "*SRE": 1, "INSE": 1, "*PSC": 1, "*SAV": 1, "*RCL": 1}
            _expect(arguments, wanted.get(name, 0))
            self._orders[name](*map(int, arguments))
        elif name == "DLAY":
            _expect(arguments, 3)
            self._place(int(arguments[0]), int(arguments[1]), Decimal(arguments[2]))
        elif name == "LINK":
            _expect(arguments, 2)
            channel = int(arguments[0])
            self._place(channel, int(arguments[1]), _seconds(self._place_of(channel)[1]))
        elif name in SETTINGS:
            index = self._index(name, arguments, 1)
            self._put(name, index, Decimal(arguments[-1]))
        elif name in STEPS:
            self._step(name, arguments)
        else:
            raise Refused(ILLEGAL_SET if name in self._queries else UNDEFINED_COMMAND)

    def _index(self, name: str, arguments: list[str], values: int) -> int | None:
        """The index among the arguments, of which `values` more are wanted."""
        indices = SETTINGS[name].indices
        _expect(arguments, values if indices is None else values + 1)
        if indices is None:
            return None
        index = int(arguments[0])
        if index not in indices:
            raise Refused(ILLEGAL_VALUE)
        return index

    def _put(self, name: str, index: int | None, value: Decimal) -> None:
        if SETTINGS[name].form == WHOLE and value.is_finite() and value != value.to_integral_value():
            raise Refused(ILLEGAL_VALUE)
        if not self.settings.put(name, index, value):
            raise Refused(ILLEGAL_VALUE)

    def _step(self, name: str, arguments: list[str]) -> None:
        moved, by = STEPS[name]
        index = self._index(by, arguments, 1)
        if arguments[-1] not in ("0", "1"):
            raise Refused(ILLEGAL_VALUE)
        step = self.settings.value(by, index) * (1 if arguments[-1] == "1" else -1)
        if moved == "DLAY":
            assert index is not None
            reference, delay_ps = self._place_of(index)
            self._place(index, reference, _seconds(delay_ps) + step)
        else:
            self._put(moved, index, self.settings.value(moved, index) + step)

    def _place_of(self, channel: int) -> tuple[int, int]:
        if not 0 <= channel < CHANNELS:
            raise Refused(ILLEGAL_VALUE)
        return self.delays.get(channel, (T0, 0))

    def _place(self, channel: int, reference: int, delay_s: Decimal) -> None:
        if channel not in self.delays or not T0 <= reference < CHANNELS:
            raise Refused(ILLEGAL_VALUE)
        if reference in (T1, channel) or self.settings.leads_to(reference, channel):
            raise Refused(ILLEGAL_LINK)
        if delay_s.is_nan():
            raise Refused(ILLEGAL_VALUE)
        if not -DELAY_MAX_S <= delay_s <= DELAY_MAX_S:
            raise Refused(ILLEGAL_DELAY)
        delay_ps = int(delay_s * PS_PER_S)
        self.delays[channel] = (reference, delay_ps - delay_ps % DELAY_STEP_PS)

    # -- orders ---------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self.settings = Dg645Settings()

    def _clear(self) -> None:
        self.errors.clear()
        self.status.clear()
        self._instrument_events = 0

    def _enable(self, register: str, bits: int) -> None:
        if bits not in BYTE:
            raise Refused(ILLEGAL_VALUE)
        if register == "*ESE":
            self.status.write_standard_enable(bits)
        elif register == "*SRE":
            self.status.write_service_enable(bits)
        else:
            self._instrument_enable = bits
        self.memory.enables = (
            self.status.read_standard_enable(),
            self.status.read_service_enable(),
            self._instrument_enable,
        )

    def _set_clearing(self, on: int) -> None:
        if on not in (0, 1):
            raise Refused(ILLEGAL_VALUE)
        self.memory.clears_enables = on == 1

    def _save(self, location: int) -> None:
        if location not in SAVED:
            raise Refused(ILLEGAL_VALUE)
        self.memory.saved[location] = self.settings.copy()

    def _recall(self, location: int) -> None:
        if location == 0:
            self._reset()
        elif location not in SAVED:
            raise Refused(ILLEGAL_VALUE)
        elif location not in self.memory.saved:
            raise Refused(RECALL_FAILED)
        else:
            self.settings = self.memory.saved[location].copy()

    def _show(self, what: int, channel: int) -> None:
        if what not in DISPLAYS or not 0 <= channel < CHANNELS:
            raise Refused(ILLEGAL_VALUE)
        self.settings.display = (what, channel)

    # -- status ---------------------------------------------------------------------------------------------

    def _byte(self, message_available: bool) -> int:
        byte = self.status.byte(False, message_available)
        if self._instrument_events & self._instrument_enable:
            byte |= INSTRUMENT_STATUS
            if self.status.read_service_enable() & INSTRUMENT_STATUS:
                byte |= Status.SERVICE
        return byte

    def _take_instrument_events(self) -> str:
        events, self._instrument_events = self._instrument_events, 0
        return str(events)

    def _lock(self) -> str:
        self._locked = True
        return "1"

    def _unlock(self) -> str:
        held, self._locked = self._locked, False
        return str(int(held))

    def _fail(self, code: int) -> None:
        command_error = code in COMMAND_ERRORS
        self.status.raise_event(
            StandardEvent.COMMAND_ERROR if command_error else StandardEvent.EXECUTION_ERROR
        )
        if len(self.errors) >= ERRORS_MAX:
            self.errors[-1] = TOO_MANY_ERRORS
        else:
            self.errors.append(code)


def _expect(arguments: list[str], count: int) -> None:
    if len(arguments) != count:
        raise Refused(MISSING_PARAMETERS if len(arguments) < count else EXTRA_PARAMETERS)


def _seconds(picoseconds: int) -> Decimal:
    return Decimal(picoseconds).scaleb(-12)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A DG645 on TCP, VXI-11, HiSLIP or a serial line, whatever the address says."""
    serial_number = (order.serial_number or SERIAL_NUMBER).removeprefix("s/n")
    memory = Dg645Memory()
    return InstrumentEmulator(
        order.name,
        lambda: Dg645Model(serial_number, memory=memory),
        [order.messages(PORT)],
        pace=order.pace,
        seed=order.seed,
    )
