"""What instruments are here: serial lines, USB, and hosts that somebody names.

Owns the ways of looking, each bounded in time and all at once, and the guess which driver fits. Sends
queries only: identities, and the datagram by which some makers' devices are called. Refuses to scan
networks that nobody named.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from bellwire.core.errors import DeviceFault
from bellwire.drivers.replies import line, whole
from bellwire.drivers.session import Session, SessionSettings, Transport
from bellwire.drivers.transports import NoTransport, TcpTransport, ZmqRequestTransport

LOOK_S = 1.0
USB_LOOK_S = 5.0
WHO_ARE_YOU = b"whoareyou?"
TOPTICA_UDP = 60010
FTDI, THORLABS_APT = 0x0403, 0xFAF0


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that answered, or that is plugged in. `driver` is a guess, "" for none; `said` is what it
    told.
    """

    address: str
    said: str
    driver: str


IDENTITIES: tuple[tuple[str, str], ...] = (
    (r"Stanford Research Systems,\s*DG645", "srs_dg645"),
    (r"Polatis", "polatis_oxc"),
    (r"THORLABS,\s*PM100USB", "thorlabs_pm100usb"),
    (r"THORLABS,\s*PM100D", "thorlabs_pm100"),
    (r"THORLABS,\s*PM400", "thorlabs_pm400"),
    (r"id ?quantique,\s*ID(900|1000)", "idq_id900"),
)
"""What the answer to *IDN? begins with, and the driver."""


USB_METERS = {
    (0x1313, 0x8078): "thorlabs_pm100",
    (0x1313, 0x8072): "thorlabs_pm100usb",
    (0x1313, 0x8075): "thorlabs_pm400",
}
"""Makers and products of USBTMC instruments, and the driver."""


def driver_of(identity: str) -> str:
    """The driver for an answer to *IDN?; "" when none is known."""
    return next((name for pattern, name in IDENTITIES if re.match(pattern, identity, re.IGNORECASE)), "")


async def discover(
    hosts: Sequence[str] = (), *, serial_lines: bool = True, usb: bool = True, calling: str | None = None
) -> list[Found]:
    """Look everywhere at once. `calling`: the broadcast address to which "who are you" is sent; None:
    nobody is called.

    A way of looking that fails or hangs finds nothing; the others are not kept waiting.
    """
    ways: list[Awaitable[list[Found]]] = [at_host(host) for host in hosts]
    if serial_lines:
        ways.append(_bounded(_serial_lines, LOOK_S))
    if usb:
        ways.append(_bounded(_usb, USB_LOOK_S))
    if calling is not None:
        ways.append(_bounded(lambda: _called(calling), 2 * LOOK_S))
    found = await asyncio.gather(*ways)
    return sorted({one for some in found for one in some}, key=lambda one: one.address)


async def at_host(host: str) -> list[Found]:
    """Ask the ports where instruments of the catalogue listen, all at once."""
    asked = await asyncio.gather(
        _ask(f"TCPIP::{host}::5025::SOCKET", TcpTransport("discover", host, 5025), b"*IDN?\n", line(), ""),
        _ask(f"tcp://{host}:5555", ZmqRequestTransport("discover", host, 5555), b"*IDN?", whole, "idq_id900"),
        _greeting(f"tcp://{host}:1998", TcpTransport("discover", host, 1998), b"DeCoF", "toptica_dlc_pro"),
        _listens(host, 12000, "single_quantum_websq"),
        _listens(host, 8050, "swabian_pulse_streamer"),
        _listens(host, 41101, "swabian_time_tagger"),
    )
    return [one for one in asked if one is not None]


async def _ask(
    address: str,
    transport: Transport,
    question: bytes,
    take: Callable[[bytes], tuple[bytes, bytes] | None],
    driver: str,
) -> Found | None:
    session = Session("discover", transport, SessionSettings(timeout_s=LOOK_S, hang_s=LOOK_S))
    try:
        await session.open()
        said = (await session.exchange(question, take)).decode("ascii", "replace").strip()
    except DeviceFault:
        return None
    finally:
        await session.close()
    return Found(address, said, driver_of(said) or driver)


async def _greeting(address: str, transport: Transport, word: bytes, driver: str) -> Found | None:
    session = Session("discover", transport, SessionSettings(timeout_s=LOOK_S, hang_s=LOOK_S))
    try:
        await session.open()
        said = await session.listen(LOOK_S)
    except DeviceFault:
        return None
    finally:
        await session.close()
    return Found(address, said.decode("ascii", "replace").split("\r")[0], driver) if word in said else None


async def _listens(host: str, port: int, driver: str) -> Found | None:
    """Only that something listens: these protocols have no harmless question, or answer in their own way."""
    try:
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return None
    writer.close()
    return Found(f"tcp://{host}:{port}", "listens", driver)


async def _bounded(look: Callable[[], Iterable[Found]], within_s: float) -> list[Found]:
    session = Session("discover", NoTransport(), SessionSettings(timeout_s=within_s, hang_s=LOOK_S))
    try:
        await session.open()
        return list(await session.call(lambda: list(look()), timeout_s=within_s))
    except DeviceFault:
        return []
    finally:
        await session.close()


def _serial_lines() -> Iterable[Found]:
    from serial.tools import list_ports

    for port in list_ports.comports():
        usb = port.vid is not None
        driver = "thorlabs_mpc320" if (port.vid, port.pid) == (FTDI, THORLABS_APT) else ""
        number = f", serial number {port.serial_number}" if usb and port.serial_number else ""
        yield Found(port.device, f"{port.description}{number}", driver)


def _usb() -> Iterable[Found]:
    try:
        from pyvisa_py.usb import USBInstrSession  # without pyusb there is no USB, and nothing to find
    except (ImportError, ValueError):
        return
    for resource in USBInstrSession.list_resources():
        # USB0::0x1313::0x8078::P0001234::INSTR: maker, product and serial number are in the name.
        maker, product = (int(number, 0) for number in resource.split("::")[1:3])
        yield Found(resource, "USBTMC", USB_METERS.get((maker, product), ""))


def _called(address: str) -> Iterable[Found]:
    host, _, port = address.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        caller.settimeout(LOOK_S)
        caller.sendto(WHO_ARE_YOU, (host, int(port or TOPTICA_UDP)))
        while True:
            try:
                said, (sender, _) = caller.recvfrom(1 << 12)
            except TimeoutError:
                return
            yield Found(f"tcp://{sender}:1998", said.decode("ascii", "replace").strip(), "toptica_dlc_pro")
