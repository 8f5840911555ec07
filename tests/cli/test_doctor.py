"""Faults planted in the files of a lab that is down, and each found with its remedy."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from typer.testing import CliRunner

from bellwire.calibration.records import CalibrationRecord, Outcome
from bellwire.calibration.store import store_in
from bellwire.cli.doctor_lab import look_at_libraries
from bellwire.cli.main import app
from bellwire.core.events import Record
from bellwire.labs import load_lab
from bellwire.labs.snapshots import take
from bellwire.runtime.in_force import frozen_of
from bellwire.runtime.keys import Keyring
from bellwire.runtime.store import RecordStore, claim_incarnation
from bellwire.runtime.system_clock import system_clock

NODES = ("alice", "bob", "midpoint")
CLOCK_NOTES = ("the clock of this computer",)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Of a lab that was up once."""
    folder = tmp_path / "state"
    for name in NODES:
        Keyring(folder / "keys").make(name)
        claim_incarnation(folder / "agents", name)
        store = RecordStore(folder / "agents" / f"{name}.sqlite", lambda _: None, lambda fault: None)
        store.open()
        store.write(1, Record(kind="kind", key="key", body=b"x" * 5000))
        store.close()
    return folder


def doctor(lab: Path | str, state: Path, *words: str) -> tuple[int, list[dict[str, str]]]:
    """Exit code and findings; the kernel's word about this machine's clock is another matter."""
    result = CliRunner().invoke(app, ["doctor", str(lab), "--state", str(state), "--json", *words])
    assert result.stdout, result.output
    told = json.loads(result.stdout)
    found = [one for one in told["findings"] if not one["what"].startswith(CLOCK_NOTES)]
    assert told["errors"] == sum(one["severity"] == "error" for one in told["findings"])
    assert all(one["what"] and one["known_by"] and one["remedy"] for one in found)
    return result.exit_code, found


def the(found: list[dict[str, str]], words: str) -> dict[str, str]:
    (one,) = [one for one in found if words in one["what"]]
    return one


def test_a_healthy_lab_that_is_down_has_no_errors(lab: Path, state: Path) -> None:
    code, found = doctor(lab, state)
    assert code == 0
    assert [one["what"] for one in found] == ["the lab is not up"]
    assert found[0]["remedy"] == f"bellwire up {lab} --state {state}"
    code, found = doctor(lab, state.parent / "nowhere")
    assert (code, found[0]["severity"]) == (0, "note")
    assert not (state.parent / "nowhere").exists()


def test_every_error_of_the_file_is_a_finding_with_its_line(lab: Path, state: Path) -> None:
    text = lab.read_text(encoding="utf-8")
    lab.write_text(text.replace("lanes: 4", "lanes: -4").replace("seed: 1", "sead: 1"), encoding="utf-8")
    code, found = doctor(lab, state)
    assert code == 1
    assert "sead" in the(found, "lab.yaml:4")["what"]
    assert "lanes" in the(found, "must be")["what"]
    assert the(found, "sead")["remedy"].endswith(f"bellwire check {lab}")


def open_key(state: Path) -> None:
    (state / "keys" / "alice.key").chmod(0o644)


def no_key(state: Path) -> None:
    (state / "keys" / "public" / "bob.key").unlink()


def revoked_key(state: Path) -> None:
    Keyring(state / "keys").revoke("bob")


def waiting_key(state: Path) -> None:
    Keyring(state / "keys").refused(zmq.curve_keypair()[0])


def broken_key(state: Path) -> None:
    (state / "keys" / "public" / "bob.key").write_text("short")


def broken_store(state: Path) -> None:
    path = state / "agents" / "bob.sqlite"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def no_store_at_all(state: Path) -> None:
    (state / "agents" / "bob.sqlite").write_bytes(b"this is no database" * 300)


def lost_counter(state: Path) -> None:
    (state / "agents" / "bob.incarnation").write_text("many")


def file_for_folder(state: Path) -> None:
    (state / "runs").write_text("")


def damaged_snapshot(state: Path) -> None:
    lab = load_lab(Path(__file__).parents[2] / "lab_configs" / "two_node_link.yaml")
    take(state, frozen_of(lab.name, lab.path, lab.digest, lab.document), note="first")
    path = state / "configurations" / "0001.json"
    path.write_bytes(path.read_bytes().replace(b"first", b"f1rst"))


def dead_socket(state: Path) -> None:
    (state / "control").mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind(str(state / "control" / "bob.sock"))


@pytest.mark.parametrize(
    ("plant", "severity", "what", "remedy"),
    [
        (open_key, "error", "secret key of alice is open to others (mode 644)", "chmod 600"),
        (no_key, "error", "no key of bob", "bellwire keys new"),
        (revoked_key, "error", "key of bob was revoked", "--replace"),
        (waiting_key, "warning", "asked to come in and was refused", "bellwire keys trust"),
        (broken_key, "error", "a key cannot be read", "bellwire keys new"),
        (broken_store, "error", "bob.sqlite", "bellwire restore"),
        (no_store_at_all, "error", "bob.sqlite", "bellwire restore"),
        (lost_counter, "error", "bob.incarnation", "bellwire restore"),
        (file_for_folder, "error", "runs is no folder", "mv "),
        (damaged_snapshot, "warning", "damaged: its hash", "bellwire config snapshot"),
        (dead_socket, "note", "bob.sock was left by a process that was killed", "rm "),
    ],
)
def test_each_fault_of_the_state_is_found_with_its_remedy(
    lab: Path, state: Path, plant: Callable[[Path], None], severity: str, what: str, remedy: str
) -> None:
    plant(state)
    code, found = doctor(lab, state)
    one = the(found, what)
    assert (one["severity"], code) == (severity, int(severity == "error"))
    assert remedy in one["remedy"]
    assert len(found) == 2, "the fault, and that the lab is not up"


def test_files_of_several_users_are_found(lab: Path, state: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(state / "agents" / "bob.sqlite", 12345, -1)
    code, found = doctor(lab, state)
    assert code == 1
    assert "chown -R" in the(found, "belong to users 0, 12345")["remedy"]


def test_little_space_and_much_record_are_warnings(lab: Path, state: Path) -> None:
    run = state / "runs" / "20260101-000000-two_node_link-1"
    run.mkdir(parents=True)
    (run / "facts.bin").write_bytes(b"\0" * 4096)
    code, found = doctor(lab, state, "--disk-free-gib", "1e9", "--runs-gib", "1e-6")
    assert code == 0
    assert the(found, "GiB are free")["severity"] == "warning"
    assert the(found, "recorded runs take")["remedy"].startswith(f"rm -r {run}")


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        yield


def test_a_lock_whose_holder_answers_nobody_is_found(lab: Path, state: Path) -> None:
    with lock_held(state / "agents" / "bob.lock"):
        code, found = doctor(lab, state)
    assert code == 1
    assert "kill 4711" in the(found, "process 4711 holds the lock of bob")["remedy"]
    assert doctor(lab, state)[0] == 0, "a lock that nobody holds is none"


def test_a_port_of_another_process_is_found(lab: Path, state: Path) -> None:
    address = load_lab(lab).addresses["bob"]
    with closing(socket.socket()) as one:
        port = int(address.rpartition(":")[2])
        one.bind(("127.0.0.1", port))
        one.listen()
        code, found = doctor(lab, state)
    assert code == 1
    assert f"sport = :{port}" in the(found, "is taken by another process")["remedy"]


def record(procedure: str, ended_ns: int, outcome: Outcome = Outcome.PASSED) -> CalibrationRecord:
    return CalibrationRecord(
        record_id=f"{procedure}-{ended_ns}",
        link="alice-bob",
        procedure=procedure,
        outcome=outcome,
        reason="",
        started_ns=ended_ns - 1,
        ended_ns=ended_ns,
        valid_for_s=3600.0,
    )


def test_calibrations_that_are_required_or_have_run_out_are_found(lab: Path, state: Path) -> None:
    store_in(state).put(record("herald_rate", 10**18))
    code, found = doctor(lab, state)
    assert code == 0
    one = the(found, "herald_rate of alice-bob is out of date since")
    assert one["remedy"] == f"bellwire calibrate {lab} alice-bob --state {state}"
    (state / "calibrations" / "calibrations.sqlite").write_bytes(b"no database" * 500)
    code, found = doctor(lab, state)
    assert code == 1
    assert "restore" in the(found, "calibrations cannot be read")["remedy"]


def test_missing_and_old_libraries_are_found() -> None:
    needed = ["msgspec>=999", "no-such-library>=1", "pyzmq>=1", "dask>=9999; extra == 'study'"]
    found = list(look_at_libraries(needed))
    assert [(one.severity, one.what.split()[0]) for one in found] == [
        ("warning", "msgspec"),
        ("error", "no-such-library"),
    ]
    assert found[1].remedy == "pip install 'no-such-library>=1'"


def test_the_kernel_says_how_the_clock_stands() -> None:
    clock = system_clock()
    assert clock is None or clock.error_max_ns >= 0


def test_people_read_what_how_and_what_to_do(lab: Path, state: Path) -> None:
    open_key(state)
    result = CliRunner().invoke(app, ["doctor", str(lab), "--state", str(state)])
    assert result.exit_code == 1
    first: Any = result.stdout.splitlines()[:3]
    assert first[0].startswith("ERROR    the secret key of alice")
    assert first[1].strip() == "known by: its mode"
    assert first[2].strip().startswith("do:       chmod 600")
