"""The console against a lab of real processes: instruments of a link, a killed console, a killed agent."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.units import NS_PER_S
from bellwire.drivers.leases import LeaseLost
from bellwire.drivers.qubit_storage import Preparation
from bellwire.drivers.tag_counting import joined
from bellwire.labs import Lab
from bellwire.labs.free_ports import free_ports
from bellwire.runtime.console import Console
from bellwire.runtime.control import ask
from tests.hosts.live import ROOT, LiveLab, asked, lab_up, live_lab, wait_for

LAB = "optics_single_click"
HELD = ["midpoint-delay", "midpoint-tagger"]

DOOMED = """
import asyncio, sys
from pathlib import Path
from bellwire.labs import load_lab
from bellwire.runtime.console import Console

async def main():
    async with Console(load_lab(Path(sys.argv[1]), live=True), Path(sys.argv[2])) as console:
        async with console.hold(["midpoint-delay"], "doomed", lease_s=1.0, on_loss="restore") as held:
            await held.write("midpoint-delay", "delay_ps", 40.0)
            print("written", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def with_console(sections: dict[str, Any]) -> None:
    """The lab with a console, and with a tagger at the detectors."""
    sections["console"] = {"address": f"tcp://127.0.0.1:{free_ports(1)[0]}"}
    sections["stations"]["midpoint"]["equipment"]["tagger"] = {
        "driver": "fpga_tagger",
        "address": "pty:midpoint-tagger",
        "emulated": True,
        "vital": False,
        "wiring": {"channel_1": "detector_1", "channel_2": "detector_2"},
    }
    sections["stations"]["midpoint"]["composites"]["analyser"]["tagger"] = "tagger"
    alice = sections["nodes"]["alice"]
    alice["memory"] = {**alice.get("memory", {}), "own_slots": 2}


async def delay_ps(live: LiveLab) -> float:
    """Where the delay line is, as its agent's control socket tells it."""
    told = await ask(
        live.supervisor.state_dir, "midpoint", "device_read", device="delay", parameter="delay_ps"
    )
    return float(told["value"])


async def held_by(live: LiveLab) -> str:
    """Why the analyser is not kept at its point."""
    return str((await live.supervisor.status("midpoint"))["instruments"]["midpoint-analyser"]["reason"])


async def test_instruments_of_a_running_lab_are_moved_and_neither_a_killed_console_nor_agent_leaves_them_so(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path, LAB, with_console)
    async with lab_up(lab, tmp_path / "state") as live:
        await states_are_stored_beside_entanglement(lab, live)
        await instruments_are_held_moved_and_given_back(lab, live)
        await a_killed_console_leaves_nothing_moved(lab, live)
        await a_killed_agent_ends_its_leases(lab, live)


async def states_are_stored_beside_entanglement(lab: Lab, live: LiveLab) -> None:
    """Three at once in two slots; each tells by the memory's clock how long it was kept."""
    one, minus = Preparation((128, 0, 0), "Z", 1), Preparation((0, 192, 0), "X", 1)
    async with (
        Console(lab, live.supervisor.state_dir) as console,
        console.hold([], "storage") as held,
    ):
        told = await asyncio.gather(
            held.store("alice", one, 0.05), held.store("alice", one, 0.02), held.store("alice", minus, 0.0)
        )
        for stored, asked_s in zip(told, (0.05, 0.02, 0.0), strict=True):
            assert stored.bit in (0, 1)
            assert stored.stored_s is not None
            assert stored.stored_s >= asked_s
        with pytest.raises(LocalMisuse, match="memory of bob has no slots of its own"):
            await held.store("bob", one, 0.01)
        with pytest.raises(LocalMisuse, match="stored for 0 to 60 s"):
            await held.store("alice", one, 100.0)


async def instruments_are_held_moved_and_given_back(lab: Lab, live: LiveLab) -> None:
    await live.supervisor.submit(asked(lab, "always", duration_ns=300 * NS_PER_S))
    await live.until(lambda: live.delivered("alice", "always") >= 2, "pairs flow")
    async with Console(lab, live.supervisor.state_dir) as console:
        (delay, tagger) = await console.seen(HELD)
        assert (delay.driver, tagger.driver) == ("oz_odl650", "fpga_tagger")
        assert tagger.serial_number
        statuses = await live.statuses()
        assert all(one["ready"] for one in statuses.values())  # a console is no matter of the nodes
        assert all("console" not in one["peers"] for one in statuses.values())
        assert statuses["midpoint"]["console"]["state"] == "up"
        async with console.hold(HELD, "delay-scan") as held:
            assert await held_by(live) == "held by delay-scan"
            with pytest.raises(ConfigError, match="midpoint-delay is held by delay-scan"):
                await ask(
                    live.supervisor.state_dir,
                    "midpoint",
                    "device_write",
                    device="delay",
                    parameter="delay_ps",
                    value=1.0,
                )
            assert await held.write("midpoint-delay", "delay_ps", 30.0) == pytest.approx(30.0, abs=0.1)
            assert await delay_ps(live) == pytest.approx(30.0, abs=0.1)
            counts = await held.count("midpoint-tagger", 0.5)
            assert counts.valid
            assert counts.singles[1] > 0
            blocks = []
            async with aclosing(held.tags("midpoint-tagger", 0.5)) as stream:
                async for block in stream:
                    blocks.append(block)
            whole = joined(blocks)
            assert whole.stop_ps - whole.start_ps >= 5 * 10**11
            assert whole.lost == ()
            assert {1, 2} >= set(whole.channel.tolist()) != set()
            await held.write("midpoint-delay", "delay_ps", 20.0)
    have = live.delivered("bob", "always")
    await live.until(lambda: live.delivered("bob", "always") >= have + 2, "pairs flow again")

    async def kept_and_alone() -> bool:
        status = await live.supervisor.status("midpoint")
        return bool(status["ready"] and status["console"]["state"] == "down")

    await wait_for(kept_and_alone, "the analyser is kept again, and the console is gone")


async def a_killed_console_leaves_nothing_moved(lab: Lab, live: LiveLab) -> None:
    state = live.supervisor.state_dir
    before = await delay_ps(live)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DOOMED, str(lab.path), str(state), stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"written\n"
        assert await delay_ps(live) == pytest.approx(40.0, abs=0.1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    async def restored() -> bool:
        health = (await live.supervisor.status("midpoint"))["health"]
        return bool(health.get("instrument_restored", 0) == 1)

    await wait_for(restored, "the agent restores the delay line")
    assert await delay_ps(live) == pytest.approx(before, abs=0.1)


async def a_killed_agent_ends_its_leases(lab: Lab, live: LiveLab) -> None:
    before = await delay_ps(live)
    async with Console(lab, live.supervisor.state_dir) as console:
        async with console.hold(HELD, "unlucky", lease_s=30.0) as held:
            await held.write("midpoint-delay", "delay_ps", 35.0)
            counting = asyncio.create_task(held.count("midpoint-tagger", 60.0))
            live.supervisor.kill("midpoint")
            with pytest.raises(LeaseLost, match="midpoint"):
                await counting
            with pytest.raises(LeaseLost, match="midpoint"):
                await held.write("midpoint-delay", "delay_ps", 35.0)
        await wait_for(live.is_ready, "the agent is back")
        assert await delay_ps(live) == pytest.approx(before, abs=0.1)  # as the lab file says
        async with console.hold(HELD, "next") as held:
            assert await held.read("midpoint-delay", "delay_ps") == pytest.approx(before, abs=0.1)
