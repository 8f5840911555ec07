"""Our drivers against servers that nobody here wrote: the engines of pyvisa-sim and of sinstruments.

The engines are theirs, the descriptions of the instruments are ours: what is judged is how our drivers get on
with lines, ends of lines, queues and connections of somebody else's making, not what a command means.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.drivers.dg645 import Channel, Delay, Dg645, TriggerSource
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused
from bellwire.drivers.instrument import Condition
from bellwire.drivers.pm100 import Pm100
from bellwire.labs.free_ports import free_ports
from tests.drivers.conftest import eventually
from tests.judges.conftest import PEERS, PYTHON

pytestmark = pytest.mark.judge

START_S = 30.0
SOCKET = "TCPIP::127.0.0.1::{}::SOCKET"


@contextlib.asynccontextmanager
async def pyvisa_sim(description: str) -> AsyncIterator[int]:
    """pyvisa-sim with one instrument, in a process of its own; its port."""
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), "-W", "ignore", str(PEERS / "pyvisa_sim_server.py"), str(PEERS / description)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            port = int(await process.stdout.readline())
        yield port
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def sinstruments(folder: Path, port: int) -> AsyncIterator[None]:
    """The server of sinstruments with our DG645, in a process of its own."""
    device = {
        "name": "pulses",
        "package": "described_dg645",
        "class": "Dg645",
        "transports": [{"type": "tcp", "url": ["127.0.0.1", port]}],
    }
    configuration = folder / "lab.json"
    configuration.write_text(json.dumps({"devices": [device]}), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), "-m", "sinstruments", "-c", str(configuration)),
        env={**os.environ, "PYTHONPATH": str(PEERS)},
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_our_power_meter_driver_works_with_the_engine_of_pyvisa_sim() -> None:
    async with pyvisa_sim("pm100d.yaml") as port:
        driver = Pm100("meter", SOCKET.format(port), serial_number="P0099999")
        identity = await driver.connect()
        assert (identity.model, identity.firmware) == ("PM100D", "2.7.0")
        await driver.configure({"wavelength_nm": 1550, "averages": 20, "range": "auto"})
        assert await driver.read_wavelength_nm() == 1550
        assert await driver.read_averages() == 20
        assert await driver.read_power_w() == pytest.approx(1.2345e-4)
        with pytest.raises(DeviceError, match="-222 Data out of range"):
            await driver.set_averages(9000)  # more than that engine was told to take
        assert await driver.read_averages() == 20
        await driver.close()
        with pytest.raises(IdentityRefused, match="expected 'P1', found 'P0099999'"):
            await Pm100("meter", SOCKET.format(port), serial_number="P1").connect()


async def test_our_delay_generator_driver_works_with_the_server_of_sinstruments(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    driver = Dg645("pulses", SOCKET.format(port), serial_number="000777", probe_s=0.2)
    supervision = asyncio.create_task(driver.supervise())
    async with sinstruments(tmp_path, port):
        await driver.wait_for(Condition.READY, START_S)
        await driver.configure({"trigger_rate_hz": 2500.25, "trigger_source": "internal"})
        await driver.set_delay(Channel.A, Delay(Channel.T0, 1_500_005))
        assert await driver.read_delay_ps("A") == 1_500_005
        with pytest.raises(DeviceError, match="111 undefined command"):
            await driver.set_burst_count(3)
    await eventually(lambda: driver.state.condition is not Condition.READY, "the loss is noticed")
    with pytest.raises(Disconnected):
        await driver.read_trigger_source()
    async with sinstruments(tmp_path, port):  # another process, which knows nothing of what was set
        await driver.wait_for(Condition.READY, START_S)
        assert await driver.read_trigger_source() is TriggerSource.INTERNAL
        assert await driver.read_trigger_rate_hz() == 2500.25
        await driver.safe_state()
        assert await driver.read_trigger_source() is TriggerSource.SINGLE_SHOT
    supervision.cancel()
    await asyncio.gather(supervision, return_exceptions=True)
