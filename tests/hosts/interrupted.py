"""A live run in which the relay's process is killed while pairs are flowing.

Owns the course of such a run. Refuses to judge it.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from tests.hosts.live import Change, asked, lab_up, live_lab, wait_for

REQUEST = "through-a-crash"
DEADLINE_S = 50


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """What came of it."""

    lab: Lab
    run_dir: Path
    request: str
    killed_ns: int
    status: str
    restarts: dict[str, int]
    taken_slots: dict[str, list[str]]


def measurements_fail(sections: dict[str, Any]) -> None:
    """Three of ten Bell measurements of the relay give no outcome."""
    sections["nodes"]["relay"]["memory"] = {"bsm_success_probability": 0.7}


async def interrupt(
    folder: Path, *, pairs: int, before_kill: int, change: Change = measurements_fail
) -> InterruptedRun:
    """Ask for `pairs`, kill the relay after `before_kill`, wait for the request's end and its slots."""
    lab = live_lab(folder, change=change)
    async with lab_up(lab, folder / "state") as live:
        supervisor = live.supervisor
        await supervisor.submit(asked(lab, REQUEST, count=pairs, deadline_ns=ns_from_s(DEADLINE_S)))
        await live.until(lambda: live.delivered("alice", REQUEST) >= before_kill, f"{before_kill} pairs")
        before = supervisor.pids()["relay"]
        killed_ns = time.time_ns()
        supervisor.kill("relay")

        async def back() -> bool:
            return supervisor.pids().get("relay", before) != before and await live.is_ready()

        await wait_for(back, "the lab is ready again")
        status = await live.ended(REQUEST)
        await wait_for(live.all_slots_free, "all slots are free after the request")
        taken = await live.taken_slots()
    return InterruptedRun(
        lab, supervisor.run_dir, REQUEST, killed_ns, status, dict(supervisor.restarts), taken
    )
