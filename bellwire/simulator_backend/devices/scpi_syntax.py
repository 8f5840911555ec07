"""The grammar of program messages: messages, units, headers, data elements (IEEE 488.2 chapter 7, SCPI-1999
volume 1).

Owns where a message, a unit and a parameter end, with strings, blocks and expressions in between, and what
kind of data a parameter is. Refuses to know any command or any unit of measurement. Sans I/O; any bytes are
taken, and what is not the grammar raises ScpiError for its own unit only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bellwire.simulator_backend.devices.scpi_errors import ScpiError

MNEMONIC_CHARACTERS_MAX = 12
DIGITS_MAX = 255
EXPONENT_MAX = 32_000

_QUOTES = b"\"'"
_BLOCK = re.compile(rb"#([1-9])")
_HEADER = re.compile(r"(\*[A-Za-z]\w*|:?[A-Za-z]\w*(?::[A-Za-z]\w*)*)(\?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:\s*[eE]\s*([+-]?\d+))?", re.ASCII)
_SUFFIX = re.compile(r"[A-Za-z/][A-Za-z0-9/.\-]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z]\w*", re.ASCII)
_OTHER_BASE = re.compile(r"#(?:[Hh]([0-9A-Fa-f]+)|[Qq]([0-7]+)|[Bb]([01]+))")


@dataclass(frozen=True, slots=True)
class NumberElement:
    """A decimal number and the suffix as it was written; `suffix` None: there was none."""

    value: float
    text: str
    suffix: str | None


@dataclass(frozen=True, slots=True)
class WordElement:
    """Character data: ON, MAX, INTernal."""

    word: str


@dataclass(frozen=True, slots=True)
class StringElement:
    """A quoted string without its quotes."""

    text: str


@dataclass(frozen=True, slots=True)
class BlockElement:
    """A definite-length block, or an indefinite one up to the end of the message."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class ExpressionElement:
    """What stands between parentheses, as (@1,2)."""

    text: str


Element = NumberElement | WordElement | StringElement | BlockElement | ExpressionElement


@dataclass(frozen=True, slots=True)
class Unit:
    """One command or query of a message: `mnemonics` as written, `absolute` when it began with a colon."""

    mnemonics: tuple[str, ...]
    absolute: bool
    query: bool
    elements: tuple[Element, ...]

    @property
    def is_common(self) -> bool:
        """Whether it is a command of IEEE 488.2, which leaves the current path alone."""
        return self.mnemonics[0].startswith("*")

    @property
    def header(self) -> str:
        """The header as it was written, without the first colon."""
        return ":".join(self.mnemonics) + ("?" if self.query else "")


def take_messages(buffer: bytearray, block_bytes_max: int) -> list[bytes]:
    """Take the messages that end with a line feed out of a stream; a line feed within a block ends nothing.

    A block that says to be longer than `block_bytes_max` is not believed.
    """
    messages: list[bytes] = []
    while (end := _message_end(buffer, block_bytes_max)) is not None:
        message = bytes(buffer[:end])
        del buffer[: end + 1]
        if message.strip():
            messages.append(message)
    return messages


def _message_end(buffer: bytes | bytearray, block_bytes_max: int) -> int | None:
    start = 0
    while (end := buffer.find(b"\n", start)) >= 0:
        block = _block_across(buffer, start, end, block_bytes_max)
        if block is None:
            return end
        start = block
    return None


def _block_across(buffer: bytes | bytearray, start: int, end: int, block_bytes_max: int) -> int | None:
    """Where a block ends that begins in [start, end) and goes beyond `end`; None: there is no such block."""
    quote = 0
    position = start
    while position < end:
        octet = buffer[position]
        if quote:
            quote = 0 if octet == quote else quote
        elif octet in _QUOTES:
            quote = octet
        elif octet == ord("#"):
            stop = _block_stop(buffer, position, block_bytes_max)
            if stop is not None and stop > end:
                return stop
            position = position if stop is None else stop - 1
        position += 1
    return None


def _block_stop(octets: bytes | bytearray, start: int, block_bytes_max: int | None) -> int | None:
    """Where the definite-length block that begins at `start` ends; None: none begins there."""
    header = _BLOCK.match(octets, start)
    if header is None:
        return None
    count = octets[header.end() : header.end() + int(header[1])]
    if len(count) < int(header[1]) or not count.isdigit():
        return None
    if block_bytes_max is not None and int(count) > block_bytes_max:
        return None
    return header.end() + len(count) + int(count)


def split_units(message: bytes) -> list[bytes]:
    """The units of a message, at semicolons that stand outside of strings, blocks and expressions."""
    return [piece for piece in _split(message, ord(";")) if piece.strip()]


def _split(octets: bytes, separator: int) -> Iterator[bytes]:
    start = position = depth = quote = 0
    while position < len(octets):
        octet = octets[position]
        if quote:
            quote = 0 if octet == quote else quote
        elif octet in _QUOTES:
            quote = octet
        elif octet == ord("#"):
            if octets[position + 1 : position + 2] == b"0":
                break
            stop = _block_stop(octets, position, None)
            position = position if stop is None else stop - 1
        elif octet == ord("("):
            depth += 1
        elif octet == ord(")"):
            depth = max(0, depth - 1)
        elif octet == separator and depth == 0:
            yield octets[start:position]
            start = position + 1
        position += 1
    yield octets[start:]


def parse_unit(piece: bytes) -> Unit:
    """A unit from its bytes. Raises ScpiError (-101 to -171)."""
    stripped = piece.lstrip()
    text = stripped.decode("latin-1")
    header = _HEADER.match(text)
    if header is None:
        raise ScpiError(-102 if " " <= text[:1] <= "~" else -101, text[:32])
    rest = text[header.end() :]
    if rest and not rest[0].isspace():
        raise ScpiError(-111 if " " <= rest[0] <= "~" else -101, text[:32])
    absolute = header[1].startswith(":")
    mnemonics = tuple(header[1].removeprefix(":").split(":"))
    for mnemonic in mnemonics:
        if len(mnemonic.removeprefix("*")) > MNEMONIC_CHARACTERS_MAX:
            raise ScpiError(-112, mnemonic)
    parameters = stripped[header.end() :]
    elements = tuple(map(_element, _split(parameters, ord(",")))) if parameters.strip() else ()
    return Unit(mnemonics, absolute, header[2] is not None, elements)


def _element(piece: bytes) -> Element:
    lead = piece.lstrip()
    if lead[:1] == b"#" and lead[1:2].isdigit():
        return _block(lead)
    text = lead.rstrip().decode("latin-1")
    if not text:
        raise ScpiError(-103, "nothing between two commas")
    if text[0] in "\"'":
        return _string(text)
    if text[0] == "(":
        if not text.endswith(")") or text.count("(") != text.count(")"):
            raise ScpiError(-171, text[:32])
        return ExpressionElement(text[1:-1])
    if text[0] == "#":
        return _other_base(text)
    if _WORD.fullmatch(text):
        return WordElement(text)
    return _number(text)


def _block(octets: bytes) -> BlockElement:
    if octets[1:2] == b"0":
        return BlockElement(octets[2:].removesuffix(b"\n"))
    stop = _block_stop(octets, 0, None)
    if stop is None or stop > len(octets) or octets[stop:].strip():
        raise ScpiError(-161)
    return BlockElement(octets[2 + int(octets[1:2]) : stop])


def _string(text: str) -> StringElement:
    quote = text[0]
    inside = text[1:-1]
    if len(text) < 2 or text[-1] != quote or quote in inside.replace(2 * quote, ""):
        raise ScpiError(-151, text[:32])
    return StringElement(inside.replace(2 * quote, quote))


def _other_base(text: str) -> NumberElement:
    found = _OTHER_BASE.fullmatch(text)
    if found is None or len(text) > DIGITS_MAX:
        raise ScpiError(-121, text[:32])
    value = int(found[1], 16) if found[1] else int(found[2], 8) if found[2] else int(found[3], 2)
    return NumberElement(float(value), text, None)


def _number(text: str) -> NumberElement:
    found = _NUMBER.match(text)
    if found is None:
        raise ScpiError(-121 if text[0] in "+-." else -102, text[:32])
    if len(found[0]) > DIGITS_MAX:
        raise ScpiError(-124)
    if found[1] is not None and abs(int(found[1])) > EXPONENT_MAX:
        raise ScpiError(-123, text[:32])
    suffix = text[found.end() :].strip()
    if suffix and not _SUFFIX.fullmatch(suffix):
        raise ScpiError(-121, text[:32])
    if len(suffix) > MNEMONIC_CHARACTERS_MAX:
        raise ScpiError(-134, suffix[:32])
    written = "".join(found[0].split())
    return NumberElement(float(written), written, suffix or None)
