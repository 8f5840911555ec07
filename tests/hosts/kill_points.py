"""Agents killed at any moment of a run, again and again: no request lost, no pair counted twice.

Owns one such run on the emulated repeater lab: requests flow all the time, an agent is killed (SIGKILL) at
moments drawn by chance, its restart and often the moments right after a submission among them. Afterwards the
durable records of both end nodes are compared with what was acknowledged. As a program, into the results:

    python -m tests.hosts.kill_points --kills 200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.events import Record
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from bellwire.runtime import supervisor as supervising
from bellwire.runtime.control import ask
from bellwire.transport import delivery_records, request_records
from bellwire.transport.delivery_records import DeliveryRecord
from bellwire.transport.request_records import RequestRecord
from tests.hosts.live import FINAL, LiveLab, asked, lab_up, live_lab, wait_for

RESULTS = Path(__file__).parents[2] / "bench" / "results" / "kill_points.json"
VICTIMS: Final = ("alice", "alice", "alice", "bob", "bob", "relay")
"""The source, where requests live, more often than the others."""
UNDER_WAY: Final = 3
"""So many requests at once."""
SOON_S, LATE_S = 0.05, 1.5
DEADLINE_S = 600.0


@dataclass
class KilledRun:
    """What was asked for and acknowledged, and what the stores of both ends hold at the end."""

    acknowledged: dict[str, EntanglementRequest] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    requests: dict[str, RequestRecord] = field(default_factory=dict)
    pairs: dict[str, list[DeliveryRecord]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """The run in numbers."""
        heads = [one for one in self.pairs["alice"] if one.role == "head" and one.state == "settled"]
        outcomes = Counter(str(one.outcome) for one in self.requests.values())
        return {
            "kills": sum(self.kills.values()),
            "of": _counted(self.kills),
            "moments": _counted(self.moments),
            "requests acknowledged": len(self.acknowledged),
            "ended": _counted(outcomes),
            "pairs settled": len(heads),
            "pairs void": sum(one.state == "void" for one in self.pairs["alice"]),
        }


async def killed_at(folder: Path, kills: int, seed: int) -> KilledRun:
    """Kill so many times, let every request end, and read what both ends have written."""
    found, chance = KilledRun(), Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervising, "RESTART_LONGEST_S", supervising.RESTART_FIRST_S)
        lab = live_lab(folder)
        state = folder / "state"
        async with lab_up(lab, state) as live:
            users = [
                asyncio.create_task(use(lab, live, state, found, Random(f"{seed} {number}"), number))
                for number in range(UNDER_WAY)
            ]
            for _ in range(kills):
                await _kill(live, state, found, chance)
                raise_of(users)
            for user in users:
                user.cancel()
            await asyncio.gather(*users, return_exceptions=True)
            for request in found.acknowledged:
                await ended(state, found, request)
            await wait_for(live.all_slots_free, "all slots are free after the requests")
        read_records(state, found)
    return found


def read_records(state: Path, found: KilledRun) -> None:
    """What both ends have written; nobody writes any more."""
    for node in ("alice", "bob"):
        records = durable(state / "agents" / f"{node}.sqlite")
        found.pairs[node] = [delivery_records.from_record(one) for one in records if one.kind == "delivery"]
        if node == "alice":
            kept = [request_records.from_record(one) for one in records if one.kind == "request"]
            found.requests = {one.request.request_id: one for one in kept}


async def _kill(live: LiveLab, state: Path, found: KilledRun, chance: Random) -> None:
    """One kill: mostly at any moment of work, one in four while the process comes up again."""
    victim = chance.choice(VICTIMS)
    starting = chance.random() < 0.25
    if not starting:
        await wait_for(lambda: _answers(state, victim), f"{victim} answers")
    await asyncio.sleep(chance.uniform(0.0, LATE_S))
    await wait_for(lambda: _runs(live, victim), f"{victim} runs")
    found.moments["while starting" if not await _answers(state, victim) else "at work"] += 1
    found.kills[victim] += 1
    live.supervisor.kill(victim)


async def _runs(live: LiveLab, node: str) -> bool:
    return node in live.supervisor.pids()


async def _answers(state: Path, node: str) -> bool:
    try:
        await ask(state, node, "requests", within_s=1.0)
    except ConfigError:
        return False
    return True


async def use(lab: Lab, live: LiveLab, state: Path, found: KilledRun, chance: Random, user: int) -> None:
    """One user: request after request, each submitted until it is acknowledged, some cancelled."""
    number = 0
    while True:
        number += 1
        name = f"user-{user}-{number}"
        request = asked(
            lab,
            name,
            count=chance.randint(1, 6),
            deadline_ns=ns_from_s(DEADLINE_S),
            consumption=chance.choice(("keep", "measure")),
        )
        await _acknowledged(live, state, request)
        found.acknowledged[name] = request
        if chance.random() < 0.15:
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            await _asked_until_heard(state, "cancel", request=name)
        await ended(state, found, name)


async def _acknowledged(live: LiveLab, state: Path, request: EntanglementRequest) -> None:
    """Submit, again after every crash, until the request stands in the source's store."""
    while True:
        try:
            await live.supervisor.submit(request)
            while True:
                life = (await ask(state, "alice", "request", request=request.request_id))["standing"]
                if life is None:
                    break
                if life["state"] != "recording":
                    return
                await asyncio.sleep(0.005)
        except ConfigError:
            pass  # it restarts at this moment
        await asyncio.sleep(0.05)


async def _asked_until_heard(state: Path, do: str, **fields: Any) -> Mapping[str, Any]:
    while True:
        try:
            answer: Mapping[str, Any] = await ask(state, "alice", do, **fields)
            return answer
        except ConfigError:
            await asyncio.sleep(0.05)


async def ended(state: Path, found: KilledRun, request: str) -> None:
    """Wait until the source says how it ended. AssertionError: it has forgotten it."""
    until = time.monotonic() + DEADLINE_S
    while True:
        life = (await _asked_until_heard(state, "request", request=request))["standing"]
        assert life is not None, f"{request} was acknowledged and is forgotten"
        if life["state"] in FINAL:
            found.told[request] = life["state"]
            return
        assert time.monotonic() < until, f"{request} is {life['state']}, and does not end"
        await asyncio.sleep(0.05)


def raise_of(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def durable(path: Path) -> list[Record]:
    """The records of a store that nobody writes any more."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT kind, key, body FROM records ORDER BY written").fetchall()
    return [Record(kind=kind, key=key, body=body) for kind, key, body in rows]


def faults_of(run: KilledRun) -> list[str]:
    """What must not have happened, each by name; empty: nothing did."""
    faults: list[str] = []
    for name, request in run.acknowledged.items():
        record = run.requests.get(name)
        if record is None:
            faults.append(f"{name} was acknowledged and is not in the store")
        elif record.outcome is None:
            faults.append(f"{name} has no outcome")
        elif record.outcome == "completed" and record.delivered != request.count:
            faults.append(f"{name} ended with {record.delivered} pairs of {request.count}")
    heads = [one for one in run.pairs["alice"] if one.role == "head" and one.state != "void"]
    tails = {
        (one.request, one.number): one
        for one in run.pairs["bob"]
        if one.role == "tail" and one.state != "void"
    }
    for kind, seen in (
        ("number", Counter((one.request, one.number) for one in heads)),
        ("qubit of alice", Counter(one.head_end for one in heads)),
        ("qubit of bob", Counter(one.tail_end for one in heads)),
    ):
        faults += [f"{kind} {what} is counted {times} times" for what, times in seen.items() if times > 1]
    for head in heads:
        tail = tails.pop((head.request, head.number), None)
        if tail is None:
            if head.state == "settled":
                faults.append(f"pair {head.number} of {head.request} is settled and unknown at bob")
        elif (tail.head_end, tail.tail_end, tail.frame) != (head.head_end, head.tail_end, head.frame):
            faults.append(f"pair {head.number} of {head.request} is not the same at both ends")
    faults += [f"pair {number} of {name} is known at bob alone" for name, number in tails]
    settled = Counter(one.request for one in heads if one.state == "settled")
    for name, record in run.requests.items():
        if record.outcome == "completed" and settled[name] != record.delivered:
            faults.append(f"{name} says {record.delivered} pairs, its records {settled[name]}")
    return faults


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bw") as folder:
        run = asyncio.run(killed_at(Path(folder), chosen.kills, chosen.seed))
    faults = faults_of(run)
    document = {
        "title": "Agents killed at random moments of a live emulated lab",
        "command": f"python -m tests.hosts.kill_points --kills {chosen.kills} --seed {chosen.seed}",
        "rows": [run.figures() | {"faults": len(faults)}],
        "note": "Afterwards the durable records of both ends are held against what was acknowledged: a fault "
        "is a request that is missing or without an end, or a pair counted twice or by one end only.",
        "faults": faults,
    }
    chosen.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
