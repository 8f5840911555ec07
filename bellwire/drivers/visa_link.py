"""Text lines over a raw TCP socket through pyvisa (pyvisa-py backend), with the rules of instruments.md
section 7.4.

Owns one resource and one thread; one request in flight. After any fault the link is out of step and refuses
to be used until it was reopened, because late replies of a socket shift all later ones for ever (section
7.2). Refuses to retry: only the caller knows which requests may be sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyvisa
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource

from bellwire.core.errors import DeviceFault
from bellwire.drivers.faults import Disconnected, LinkTimeout, ProtocolFault

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """Limits of a line-based link.

    `quiet_ms`: how long is listened for unsolicited bytes before each request.
    """

    timeout_s: float = 1.0
    line_bytes_max: int = 256
    quiet_ms: int = 1
    terminator: str = "\r\n"


class VisaLink:
    """`TCPIP::host::port::SOCKET`. Not usable before `open`; after a fault `close` and `open` again."""

    def __init__(self, instrument: str, host: str, port: int, settings: LineSettings | None = None) -> None:
        self.heard_at_ns: int | None = None
        self._instrument = instrument
        self._host = host
        self._port = port
        self._settings = settings or LineSettings()
        self._thread: ThreadPoolExecutor | None = None
        self._manager: pyvisa.ResourceManager | None = None
        self._resource: MessageBasedResource | None = None
        self._lock = asyncio.Lock()
        self._fault: DeviceFault | None = None

    async def open(self) -> None:
        """Probe the port, then open the resource. Raises Disconnected."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._instrument)
        self._fault = None
        await self._run(self._open_blocking)

    def _open_blocking(self) -> None:
        timeout_s = self._settings.timeout_s
        try:
            # pyvisa-py "opens" refused ports with success, so the port is tried first (section 7.2).
            socket.create_connection((self._host, self._port), timeout_s).close()
        except OSError as error:
            raise Disconnected(self._instrument, f"{self._host}:{self._port}: {error}") from error
        self._manager = pyvisa.ResourceManager("@py")
        resource = self._manager.open_resource(f"TCPIP::{self._host}::{self._port}::SOCKET")
        assert isinstance(resource, MessageBasedResource)
        resource.read_termination = "\n"
        resource.timeout = 1000 * timeout_s
        self._resource = resource

    async def close(self) -> None:
        """Close; harmless when closed."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        resource, manager = self._resource, self._manager
        self._resource = self._manager = None
        with contextlib.suppress(TimeoutError):  # a backend that hangs keeps its thread; it is given up
            async with asyncio.timeout(4 * self._settings.timeout_s + 1):
                await asyncio.get_running_loop().run_in_executor(thread, _close_blocking, resource, manager)
        thread.shutdown(wait=False)

    async def query(self, command: str) -> str:
        """Send a query and return its reply line without terminator.

        Raises LinkTimeout, Disconnected, ProtocolFault.
        """
        return await self._locked(lambda: self._query_blocking(command))

    async def send(self, command: str) -> None:
        """Send a command that has no reply. Raises Disconnected, ProtocolFault."""
        await self._locked(lambda: self._send_blocking(command))

    async def _locked(self, work: Callable[[], T]) -> T:
        async with self._lock:
            return await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise Disconnected(self._instrument, "the link is not open")
        if self._fault is not None:
            raise self._fault
        try:
            # The watchdog is for a backend that hangs beyond its own timeout; the thread is then given up.
            async with asyncio.timeout(4 * self._settings.timeout_s + 1):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            self._fault = LinkTimeout(self._instrument, "the VISA backend hangs")
            raise self._fault from None
        except asyncio.CancelledError:
            # The thread goes on by itself; whatever it reads belongs to nobody.
            self._fault = LinkTimeout(self._instrument, "a request was abandoned")
            raise
        except DeviceFault as fault:
            self._fault = fault
            raise
        except pyvisa.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                self._fault = LinkTimeout(
                    self._instrument, f"no reply in {self._settings.timeout_s} s; out of step"
                )
            else:
                self._fault = Disconnected(self._instrument, f"VISA: {error.description}")
            raise self._fault from error
        except OSError as error:
            self._fault = Disconnected(self._instrument, f"{type(error).__name__}: {error}")
            raise self._fault from error

    # -- in the thread --------------------------------------------------------------------------------------

    def _send_blocking(self, command: str) -> None:
        resource = self._require_quiet()
        resource.write_raw((command + self._settings.terminator).encode("ascii"))

    def _query_blocking(self, command: str) -> str:
        resource = self._require_quiet()
        resource.write_raw((command + self._settings.terminator).encode("ascii"))
        line = resource.read_bytes(self._settings.line_bytes_max, break_on_termchar=True)
        if not line.endswith(b"\n"):
            raise ProtocolFault(
                self._instrument, f"reply to {command!r} exceeds {self._settings.line_bytes_max} bytes"
            )
        try:
            reply = line.decode("ascii").strip()
        except UnicodeDecodeError:
            raise ProtocolFault(self._instrument, f"reply to {command!r} is not text: {line!r}") from None
        self.heard_at_ns = time.monotonic_ns()
        return reply

    def _require_quiet(self) -> MessageBasedResource:
        """Nothing may wait before a request: it would be taken for the reply."""
        resource = self._resource
        if resource is None:
            raise Disconnected(self._instrument, "the link is not open")
        resource.timeout = self._settings.quiet_ms
        try:
            stray = resource.read_bytes(1)
        except pyvisa.VisaIOError as error:
            if error.error_code != StatusCode.error_timeout:
                raise
        else:
            raise ProtocolFault(self._instrument, f"unsolicited bytes before a request: {stray!r}")
        finally:
            resource.timeout = 1000 * self._settings.timeout_s
        return resource


def _close_blocking(resource: MessageBasedResource | None, manager: pyvisa.ResourceManager | None) -> None:
    for closable in (resource, manager):
        if closable is not None:
            # A connection that is gone cannot be closed any better.
            with contextlib.suppress(pyvisa.VisaIOError, OSError):
                closable.close()
