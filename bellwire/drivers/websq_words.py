"""Words of Single Quantum's WebSQ: objects in JSON, and where one ends.

Owns the framing of the control port. The server ends what it sends with byte 0x17, with one object before
it or with several glued together (`}{`); clients send bare objects. Refuses to know labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

CONTROL_PORT = 12000
COUNTS_PORT = 12345
COUNTS_ABOVE = COUNTS_PORT - CONTROL_PORT
"""How far the port of counts lies above the port of control."""
END = b"\x17"

Label = dict[str, Any]
"""One object of the control port."""

_DECODER = json.JSONDecoder()


def encode(*objects: Label) -> bytes:
    """Objects as the server sends them: glued, with one end."""
    return "".join(json.dumps(one) for one in objects).encode() + END


def glued(text: str) -> tuple[list[Label], str]:
    """The whole objects at the beginning of a text, and what is left; ValueError when that is no object's
    beginning.
    """
    objects: list[Label] = []
    rest = text.lstrip()
    while rest:
        if not rest.startswith("{"):
            raise ValueError(f"{rest[:40]!r} is not the beginning of an object")
        try:
            one, end = _DECODER.raw_decode(rest)
        except RecursionError:
            raise ValueError(f"{rest[:40]!r} is nested too deeply") from None
        except json.JSONDecodeError:
            if rest.count("}") >= rest.count("{"):
                raise  # nothing is missing, so more of it would not mend it
            return objects, rest
        objects.append(one)
        rest = rest[end:].lstrip()
    return objects, rest


def parts(octets: bytes) -> tuple[list[bytes], bytes]:
    """What has come with its ends, and the rest without one."""
    *whole, rest = octets.split(END)
    return whole, rest


def objects_of(part: bytes) -> list[Label]:
    """The objects of one ended part. Raises ValueError when it is anything else."""
    objects, rest = glued(part.decode("utf-8"))
    if rest:
        raise ValueError(f"{rest[:40]!r} is not an object")
    return objects


def properties(objects: Iterable[Label]) -> dict[str, Any]:
    """Values by label of a dump, whose values are objects with a value of their own; other news is left
    out.
    """
    return {
        str(one["label"]): one["value"]["value"]
        for one in objects
        if "label" in one and isinstance(one.get("value"), dict) and "value" in one["value"]
    }


def news(objects: Iterable[Label]) -> dict[str, Any]:
    """Values by label of what the server tells by itself."""
    return {
        str(one["label"]): one["value"]
        for one in objects
        if "label" in one and not isinstance(one.get("value"), dict | None)
    }
