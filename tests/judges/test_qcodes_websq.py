"""The QCoDeS driver of the WebSQ, with its maker's client inside, drives the emulated one."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.websq_emulator import WebSqModel, make

pytestmark = pytest.mark.judge

RATE_HZ = 100_000.0


@pytest.fixture
async def emulator() -> AsyncIterator[InstrumentEmulator]:
    names = {f"bias_ua.{k}": f"bias_ua.{k}" for k in range(1, 5)}
    # The dark rate that the search for bias sees does not change with the bias here: 100 Hz and 1 MHz.
    table = Alone(
        values={"rate_hz.1": 100.0, "rate_hz.2": 1e6, "rate_hz.3": 1e6, "rate_hz.4": 1e6},
        rates_hz={"1": RATE_HZ},
        seed=5,
    )
    order = EmulatorOrder(name="sq", address="tcp://127.0.0.1:0", wiring=Wiring(table, names))
    websq = make(order)
    await websq.start()
    yield websq
    await websq.stop()


async def test_qcodes_sets_bias_levels_and_period_counts_and_searches_bias(
    emulator: InstrumentEmulator, peer: Callable[..., Awaitable[str]]
) -> None:
    control = emulator.lines[0]
    assert isinstance(control, TcpLine)
    found = json.loads((await peer("qcodes_websq.py", "127.0.0.1", control.port)).splitlines()[-1])
    assert found["count"] == 4
    assert found["biases"] == [11.0, 12.0, 13.0, 14.0]
    assert found["levels"] == [60.0, 61.0, 62.0, 63.0]
    assert (found["period"], found["enabled"]) == (40, True)
    assert found["voltage"] == pytest.approx([1.1, 1.2, 1.3, 1.4])
    times_s, first, *others = found["counts"]
    # The client takes one line of all that it receives at once, so on a busy machine it loses some.
    periods = [(later - earlier) / 0.04 for earlier, later in pairwise(times_s)]
    assert all(lasted >= 0.9 and abs(lasted - round(lasted)) < 0.05 for lasted in periods)
    expected = RATE_HZ * 0.04 * 5
    # 20000 counts in five periods; 5 standard deviations: false alarm below 1e-6.
    assert abs(sum(first) - expected) < 5 * math.sqrt(expected)
    assert others == [[0.0] * 5] * 3
    assert (found["started"], found["finished"]) == (True, True)
    # 10 counts in 40 ms are 250 Hz: the first detector stays below at every bias, the others at none.
    assert found["found"] == [30.0, 0.0, 0.0, 0.0]
    assert isinstance(emulator.model, WebSqModel)
    assert emulator.model.detectors.bias_ua == [30.0, 0.0, 0.0, 0.0]
