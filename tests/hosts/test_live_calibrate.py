"""`bellwire calibrate` on a lab of real processes: done, interrupted, and with an agent that dies then."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bellwire.calibration.records import Outcome
from bellwire.calibration.store import store_in
from bellwire.labs import Lab
from bellwire.runtime.control import ask
from tests.hosts.live import ROOT, LiveLab, lab_up, live_lab, wait_for

LINK = "alice-bob"


def quickly(sections: dict[str, Any]) -> None:
    sections["requests"] = []


async def started(lab: Lab, live: LiveLab, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bellwire", "calibrate", str(lab.path), LINK, *words),
        *("--json", "--operator", "ada", "--state", str(live.supervisor.state_dir)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def reads(live: LiveLab, device: str, parameter: str) -> Any:
    """What the agent at the source says of its instrument."""
    told = await ask(live.supervisor.state_dir, "source", "device_read", device=device, parameter=parameter)
    return told["value"]


async def test_a_link_is_measured_over_the_bus_and_neither_ctrl_c_nor_a_dead_agent_leaves_it_moved(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path, "entangled_photons", quickly)
    async with lab_up(lab, tmp_path / "state") as live:

        async def emits() -> bool:
            return (await reads(live, "pump", "emission")) is True

        await wait_for(emits, "the source is at its point")
        await darks_are_counted_and_the_light_is_on_again(lab, live)
        await ctrl_c_brings_the_oven_back(lab, live)
        await a_dead_agent_ends_it_and_says_so(lab, live)


def memories_of_their_own(sections: dict[str, Any]) -> None:
    """A link that makes pairs, and memories with slots beside it, which lose a phase in 40 ms."""
    sections["console"] = {"address": "tcp://127.0.0.1:27399"}
    sections["links"][LINK]["calibration"] = {"kind": "meeting"}
    for node in ("alice", "bob"):
        sections["nodes"][node]["memory"] = {"own_slots": 4, "t1_s": 0.1, "t2_s": 0.04}


@pytest.mark.slow
async def test_lifetimes_of_memories_are_measured_beside_entanglement(tmp_path: Path) -> None:
    """Two values of T1 and two of T2, within five standard errors: a false alarm in 400,000 runs. The times
    are the memories' own, so that a slow machine stores longer, and knows it."""
    lab = live_lab(tmp_path, "two_node_link", memories_of_their_own)
    async with lab_up(lab, tmp_path / "state") as live:
        process = await started(lab, live, "memory_lifetime")
        told, _ = await process.communicate()
        assert process.returncode == 0, told
        (step,) = json.loads(told)["steps"]
        for kind, truth_s in (("t1_s", 0.1), ("t2_s", 0.04)):
            for node in ("alice", "bob"):
                found = step["quantities"][f"{kind}.{node}"]
                sigmas = math.log(found["value"] / truth_s) * found["value"] / found["sigma"]
                assert abs(sigmas) < 5.0, (kind, node, found)
        for name, found in step["quantities"].items():
            if "contrast" in name:  # it begins at 1: what is stored for no time is what was prepared
                assert abs(found["value"] - 1.0) < 0.1 + 5.0 * found["sigma"]


async def darks_are_counted_and_the_light_is_on_again(lab: Lab, live: LiveLab) -> None:
    process = await started(lab, live, "darks")
    told, _ = await process.communicate()
    assert process.returncode == 0, told
    (step,) = json.loads(told)["steps"]
    assert step["outcome"] == "passed"
    assert len(step["quantities"]) == 8
    for one in step["quantities"].values():  # 50 per s each, four windows of a second: 5 standard deviations
        assert abs(one["value"] - 50.0) < 5 * (50.0 / 4.0) ** 0.5
    assert await reads(live, "pump", "emission") is True


async def ctrl_c_brings_the_oven_back(lab: Lab, live: LiveLab) -> None:
    process = await started(lab, live, "oven_scan")

    async def moved() -> bool:
        return bool(await reads(live, "oven", "temperature_set_c") != 40.0)

    await wait_for(moved, "the scan has begun")
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130
    record = store_in(live.supervisor.state_dir).latest(LINK, "oven_scan")
    assert record is not None
    assert (record.outcome, record.reason, record.operator) == (Outcome.ABORTED, "interrupted", "ada")
    assert await reads(live, "oven", "temperature_set_c") == 40.0


async def a_dead_agent_ends_it_and_says_so(lab: Lab, live: LiveLab) -> None:
    process = await started(lab, live, "oven_scan")

    async def moved() -> bool:
        return bool(await reads(live, "oven", "temperature_set_c") != 40.0)

    await wait_for(moved, "the scan has begun")
    live.supervisor.kill("alice")
    told, _ = await process.communicate()
    assert process.returncode == 1
    (step,) = json.loads(told)["steps"]
    assert step["outcome"] == "aborted"
    assert "alice" in step["reason"]

    async def back() -> bool:
        return bool(await reads(live, "oven", "temperature_set_c") == 40.0)

    await wait_for(back, "the agent of the source brought its oven back")
