"""A whole emulated lab whose light is known: wrong pump power and wrong oven temperature show in what is
delivered.

Rates are counts against the closed forms of the light at that moment (a mean beyond 4 standard errors comes
once in 16,000 tests); fidelities are the World's, of every pair that was handed over.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellwire.core.pair_sources import midpoint_source
from bellwire.runtime.control import ask
from tests.hosts.live import LiveLab, asked, lab_up, live_lab, wait_for

LAB = "optics_midpoint_source"
STATION = "middle"
ARM = 0.7 * 10 ** (-0.1 * 0.2 * 5) * 0.4
BACKGROUND = -np.expm1(-50 * 50e-9)
ATTEMPTS_HZ = 8 * 1000


def physics(pump_mw: float, oven_c: float) -> Any:
    """The link at a setting: 0.005 pairs per mW and pulse on the best temperature, sinc^2 of 2 K full
    width.
    """
    matched = float(np.sinc(2.0 * 1.39155738 * (oven_c - 40.0) / 2.0 / np.pi) ** 2)
    return midpoint_source(0.005 * pump_mw * matched, ARM, ARM, BACKGROUND, BACKGROUND, 0.01)


async def turn(live: LiveLab, device: str, parameter: str, value: object) -> None:
    """As `bellwire device LAB NAME set PARAMETER VALUE` does it."""
    fields = {"device": device, "parameter": parameter, "value": value, "holder": "test", "within_s": 30.0}
    await ask(live.supervisor.state_dir, STATION, "device_write", **fields)


async def read(live: LiveLab, device: str, parameter: str) -> Any:
    found = await ask(live.supervisor.state_dir, STATION, "device_read", device=device, parameter=parameter)
    return found["value"]


def fidelities(live: LiveLab) -> list[float]:
    """Of the pairs handed over so far, as the World knows them."""
    path = live.supervisor.run_dir / "truth.jsonl"
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [line["truth"]["fidelity"] for line in lines if line["tag"] and line["truth"] is not None]


@pytest.fixture
def lab_file_change() -> Any:
    """The source is kept at its point by its instruments' settings here, so that the test may move them;
    and the memories keep their qubits, so that a busy machine's delays do not show in what the light makes.
    """

    def change(sections: dict[str, Any]) -> None:
        for node in sections["nodes"].values():
            node["memory"] |= {"t1_s": None, "t2_s": None}
        station = sections["stations"][STATION]
        station["composites"] = {}
        station["equipment"]["pump"]["settings"] = {"power_set_mw": 10.0, "emission": True}
        station["equipment"]["oven"]["settings"] = {"temperature_set_c": 40.0, "heating": True}

    return change


@pytest.mark.slow
async def test_pump_and_oven_show_in_rate_and_fidelity(tmp_path: Path, lab_file_change: Any) -> None:
    lab = live_lab(tmp_path, LAB, lab_file_change)
    async with lab_up(lab, tmp_path / "state") as live:

        async def warm(temperature_c: float) -> None:
            async def holds() -> bool:
                return abs(await read(live, "oven", "temperature_c") - temperature_c) < 0.1

            await wait_for(holds, f"the crystal at {temperature_c} C")

        async def deliver(name: str, count: int) -> float:
            before = len(fidelities(live))
            await live.supervisor.submit(asked(lab, name, count=count, fidelity_threshold=None))
            assert await live.ended(name) == "completed"
            found = fidelities(live)[before:]
            assert found
            return float(np.mean(found))

        await warm(40.0)
        usual = await deliver("usual", 20)
        assert usual == pytest.approx(physics(10.0, 40.0).fidelity, abs=0.01)

        await turn(live, "pump", "power_set_mw", 80.0)
        bright = await deliver("bright", 40)
        assert bright == pytest.approx(physics(80.0, 40.0).fidelity, abs=0.02)
        assert bright < usual - 0.1

        await turn(live, "pump", "power_set_mw", 10.0)
        await turn(live, "oven", "temperature_set_c", 44.0)
        await warm(44.0)
        assert physics(10.0, 44.0).success_probability < physics(10.0, 40.0).success_probability / 10
        await live.supervisor.submit(asked(lab, "cold", duration_ns=3_000_000_000, fidelity_threshold=None))
        await live.ended("cold")
        expected = 3 * ATTEMPTS_HZ * physics(10.0, 44.1).success_probability
        assert live.delivered("alice", "cold") <= expected + 4 * np.sqrt(expected) + 1
