"""Emulated SRS DG645 on a TCP socket: dialect, error queue, faults (instruments.md sections 3.1 and 7.5).

Owns the socket and the lines. Refuses to keep a setting without power; the settings are `dg645_dialect.py`.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from bellwire.simulator_backend.devices.dg645_dialect import Dg645Dialect
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches

LINE_BYTES_MAX = 256


class Dg645Emulator:
    """One DG645. `port` 0 asks for a free port; `port` holds the real one after `start`."""

    def __init__(self, port: int = 0, *, serial_number: str = "001234", model: str = "DG645") -> None:
        self.port = port
        self.faults = FaultSwitches()
        self._serial_number = serial_number
        self._model = model
        self.dialect = Dg645Dialect(model, serial_number)
        self._server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Power on with default settings; harmless when on."""
        if self._server is not None:
            return
        self.dialect = Dg645Dialect(self._model, self._serial_number)
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LINE_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Power off: connections reset, settings gone; harmless when off."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def set_fault(
        self, fault: Fault, *, rate: float = 1.0, delay_s: float = 0.0, times: int | None = None
    ) -> None:
        """Switch a fault on. REFUSED closes the port until `clear_fault`; the others strike at a line."""
        self.faults.set(fault, rate=rate, delay_s=delay_s, times=times)
        if fault is Fault.REFUSED and self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()

    def clear_fault(self, fault: Fault | None = None) -> None:
        """Switch one fault, or all, off. After REFUSED the port is open again, with the settings kept."""
        self.faults.clear(fault)
        server = self._server
        if server is not None and not server.is_serving() and self._reopening is None:
            self._reopening = asyncio.get_running_loop().create_task(self._listen_again())

    async def _listen_again(self) -> None:
        await self._listen()
        self._reopening = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                line = await reader.readline()
                if not line.endswith(b"\n"):
                    return
                if not await self._answer(line, writer):
                    return
        except (ConnectionError, ValueError):
            return  # ValueError: a line beyond the limit; the real instrument reports overrun and drops it
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> bool:
        """Carry out one line and reply; False ends the connection."""
        faults = self.faults
        text = line.decode("ascii", "replace").strip()
        if faults.strikes(Fault.RST):
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if faults.strikes(Fault.FIN):
            return False
        if faults.strikes(Fault.RESTART):
            self.dialect = Dg645Dialect(self._model, self._serial_number)
        if "?" not in text and faults.strikes(Fault.IGNORED_SET):
            return True
        reply = self.dialect.execute(text)
        if faults.strikes(Fault.SILENT) or reply is None:
            return True
        octets = reply.encode("ascii") + b"\r\n"
        if faults.strikes(Fault.UNSOLICITED):
            octets = b"0\r\n" + octets
        if faults.strikes(Fault.HALF_REPLY):
            octets = octets[: max(1, (len(octets) - 2) // 2)]
        if faults.strikes(Fault.DOUBLE_REPLY):
            octets += octets
        if faults.strikes(Fault.LATE_REPLY):
            await asyncio.sleep(faults.delay_s(Fault.LATE_REPLY))
        writer.write(octets)
        await writer.drain()
        return True
