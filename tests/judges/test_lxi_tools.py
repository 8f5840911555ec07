"""lxi-tools, a SCPI client of another project, drives the emulated DG645 over its TCP socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.judges.emulated import powered

pytestmark = pytest.mark.judge

DEADLINE_S = 20


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with powered("srs_dg645") as (_, port, _):
        yield port


async def lxi(port: int, command: str) -> str:
    """What `lxi scpi` prints for one command; its own process, so that nothing of ours is in it."""
    process = await asyncio.create_subprocess_exec(
        *("lxi", "scpi", "--address", "127.0.0.1", "--port", str(port), "--raw", command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, printed.decode()
    return printed.decode().strip()


async def test_lxi_reads_the_identity(port: int) -> None:
    assert await lxi(port, "*IDN?") == "Stanford Research Systems,DG645,s/n001234,ver1.14.10E"


async def test_lxi_sets_a_delay_in_silence_and_reads_it_back(port: int) -> None:
    assert await lxi(port, "DLAY 2,0,1.5e-6") == ""
    reference, delay_s = (await lxi(port, "DLAY?2")).split(",")
    assert int(reference) == 0
    assert float(delay_s) == pytest.approx(1.5e-6, abs=1e-12)
    assert await lxi(port, "LERR?") == "0"


async def test_lxi_finds_a_refused_command_in_the_error_queue(port: int) -> None:
    assert await lxi(port, "NONSENSE 1") == ""
    assert await lxi(port, "LERR?") == "111"
    assert await lxi(port, "LERR?") == "0"
