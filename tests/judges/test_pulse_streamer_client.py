"""The maker's client of the Pulse Streamer, in a process of its own, drives the emulated one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.pulse_streamer_emulator import (
    SERIAL_NUMBER,
    PulseStreamerModel,
    make,
)

pytestmark = pytest.mark.judge


@pytest.fixture
async def emulator() -> AsyncIterator[InstrumentEmulator]:
    streamer = make(EmulatorOrder(name="ps", address="tcp://127.0.0.1:0"))
    await streamer.start()
    yield streamer
    await streamer.stop()


async def test_the_client_of_the_maker_streams_uploads_and_triggers(
    emulator: InstrumentEmulator, peer: Callable[..., Awaitable[str]]
) -> None:
    line = emulator.lines[0]
    assert isinstance(line, TcpLine)
    printed = await peer("pulse_streamer_client.py", line.host)
    assert "not available" not in printed
    found = json.loads(printed.splitlines()[-1])
    assert found["binary"] is True
    assert (found["serial_number"], found["firmware"]) == (SERIAL_NUMBER, "2.1.0")
    assert found["fresh"] == [False, False, False]
    assert found["clock"] == "EXT_10MHZ"
    assert found["trigger"] == ["SOFTWARE", "MANUAL"]
    assert found["waiting"] == [True, False]
    assert (found["finished"], found["state"]) == (True, "FINISHED")
    assert (found["uploaded"], found["playing"]) == (0, True)
    assert (found["underflow"], found["constant"], found["slow"]) == (0, False, True)
    assert isinstance(emulator.model, PulseStreamerModel)
    steps = emulator.model.player.steps()
    assert [tuple(map(int, step)) for step in steps] == [
        (500, 0b001, 0x4000, 0),
        (500, 0b111, 0x4000, 0),
        (3000, 0b110, 0x4000, 0),
    ]
