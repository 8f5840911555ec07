"""Ports for labs that run beside others.

Owns the choice. Refuses the range from which systems give ports to clients (32768 and up on Linux, 49152 and
up elsewhere): a port from there may be a client's by the time a lab binds it.
"""

import re
import socket
from random import SystemRandom
from typing import Final

FIRST, LAST = 20_000, 29_999
_PORT: Final = re.compile(r"(?<=127\.0\.0\.1)(::|:)(\d{5})")


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody has at this moment."""
    found: list[int] = []
    for port in SystemRandom().sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} ports are free in {FIRST}..{LAST}")


def on_free_ports(lab: str) -> str:
    """The text of a lab file with every port replaced by a free one."""
    ports = sorted({match[2] for match in _PORT.finditer(lab)})
    assert ports, "the lab has no ports: it cannot run live"
    fresh = dict(zip(ports, free_ports(len(ports)), strict=True))
    return _PORT.sub(lambda match: f"{match[1]}{fresh[match[2]]}", lab)
