"""Live runs that several test files read: each is made once."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from tests.hosts.live import asked, lab_up, live_lab, wait_for

REQUEST = "through-a-crash"
PAIRS = 110
BEFORE_KILL = 25


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """A run in which the relay's process was killed while pairs were flowing."""

    lab: Lab
    run_dir: Path
    killed_ns: int
    status: str
    restarts: dict[str, int]
    taken_slots: dict[str, list[str]]


def measurements_fail(sections: dict[str, Any]) -> None:
    """Three of ten Bell measurements of the relay give no outcome."""
    sections["nodes"]["relay"]["memory"] = {"bsm_success_probability": 0.7}


@pytest.fixture(scope="session")
def interrupted_run(tmp_path_factory: pytest.TempPathFactory) -> InterruptedRun:
    """The relay is killed in mid-run; the request has 40 s for its end."""
    return asyncio.run(_interrupt(tmp_path_factory.mktemp("interrupted")))


async def _interrupt(folder: Path) -> InterruptedRun:
    lab = live_lab(folder, change=measurements_fail)
    async with lab_up(lab, folder / "state") as live:
        supervisor = live.supervisor
        await supervisor.submit(asked(lab, REQUEST, count=PAIRS, deadline_ns=ns_from_s(40)))
        await live.until(lambda: live.delivered("alice", REQUEST) >= BEFORE_KILL, f"{BEFORE_KILL} pairs")
        before = supervisor.pids()["relay"]
        killed_ns = time.time_ns()
        supervisor.kill("relay")

        async def back() -> bool:
            return supervisor.pids().get("relay", before) != before and await live.is_ready()

        await wait_for(back, "the lab is ready again")
        status = await live.ended(REQUEST)
        await wait_for(live.all_slots_free, "all slots are free after the request")
        taken = await live.taken_slots()
    return InterruptedRun(lab, supervisor.run_dir, killed_ns, status, dict(supervisor.restarts), taken)


FREE_REQUEST = "eight-seconds"
FREE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class FreeRun:
    """An undisturbed run, frames kept in the record."""

    lab: Lab
    run_dir: Path
    status: str
    restarts: dict[str, int]


def frames_tracked(sections: dict[str, Any]) -> None:
    """Nothing is corrected physically, so all four frames occur."""
    sections["correct_frames"] = False


@pytest.fixture(scope="session")
def free_run(tmp_path_factory: pytest.TempPathFactory) -> FreeRun:
    """The repeater lab for eight seconds."""
    return asyncio.run(_run_free(tmp_path_factory.mktemp("free")))


async def _run_free(folder: Path) -> FreeRun:
    lab = live_lab(folder, change=frames_tracked)
    async with lab_up(lab, folder / "state") as live:
        await live.supervisor.submit(asked(lab, FREE_REQUEST, duration_ns=ns_from_s(FREE_SECONDS)))
        status = await live.ended(FREE_REQUEST)
    return FreeRun(lab, live.supervisor.run_dir, status, dict(live.supervisor.restarts))
