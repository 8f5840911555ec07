"""What happens to a live lab when a process, an instrument, the supervisor or the user ends something.

The lab must be whole again within 10 s by itself, as its agents recorded it. Requests end in a definite
state, no slot stays taken, and no process, socket or device link is left behind.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from bellwire.runtime.control import ask, socket_path
from bellwire.runtime.supervisor import EMULATOR
from tests.hosts.conftest import PAIRS
from tests.hosts.interrupted import REQUEST, InterruptedRun
from tests.hosts.live import (
    FINAL,
    PATIENCE_S,
    ROOT,
    asked,
    command,
    family,
    interrupt_group,
    lab_file,
    lab_up,
    leftovers,
    live_lab,
    still_running,
    wait_for,
    wait_until,
)
from tests.hosts.recorded import RecordedRun

READY_AGAIN_NS = 10_000_000_000


def assert_ready_within(run_dir: Path, fault_ns: int) -> None:
    """The last piece of the lab came back within 10 s of the fault, and something had been lost."""
    ready_ns = RecordedRun(run_dir).ready_ns(fault_ns)
    assert ready_ns is not None, "no agent recorded that something came back, or something stayed away"
    assert ready_ns - fault_ns <= READY_AGAIN_NS, f"ready after {(ready_ns - fault_ns) / 1e9:.1f} s"


def test_a_killed_relay_comes_back_within_ten_seconds(interrupted_run: InterruptedRun) -> None:
    assert interrupted_run.restarts == {"relay": 1}
    assert_ready_within(interrupted_run.run_dir, interrupted_run.killed_ns)


def test_a_request_outlives_its_killed_relay_and_no_slot_stays_taken(interrupted_run: InterruptedRun) -> None:
    assert interrupted_run.status in FINAL
    assert not any(interrupted_run.taken_slots.values())
    run = RecordedRun(interrupted_run.run_dir)
    head, tail = run.delivered("alice", REQUEST), run.delivered("bob", REQUEST)
    assert sorted(head) == sorted(tail)
    assert {n: (pair.ends, pair.frame) for n, pair in head.items()} == {
        n: (pair.ends, pair.frame) for n, pair in tail.items()
    }
    assert any(pair.told_ns > interrupted_run.killed_ns for pair in head.values())
    if interrupted_run.status == "completed":
        assert len(head) == PAIRS


async def test_a_lab_outlives_instruments_without_power_and_a_killed_station_and_pairs_flow_again(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path)
    async with lab_up(lab, tmp_path / "state") as live:
        await live.supervisor.submit(asked(lab, "endless", count=1_000_000))
        faults: list[int] = []
        for device, fault in (("bob", "power"), ("west", "power"), ("west", "killed")):
            before = live.delivered("alice", "endless")
            await live.until(
                lambda before=before: live.delivered("alice", "endless") >= before + 5, "pairs flow"
            )
            faults.append(time.time_ns())
            if fault == "power":
                await live.supervisor.power_cycle(device, 0.3)
            else:
                gone: int = live.supervisor.pids()[device]
                live.supervisor.kill(device)
                await live.until(
                    lambda gone=gone: live.supervisor.pids().get("west", gone) != gone,
                    "the station runs again",
                )
            await wait_for(live.is_ready, f"ready after {device} ({fault})")
            before = live.delivered("bob", "endless")
            await live.until(
                lambda before=before: live.delivered("bob", "endless") >= before + 5,
                f"pairs flow after {device} ({fault})",
            )
        await live.supervisor.cancel("alice", "endless")
        assert await live.ended("endless") == "failed"
        assert live.error("endless") == "cancelled"
        await wait_for(live.all_slots_free, "all slots are free after the request")
        assert live.supervisor.restarts == {"west": 1}
    run = RecordedRun(live.supervisor.run_dir)
    for fault_ns, next_ns in zip(faults, (*faults[1:], None), strict=True):
        ready_ns = run.ready_ns(fault_ns, before_ns=next_ns)
        assert ready_ns is not None
        assert ready_ns - fault_ns <= READY_AGAIN_NS


async def test_instruments_that_restart_with_their_process_are_noticed_by_their_boot_count(
    tmp_path: Path,
) -> None:
    """A killed emulator used to come back with the same boot counts: agents believed that they still held
    pairs.
    """
    lab = live_lab(tmp_path)
    async with lab_up(lab, tmp_path / "state") as live:
        await live.supervisor.submit(asked(lab, "endless", count=1_000_000))
        await live.until(lambda: live.delivered("alice", "endless") >= 5, "pairs flow")
        live.supervisor.kill(EMULATOR)
        before = live.delivered("alice", "endless")
        await live.until(lambda: live.delivered("alice", "endless") >= before + 20, "pairs flow again")


async def test_a_lab_comes_up_without_one_instrument_says_why_and_is_whole_when_it_appears(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path)
    state = tmp_path / "state"
    switched_off: list[bytes] = []

    def without_bobs_memory(name: str, state_dir: Path, run_dir: Path) -> Sequence[str]:
        where = ["--state", str(state_dir), "--run", str(run_dir), "--with-parent"]
        if name == EMULATOR:
            return [sys.executable, "-m", "bellwire", "emulate", str(lab.path), *where]
        if not switched_off:  # the emulator is up, no agent has been started yet
            switched_off.append(say(state_dir, '{"do": "power_off", "device": "bob"}'))
        return [sys.executable, "-m", "bellwire", "node", str(lab.path), name, *where]

    async with lab_up(lab, state, command_line=without_bobs_memory, ready_s=8.0) as live:
        # On a busy machine others may need longer as well, but they come.
        assert "bob-memory absent" in live.supervisor.degraded["bob"]

        async def only_bob_is_missing() -> bool:
            ready = {node: one["ready"] for node, one in (await live.statuses()).items()}
            return len(ready) == 5 and [node for node, is_so in ready.items() if not is_so] == ["bob"]

        await wait_for(only_bob_is_missing, "all but bob are ready")

        async def the_missing_line_is_named() -> bool:
            # Between two tries the reason is that one is under way.
            reason = (await live.supervisor.status("bob"))["instruments"]["bob-memory"]["reason"]
            return str(state / "devices" / "bob-memory") in reason

        await wait_for(the_missing_line_is_named, "the reason names the line that is missing")

        appeared_ns = time.time_ns()
        await ask(state, EMULATOR, "power_on", device="bob")
        await wait_for(live.is_ready, "the lab is whole")
        await live.supervisor.submit(asked(lab, "late", count=3))
        assert await live.ended("late") == "completed"
    assert_ready_within(live.supervisor.run_dir, appeared_ns)


def say(state: Path, line: str) -> bytes:
    """One command to the emulator, at once."""
    with socket.socket(socket.AF_UNIX) as line_out:
        line_out.connect(str(socket_path(state, EMULATOR)))
        line_out.sendall(line.encode() + b"\n")
        return line_out.recv(4096)


def demo_on_free_ports(folder: Path, arguments: list[str], errors: Path) -> subprocess.Popen[bytes]:
    """`bellwire demo` with its own lab, whose ports are free ones: two demos at a time disturb each other."""
    script = (
        "import sys; from pathlib import Path; from bellwire.api import lab_files as places\n"
        "labs = Path(sys.argv.pop(1)); assert places.shipped_labs().is_dir()\n"
        "places.shipped_labs = lambda: labs\n"
        "from bellwire.cli.main import app; app()"
    )
    lab_file(folder)
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", script, str(folder), "demo", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=ROOT,
            start_new_session=True,
        )


def wait_until_up(process: subprocess.Popen[bytes], errors: Path) -> list[psutil.Process]:
    """Wait for the word of the command that the lab is up; returns its processes."""
    wait_until(
        lambda: b"is up, recording to" in errors.read_bytes() or process.poll() is not None, "the lab is up"
    )
    assert process.poll() is None, errors.read_text(encoding="utf-8")
    processes = family(process)
    assert len(processes) >= 5
    return processes


def assert_nothing_left(processes: list[psutil.Process], state: Path) -> None:
    wait_until(lambda: not still_running(processes), "all processes have ended")
    assert leftovers(state) == []


def test_ctrl_c_on_a_demo_exits_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    state, errors = tmp_path / "state", tmp_path / "errors"
    process = demo_on_free_ports(tmp_path / "labs", ["--state", str(state), "--json"], errors)
    processes = wait_until_up(process, errors)
    assert len(processes) == 7  # supervisor, emulator, three nodes, two stations
    interrupt_group(process)
    assert process.wait(PATIENCE_S) == 130
    assert still_running(processes) == []
    assert leftovers(state) == []
    assert b"Traceback" not in errors.read_bytes()


@pytest.mark.parametrize("moment", ["while it starts", "when it is up"])
def test_ctrl_c_on_a_lab_exits_with_130_and_leaves_nothing(tmp_path: Path, moment: str) -> None:
    state, errors = tmp_path / "state", tmp_path / "errors"
    path = lab_file(tmp_path, "two_node_link")
    process = command(["up", str(path), "--state", str(state), "--json"], errors)
    if moment == "when it is up":
        processes = wait_until_up(process, errors)
    else:
        wait_until(lambda: len(family(process)) >= 3 or process.poll() is not None, "the first children run")
        processes = family(process)
    interrupt_group(process)
    assert process.wait(PATIENCE_S) == 130, errors.read_text(encoding="utf-8")
    assert still_running(processes) == []
    assert leftovers(state) == []
    assert b"Traceback" not in errors.read_bytes()


def test_the_processes_of_a_killed_supervisor_end_by_themselves_and_clear_up(tmp_path: Path) -> None:
    state, errors = tmp_path / "state", tmp_path / "errors"
    path = lab_file(tmp_path, "two_node_link")
    process = command(["up", str(path), "--state", str(state), "--json"], errors)
    processes = wait_until_up(process, errors)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert_nothing_left(processes, state)
