"""A DG645 of our description for servers of other projects, which load it; it is no part of theirs.

It knows what a driver needs: identity, trigger, delays of A and B, and the queue of errors behind LERR?.
"""

from collections.abc import Iterator
from typing import Any, Protocol

ILLEGAL_VALUE, UNDEFINED = 10, 111


class Transport(Protocol):
    """What the server gives: lines of a client, and a way to answer."""

    def ireadlines(self, channel: object) -> Iterator[bytes]: ...

    def send(self, channel: object, data: bytes) -> None: ...


class Dg645:
    """One instrument; `baudrate`, `get_protocol` and `transports` are what sinstruments wants."""

    baudrate = None

    def __init__(self, name: str, **_: Any) -> None:
        self.name = name
        self.transports: list[object] = []
        self.errors: list[int] = []
        self.values = {"TSRC": "5", "TRAT": "+1000.000000", "DLAY2": "0,+0.000000000000"}

    def get_protocol(self, channel: object, transport: Transport) -> "Session":
        """What serves one client."""
        return Session(self, channel, transport)

    def reply(self, line: str) -> str | None:
        """Carry out one line."""
        command, _, value = line.partition(" ")
        key = command.replace("?", "")
        if command == "*IDN?":
            return "Stanford Research Systems,DG645,s/n000777,ver1.14.10E"
        if command == "LERR?":
            return str(self.errors.pop(0) if self.errors else 0)
        if "?" in command and key in self.values:
            return self.values[key]
        if command == "DLAY":
            channel, reference, seconds = value.split(",")
            self.values[f"DLAY{channel}"] = f"{reference},{float(seconds):+.12f}"
        elif command == "TSRC" and value not in "0123456":
            self.errors.append(ILLEGAL_VALUE)
        elif command == "TRAT":
            self.values[key] = f"{float(value):+.6f}"
        elif command in self.values:
            self.values[command] = value
        else:
            self.errors.append(UNDEFINED)
        return None


class Session:
    """One client of the server."""

    def __init__(self, device: Dg645, channel: object, transport: Transport) -> None:
        self.device, self.channel, self.transport = device, channel, transport

    def handle(self) -> None:
        """Serve until the client goes."""
        for line in self.transport.ireadlines(self.channel):
            reply = self.device.reply(line.decode("ascii").strip())
            if reply is not None:
                self.transport.send(self.channel, reply.encode("ascii") + b"\r\n")
