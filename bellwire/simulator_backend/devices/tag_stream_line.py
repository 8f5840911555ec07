"""PAIR sockets on which a DataLinkTarget serves streams of tags: one port for each stream, whole messages.

Owns the sockets. They are opened and closed by order of the device, and all of them closed with the line.
Refuses to wait for a reader: a message that finds no room is refused, and the device says so in its errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bellwire.simulator_backend.devices.lines import Client, Line

if TYPE_CHECKING:
    import zmq

MESSAGES_WAITING_MAX = 16


class TagStreamLine(Line):
    """Streams by their id, on a loopback address."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.host = host
        self._open = False
        self._sockets: dict[str, zmq.Socket[Any]] = {}

    @property
    def clients(self) -> list[Client]:
        return []  # nobody asks anything here

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        for identifier in list(self._sockets):
            self.end(identifier)

    def serve(self, identifier: str, port: int) -> bool:
        """Begin to serve a stream; False when the port is taken."""
        import zmq

        if not self._open:
            return False
        self.end(identifier)
        connection: zmq.Socket[Any] = zmq.Context.instance().socket(zmq.PAIR)
        connection.setsockopt(zmq.LINGER, 0)
        connection.setsockopt(zmq.SNDHWM, MESSAGES_WAITING_MAX)
        try:
            connection.bind(f"tcp://{self.host}:{port}")
        except zmq.ZMQError:
            connection.close(linger=0)
            return False
        self._sockets[identifier] = connection
        return True

    def send(self, identifier: str, octets: bytes) -> bool:
        """Send one message; False when it found no room or no stream of that id."""
        import zmq

        connection = self._sockets.get(identifier)
        if connection is None:
            return False
        try:
            connection.send(octets, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def end(self, identifier: str) -> None:
        """Close a stream; harmless when there is none."""
        connection = self._sockets.pop(identifier, None)
        if connection is not None:
            connection.close(linger=0)
