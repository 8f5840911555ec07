"""The parameters that emulated commands take: numbers with units, booleans, choices, strings, blocks,
channel lists.

Owns the change from data elements to values, with the refusals that SCPI names, and the writing of response
data. Refuses to know any command.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.scpi_errors import ScpiError
from bellwire.simulator_backend.devices.scpi_syntax import (
    BlockElement,
    Element,
    ExpressionElement,
    NumberElement,
    StringElement,
    WordElement,
)

CHANNELS_MAX = 1024

MULTIPLIERS = {
    "EX": 1e18,
    "PE": 1e15,
    "T": 1e12,
    "G": 1e9,
    "MA": 1e6,
    "K": 1e3,
    "": 1.0,
    "M": 1e-3,
    "U": 1e-6,
    "N": 1e-9,
    "P": 1e-12,
    "F": 1e-15,
    "A": 1e-18,
}
"""IEEE 488.2 table 7-2. M is milli, but mega before HZ and OHM."""

MEGA_UNITS = frozenset({"HZ", "OHM"})

Value = float | int | str | bool | bytes | tuple[int, ...]
"""What a method of an emulator gets for a parameter."""

Response = float | int | str | bool | bytes | Sequence[float] | Sequence[int] | Sequence[str]
"""What a method of an emulator may answer to a query."""


def word_forms(word: str) -> tuple[str, str]:
    """Short and long form, in capitals, of a word written as SCPI manuals do: VOLTage is VOLT or VOLTAGE."""
    short = "".join(mark for mark in word if not mark.islower())
    if not short or not word.startswith(short[0]):
        raise LocalMisuse(f"{word!r} does not begin with the capitals of its short form")
    return short, word.upper()


def is_word(written: str, word: str) -> bool:
    """Whether what was written is the word, in its short or its long form; nothing in between."""
    return written.upper() in word_forms(word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(ABC):
    """One parameter. An `optional` one that was not sent is not passed to the method."""

    optional: bool = False

    @abstractmethod
    def value(self, element: Element, device: object) -> Value:
        """The value of a data element. Raises ScpiError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Parameter):
    """A number in `unit` (without prefix: V, M for metre, W, CEL); values outside of the limits are refused.

    A limit, or the default, is a number or the name of the device's attribute that holds it; None: there is
    none. Watt takes DBM as well.
    """

    unit: str | None = None
    minimum: float | str | None = None
    maximum: float | str | None = None
    default: float | str | None = None

    def value(self, element: Element, device: object) -> float:
        if isinstance(element, WordElement):
            return self.limit(element.word, device)
        if not isinstance(element, NumberElement):
            raise ScpiError(-104, "a number is wanted")
        number = self._in_unit(element)
        low, high = self._known(self.minimum, device), self._known(self.maximum, device)
        if (
            not math.isfinite(number)
            or (low is not None and number < low)
            or (high is not None and number > high)
        ):
            raise ScpiError(-222, f"{element.text}{element.suffix or ''} is not in {low}..{high}")
        return number

    def limit(self, word: str, device: object) -> float:
        """MINimum, MAXimum or DEFault. Raises ScpiError."""
        for name, limit in (
            ("MINimum", self.minimum),
            ("MAXimum", self.maximum),
            ("DEFault", self.default),
        ):
            if is_word(word, name):
                found = self._known(limit, device)
                if found is None:
                    break
                return found
        raise ScpiError(-224, word)

    @staticmethod
    def _known(limit: float | str | None, device: object) -> float | None:
        return float(getattr(device, limit)) if isinstance(limit, str) else limit

    def _in_unit(self, element: NumberElement) -> float:
        if element.suffix is None:
            return element.value
        if self.unit is None:
            raise ScpiError(-138, element.suffix)
        suffix = element.suffix.upper()
        if self.unit == "W" and suffix == "DBM":
            exponent = element.value / 10 - 3
            return 10.0**exponent if exponent < 300 else math.inf
        prefix = suffix.removesuffix(self.unit)
        if not suffix.endswith(self.unit) or prefix not in MULTIPLIERS:
            raise ScpiError(-131, element.suffix)
        mega = prefix == "M" and self.unit in MEGA_UNITS
        return element.value * (1e6 if mega else MULTIPLIERS[prefix])


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole(Number):
    """An integer; fractions are rounded, as IEEE 488.2 wants (halves away from zero)."""

    def value(self, element: Element, device: object) -> int:
        number = Number.value(self, element, device)
        return int(math.copysign(math.floor(abs(number) + 0.5), number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean(Parameter):
    """ON, OFF, or a number: 0 is off."""

    def value(self, element: Element, device: object) -> bool:
        if isinstance(element, WordElement):
            if element.word.upper() in ("ON", "OFF"):
                return element.word.upper() == "ON"
            raise ScpiError(-224, element.word)
        if not isinstance(element, NumberElement):
            raise ScpiError(-104, "ON, OFF or a number is wanted")
        if element.suffix is not None:
            raise ScpiError(-138, element.suffix)
        return abs(element.value) >= 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Parameter):
    """One of some words, written as in manuals (INTernal); the value is the short form."""

    words: tuple[str, ...]

    def value(self, element: Element, device: object) -> str:
        if not isinstance(element, WordElement):
            raise ScpiError(-104, f"one of {', '.join(self.words)} is wanted")
        for word in self.words:
            if is_word(element.word, word):
                return word_forms(word)[0]
        raise ScpiError(-224, element.word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Parameter):
    """A quoted string of at most `characters_max`."""

    characters_max: int = 255

    def value(self, element: Element, device: object) -> str:
        if not isinstance(element, StringElement):
            raise ScpiError(-104, "a quoted string is wanted")
        if len(element.text) > self.characters_max:
            raise ScpiError(-223, f"{len(element.text)} characters, {self.characters_max} are allowed")
        return element.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Parameter):
    """Arbitrary bytes, at most `octets_max`."""

    octets_max: int = 1 << 20

    def value(self, element: Element, device: object) -> bytes:
        if not isinstance(element, BlockElement):
            raise ScpiError(-104, "a block is wanted")
        if len(element.octets) > self.octets_max:
            raise ScpiError(-223, f"{len(element.octets)} bytes, {self.octets_max} are allowed")
        return element.octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels(Parameter):
    """A channel list, (@1,3:5), of channels `first` to `last`; ranges may run downwards."""

    first: int
    last: int

    def value(self, element: Element, device: object) -> tuple[int, ...]:
        if not isinstance(element, ExpressionElement):
            raise ScpiError(-104, "a channel list is wanted")
        body = element.text.strip()
        if not body.startswith("@"):
            raise ScpiError(-171, body[:32])
        channels: list[int] = []
        for entry in body[1:].split(","):
            found = _CHANNELS.fullmatch(entry.strip())
            if found is None:
                raise ScpiError(-171, body[:32])
            start = int(found[1])
            stop = start if found[2] is None else int(found[2])
            for channel in (start, stop):
                if not self.first <= channel <= self.last:
                    raise ScpiError(-222, f"channel {channel} is not in {self.first}..{self.last}")
            channels += range(start, stop + 1) if stop >= start else range(start, stop - 1, -1)
            if len(channels) > CHANNELS_MAX:
                raise ScpiError(-223, f"more than {CHANNELS_MAX} channels")
        return tuple(channels)


_CHANNELS = re.compile(r"(\d{1,9})(?:\s*:\s*(\d{1,9}))?", re.ASCII)


def definite_block(octets: bytes) -> bytes:
    """#<digits><length><bytes>."""
    length = str(len(octets))
    return f"#{len(length)}{length}".encode() + octets


def response_bytes(response: Response) -> bytes:
    """Response data: booleans as 1 or 0, floats as NR3, bytes as a block, sequences with commas; text as it
    is.
    """
    match response:
        case bytes():
            return definite_block(response)
        case bool():
            return b"1" if response else b"0"
        case int():
            return str(response).encode()
        case float():
            return f"{response:.9E}".encode()
        case str():
            return response.encode("latin-1", "replace")
        case _:
            return b",".join(map(response_bytes, response))
