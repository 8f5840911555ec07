"""Our DG645 driver over VXI-11 against python-vxi11-server; the engine is theirs, the description ours.

No registry has it: BELLWIRE_VXI11_SERVER names the folder of its sources, which holds `vxi11_server`.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from bellwire.drivers.dg645 import Channel, Delay, Dg645
from bellwire.drivers.faults import DeviceError, IdentityRefused
from tests.judges.conftest import PEERS, PYTHON

SOURCES = os.environ.get("BELLWIRE_VXI11_SERVER")
START_S = 30.0

pytestmark = [
    pytest.mark.judge,
    pytest.mark.skipif(SOURCES is None, reason="BELLWIRE_VXI11_SERVER names no python-vxi11-server"),
]


async def test_our_driver_works_over_the_vxi11_of_another_project() -> None:
    assert SOURCES is not None
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), "-W", "ignore", str(PEERS / "vxi11_server_dg645.py"), SOURCES),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            port = int(await process.stdout.readline())
        address = f"TCPIP::127.0.0.1,{port}::inst0::INSTR"
        driver = Dg645("pulses", address, serial_number="000777")
        await driver.connect()
        await driver.set_delay(Channel.A, Delay(Channel.T0, 1_500_005))
        assert await driver.read_delay_ps("A") == 1_500_005
        with pytest.raises(DeviceError, match="111 undefined command"):
            await driver.set_burst_count(3)
        await driver.safe_state()
        await driver.close()
        with pytest.raises(IdentityRefused, match="expected '1', found '000777'"):
            await Dg645("pulses", address, serial_number="1").connect()
    finally:
        process.stdin.close()
        await process.wait()
