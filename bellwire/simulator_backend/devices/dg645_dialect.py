"""The DG645 as a text dialect: settings, ranges, error queue (instruments.md section 3.1). Sans I/O.

Owns what one powered DG645 remembers. Set commands are silent; a bad one shows only in `LERR?`. Numbers are
kept as integers (ps, mV, mHz) so that a read-back does not depend on floating point.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal, InvalidOperation

ERRORS_MAX = 20
ILLEGAL_VALUE, ILLEGAL_DELAY, ILLEGAL_LINK, UNDEFINED_COMMAND, PARAMETER_COUNT, TOO_MANY_ERRORS = (
    10,
    12,
    13,
    111,
    114,
    254,
)
DELAY_STEP_PS = 5
DELAY_MAX_PS = 2000 * 10**12
CHANNELS = 10


class Dg645Dialect:
    """Settings of one instrument since it was switched on."""

    def __init__(self, model: str, serial_number: str) -> None:
        self._identity = f"Stanford Research Systems,{model},s/n{serial_number},ver1.14.10E"
        self._errors: deque[int] = deque()
        # Channel -> (reference channel, delay in ps); T0 and T1 (0, 1) cannot be moved.
        self.delays: dict[int, tuple[int, int]] = dict.fromkeys(range(2, CHANNELS), (0, 0))
        self.amplitudes_mv = dict.fromkeys(range(5), 2500)
        self.numbers: dict[str, Decimal] = {
            "TSRC": Decimal(5),
            "TRAT": Decimal(1000),
            "BURM": Decimal(0),
            "BURC": Decimal(5),
            "BURD": Decimal(0),
            "BURP": Decimal("0.001"),
        }
        self.triggers = 0

    def execute(self, line: str) -> str | None:
        """Carry out one command; the reply without terminator, None when there is none."""
        name, _, rest = line.partition(" ")
        if "?" in name and not rest:
            name, _, rest = name.partition("?")
            name += "?"
        elif name.endswith("?"):
            name, rest = name, rest.strip()
        arguments = [part.strip() for part in rest.split(",")] if rest.strip() else []
        try:
            return self._dispatch(name.upper(), arguments)
        except (InvalidOperation, ValueError):
            self._fail(ILLEGAL_VALUE)
            return None

    def _dispatch(self, name: str, arguments: list[str]) -> str | None:
        match name:
            case "*IDN?":
                return self._identity
            case "LERR?":
                return str(self._errors.popleft() if self._errors else 0)
            case "*TRG":
                self.triggers += 1
            case "DLAY?":
                if self._count(arguments, 1):
                    return self._read_delay(int(arguments[0]))
            case "DLAY":
                if self._count(arguments, 3):
                    self._set_delay(int(arguments[0]), int(arguments[1]), Decimal(arguments[2]))
            case "LAMP?":
                if self._count(arguments, 1) and self._output(int(arguments[0])):
                    return f"{Decimal(self.amplitudes_mv[int(arguments[0])]) / 1000:+.2f}"
            case "LAMP":
                if self._count(arguments, 2) and self._output(int(arguments[0])):
                    self._set_amplitude(int(arguments[0]), Decimal(arguments[1]))
            case "TSRC?" | "BURM?" | "BURC?":
                return str(int(self.numbers[name[:-1]]))
            case "TRAT?":
                return f"{self.numbers['TRAT']:+.6f}"
            case "BURD?" | "BURP?":
                return f"{self.numbers[name[:-1]]:+.12f}"
            case "TSRC" | "TRAT" | "BURM" | "BURC" | "BURD" | "BURP":
                if self._count(arguments, 1):
                    self._set_number(name, Decimal(arguments[0]))
            case _:
                self._fail(UNDEFINED_COMMAND)
        return None

    def _fail(self, code: int) -> None:
        if len(self._errors) >= ERRORS_MAX:
            self._errors[-1] = TOO_MANY_ERRORS
        else:
            self._errors.append(code)

    def _count(self, arguments: list[str], wanted: int) -> bool:
        if len(arguments) != wanted:
            self._fail(PARAMETER_COUNT)
        return len(arguments) == wanted

    def _output(self, output: int) -> bool:
        if output not in self.amplitudes_mv:
            self._fail(ILLEGAL_VALUE)
        return output in self.amplitudes_mv

    def _read_delay(self, channel: int) -> str | None:
        if channel in (0, 1):
            return "0,+0.000000000000"
        if channel not in self.delays:
            self._fail(ILLEGAL_VALUE)
            return None
        reference, delay_ps = self.delays[channel]
        return f"{reference},{Decimal(delay_ps) / 10**12:+.12f}"

    def _set_delay(self, channel: int, reference: int, delay_s: Decimal) -> None:
        if channel not in self.delays or not 0 <= reference < CHANNELS:
            self._fail(ILLEGAL_VALUE)
        elif channel == reference or self._leads_to(reference, channel):
            self._fail(ILLEGAL_LINK)
        elif not -DELAY_MAX_PS <= (delay_ps := int(delay_s * 10**12)) <= DELAY_MAX_PS:
            self._fail(ILLEGAL_DELAY)
        else:
            self.delays[channel] = (reference, delay_ps - delay_ps % DELAY_STEP_PS)

    def _leads_to(self, channel: int, goal: int) -> bool:
        while channel in self.delays and channel != goal:
            channel = self.delays[channel][0]
        return channel == goal

    def _set_amplitude(self, output: int, volt: Decimal) -> None:
        if not Decimal("0.5") <= volt <= 5:
            self._fail(ILLEGAL_VALUE)
        else:
            self.amplitudes_mv[output] = int(volt * 1000)

    def _set_number(self, name: str, value: Decimal) -> None:
        low, high = {
            "TSRC": (Decimal(0), Decimal(6)),
            "TRAT": (Decimal("0.000001"), Decimal(10_000_000)),
            "BURM": (Decimal(0), Decimal(1)),
            "BURC": (Decimal(1), Decimal(2**32 - 1)),
            "BURD": (Decimal(0), Decimal(2000)),
            "BURP": (Decimal("0.0000001"), Decimal("1999.99999999")),
        }[name]
        if not low <= value <= high:
            self._fail(ILLEGAL_VALUE)
        else:
            self.numbers[name] = value
