"""lxi-tools, a SCPI client of another project, drives the emulated DG645 over its TCP socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bellwire.simulator_backend.devices.dg645_emulator import make
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.lines import TcpLine

pytestmark = pytest.mark.judge

DEADLINE_S = 20


@pytest.fixture
async def line() -> AsyncIterator[TcpLine]:
    dg645 = make(EmulatorOrder(name="pulses", address="tcp://127.0.0.1:0", serial_number="004711"))
    await dg645.start()
    (socket,) = dg645.lines
    assert isinstance(socket, TcpLine)
    yield socket
    await dg645.stop()


async def lxi(line: TcpLine, command: str) -> str:
    """What `lxi scpi` prints for one command; its own process, so that nothing of ours is in it."""
    process = await asyncio.create_subprocess_exec(
        *("lxi", "scpi", "--address", "127.0.0.1", "--port", str(line.port), "--raw", command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, printed.decode()
    return printed.decode().strip()


async def test_lxi_reads_the_identity(line: TcpLine) -> None:
    assert await lxi(line, "*IDN?") == "Stanford Research Systems,DG645,s/n004711,ver1.14.10E"


async def test_lxi_sets_a_delay_in_silence_and_reads_it_back(line: TcpLine) -> None:
    assert await lxi(line, "DLAY 2,0,1.5e-6") == ""
    reference, delay_s = (await lxi(line, "DLAY?2")).split(",")
    assert int(reference) == 0
    assert float(delay_s) == pytest.approx(1.5e-6, abs=1e-12)
    assert await lxi(line, "LERR?") == "0"


async def test_lxi_finds_a_refused_command_in_the_error_queue(line: TcpLine) -> None:
    assert await lxi(line, "NONSENSE 1") == ""
    assert await lxi(line, "LERR?") == "111"
    assert await lxi(line, "LERR?") == "0"
