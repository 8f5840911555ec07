"""Where a reply ends: the conventions of text and block protocols, as `Take` functions of a session.

Owns the ends of replies, nothing of their meaning.
"""

from __future__ import annotations

import re

from bellwire.drivers.session import Take


def line(terminator: bytes = b"\n") -> Take:
    """One line; the reply is without its terminator."""

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        reply, found, rest = octets.partition(terminator)
        return (reply, rest) if found else None

    return take


def prompt(mark: bytes) -> Take:
    """Everything up to a prompt at the end of what has come; the reply is without the prompt."""

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        return (octets[: -len(mark)], b"") if octets.endswith(mark) else None

    return take


def last_line(ending: bytes, terminator: bytes = b"\r\n") -> Take:
    """Lines up to and with a line that is `ending` (a device that says Done); the reply is the lines
    before.
    """

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        start = 0
        while (end := octets.find(terminator, start)) >= 0:
            if octets[start:end].strip() == ending:
                return octets[:start], octets[end + len(terminator) :]
            start = end + len(terminator)
        return None

    return take


def lines(count: int, terminator: bytes = b"\n") -> Take:
    """A known number of lines; the reply holds them with their terminators but the last."""

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        end = -len(terminator)
        for _ in range(count):
            end = octets.find(terminator, end + len(terminator))
            if end < 0:
                return None
        return octets[:end], octets[end + len(terminator) :]

    return take


def exactly(count: int) -> Take:
    """A known number of bytes."""

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        return (octets[:count], octets[count:]) if len(octets) >= count else None

    return take


def whole(octets: bytes) -> tuple[bytes, bytes] | None:
    """All that came in one piece: transports that keep messages apart by themselves."""
    return octets, b""


_HEADER = re.compile(rb"#([1-9])")


def block(terminator: bytes = b"\n") -> Take:
    """A definite-length block of IEEE 488.2 (#<digits><length><bytes>) and its terminator; the reply is the
    bytes.
    """

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        header = _HEADER.match(octets)
        if header is None:
            return line(terminator)(octets)  # an error message instead of a block: the caller will say so
        digits = int(header[1])
        if len(octets) < 2 + digits:
            return None
        start = 2 + digits
        stop = start + int(octets[2:start])
        if len(octets) < stop + len(terminator):
            return None
        return octets[start:stop], octets[stop + len(terminator) :]

    return take
