"""Any VISA resource as a transport: TCPIP SOCKET, VXI-11 (INSTR), HiSLIP, USBTMC, GPIB and ASRL through
pyvisa.

Owns the traps of pyvisa-py 0.8 (instruments.md section 7.2): a refused port opens with success, so TCP is
probed first; a closed peer is reported as a timeout at first, so the connection is looked at before a read
is believed. Prefer HiSLIP or VXI-11 over SOCKET where the device has it: there a late reply is discarded by
its number.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
from typing import Any

import pyvisa
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.resources import MessageBasedResource

from bellwire.core.errors import ConfigError
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.session import Transport

READ_BYTES = 1 << 16
TCP_PLACE = re.compile(
    r"TCPIP\d*::(?P<host>[^:]+)::(?:(?P<socket>\d+)::SOCKET|hislip\d+(?:,(?P<hislip>\d+))?(?:::INSTR)?|.*)",
    re.IGNORECASE,
)
HISLIP_PORT = 4880
PORTMAPPER_PORT = 111


class VisaTransport(Transport):
    """One resource. Reads end at a line feed or at the END of a message, whichever comes first."""

    def __init__(self, instrument: str, resource: str, *, baud_rate: int | None = None) -> None:
        self._instrument = instrument
        self._name = resource
        self._baud_rate = baud_rate
        self._resource: MessageBasedResource | None = None
        upper = resource.upper()
        self._is_socket = upper.endswith("::SOCKET")
        self._is_stream = self._is_socket or upper.startswith("ASRL")

    def strays(self, quiet_s: float) -> bytes:
        if not self._is_stream:
            return b""  # a read without a request is an error at the device
        resource = self._opened()
        if self._is_socket and _is_quiet(resource, quiet_s):
            return b""  # quicker than a timeout of the library, which counts whole milliseconds
        resource.timeout = max(1000 * quiet_s, 1)
        try:
            return bytes(
                resource.read_bytes(1)
            )  # one byte: an incomplete line would be dropped with the timeout
        except pyvisa.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                return b""
            raise Disconnected(self._instrument, f"{self._name}: {error.description}") from error

    def open(self, timeout_s: float) -> None:
        self._probe(timeout_s)
        # pyvisa has one manager for all: to close it would close the resources of every other instrument.
        manager = pyvisa.ResourceManager("@py")
        try:
            resource = manager.open_resource(self._name, open_timeout=int(1000 * timeout_s))
        except (pyvisa.VisaIOError, OSError) as error:
            raise Disconnected(self._instrument, f"{self._name}: {error}") from error
        except ValueError as error:
            raise ConfigError(
                f"{self._name}: VISA knows no such resource: {error}", where=self._instrument
            ) from error
        if not isinstance(resource, MessageBasedResource):
            resource.close()
            raise ConfigError(f"{self._name} is not message based", where=self._instrument)
        resource.timeout = 1000 * timeout_s
        if self._is_stream:
            resource.read_termination = "\n"
        if self._baud_rate is not None and self._name.upper().startswith("ASRL"):
            resource.set_visa_attribute(ResourceAttribute.asrl_baud_rate, self._baud_rate)
        if self._name.upper().startswith("USB"):
            self._drop_stale_output(resource)
        self._resource = resource

    def _drop_stale_output(self, resource: MessageBasedResource) -> None:
        """A USB device outlives its connections, and with it an answer that nobody read; settings stay."""
        try:
            resource.clear()
        except (pyvisa.VisaIOError, OSError) as error:
            resource.close()
            raise Disconnected(self._instrument, f"{self._name}: {error}") from error

    def close(self) -> None:
        resource, self._resource = self._resource, None
        if resource is not None:
            with contextlib.suppress(pyvisa.VisaIOError, OSError):  # it cannot be closed any better
                resource.close()

    def write(self, octets: bytes) -> None:
        try:
            self._opened().write_raw(octets)
        except pyvisa.VisaIOError as error:
            raise Disconnected(self._instrument, f"{self._name}: {error.description}") from error

    def read_some(self, timeout_s: float) -> bytes:
        resource = self._opened()
        resource.timeout = max(1000 * timeout_s, 1)
        try:
            return bytes(resource.read_bytes(READ_BYTES, break_on_termchar=True))
        except pyvisa.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                self._refuse_if_hung_up()
                return b""
            raise Disconnected(self._instrument, f"{self._name}: {error.description}") from error
        except RuntimeError as error:  # how pyvisa-py says that a HiSLIP peer closed
            raise Disconnected(self._instrument, f"{self._name}: {error}") from error

    def _probe(self, timeout_s: float) -> None:
        place = TCP_PLACE.fullmatch(self._name)
        if place is None:
            return
        host, _, given = place["host"].partition(",")
        if place["socket"]:
            port = int(place["socket"])
        elif "hislip" in self._name.lower():
            port = int(place["hislip"] or HISLIP_PORT)
        else:
            port = int(given or PORTMAPPER_PORT)
        try:
            socket.create_connection((host, port), timeout_s).close()
        except OSError as error:
            raise Disconnected(self._instrument, f"{host}:{port}: {error}") from error

    def _refuse_if_hung_up(self) -> None:
        """A peer that closed is a timeout to pyvisa-py; the socket underneath knows better."""
        if not self._is_socket or self._resource is None:
            return
        connection = _socket_of(self._resource)
        if connection is None:
            return
        readable, _, _ = select.select([connection], [], [], 0)
        if readable and connection.recv(1, socket.MSG_PEEK) == b"":
            raise Disconnected(self._instrument, f"{self._name} closed the connection")

    def _opened(self) -> MessageBasedResource:
        if self._resource is None:
            raise Disconnected(self._instrument, f"{self._name} is not open")
        return self._resource


def _socket_of(resource: MessageBasedResource) -> socket.socket | None:
    library: Any = resource.visalib
    sessions: Any = getattr(library, "sessions", {})
    interface: Any = getattr(sessions.get(resource.session), "interface", None)
    return interface if isinstance(interface, socket.socket) else None


def _is_quiet(resource: MessageBasedResource, quiet_s: float) -> bool:
    """Nothing lies in the library's own buffer, and nothing comes to the socket within `quiet_s`; False
    where the library does not let us look.
    """
    library: Any = resource.visalib
    session: Any = getattr(library, "sessions", {}).get(resource.session)
    pending = getattr(session, "_pending_buffer", None)
    connection = _socket_of(resource)
    if pending is None or len(pending) or connection is None:
        return False
    return not select.select([connection], [], [], quiet_s)[0]
