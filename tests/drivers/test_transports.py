"""The plain transports against the plainest counterparts: what opening, reading, writing and closing do when
all is well, and which error they end in when the other end is gone.
"""

from __future__ import annotations

import os
import pty
import socket
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from bellwire.core.errors import ConfigError
from bellwire.drivers.addresses import is_serial, is_visa, place, stream
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.session import Transport
from bellwire.drivers.transports import NoTransport, SerialTransport, TcpTransport, ZmqRequestTransport
from bellwire.labs.free_ports import free_ports

QUICK_S = 0.05
LONG_S = 5.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.settimeout(LONG_S)
        yield one


def connected(server: socket.socket) -> tuple[TcpTransport, socket.socket]:
    transport = TcpTransport("thing", "127.0.0.1", server.getsockname()[1])
    transport.open(LONG_S)
    other, _ = server.accept()
    return transport, other


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The device's end of a serial line, and the path of the host's."""
    device, host = pty.openpty()
    tty.setraw(host)
    path = tmp_path / "line"
    path.symlink_to(os.ttyname(host))
    yield device, path
    os.close(host)
    os.close(device)


# -- TCP ----------------------------------------------------------------------------------------------------


def test_tcp_carries_bytes_both_ways_and_returns_what_there_is(server: socket.socket) -> None:
    transport, other = connected(server)
    transport.write(b"question\n")
    assert other.recv(100) == b"question\n"
    other.sendall(b"ans")
    assert transport.read_some(LONG_S) == b"ans"
    assert transport.read_some(QUICK_S) == b""
    other.sendall(b"wer\n")
    assert transport.strays(LONG_S) == b"wer\n"
    transport.close()
    assert other.recv(100) == b""
    transport.close()
    other.close()


def test_a_tcp_counterpart_that_leaves_or_resets_is_told(server: socket.socket) -> None:
    transport, other = connected(server)
    other.close()
    with pytest.raises(Disconnected, match="closed the connection"):
        transport.read_some(LONG_S)
    transport.close()
    transport, other = connected(server)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    other.close()
    with pytest.raises(OSError, match="reset"):  # the session takes any OSError for a lost connection
        transport.read_some(LONG_S)
    transport.close()


def test_a_refused_tcp_port_is_told_with_its_place() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Disconnected, match=rf"127\.0\.0\.1:{port}.*refused"):
        TcpTransport("thing", "127.0.0.1", port).open(LONG_S)


# -- serial -------------------------------------------------------------------------------------------------


def test_a_serial_line_carries_bytes_and_forgets_what_lay_there_before_it_was_opened(
    terminal: tuple[int, Path],
) -> None:
    device, path = terminal
    os.write(device, b"from before\r\n")
    transport = SerialTransport("thing", str(path), 9600, flow_control=True)
    transport.open(LONG_S)
    assert transport.read_some(QUICK_S) == b""
    transport.write(b"question\r")
    assert os.read(device, 100) == b"question\r"
    os.write(device, b"answer\r\n")
    heard = b""
    while not heard.endswith(b"\r\n"):
        heard += transport.read_some(LONG_S)
    assert heard == b"answer\r\n"
    transport.close()
    transport.close()


def test_a_serial_line_has_one_owner(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    first = SerialTransport("thing", str(path), 9600)
    first.open(LONG_S)
    with pytest.raises(Disconnected, match="cannot open"):
        SerialTransport("other", str(path), 9600).open(LONG_S)
    first.close()
    second = SerialTransport("other", str(path), 9600)
    second.open(LONG_S)
    second.close()


def test_a_serial_line_that_is_not_there_or_hangs_up_is_told(tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match="cannot open"):
        SerialTransport("thing", str(tmp_path / "nothing"), 9600).open(LONG_S)
    device, host = pty.openpty()
    tty.setraw(host)
    transport = SerialTransport("thing", os.ttyname(host), 9600)
    transport.open(LONG_S)
    os.close(host)
    os.close(device)
    with pytest.raises((Disconnected, OSError)):
        transport.read_some(LONG_S)
    with pytest.raises((Disconnected, OSError)):
        transport.write(b"anybody?\r")
    transport.close()


# -- ZeroMQ -------------------------------------------------------------------------------------------------


def test_zeromq_hands_on_one_message_at_a_time_and_an_empty_one_too() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    answering = context.socket(zmq.REP)
    port = answering.bind_to_random_port("tcp://127.0.0.1")

    def answer() -> None:
        for reply in (b"1200TB", b""):
            answering.recv()
            answering.send(reply)

    other = threading.Thread(target=answer)
    other.start()
    transport = ZmqRequestTransport("thing", "127.0.0.1", port, terminator=b"\0")
    transport.open(LONG_S)
    transport.write(b"DELA2:VALU?")
    assert transport.read_some(LONG_S) == b"1200TB\0"
    assert transport.strays(LONG_S) == b""
    transport.write(b"INPU1:ENAB ON")
    assert transport.read_some(LONG_S) == b"\0"
    other.join()
    transport.close()
    answering.close(linger=0)


def test_a_zeromq_request_that_goes_unanswered_spoils_its_socket_and_opening_makes_a_new_one() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    answering = context.socket(zmq.ROUTER)
    port = answering.bind_to_random_port("tcp://127.0.0.1")
    transport = ZmqRequestTransport("thing", "127.0.0.1", port)
    transport.open(LONG_S)
    transport.write(b"first")
    identity, _, _ = answering.recv_multipart()
    assert transport.read_some(QUICK_S) == b""
    with pytest.raises(Disconnected, match="ZeroMQ"):
        transport.write(b"second")
    transport.close()
    transport.open(LONG_S)
    answering.send_multipart([identity, b"", b"late"])
    transport.write(b"third")
    identity, _, request = answering.recv_multipart()
    assert request == b"third"
    answering.send_multipart([identity, b"", b"of the third"])
    assert transport.read_some(LONG_S) == b"of the third"
    transport.close()
    answering.close(linger=0)


def test_a_refused_zeromq_port_is_told_although_its_connect_never_fails() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Disconnected, match="refused"):
        ZmqRequestTransport("thing", "127.0.0.1", port).open(LONG_S)


# -- all ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transport",
    [
        TcpTransport("thing", "127.0.0.1", 9),
        SerialTransport("thing", "/dev/null", 9600),
        ZmqRequestTransport("thing", "127.0.0.1", 9),
    ],
    ids=["tcp", "serial", "zeromq"],
)
def test_what_was_not_opened_can_be_closed_and_nothing_else(transport: Transport) -> None:
    transport.close()
    with pytest.raises(Disconnected, match="not open"):
        transport.write(b"x")
    with pytest.raises(Disconnected, match="not open"):
        transport.read_some(QUICK_S)


def test_a_vendor_library_brings_its_own_connection() -> None:
    transport = NoTransport()
    transport.open(LONG_S)
    assert transport.read_some(QUICK_S) == b""
    with pytest.raises(NotImplementedError):
        transport.write(b"x")
    transport.close()


# -- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "visa", "serial"),
    [
        ("TCPIP::192.0.2.5::5025::SOCKET", True, False),
        ("TCPIP0::192.0.2.5::inst0::INSTR", True, False),
        ("TCPIP::127.0.0.1::hislip0,4880::INSTR", True, False),
        ("USB0::0x1313::0x8078::P0001::INSTR", True, False),
        ("ASRL/dev/ttyUSB0::INSTR", True, False),
        ("/dev/ttyUSB0", False, True),
        ("COM12", False, True),
        ("192.0.2.5:5555", False, False),
        ("tcp://host", False, False),
    ],
)
def test_an_address_is_of_one_kind(address: str, visa: bool, serial: bool) -> None:
    assert (is_visa(address), is_serial(address)) == (visa, serial)


def test_host_and_port_are_found_and_the_port_of_the_device_is_the_default() -> None:
    assert place("tcp://lab-3.example:17", 5555, instrument="x") == place(
        "lab-3.example:17", 1, instrument="x"
    )
    assert place("192.0.2.5", 5555, instrument="x").port == 5555
    for wrong in ("192.0.2.5:0", "192.0.2.5:70000", "two words", ""):
        with pytest.raises(ConfigError, match="HOST:PORT"):
            place(wrong, 5555, instrument="x")


def test_an_address_that_a_device_cannot_have_is_an_error_of_the_file() -> None:
    assert isinstance(stream("x", "/dev/ttyUSB0", baud_rate=9600), SerialTransport)
    assert isinstance(stream("x", "192.0.2.5", port=1998), TcpTransport)
    with pytest.raises(ConfigError, match="is a serial line, which this device does not have"):
        stream("x", "/dev/ttyUSB0", port=1998)
    with pytest.raises(ConfigError, match="not the path of a serial line"):
        stream("x", "192.0.2.5", baud_rate=9600)
