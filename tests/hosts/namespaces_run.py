"""A live lab whose agents live in network namespaces of their own: real cables that are pulled and throttled.

Owns one such run, as a program in a network namespace of its own (`unshare -n -m`), so that nothing outside
sees it: a bridge, and for every agent a namespace with a cable to it. A cable goes down and comes up again,
or passes little; nobody gets a reset, as on a network between buildings. Prints what came of it as JSON.

    unshare -n -m python -m tests.hosts.namespaces_run FOLDER --seconds 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from bellwire.labs.free_ports import free_ports
from bellwire.runtime.supervisor import EMULATOR
from tests.hosts.kill_points import KilledRun, ended, faults_of, raise_of, read_records, use
from tests.hosts.live import lab_up, live_lab, wait_for

NETWORK: Final = "10.77.0"
CABLES: Final = ("alice", "relay", "bob", "west", "east")
USERS: Final = 2
DOWN_S: Final = (0.3, 3.0)


def ip(*words: str) -> None:
    """One command of iproute2, some milliseconds long; raises when it does not work."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def throttle(cable: str, *, on: bool, at_all: bool = True) -> None:
    """Let 200 kbit/s pass, or everything. at_all: it must have been otherwise before."""
    bucket = ["tbf", "rate", "200kbit", "burst", "16kbit", "latency", "400ms"] if on else []
    order = ["tc", "qdisc", "add" if on else "del", "dev", cable, "root", *bucket]
    subprocess.run(order, check=at_all, capture_output=True)


def lay_cables() -> None:
    """The bridge, and for every agent a namespace with a cable `c-NAME` to it."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/var/run"], check=True)
    ip("link", "set", "lo", "up")
    ip("link", "add", "hub", "type", "bridge")
    ip("link", "set", "hub", "up")
    for number, name in enumerate(CABLES, 1):
        ip("netns", "add", name)
        ip("link", "add", f"c-{name}", "type", "veth", "peer", "name", "net", "netns", name)
        ip("link", "set", f"c-{name}", "master", "hub", "up")
        ip("-n", name, "address", "add", f"{NETWORK}.{number}/24", "dev", "net")
        ip("-n", name, "link", "set", "net", "up")
        ip("-n", name, "link", "set", "lo", "up")


def on_cables(sections: dict[str, Any]) -> None:
    """A lab file whose agents have addresses at the end of their cables. Stations without delay generators:
    their instruments would have to be reached over the network as well."""
    agents = {**sections["nodes"], **sections["stations"]}
    for port, (number, name) in zip(free_ports(len(CABLES)), enumerate(CABLES, 1), strict=True):
        agents[name]["address"] = f"tcp://{NETWORK}.{number}:{port}"
    for station in sections["stations"].values():
        del station["instruments"]["timing"]


async def trouble(chance: Random, fired: Counter[str]) -> None:
    """Now and then a cable is pulled, or passes 200 kbit/s."""
    while True:
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        cable = f"c-{chance.choice(CABLES)}"
        for_s = chance.uniform(*DOWN_S)
        if chance.random() < 0.7:
            fired["pulled"] += 1
            ip("link", "set", cable, "down")
            await asyncio.sleep(for_s)
            ip("link", "set", cable, "up")
        else:
            fired["throttled"] += 1
            throttle(cable, on=True)
            await asyncio.sleep(for_s)
            throttle(cable, on=False)


async def run(folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Requests flow, cables fail; then calm, and every request ends."""
    lab = live_lab(folder, change=on_cables)

    def at_its_cable(name: str, state: Path, run_dir: Path) -> Sequence[str]:
        where = ["--state", str(state), "--run", str(run_dir), "--with-parent"]
        if name == EMULATOR:
            return [sys.executable, "-m", "bellwire", "emulate", str(lab.path), *where]
        inside = ["ip", "netns", "exec", name]
        return [*inside, sys.executable, "-m", "bellwire", "node", str(lab.path), name, *where]

    found, chance, fired = KilledRun(), Random(seed), Counter[str]()
    state = folder / "state"
    async with lab_up(lab, state, command_line=at_its_cable) as live:
        users = [
            asyncio.create_task(use(lab, live, state, found, Random(f"{seed} {number}"), number))
            for number in range(USERS)
        ]
        task = asyncio.create_task(trouble(chance, fired))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(0.2)
            raise_of([*users, task])
        for one in (*users, task):
            one.cancel()
        await asyncio.gather(task, *users, return_exceptions=True)
        for cable in CABLES:
            ip("link", "set", f"c-{cable}", "up")
            throttle(f"c-{cable}", on=False, at_all=False)
        for request in found.acknowledged:
            await ended(state, found, request)
        await wait_for(live.all_slots_free, "all slots are free after the requests")
    read_records(state, found)
    return {"faults": faults_of(found), "cables": dict(fired), **found.figures()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    lay_cables()
    told = asyncio.run(run(chosen.folder, chosen.seconds, chosen.seed))
    del told["moments"]
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
