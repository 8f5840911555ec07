"""The base of our SCPI drivers against the example server of scpi-parser, a SCPI engine of another project.

No registry has the program: BELLWIRE_SCPI_PARSER names what `make -C examples/test-tcp` of its sources built.
It always listens on port 5025.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, LinkTimeout
from bellwire.drivers.instrument import Backoff, Condition, Identity
from bellwire.drivers.scpi_instrument import ScpiInstrument
from bellwire.drivers.session import SessionSettings, Transport
from tests.drivers.conftest import eventually

PROGRAM = os.environ.get("BELLWIRE_SCPI_PARSER")
START_S = 10.0

pytestmark = [
    pytest.mark.judge,
    pytest.mark.skipif(PROGRAM is None, reason="BELLWIRE_SCPI_PARSER names no example server of scpi-parser"),
]


class Example(ScpiInstrument):
    """The instrument of the example."""

    model = "INSTR2013"

    def _transport(self) -> Transport:
        return stream(self.name, self.address, port=5025)

    async def _identify(self) -> Identity:
        _, model, serial_number, firmware = await self._identity_fields()
        return Identity(model, serial_number, firmware)

    async def safe_state(self) -> None:
        """It has no output."""


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[None]:
    """The server, in a process of its own."""
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_our_scpi_drivers_get_on_with_the_engine_of_scpi_parser() -> None:
    driver = Example(
        "example",
        "TCPIP::127.0.0.1::5025::SOCKET",
        settings=SessionSettings(timeout_s=0.5),
        backoff=Backoff(first_s=0.05, longest_s=0.2),
        probe_s=0.2,
    )
    supervision = asyncio.create_task(driver.supervise())
    for _ in range(2):  # the second time it is another process
        async with running():
            await driver.wait_for(Condition.READY, START_S)
            assert await driver._ask("TEST:CHO? EXT") == "2"
            await driver._set("TEST:BOOL ON")
            with pytest.raises(DeviceError, match="-113 Undefined header"):
                await driver._set("BOGUS:CMD")
            await driver._set("TEST:BOOL OFF")  # the queue is empty again
            with pytest.raises(LinkTimeout):  # what it does not know it does not answer
                await driver._ask("SYST:ERR:ALL?")
            await driver.wait_for(Condition.READY, START_S)
        await eventually(lambda: driver.state.condition is not Condition.READY, "the loss is noticed")
    supervision.cancel()
    await asyncio.gather(supervision, return_exceptions=True)
