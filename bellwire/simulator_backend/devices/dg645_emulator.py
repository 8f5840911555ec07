"""Emulated SRS DG645: settings, ranges, error queue, status byte (instruments.md section 3.1).

Owns what one powered DG645 remembers, and its dialect on TCP, a serial line, VXI-11 or HiSLIP. Set commands
are silent; a bad one shows only in `LERR?` and in the event register. Numbers are kept as integers or
decimals, so that a read-back does not depend on floating point.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal, InvalidOperation

from bellwire.simulator_backend.devices.device_model import LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.message_device import QueryError
from bellwire.simulator_backend.devices.scpi_errors import StandardEvent
from bellwire.simulator_backend.devices.scpi_status import StatusRegisters

PORT = 5025
SERIAL_NUMBER = "001234"
FIRMWARE = "ver1.14.10E"
ERRORS_MAX = 20
ILLEGAL_VALUE, ILLEGAL_MODE, ILLEGAL_DELAY, ILLEGAL_LINK = 10, 11, 12, 13
UNDEFINED_COMMAND, PARAMETER_COUNT, OVERRUN, TOO_MANY_ERRORS = 111, 114, 171, 254
COMMAND_ERRORS = range(110, 127)
DELAY_STEP_PS = 5
DELAY_MAX_S = 2000
T0, T1, A, CHANNELS = 0, 1, 2, 10
OUTPUTS = range(5)
SINGLE_SHOT = 5
NUMBERS: dict[str, tuple[str, str, str, str]] = {
    # name: default, least, most, form of the reply
    "TSRC": ("5", "0", "6", "d"),
    "TRAT": ("1000", "0.0001", "10000000", "+.6f"),
    "TLVL": ("1", "-3.5", "3.5", "+.2f"),
    "HOLD": ("0", "0", "2000", "+.12f"),
    "ADVT": ("0", "0", "1", "d"),
    "BURM": ("0", "0", "1", "d"),
    "BURC": ("5", "1", "4294967295", "d"),
    "BURD": ("0", "0", "2000", "+.12f"),
    "BURP": ("0.001", "0.0000001", "1999.99999999", "+.12f"),
    "BURT": ("0", "0", "1", "d"),
}
NUMBERED: dict[str, tuple[range, str, str, str, str]] = {
    # name: indices, default, least, most, form of the reply
    "LAMP": (OUTPUTS, "2.5", "0.5", "5", "+.2f"),
    "LOFF": (OUTPUTS, "0", "-2", "2", "+.2f"),
    "LPOL": (OUTPUTS, "1", "0", "1", "d"),
    "PRES": (range(5), "1", "1", "1073741823", "d"),
    "PHAS": (range(1, 5), "0", "0", "1073741823", "d"),
}


class Dg645Model(LineModel):
    """One powered DG645 with its default settings: no triggers but by *TRG, all channels at T0."""

    line_bytes_max = 256

    def __init__(self, serial_number: str = SERIAL_NUMBER, model: str = "DG645") -> None:
        self.identity = f"Stanford Research Systems,{model},s/n{serial_number},{FIRMWARE}"
        self.status = StatusRegisters()
        self.errors: deque[int] = deque()
        self.triggers = 0
        self._reset()

    def _reset(self) -> None:
        # Channel -> (reference channel, delay in ps); T0 and T1 cannot be moved.
        self.delays: dict[int, tuple[int, int]] = dict.fromkeys(range(A, CHANNELS), (T0, 0))
        self.numbers = {name: Decimal(row[0]) for name, row in NUMBERS.items()}
        self.numbered = {
            name: dict.fromkeys(indices, Decimal(default))
            for name, (indices, default, *_) in NUMBERED.items()
        }

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
        return self.status.poll(False, message_available)

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
        """A trigger that is no message."""
        self.triggers += 1

    # -- commands -------------------------------------------------------------------------------------------

    def _execute(self, command: str) -> str | None:
        head, mark, rest = command.partition("?")
        if not mark:
            head, _, rest = command.partition(" ")
        name = head.strip().upper() + mark
        arguments = [part.strip() for part in rest.split(",")] if rest.strip() else []
        try:
            return self._dispatch(name, arguments)
        except (InvalidOperation, ValueError):
            self._fail(ILLEGAL_VALUE)
            return None

    def _dispatch(self, name: str, arguments: list[str]) -> str | None:
        match name.removesuffix("?"):
            case "*IDN" | "*OPC" | "*ESR" | "*STB" | "*TST" | "LERR" if name.endswith("?"):
                return self._common(name) if self._count(arguments, 0) else None
            case "*TRG" | "*RST" | "*CLS" | "*WAI" if not name.endswith("?"):
                if self._count(arguments, 0):
                    self._order(name)
            case "DLAY" | "LINK":
                return self._delay_command(name, arguments)
            case key if key in NUMBERS:
                return self._number_command(key, name, arguments)
            case key if key in NUMBERED:
                return self._numbered_command(key, name, arguments)
            case _:
                self._fail(UNDEFINED_COMMAND)
        return None

    def _common(self, name: str) -> str:
        match name:
            case "*IDN?":
                return self.identity
            case "LERR?":
                return str(self.errors.popleft() if self.errors else 0)
            case "*ESR?":
                return str(self.status.take_standard())
            case "*STB?":
                return str(self.status.byte(False, False))
            case "*OPC?":
                return "1"
            case _:  # *TST? passes
                return "0"

    def _order(self, name: str) -> None:
        match name:
            case "*TRG":
                self.triggers += 1
            case "*RST":
                self._reset()
            case "*CLS":
                self.errors.clear()
                self.status.clear()
            case _:  # *WAI: nothing takes time
                pass

    def _delay_command(self, name: str, arguments: list[str]) -> str | None:
        if name.endswith("?"):
            if not self._count(arguments, 1):
                return None
            channel = int(arguments[0])
            if channel not in self.delays and channel not in (T0, T1):
                self._fail(ILLEGAL_VALUE)
                return None
            reference, delay_ps = self.delays.get(channel, (T0, 0))
            if name == "LINK?":
                return str(reference)
            return f"{reference},{Decimal(delay_ps) / 10**12:+.12f}"
        if self._count(arguments, 2 if name == "LINK" else 3):
            channel, reference = int(arguments[0]), int(arguments[1])
            if name == "LINK":
                delay_ps = self.delays.get(channel, (T0, 0))[1]
                self._place(channel, reference, Decimal(delay_ps).scaleb(-12))
            else:
                self._place(channel, reference, Decimal(arguments[2]))
        return None

    def _place(self, channel: int, reference: int, delay_s: Decimal) -> None:
        if channel not in self.delays or not T0 <= reference < CHANNELS:
            self._fail(ILLEGAL_VALUE)
        elif reference == T1 or channel == reference or self._leads_to(reference, channel):
            self._fail(ILLEGAL_LINK)
        elif not -DELAY_MAX_S <= delay_s <= DELAY_MAX_S:
            self._fail(ILLEGAL_DELAY)
        else:
            delay_ps = int(delay_s * 10**12)
            self.delays[channel] = (reference, delay_ps - delay_ps % DELAY_STEP_PS)

    def _leads_to(self, channel: int, goal: int) -> bool:
        while channel in self.delays and channel != goal:
            channel = self.delays[channel][0]
        return channel == goal

    def _number_command(self, key: str, name: str, arguments: list[str]) -> str | None:
        _, least, most, form = NUMBERS[key]
        if name.endswith("?"):
            return _spoken(self.numbers[key], form) if self._count(arguments, 0) else None
        if self._count(arguments, 1) and self._within(value := Decimal(arguments[0]), least, most):
            self.numbers[key] = value
        return None

    def _numbered_command(self, key: str, name: str, arguments: list[str]) -> str | None:
        indices, _, least, most, form = NUMBERED[key]
        if not self._count(arguments, 1 if name.endswith("?") else 2):
            return None
        index = int(arguments[0])
        if index not in indices:
            self._fail(ILLEGAL_VALUE)
        elif name.endswith("?"):
            return _spoken(self.numbered[key][index], form)
        elif self._within(value := Decimal(arguments[1]), least, most):
            self.numbered[key][index] = value
        return None

    def _within(self, value: Decimal, least: str, most: str) -> bool:
        inside = value.is_finite() and Decimal(least) <= value <= Decimal(most)
        if not inside:
            self._fail(ILLEGAL_VALUE)
        return inside

    def _count(self, arguments: list[str], wanted: int) -> bool:
        if len(arguments) != wanted:
            self._fail(PARAMETER_COUNT)
        return len(arguments) == wanted

    def _fail(self, code: int) -> None:
        command_error = code in COMMAND_ERRORS
        self.status.raise_event(
            StandardEvent.COMMAND_ERROR if command_error else StandardEvent.EXECUTION_ERROR
        )
        if len(self.errors) >= ERRORS_MAX:
            self.errors[-1] = TOO_MANY_ERRORS
        else:
            self.errors.append(code)


def _spoken(value: Decimal, form: str) -> str:
    return str(int(value)) if form == "d" else f"{value:{form}}"


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A DG645 on TCP, VXI-11, HiSLIP or a serial line, whatever the address says."""
    serial_number = (order.serial_number or SERIAL_NUMBER).removeprefix("s/n")
    return InstrumentEmulator(
        order.name,
        lambda: Dg645Model(serial_number),
        [order.messages(PORT)],
        pace=order.pace,
        seed=order.seed,
    )
