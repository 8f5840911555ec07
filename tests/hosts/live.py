"""Emulated labs as real processes, for tests and benchmarks: lab files on free ports, starting, waiting.

Owns nothing of a lab: processes belong to the supervisor. Every wait is for a condition, with a deadline.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml

from bellwire.core.errors import ConfigError
from bellwire.core.plans import EntanglementRequest
from bellwire.labs import Lab, load_lab
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
LABS = ROOT / "lab_configs"
FINAL = frozenset({"completed", "failed", "cancelled"})
POLL_S = 0.05
PATIENCE_S = 60.0
"""A loaded machine may be slow; a test that waits this long has failed."""

Change = Callable[[dict[str, Any]], None]
"""Changes the sections of a lab file in place."""


def lab_file(folder: Path, name: str = "three_node_repeater", change: Change | None = None) -> Path:
    """A shipped lab as a file of its own, every port replaced by a free one."""
    text = (LABS / f"{name}.yaml").read_text(encoding="utf-8")
    sections = yaml.safe_load(on_free_ports(text))
    if change is not None:
        change(sections)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return path


def live_lab(folder: Path, name: str = "three_node_repeater", change: Change | None = None) -> Lab:
    """The same, read for the live host."""
    return load_lab(lab_file(folder, name, change), live=True)


def asked(lab: Lab, request_id: str, **terms: Any) -> EntanglementRequest:
    """The first request of the lab with other terms, for example count=None, duration_ns=30_000_000_000."""
    fields = {"count": None, "duration_ns": None, "deadline_ns": None, **terms}
    return msgspec.structs.replace(lab.requests[0], request_id=request_id, **fields)


async def wait_for(condition: Callable[[], Awaitable[bool]], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds. AssertionError names it when it does not in time."""
    give_up = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < give_up, f"not within {within_s} s: {what}"
        await asyncio.sleep(POLL_S)


class LiveLab:
    """A lab that is up, with the reports seen so far."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.reports: list[dict[str, Any]] = []

    async def look(self) -> None:
        """Take in the new reports."""
        self.reports += await self.supervisor.new_reports()

    def delivered(self, node: str, request: str) -> int:
        """Pairs that a node has handed over for a request."""
        return sum(
            report["name"] == "pair_delivered" and report["node"] == node and report["request"] == request
            for report in self.reports
        )

    def status(self, request: str) -> str:
        """The latest status of a request, "submitted" before the first."""
        told = [
            str(report["fields"]["status"])
            for report in self.reports
            if report["name"] == "request_status" and report["request"] == request
        ]
        return told[-1] if told else "submitted"

    def error(self, request: str) -> str | None:
        """What the latest status of a request says went wrong."""
        told = [
            report["fields"]["error_message"]
            for report in self.reports
            if report["name"] == "request_status" and report["request"] == request
        ]
        return told[-1] if told else None

    async def until(self, condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
        """Take in reports until a condition on them holds."""

        async def holds() -> bool:
            await self.look()
            return condition()

        await wait_for(holds, what, within_s)

    async def ended(self, request: str, within_s: float = PATIENCE_S) -> str:
        """Wait for the end of a request; its final status."""
        await self.until(lambda: self.status(request) in FINAL, f"request {request} ends", within_s)
        return self.status(request)

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """Status of every agent that answers."""
        found: dict[str, dict[str, Any]] = {}
        for node in self.supervisor.lab.addresses:
            try:
                found[node] = await self.supervisor.status(node)
            except ConfigError:
                continue  # it restarts at this moment
        return found

    async def is_ready(self) -> bool:
        """Every agent answers and is ready."""
        found = await self.statuses()
        return len(found) == len(self.supervisor.lab.addresses) and all(
            one["ready"] for one in found.values()
        )

    async def taken_slots(self) -> dict[str, list[str]]:
        """States of the slots that are not free, by node."""
        return {
            node: [slot["state"] for slot in one["slots"] if slot["state"] != "free"]
            for node, one in (await self.statuses()).items()
        }

    async def all_slots_free(self) -> bool:
        """Every agent answers, and no slot is in use."""
        taken = await self.taken_slots()
        return len(taken) == len(self.supervisor.lab.addresses) and not any(taken.values())


@asynccontextmanager
async def lab_up(lab: Lab, state: Path, **options: Any) -> AsyncIterator[LiveLab]:
    """A lab that is up; afterwards every process has ended, by itself and in order."""
    async with Supervisor(lab, state, **options) as supervisor:
        live = LiveLab(supervisor)
        try:
            yield live
        finally:
            await live.look()
    assert supervisor.killed == [], "processes that did not end when they were asked to"
    assert leftovers(state) == []


def leftovers(state: Path) -> list[str]:
    """Sockets and device links that a lab left in its state directory."""
    return sorted(
        str(path.relative_to(state))
        for folder in ("control", "devices")
        for path in (state / folder).glob("*")
    )


def command(
    arguments: list[str], errors: Path, *, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `bellwire ...` in a process group of its own; stderr goes to a file, stdout nowhere."""
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "bellwire", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )


def wait_until(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """`wait_for` without a loop."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"not within {within_s} s: {what}"
        time.sleep(POLL_S)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process and everything below it."""
    try:
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def still_running(processes: list[psutil.Process]) -> list[str]:
    """Those of them that live; a process id that was given to somebody else does not count."""
    found: list[str] = []
    for one in processes:
        try:
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{one.pid} {' '.join(one.cmdline())}")
        except psutil.NoSuchProcess:
            continue
    return found


def interrupt_group(process: subprocess.Popen[bytes]) -> None:
    """What Ctrl-C in a terminal does: SIGINT to the whole process group of the command."""
    os.killpg(process.pid, signal.SIGINT)
