"""The errors that SCPI names, and the queue in which an instrument keeps them (SCPI-1999 volume 2, chapter
21).

Owns codes, texts, classes and the queue with its overflow. Refuses to decide when something is an error:
that is the parser's, the parameters' and the device's business.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntFlag
from types import MappingProxyType

TEXT_CHARACTERS_MAX = 255
"""Of an error's text with its detail."""

ERROR_TEXTS = MappingProxyType(
    {
        0: "No error",
        -100: "Command error",
        -101: "Invalid character",
        -102: "Syntax error",
        -103: "Invalid separator",
        -104: "Data type error",
        -105: "GET not allowed",
        -108: "Parameter not allowed",
        -109: "Missing parameter",
        -110: "Command header error",
        -111: "Header separator error",
        -112: "Program mnemonic too long",
        -113: "Undefined header",
        -114: "Header suffix out of range",
        -115: "Unexpected number of parameters",
        -120: "Numeric data error",
        -121: "Invalid character in number",
        -123: "Exponent too large",
        -124: "Too many digits",
        -128: "Numeric data not allowed",
        -130: "Suffix error",
        -131: "Invalid suffix",
        -134: "Suffix too long",
        -138: "Suffix not allowed",
        -140: "Character data error",
        -141: "Invalid character data",
        -144: "Character data too long",
        -148: "Character data not allowed",
        -150: "String data error",
        -151: "Invalid string data",
        -158: "String data not allowed",
        -160: "Block data error",
        -161: "Invalid block data",
        -168: "Block data not allowed",
        -170: "Expression error",
        -171: "Invalid expression",
        -178: "Expression data not allowed",
        -200: "Execution error",
        -201: "Invalid while in local",
        -202: "Settings lost due to rtl",
        -203: "Command protected",
        -210: "Trigger error",
        -211: "Trigger ignored",
        -212: "Arm ignored",
        -213: "Init ignored",
        -214: "Trigger deadlock",
        -215: "Arm deadlock",
        -220: "Parameter error",
        -221: "Settings conflict",
        -222: "Data out of range",
        -223: "Too much data",
        -224: "Illegal parameter value",
        -225: "Out of memory",
        -226: "Lists not same length",
        -230: "Data corrupt or stale",
        -231: "Data questionable",
        -240: "Hardware error",
        -241: "Hardware missing",
        -250: "Mass storage error",
        -260: "Expression error",
        -270: "Macro error",
        -280: "Program error",
        -290: "Memory use error",
        -300: "Device-specific error",
        -310: "System error",
        -311: "Memory error",
        -313: "Calibration memory lost",
        -314: "Save/recall memory lost",
        -315: "Configuration memory lost",
        -320: "Storage fault",
        -321: "Out of memory",
        -330: "Self-test failed",
        -340: "Calibration failed",
        -350: "Queue overflow",
        -360: "Communication error",
        -363: "Input buffer overrun",
        -365: "Time out error",
        -400: "Query error",
        -410: "Query INTERRUPTED",
        -420: "Query UNTERMINATED",
        -430: "Query DEADLOCKED",
        -440: "Query UNTERMINATED after indefinite response",
    }
)
QUEUE_OVERFLOW = -350


class StandardEvent(IntFlag):
    """The standard event status register of IEEE 488.2 (section 11.5.1)."""

    OPERATION_COMPLETE = 1
    REQUEST_CONTROL = 2
    QUERY_ERROR = 4
    DEVICE_ERROR = 8
    EXECUTION_ERROR = 16
    COMMAND_ERROR = 32
    USER_REQUEST = 64
    POWER_ON = 128


class ScpiError(Exception):
    """A command that an instrument refuses: `code` of the table, or a positive one of the device's own.

    `detail` is appended to the text, as `-113,"Undefined header;BOGUS:CMD"`. `text` replaces the table's
    text.
    """

    def __init__(self, code: int, detail: str = "", *, text: str | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.text = text


@dataclass(frozen=True, slots=True)
class QueuedError:
    """One entry of the queue, as `SYSTem:ERRor?` sends it."""

    code: int
    text: str

    def __str__(self) -> str:
        quoted = self.text.replace('"', '""')
        return f'{self.code},"{quoted}"'


def event_of(code: int) -> StandardEvent:
    """The event bit of an error's class; positive codes are the device's own and count as device errors."""
    if -200 < code <= -100:
        return StandardEvent.COMMAND_ERROR
    if -300 < code <= -200:
        return StandardEvent.EXECUTION_ERROR
    if -500 < code <= -400:
        return StandardEvent.QUERY_ERROR
    return StandardEvent.DEVICE_ERROR


def queued(error: ScpiError) -> QueuedError:
    """An error with its text, made printable and cut to the length that SCPI allows."""
    known = ERROR_TEXTS.get(error.code, ERROR_TEXTS[-300])
    text = known if error.text is None else error.text
    if error.detail:
        text = f"{text};{error.detail}"
    printable = "".join(mark if " " <= mark <= "~" else "?" for mark in text)
    return QueuedError(error.code, printable[:TEXT_CHARACTERS_MAX])


class ErrorQueue:
    """First in, first out; when full, the last entry becomes -350 and what follows is lost."""

    def __init__(self, entries_max: int) -> None:
        self._entries: deque[QueuedError] = deque()
        self._entries_max = entries_max

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, entry: QueuedError) -> bool:
        """Append; False when the queue was full."""
        if len(self._entries) < self._entries_max:
            self._entries.append(entry)
            return True
        self._entries[-1] = QueuedError(QUEUE_OVERFLOW, ERROR_TEXTS[QUEUE_OVERFLOW])
        return False

    def pop(self) -> QueuedError:
        """The oldest entry; `0,"No error"` when there is none."""
        return self._entries.popleft() if self._entries else QueuedError(0, ERROR_TEXTS[0])

    def pop_all(self) -> list[QueuedError]:
        """All entries, oldest first; `0,"No error"` alone when there is none."""
        entries = list(self._entries) or [self.pop()]
        self._entries.clear()
        return entries

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
