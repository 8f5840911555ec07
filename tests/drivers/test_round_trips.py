"""Round-trip times over the pseudo-terminal, for the README; nothing is asserted about speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.drivers.conftest import Lab


@pytest.mark.slow
async def test_round_trips_are_measured(lab: Lab, record_figures: Callable[..., None]) -> None:
    await lab.connect()

    async def median_us(
        work: Callable[[], Awaitable[Any]], prepare: Callable[[], Awaitable[Any]] | None
    ) -> float:
        times_ns: list[int] = []
        for _ in range(300):
            if prepare is not None:
                await prepare()
            began_ns = time.perf_counter_ns()
            await work()
            times_ns.append(time.perf_counter_ns() - began_ns)
        return round(statistics.median(times_ns) / 1000)

    async def load() -> None:
        await lab.alice.initialise(0)
        await lab.alice.initialise(1)

    rows = [
        {
            "operation": "register read",
            "median_us": await median_us(lambda: lab.fpga.link.read("SCRATCH"), None),
        },
        {
            "operation": "Bell measurement (emulated duration 300 us)",
            "median_us": await median_us(lambda: lab.alice.bell_measure(0, 1), load),
        },
    ]
    record_figures(
        "device_round_trips", "Round trips over a pseudo-terminal, driver and emulator in one loop", rows
    )
    assert len(rows) == 2
