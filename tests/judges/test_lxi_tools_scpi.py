"""lxi-tools, a SCPI client of another project, drives the SCPI engine of the emulators over a TCP socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from tests.simulator_backend.devices.scpi_meters import Meter

pytestmark = pytest.mark.judge

DEADLINE_S = 20


@pytest.fixture
async def line() -> AsyncIterator[TcpLine]:
    socket = TcpLine()
    emulator = InstrumentEmulator("meter", Meter, [socket])
    await emulator.start()
    yield socket
    await emulator.stop()


async def lxi(line: TcpLine, command: str) -> str:
    """What `lxi scpi` prints for one command; a timeout prints what came, so the text is looked at."""
    process = await asyncio.create_subprocess_exec(
        *("lxi", "scpi", "--address", "127.0.0.1", "--port", str(line.port), "--raw", command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, printed.decode()
    return printed.decode().strip()


async def test_lxi_reads_joined_answers_and_finds_refusals_in_the_error_queue(line: TcpLine) -> None:
    assert await lxi(line, "*IDN?") == "bellwire,Meter,000123,1.0"
    assert await lxi(line, "SENS:CORR:WAV 850 NM") == ""
    assert await lxi(line, "corr:wavelength?;wav? max;:syst:err?") == (
        '8.500000000E-07;1.700000000E-06;0,"No error"'
    )
    assert await lxi(line, "BOGUS:CMD") == ""
    assert await lxi(line, "SYST:ERR?") == '-113,"Undefined header;BOGUS:CMD"'
