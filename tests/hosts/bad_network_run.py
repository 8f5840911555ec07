"""A live emulated lab of five agents on a bad network, with agents killed and stopped all the time.

Owns one such run: requests flow, the network fails (fault_proxy.py), a kill -9, a SIGSTOP or a disk without
room comes every few seconds. Afterwards durable records are held against what was acknowledged
(kill_points.py), and nothing may have leaked: slots, descriptors, memory, processes. As a program, into the
results:

    python -m tests.hosts.bad_network_run --minutes 60
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil
import pytest

from bellwire.runtime import supervisor as supervising
from tests.hosts.fault_proxy import bad_network, behind_proxies
from tests.hosts.kill_points import KilledRun, ended, faults_of, raise_of, read_records, use
from tests.hosts.live import LiveLab, lab_up, live_lab, wait_for

RESULTS = Path(__file__).parents[2] / "bench" / "results" / "bad_network.json"
VICTIMS: Final = ("alice", "alice", "bob", "relay", "west", "east")
USERS: Final = 3
WARM_S: Final = 10.0
"""After so long the memory of a process that lives through the run is taken as its beginning."""
GROWTH_MAX: Final = 1.25
"""Resident memory of such a process at the end against then; heaps settle, leaks go on."""
DISK_NOTICED_S: Final = 10.0
"""An agent writes its record four times a second."""
DESCRIPTORS_SPARE: Final = 12
"""More open descriptors at the end than in the same process when all was quiet."""


@dataclass
class FaultyRun(KilledRun):
    """As a run with kills, and what happened beside them."""

    stops: int = 0
    full_disks: int = 0
    network: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    minutes: float = 0.0


async def faulty_run(folder: Path, seconds: float, seed: int, every_s: float = 6.0) -> FaultyRun:
    """Trouble for so long; then calm, every request ends, and everything is looked at. every_s: mean time
    between two kills or stops."""
    found, chance = FaultyRun(), Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervising, "RESTART_LONGEST_S", supervising.RESTART_FIRST_S)
        lab = live_lab(folder, change=behind_proxies)
        state = folder / "state"
        before = len(psutil.Process().children(recursive=True))
        async with bad_network(lab.addresses, lab.listens, seed) as network:
            async with lab_up(lab, state) as live:
                quiet = {name: _open_files(pid) for name, pid in live.supervisor.pids().items()}
                users = [
                    asyncio.create_task(use(lab, live, state, found, Random(f"{seed} {number}"), number))
                    for number in range(USERS)
                ]
                trouble = asyncio.create_task(network.trouble())
                began_s = time.monotonic()
                lasting: dict[int, int] = {}
                while time.monotonic() < began_s + seconds:
                    await asyncio.sleep(chance.uniform(0.5, 2.0 * every_s - 0.5))
                    if not lasting and time.monotonic() > began_s + WARM_S:
                        lasting = _memories(live)
                    await _harm(live, found, chance)
                    raise_of([*users, trouble])
                trouble.cancel()
                network.calm()
                for user in users:
                    user.cancel()
                await asyncio.gather(trouble, *users, return_exceptions=True)
                for request in found.acknowledged:
                    await ended(state, found, request)
                await wait_for(live.all_slots_free, "all slots are free after the requests")
                found.minutes = (time.monotonic() - began_s) / 60.0
                found.network = network.fired
                found.leaks = _leaks(live, quiet, lasting)
            after = len(psutil.Process().children(recursive=True))
            if after > before:
                found.leaks.append(f"{after - before} processes are left")
        read_records(state, found)
    return found


async def _harm(live: LiveLab, found: FaultyRun, chance: Random) -> None:
    """Kill an agent, fill its disk, or stop it for a while."""
    victim = chance.choice(VICTIMS)
    pid = live.supervisor.pids().get(victim)
    if pid is None:
        return  # it is just being started
    kind = chance.random()
    if kind < 0.5:
        found.kills[victim] += 1
        live.supervisor.kill(victim)
        return
    if kind < 0.65:
        await _fill_disk(live, found, victim, pid)
        return
    found.stops += 1
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(0.1, 2.5))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def _fill_disk(live: LiveLab, found: FaultyRun, victim: str, pid: int) -> None:
    """No file of the agent takes another byte: it says so and ends, and the next one finds room again."""
    found.full_disks += 1
    psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))

    async def has_ended() -> bool:
        return live.supervisor.pids().get(victim) != pid

    await wait_for(has_ended, f"{victim} has ended, for its disk is full", within_s=DISK_NOTICED_S)


def _open_files(pid: int) -> int:
    return psutil.Process(pid).num_fds()


def _memories(live: LiveLab) -> dict[int, int]:
    """Resident bytes of every process of the lab and of this one, by process id."""
    pids = (*live.supervisor.pids().values(), os.getpid())
    return {pid: psutil.Process(pid).memory_info().rss for pid in pids}


def _leaks(live: LiveLab, quiet: dict[str, int], lasting: dict[int, int]) -> list[str]:
    leaks = [
        f"{name} has {now} descriptors open, {quiet[name]} when it was quiet"
        for name, pid in live.supervisor.pids().items()
        if (now := _open_files(pid)) > quiet[name] + DESCRIPTORS_SPARE
    ]
    now_used = _memories(live)
    for pid, bytes_then in lasting.items():
        if pid in now_used and now_used[pid] > GROWTH_MAX * bytes_then:
            name = " ".join(psutil.Process(pid).cmdline()[-3:])
            leaks.append(f"{name}: {bytes_then / 1e6:.0f} MB became {now_used[pid] / 1e6:.0f} MB")
    return leaks


def figures(run: FaultyRun) -> dict[str, Any]:
    """The run in numbers."""
    return {
        "minutes": round(run.minutes, 1),
        "stops": run.stops,
        "full disks": run.full_disks,
        "faults of the network": ", ".join(f"{name} {n}" for name, n in sorted(run.network.items())),
        **run.figures(),
        "leaks": "; ".join(run.leaks) or "none",
        "faults": len(faults_of(run)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every-s", type=float, default=30.0, help="mean time between kills or stops")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bw") as folder:
        run = asyncio.run(faulty_run(Path(folder), 60.0 * chosen.minutes, chosen.seed, chosen.every_s))
    row = figures(run)
    del row["moments"]
    document = {
        "title": "Five live agents on a bad network, killed, stopped and without room on their disks",
        "command": f"python -m tests.hosts.bad_network_run --minutes {chosen.minutes:g} --seed {chosen.seed}",
        "rows": [row],
        "note": "Connections are cut, held and slowed by a relay in front of every agent. Afterwards durable "
        "records of both ends are held against what was acknowledged, and nothing may have leaked.",
        "faults": faults_of(run),
    }
    chosen.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    sys.exit(1 if faults_of(run) or run.leaks else 0)


if __name__ == "__main__":
    main()
