"""A UDP socket as a session's transport: datagrams stay apart in the buffer of an exchange.

Owns the socket. `read_some` gives each datagram behind its length (two bytes, the high one first), because a
session puts together what it reads, and `datagrams` takes it apart again. Refuses to know protocols. A port
that nobody listens at is seen only after the first datagram was refused.
"""

from __future__ import annotations

import socket

from bellwire.drivers.faults import Disconnected
from bellwire.drivers.session import Transport

LENGTH_BYTES = 2
DATAGRAM_BYTES_MAX = 0xFFFF


class DatagramTransport(Transport):
    """A UDP socket that talks to one place only."""

    def __init__(self, instrument: str, host: str, port: int) -> None:
        self._instrument = instrument
        self._place = (host, port)
        self._socket: socket.socket | None = None

    def open(self, timeout_s: float) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            connection.connect(self._place)
        except OSError as error:
            connection.close()
            raise Disconnected(self._instrument, f"{self._place[0]}:{self._place[1]}: {error}") from error
        self._socket = connection

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def write(self, octets: bytes) -> None:
        self._opened().send(octets)

    def read_some(self, timeout_s: float) -> bytes:
        connection = self._opened()
        connection.settimeout(max(timeout_s, 1e-4))
        try:
            octets = connection.recv(DATAGRAM_BYTES_MAX)
        except TimeoutError:
            return b""
        return len(octets).to_bytes(LENGTH_BYTES, "big") + octets

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise Disconnected(self._instrument, "the socket is not open")
        return self._socket


def datagrams(octets: bytes) -> list[bytes]:
    """The datagrams in what `read_some` gave."""
    found: list[bytes] = []
    start = 0
    while start < len(octets):
        stop = start + LENGTH_BYTES + int.from_bytes(octets[start : start + LENGTH_BYTES], "big")
        found.append(octets[start + LENGTH_BYTES : stop])
        start = stop
    return found
