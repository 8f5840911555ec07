"""How instruments are addressed in lab files, and the transport that an address means.

Owns the grammar: a VISA resource (`TCPIP::host::5025::SOCKET`, `TCPIP::host::hislip0`, `USB0::...::INSTR`,
`ASRL/dev/ttyUSB0::INSTR`), `tcp://host:port` (or `host`, `host:port`), or the path of a serial line
(`/dev/ttyUSB0`, `COM3`; `pty:NAME` of an emulated one is resolved before it comes here). Opens nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bellwire.core.errors import ConfigError
from bellwire.drivers.session import Transport

VISA = re.compile(r"(TCPIP|USB|GPIB|ASRL|VXI|PXI)\d*.*::(INSTR|SOCKET|RAW|hislip\d+(,\d+)?)", re.IGNORECASE)
PLACE = re.compile(r"(?:[a-z]+://)?(?P<host>[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?/?")
SOCKET = re.compile(r"TCPIP\d*::(?P<host>[A-Za-z0-9_.-]+)::(?P<port>\d{1,5})::SOCKET", re.IGNORECASE)
SERIAL = re.compile(r"/.+|COM\d+|\./.+")
PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port."""

    host: str
    port: int


def is_visa(address: str) -> bool:
    """Whether the address is a VISA resource name."""
    return VISA.fullmatch(address) is not None


def is_serial(address: str) -> bool:
    """Whether the address is the path of a serial line."""
    return SERIAL.fullmatch(address) is not None


def place(address: str, default_port: int, *, instrument: str) -> Place:
    """Host and port of a network address, or of a VISA one of a plain socket. Raises ConfigError."""
    found = SOCKET.fullmatch(address) or PLACE.fullmatch(address)
    port = default_port if found is None or found["port"] is None else int(found["port"])
    if found is None or not 0 < port <= PORT_MAX:
        raise ConfigError(f'"{address}" is not HOST, HOST:PORT or tcp://HOST:PORT', where=instrument)
    return Place(found["host"], port)


def stream(
    instrument: str,
    address: str,
    *,
    port: int | None = None,
    baud_rate: int | None = None,
    flow_control: bool = False,
) -> Transport:
    """The transport of a byte stream: VISA resource, TCP (only if the device has a `port`) or serial line
    (only if it has a `baud_rate`).

    Raises ConfigError for an address that this device cannot have.
    """
    if is_visa(address):
        from bellwire.drivers.visa_transport import VisaTransport

        return VisaTransport(instrument, address, baud_rate=baud_rate)
    from bellwire.drivers.transports import SerialTransport, TcpTransport

    if is_serial(address):
        if baud_rate is None:
            problem = f'"{address}" is a serial line, which this device does not have'
            raise ConfigError(problem, where=instrument)
        return SerialTransport(instrument, address, baud_rate, flow_control=flow_control)
    if port is None:
        wanted = "the path of a serial line, as /dev/ttyUSB0 or COM3"
        raise ConfigError(f'"{address}" is not {wanted}, nor a VISA resource', where=instrument)
    found = place(address, port, instrument=instrument)
    return TcpTransport(instrument, found.host, found.port)
