"""`bellwire up`, `request` and `replay` as processes, over real sockets and emulated instruments.

Owns one walk through a live lab from the command line. Faults of the runtime are tested beside it.
"""

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from bellwire.cli.main import app
from tests.cli.processes import PROGRAM, bellwire


def test_a_running_lab_serves_a_request_and_ctrl_c_leaves_no_process_behind(
    lab: Path, running: subprocess.Popen[str], tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    terms = ["--from", "alice", "--to", "bob", "--count", "4", "--id", "mine", "--state", state, "--json"]
    asked = bellwire("request", str(lab), *terms)
    assert asked.returncode == 0, asked.stderr
    report = json.loads(asked.stdout)
    assert (report["request"], report["status"], report["delivered"]) == ("mine", "completed", 4)

    terms = ["--from", "bob", "--to", "alice", "--count", "2", "--mode", "oldest > score(alpha=0.5)"]
    adaptive = bellwire("request", str(lab), *terms, "--state", state)
    assert adaptive.returncode == 0, adaptive.stderr
    assert "oldest, score" in adaptive.stdout
    mistaken = bellwire("request", str(lab), *terms, "--ghz", "alice,bob,carol", "--state", state)
    assert (mistaken.returncode, mistaken.stdout) == (2, "")

    endless = ["--from", "alice", "--to", "bob", "--until-cancelled", "--id", "long", "--no-wait"]
    assert bellwire("request", str(lab), *endless, "--state", state).returncode == 0
    named = [str(lab), "long", "--from", "alice", "--state", state]
    for order, told in (("suspend", "for 600 s"), ("resume", "goes on"), ("cancel", "withdraws")):
        given = bellwire(order, *named)
        assert given.returncode == 0, given.stderr
        assert told in given.stdout
    late = bellwire("suspend", *named)
    assert (late.returncode, late.stdout) == (2, "")
    assert late.stderr == "long is completed: nothing to suspend\n"

    second = bellwire("up", str(lab), "--state", state)
    assert (second.returncode, second.stdout) == (2, "")
    assert "supervisor already runs" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    elsewhere = bellwire("up", str(lab), "--state", str(tmp_path / "other"))
    assert (elsewhere.returncode, elsewhere.stdout) == (2, "")
    assert "address already in use" in elsewhere.stderr
    assert len(elsewhere.stderr.splitlines()) == 1

    children = psutil.Process(running.pid).children(recursive=True)
    assert len(children) >= 4  # emulator, alice, bob and the station
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    summary = json.loads(output)
    run_dir = Path(summary["run"])
    assert summary["interrupted"] is True
    assert summary["replay"]["same"] is True
    (link,) = summary["links"].values()
    assert link["heralds"] >= 4
    assert summary["swaps"] == {"tried": 0, "succeeded": 0, "failed": 0, "unknown": 0}
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    replayed = bellwire("replay", str(run_dir), "--json")
    assert replayed.returncode == 0, replayed.stdout
    assert json.loads(replayed.stdout)["same"] is True
    assert json.loads(replayed.stdout)["steps"] > 50

    # The replay notices a lab that is not the one that ran.
    frozen = run_dir / "configuration.json"
    frozen.write_text(
        frozen.read_text(encoding="utf-8").replace('"fibre_km": [', '"fibre_km": [ 1'), encoding="utf-8"
    )
    changed = bellwire("replay", str(run_dir))
    assert changed.returncode == 1, changed.stderr


def test_up_once_shows_lines_to_a_pipe_and_ends_with_a_summary(lab: Path, tmp_path: Path) -> None:
    ran = bellwire("up", str(lab), "--once", "--state", str(tmp_path / "state"))
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\r" not in ran.stdout
    for said in ("3 of 3 delivered", "0 wrong of 3 checked", "all the same", "; link ready"):
        assert said in ran.stdout, ran.stdout
    assert ran.stderr.startswith("two_node_link is up, recording to ")


def test_ctrl_c_while_the_lab_starts_ends_it_in_order(lab: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = subprocess.Popen(
        [*PROGRAM, "up", str(lab), "--state", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(state.glob("runs/*/logs/alice.log")):  # the node processes are being started
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no node process was started"
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "0 of 3 delivered" in output
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_request_to_a_lab_that_is_not_up_is_one_line(tmp_path: Path) -> None:
    arguments = ["request", "two_node_link", "--from", "alice", "--to", "bob", "--count", "1"]
    result = CliRunner().invoke(app, [*arguments, "--state", str(tmp_path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "alice does not answer" in line
    assert "is the lab up?" in line


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        (["--to", "bob"], "give --count, --duration or --until-cancelled"),
        (["--to", "bbo", "--count", "1"], 'no node "bbo" in the lab (did you mean "bob"?)'),
        (["--to", "bob", "--count", "1", "--fidelity", "0.99"], "fidelity 0.99 cannot be reached"),
        (["--to", "bob", "--count", "1", "--mode", "asap"], 'unknown generation mode "asap"'),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_before_it_is_sent(terms: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["request", "two_node_link", "--from", "alice", *terms])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert problem in line


def test_replay_of_something_else_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}: not a run directory: it has no configuration\n"


def test_an_unknown_node_cannot_be_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["node", "two_node_link", "carol", "--state", str(tmp_path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert 'unknown node "carol" (known: alice, bob, midpoint)' in line
