"""A whole emulated lab as real processes: pairs, a killed agent, replay, and that nothing is left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.labs import load_lab
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.control import ask
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.replay import replay_run
from bellwire.runtime.runs import list_runs
from bellwire.runtime.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
DEADLINE_S = 90.0


def lab_on_free_ports(tmp_path: Path) -> Path:
    """The shipped two-node lab on ports of its own, with more pairs asked for."""
    text = (ROOT / "lab_configs" / "two_node_link.yaml").read_text()
    text = on_free_ports(text).replace("count: 50", "count: 2000")
    path = tmp_path / "lab.yaml"
    path.write_text(text)
    return path


async def gather(
    supervisor: Supervisor, enough: Callable[[list[dict[str, object]]], bool], what: str
) -> list[dict[str, object]]:
    """Collect reports until there are enough."""
    found: list[dict[str, object]] = []
    give_up = time.monotonic() + DEADLINE_S
    while not enough(found):
        assert time.monotonic() < give_up, f"not within {DEADLINE_S} s: {what}; {len(found)} reports"
        found += await supervisor.new_reports()
        await asyncio.sleep(0.05)
    return found


def delivered(reports: list[dict[str, object]], node: str) -> int:
    return sum(report["name"] == "pair_delivered" and report["node"] == node for report in reports)


async def test_a_lab_delivers_survives_a_killed_agent_replays_and_leaves_no_process(tmp_path: Path) -> None:
    lab = load_lab(lab_on_free_ports(tmp_path), live=True)
    supervisor = Supervisor(lab, tmp_path / "state")
    pids: set[int] = set()
    try:
        await supervisor.start()
        assert set(supervisor.pids()) == {"emulator", "alice", "bob", "midpoint"}
        pids.update(supervisor.pids().values())
        await supervisor.submit(lab.requests[0])
        await gather(
            supervisor,
            lambda found: min(delivered(found, "alice"), delivered(found, "bob")) >= 10,
            "10 pairs",
        )
        status = await supervisor.status("alice")
        assert status["ready"]
        assert len(status["slots"]) == 4
        before = supervisor.pids()["bob"]
        supervisor.kill("bob")
        await gather(
            supervisor, lambda found: delivered(found, "bob") >= 10, "10 pairs at bob after its restart"
        )
        assert supervisor.pids()["bob"] != before
        assert supervisor.restarts == {"bob": 1}
        assert (await supervisor.status("bob"))["incarnation"] == 2
        pids.update(supervisor.pids().values())
    finally:
        summary = await supervisor.stop()
    assert summary["killed"] == []
    assert not any(psutil.pid_exists(pid) for pid in pids)
    report = replay_run(supervisor.run_dir, lab.network, machine_factory(lab))
    assert report["same"], report
    machines = {(one["node"], one["incarnation"]) for one in report["machines"]}
    assert machines == {("alice", 1), ("bob", 1), ("bob", 2), ("midpoint", 1)}
    assert {(one["node"], one["incarnation"]) for one in report["ledgers"]} == {("alice", 1), ("bob", 2)}
    assert report["steps"] >= 300
    assert [run["run"] for run in list_runs(tmp_path / "state" / "runs")] == [supervisor.run_dir.name]
    assert b'"operation":"release"' in (supervisor.run_dir / "truth.jsonl").read_bytes()


def test_a_killed_supervisor_takes_its_processes_with_it(tmp_path: Path) -> None:
    path = lab_on_free_ports(tmp_path)
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from bellwire.labs import load_lab\n"
        "from bellwire.runtime.supervisor import run_lab\n"
        "ready = lambda supervisor: print(*supervisor.pids().values(), flush=True)\n"
        "asyncio.run(run_lab(load_lab(Path(sys.argv[1]), live=True), Path(sys.argv[2]), on_ready=ready))\n"
    )
    for number, left in ((signal.SIGKILL, None), (signal.SIGINT, 0)):
        starter = subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(tmp_path / "state")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        with starter:
            assert starter.stdout is not None
            pids = [int(word) for word in starter.stdout.readline().split()]
            assert len(pids) == 4
            os.kill(starter.pid, number)
            code = starter.wait(timeout=30)
        assert left is None or code == left
        give_up = time.monotonic() + 30
        while alive := [pid for pid in pids if psutil.pid_exists(pid)]:
            assert time.monotonic() < give_up, f"processes {alive} outlive the supervisor"
            time.sleep(0.02)


async def test_a_wrong_instrument_stops_the_start_with_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    path = lab_on_free_ports(tmp_path)
    swapped = tmp_path / "swapped.yaml"  # what stands on the bench: another controller at bob's place
    swapped.write_text(path.read_text().replace("serial_number: 1002", "serial_number: 1009"))

    def command_line(name: str, state_dir: Path, run_dir: Path) -> list[str]:
        kind = ["emulate", str(swapped)] if name == "emulator" else ["node", str(path), name]
        where = ["--state", str(state_dir), "--run", str(run_dir), "--with-parent"]
        return [sys.executable, "-m", "bellwire", *kind, *where]

    supervisor = Supervisor(load_lab(path, live=True), tmp_path / "state", command_line=command_line)
    pids: dict[str, int] = {}
    try:
        with pytest.raises(
            DeviceFault, match="bob-memory: wrong serial number: expected '1002', found '1009'"
        ):
            await supervisor.start()
        pids.update(supervisor.pids())
    finally:
        await supervisor.stop()
    assert len(pids) == 4
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


async def test_a_port_in_use_is_one_clear_line_of_the_supervisor(tmp_path: Path) -> None:
    path = lab_on_free_ports(tmp_path)
    lab = load_lab(path, live=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(lab.addresses["bob"].rpartition(":")[2])))
        taken.listen()
        supervisor = Supervisor(lab, tmp_path / "state")
        try:
            with pytest.raises(
                ConfigError, match=r"bob: bob cannot listen on tcp://127\.0\.0\.1:\d+: .*in use"
            ):
                await supervisor.start()
        finally:
            await supervisor.stop()


async def test_an_instrument_that_loses_power_comes_back_and_pairs_flow_again(tmp_path: Path) -> None:
    lab = load_lab(lab_on_free_ports(tmp_path), live=True)
    async with Supervisor(lab, tmp_path / "state") as supervisor:
        await supervisor.submit(lab.requests[0])
        await gather(supervisor, lambda found: delivered(found, "alice") >= 5, "5 pairs")
        await supervisor.power_cycle("alice", 0.2)
        await gather(
            supervisor, lambda found: delivered(found, "alice") >= 5, "5 pairs after the power cycle"
        )
        health = (await supervisor.status("alice"))["health"]
        assert health.get("memory_lost", 0) + health.get("memory_reset", 0) >= 1


async def test_asking_a_lab_that_is_not_up_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"alice does not answer .* is the lab up"):
        await ask(tmp_path, "alice", "status")
