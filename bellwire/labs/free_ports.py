"""Ports for labs and instruments that run beside others.

Owns the choice. Refuses the range from which systems give ports to clients (32768 and up on Linux, 49152 and
up elsewhere): a port from there may be a client's by the time a lab binds it.
"""

from __future__ import annotations

import re
import socket
from random import SystemRandom
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.drivers import cards

FIRST: Final = 20_000
LAST: Final = 29_999
_LOOPBACK: Final = r"(?P<host>127(?:\.\d+){3})"
_PORT: Final = re.compile(rf"{_LOOPBACK}(?:::?|,|::hislip0,)(?P<port>\d{{2,5}})(?=::|\b)")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Different ports of a loopback address that nobody has at this moment, nor the second port that some
    instruments have at a distance above theirs. Raises ConfigError where there are not so many.
    """
    above = {card.second_port_above for card in cards().values()} | {0}
    found: list[int] = []
    taken: set[int] = set()
    for port in SystemRandom().sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
        wanted = {port + distance for distance in above}
        if taken.isdisjoint(wanted) and all(_is_free(host, one) for one in wanted):
            taken |= wanted
            found.append(port)
            if len(found) == count:
                return found
    raise ConfigError(f"{len(found)} of {count} ports are free in {FIRST}..{LAST} of {host}")


def on_free_ports(text: str) -> str:
    """A lab file with every loopback port replaced by a free one; the same port becomes the same port."""
    places = {found["port"]: found["host"] for found in _PORT.finditer(text) if found["port"] != "0"}
    fresh: dict[str, str] = {}
    for host in dict.fromkeys(places.values()):
        ports = [port for port, at in places.items() if at == host]
        fresh |= zip(ports, map(str, free_ports(len(ports), host)), strict=True)

    def replaced(found: re.Match[str]) -> str:
        before = found.start("port") - found.start()
        return found[0][:before] + fresh.get(found["port"], found["port"])

    return _PORT.sub(replaced, text)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True
