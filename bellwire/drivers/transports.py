"""The plain transports of sessions: TCP socket, serial line, ZeroMQ request socket.

Owns opening, reading and closing of one connection each, and the translation of the operating system's
errors into `Disconnected`. Refuses to know what the bytes mean. VISA is in visa_transport.py, because
importing pyvisa costs what no command line should pay.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from bellwire.drivers.faults import Disconnected
from bellwire.drivers.session import Transport

if TYPE_CHECKING:
    import serial
    import zmq

READ_BYTES = 1 << 16


class TcpTransport(Transport):
    """A TCP connection."""

    def __init__(self, instrument: str, host: str, port: int) -> None:
        self._instrument = instrument
        self._place = (host, port)
        self._socket: socket.socket | None = None

    def open(self, timeout_s: float) -> None:
        try:
            self._socket = socket.create_connection(self._place, timeout_s)
        except OSError as error:
            raise Disconnected(self._instrument, f"{self._place[0]}:{self._place[1]}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def write(self, octets: bytes) -> None:
        self._opened().sendall(octets)

    def read_some(self, timeout_s: float) -> bytes:
        connection = self._opened()
        connection.settimeout(max(timeout_s, 1e-4))
        try:
            octets = connection.recv(READ_BYTES)
        except TimeoutError:
            return b""
        if not octets:
            raise Disconnected(self._instrument, f"{self._place[0]}:{self._place[1]} closed the connection")
        return octets

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise Disconnected(self._instrument, "the connection is not open")
        return self._socket


class SerialTransport(Transport):
    """A serial line, owned exclusively; `flow_control` is RTS/CTS, ignored where the line has no such
    wires.
    """

    def __init__(self, instrument: str, path: str, baud_rate: int, *, flow_control: bool = False) -> None:
        self._instrument = instrument
        self._path = path
        self._baud_rate = baud_rate
        self._flow_control = flow_control
        self._serial: serial.Serial | None = None

    def open(self, timeout_s: float) -> None:
        import serial

        try:
            port = serial.Serial(
                self._path,
                self._baud_rate,
                rtscts=self._flow_control,
                write_timeout=timeout_s,
                exclusive=True,
            )
            port.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise Disconnected(self._instrument, f"cannot open {self._path}: {error}") from error
        self._serial = port

    def close(self) -> None:
        port, self._serial = self._serial, None
        if port is not None:
            with contextlib.suppress(OSError):  # a line that hung up cannot be closed any better
                port.close()

    def write(self, octets: bytes) -> None:
        import serial

        try:
            self._opened().write(octets)
        except (serial.SerialException, TypeError) as error:
            raise Disconnected(self._instrument, f"{self._path}: writing failed: {error}") from error

    def read_some(self, timeout_s: float) -> bytes:
        import serial

        port = self._opened()
        try:
            if port.timeout != timeout_s:
                port.timeout = timeout_s
            octets = port.read(1)
            if octets and (waiting := port.in_waiting):
                octets += port.read(min(waiting, READ_BYTES))
        except (serial.SerialException, TypeError) as error:
            raise Disconnected(self._instrument, f"{self._path}: reading failed: {error}") from error
        return bytes(octets)

    def _opened(self) -> serial.Serial:
        if self._serial is None:
            raise Disconnected(self._instrument, f"{self._path} is not open")
        return self._serial


class ZmqRequestTransport(Transport):
    """A ZeroMQ REQ socket; one message is one `read_some`. A connect of ZeroMQ never fails, so the port is
    tried first. `terminator` is put behind each message, so that an empty one is not taken for none.
    """

    def __init__(self, instrument: str, host: str, port: int, *, terminator: bytes = b"") -> None:
        self._instrument = instrument
        self._place = (host, port)
        self._terminator = terminator
        self._socket: zmq.Socket[Any] | None = None

    def strays(self, quiet_s: float) -> bytes:
        return b""  # a REQ socket receives only after it has sent

    def open(self, timeout_s: float) -> None:
        import zmq

        host, port = self._place
        try:
            socket.create_connection(self._place, timeout_s).close()
        except OSError as error:
            raise Disconnected(self._instrument, f"{host}:{port}: {error}") from error
        connection: zmq.Socket[Any] = zmq.Context.instance().socket(zmq.REQ)
        connection.setsockopt(zmq.LINGER, 0)
        connection.setsockopt(zmq.SNDTIMEO, int(1000 * timeout_s))
        connection.connect(f"tcp://{host}:{port}")
        self._socket = connection

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close(linger=0)

    def write(self, octets: bytes) -> None:
        import zmq

        try:
            self._opened().send(octets)
        except zmq.ZMQError as error:
            raise Disconnected(self._instrument, f"ZeroMQ: {error}") from error

    def read_some(self, timeout_s: float) -> bytes:
        import zmq

        connection = self._opened()
        if not connection.poll(int(1000 * timeout_s), zmq.POLLIN):
            return b""
        return bytes(connection.recv()) + self._terminator

    def _opened(self) -> zmq.Socket[Any]:
        if self._socket is None:
            raise Disconnected(self._instrument, "the connection is not open")
        return self._socket


class NoTransport(Transport):
    """For vendor libraries, which bring their own connection: the session gives them its thread and
    watchdog.
    """

    def open(self, timeout_s: float) -> None:
        return

    def close(self) -> None:
        return

    def write(self, octets: bytes) -> None:
        raise NotImplementedError("a vendor library has no bytes of its own here")

    def read_some(self, timeout_s: float) -> bytes:
        return b""
