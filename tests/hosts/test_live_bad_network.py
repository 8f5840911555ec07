"""Live agents on a bad network; and that what must not happen would be seen."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.hosts import bad_network_run
from tests.hosts.bad_network_run import FaultyRun, faulty_run
from tests.hosts.kill_points import faults_of


def all_is_well(run: FaultyRun) -> None:
    assert faults_of(run) == []
    assert run.leaks == []
    assert run.figures()["pairs settled"] > 0
    assert run.acknowledged


async def test_half_a_minute_of_cuts_kills_stops_and_full_disks_loses_nothing(tmp_path: Path) -> None:
    run = await faulty_run(tmp_path, 25.0, seed=28, every_s=5.0)
    all_is_well(run)
    assert run.full_disks >= 1
    assert sum(run.kills.values()) + run.stops >= 1
    assert sum(run.network.values()) >= 5


@pytest.mark.slow
async def test_three_minutes_of_cuts_kills_and_stops_lose_nothing(tmp_path: Path) -> None:
    """An hour is run by `python -m tests.hosts.bad_network_run`."""
    run = await faulty_run(tmp_path, 180.0, seed=4, every_s=12.0)
    all_is_well(run)
    assert sum(run.kills.values()) + run.stops + run.full_disks >= 8


class OneProcess:
    """Stands for a lab whose only process is this one."""

    class Supervisor:
        def pids(self) -> dict[str, int]:
            return {"alice": psutil.Process().pid}

    supervisor = Supervisor()


def test_open_descriptors_and_grown_memory_are_seen() -> None:
    pid = psutil.Process().pid
    used = psutil.Process().memory_info().rss
    nothing = bad_network_run._leaks(OneProcess(), {"alice": psutil.Process().num_fds()}, {pid: used})  # type: ignore[arg-type]
    assert nothing == []
    leaks = bad_network_run._leaks(OneProcess(), {"alice": -100}, {pid: used // 2})  # type: ignore[arg-type]
    assert len(leaks) == 2
    assert "descriptors open" in leaks[0]
    assert "MB became" in leaks[1]
