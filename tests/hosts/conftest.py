"""Live runs that several test files read: each is made once."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from tests.hosts.interrupted import InterruptedRun, interrupt
from tests.hosts.live import asked, lab_up, live_lab

PAIRS = 90

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
def interrupted_run(tmp_path_factory: pytest.TempPathFactory) -> InterruptedRun:
    """The relay is killed after 25 of 90 pairs."""
    return asyncio.run(interrupt(tmp_path_factory.mktemp("interrupted"), pairs=PAIRS, before_kill=25))


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
