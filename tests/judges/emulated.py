"""An emulated instrument for a program of another project: powered while the test runs, and switched off."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line

SOCKET = "TCPIP::127.0.0.1::{}::SOCKET"
VXI11 = "TCPIP::127.0.0.1,{}::inst0::INSTR"


@contextlib.asynccontextmanager
async def powered(
    driver: str, address: str = SOCKET, *, values: Mapping[str, float] | None = None
) -> AsyncIterator[tuple[InstrumentEmulator, int, Alone]]:
    """The emulator of a driver's instrument at a free port: emulator, port, and what lies around it."""
    table = Alone(dict(values or {}))
    order = EmulatorOrder(name="it", address=address.format(0), wiring=Wiring(table))
    emulator = make_emulator(driver, order)
    await emulator.start()
    try:
        (line,) = emulator.lines
        assert isinstance(line, TcpLine | Vxi11Line)
        yield emulator, line.port, table
    finally:
        await emulator.stop()
