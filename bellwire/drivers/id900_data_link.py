"""DataLinkTarget, the program beside an ID Quantique Time Controller that receives its tags (instruments.md
2.1).

Owns its commands, its JSON replies, and the ZeroMQ PAIR sockets on which tags arrive. Refuses to know what
tags mean: id900_streams.py. The connection between DataLinkTarget and the instrument is not public; nothing
here touches it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bellwire.core.errors import DeviceFault
from bellwire.drivers.addresses import Place
from bellwire.drivers.faults import DeviceError, Disconnected, ProtocolFault
from bellwire.drivers.id900_words import MESSAGE_END
from bellwire.drivers.replies import line
from bellwire.drivers.session import Session, SessionSettings, Transport
from bellwire.drivers.transports import ZmqRequestTransport

if TYPE_CHECKING:
    import zmq

MESSAGES_PER_POLL_MAX = 64
MESSAGES_WAITING_MAX = 64


@dataclass(frozen=True, slots=True)
class AcquisitionStatus:
    """What DataLinkTarget has received of one channel so far. `errors`: its own words."""

    acquisitions: int
    tags: int
    inactivity_s: float
    errors: tuple[str, ...]


class DataLink:
    """One DataLinkTarget. After any fault but DeviceError `close` and `open` again."""

    def __init__(self, instrument: str, where: Place, settings: SessionSettings) -> None:
        self._instrument = instrument
        transport = ZmqRequestTransport(instrument, where.host, where.port, terminator=MESSAGE_END)
        self._session = Session(f"{instrument}-datalink", transport, settings)

    async def open(self) -> None:
        """Raises Disconnected when no DataLinkTarget listens there."""
        await self._session.open()

    async def close(self) -> None:
        """Harmless when closed."""
        await self._session.close()

    async def list(self) -> list[str]:
        """The ids of all acquisitions that run, whoever started them."""
        reply = await self._ask("list")
        if not isinstance(reply, list):
            raise self._broken("list", reply)
        ids: list[object] = reply
        return [str(identifier) for identifier in ids]

    async def start(self, controller: str, channel: int, port: int, *, with_reference: bool) -> str:
        """Begin to receive the tags of a channel and serve them on `port`; the id of the acquisition."""
        command = f"start-stream --address {controller} --channel {channel} --stream-port {port}"
        reply = await self._ask(command + (" --with-ref-index" if with_reference else ""))
        if not isinstance(reply, dict) or not isinstance(reply.get("id"), str):
            raise self._broken("start-stream", reply)
        identifier: str = reply["id"]
        return identifier

    async def status(self, identifier: str) -> AcquisitionStatus:
        """How an acquisition stands. Raises DeviceError for one that DataLinkTarget does not know."""
        return self._status("status", await self._ask(f"status --id {identifier}"))

    async def stop(self, identifier: str) -> None:
        """End an acquisition. Raises DeviceError for one that DataLinkTarget does not know."""
        await self._ask(f"stop --id {identifier}")

    def _status(self, command: str, reply: Any) -> AcquisitionStatus:
        try:
            fields: Mapping[str, Any] = reply
            return AcquisitionStatus(
                int(fields["acquisitions_count"]),
                int(fields["timestamps_count"]),
                float(fields["inactivity"]),
                tuple(str(error["description"]) for error in fields.get("errors", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._broken(command, reply) from None

    async def _ask(self, command: str) -> Any:
        octets = await self._session.exchange(command.encode(), line(MESSAGE_END))
        try:
            reply: Any = json.loads(octets) if octets.strip() else None
        except ValueError:
            raise self._broken(command, octets) from None
        if isinstance(reply, dict) and "error" in reply:
            raise DeviceError(self._instrument, f"DataLinkTarget refused {command!r}: {reply['error']}")
        return reply

    def _broken(self, command: str, reply: object) -> ProtocolFault:
        fault = ProtocolFault(self._instrument, f"DataLinkTarget answered {reply!r} to {command}")
        self._session.give_up(fault)
        return fault


class PairSockets(Transport):
    """The PAIR sockets of one stream, one for each channel; whole messages, none is ever split or joined."""

    def __init__(self, instrument: str, host: str, ports: Mapping[int, int]) -> None:
        self._instrument = instrument
        self._host = host
        self._ports = ports
        self._sockets: dict[int, zmq.Socket[Any]] = {}
        self._poller: zmq.Poller | None = None

    def open(self, timeout_s: float) -> None:
        """Connect; a stream that began before its reader was connected would lose its first messages."""
        import zmq

        self._poller = zmq.Poller()
        for channel, port in self._ports.items():
            connection: zmq.Socket[Any] = zmq.Context.instance().socket(zmq.PAIR)
            self._sockets[channel] = connection
            connection.setsockopt(zmq.LINGER, 0)
            connection.setsockopt(zmq.RCVHWM, MESSAGES_WAITING_MAX)
            connected = connection.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            connection.connect(f"tcp://{self._host}:{port}")
            greeted = connected.poll(int(1000 * timeout_s))
            connection.disable_monitor()
            connected.close(linger=0)
            if not greeted:
                raise Disconnected(self._instrument, f"no stream of tags at {self._host}:{port}")
            self._poller.register(connection, zmq.POLLIN)

    def close(self) -> None:
        connections, self._sockets = self._sockets, {}
        self._poller = None
        for connection in connections.values():
            connection.close(linger=0)

    def write(self, octets: bytes) -> None:
        raise NotImplementedError("nothing is ever sent to a stream of tags")

    def read_some(self, timeout_s: float) -> bytes:
        return b""

    def receive(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """Messages with their channels, as soon as there is any; empty when none came in time."""
        import zmq

        if self._poller is None:
            raise Disconnected(self._instrument, "the stream is not open")
        ready = dict(self._poller.poll(int(1000 * timeout_s)))
        messages: list[tuple[int, bytes]] = []
        for channel, connection in self._sockets.items():
            if connection not in ready:
                continue
            for _ in range(MESSAGES_PER_POLL_MAX):
                try:
                    messages.append((channel, connection.recv(zmq.NOBLOCK)))
                except zmq.Again:
                    break
        return messages


def stream_ports(host: str, first: int | None, base: int, channels: tuple[int, ...]) -> dict[int, int]:
    """A port for each channel: from `first` when it is given, free ones on this host, else `base` + channel.

    Raises DeviceFault when this host has no free port.
    """
    if first is not None:
        return {channel: first + channel - 1 for channel in channels}
    if host not in {"localhost", "127.0.0.1"}:
        return {channel: base + channel for channel in channels}
    ports: dict[int, int] = {}
    held: list[socket.socket] = []
    try:
        for channel in channels:
            one = socket.socket()
            held.append(one)
            one.bind(("127.0.0.1", 0))
            ports[channel] = one.getsockname()[1]
    except OSError as error:
        raise DeviceFault(host, f"no free port for a stream of tags: {error}") from error
    finally:
        for one in held:
            one.close()
    return ports
