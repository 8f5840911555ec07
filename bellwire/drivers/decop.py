"""Words of the command language of Toptica's controllers (DeCoP): parameter values as text and back.

Owns the spelling of values: `#t`/`#f`, integers, reals, quoted strings, binary blocks (`&` and base64),
tuples in brackets. Refuses to know parameters; a text that is no value is a ValueError, the caller says
whose fault it is.
"""

from __future__ import annotations

import base64
import binascii
import re

DecopValue = bool | int | float | str | bytes | tuple["DecopValue", ...]

COMMAND_PORT = 1998
MONITORING_PORT = 1999
DISCOVERY_PORT = 60010
DISCOVERY_QUESTION = b"whoareyou?"
PROMPT = b"\n> "
BANNER = "DeCoF Command Line"
NESTING_MAX = 8

_TOKEN = re.compile(
    r"""\s*(?:(?P<quote>'?\()|(?P<close>\))|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()"]+))"""
)
_INTEGER = re.compile(r"[-+]?\d+")


def encode(value: DecopValue) -> str:
    """The text of a value, as a controller takes and sends it."""
    match value:
        case bool():
            return "#t" if value else "#f"
        case int() | float():
            return repr(value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case bytes():
            return "&" + base64.b64encode(value).decode("ascii")
        case tuple():
            return "(" + " ".join(map(encode, value)) + ")"


def decode(text: str) -> DecopValue:
    """The value of a text. Raises ValueError when it is not exactly one value."""
    value, end = _value(text, 0, 0)
    if text[end:].strip():
        raise ValueError(f"{text!r} is more than one value")
    return value


def _value(text: str, start: int, depth: int) -> tuple[DecopValue, int]:
    found = _TOKEN.match(text, start)
    if found is None or found["close"] or depth > NESTING_MAX:
        raise ValueError(f"{text!r} is not a value")
    end = found.end()
    if found["text"] is not None:
        return re.sub(r"\\(.)", r"\1", found["text"][1:-1]), end
    if found["word"] is not None:
        return _word(found["word"]), end
    members: list[DecopValue] = []
    while True:
        closing = _TOKEN.match(text, end)
        if closing is not None and closing["close"]:
            return tuple(members), closing.end()
        member, end = _value(text, end, depth + 1)
        members.append(member)


def _word(word: str) -> DecopValue:
    if word.lower() in ("#t", "#f"):
        return word.lower() == "#t"
    if word.startswith("&"):
        try:
            return base64.b64decode(word[1:], validate=True)
        except binascii.Error as error:
            raise ValueError(f"{word!r} is not base64") from error
    if _INTEGER.fullmatch(word):
        return int(word)
    return float(word)
