"""The command line: what it prints, where, and with which exit code.

Owns the tests of check, simulate, schema, drivers and keys, and of how commands fail. Commands run in this
process unless the test is about the process itself.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from bellwire.api import lab_files
from bellwire.cli import live, places
from bellwire.cli.main import app
from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers import cards
from bellwire.labs.crosscheck import DRIVERS_BY_ROLE
from bellwire.runtime.keys import Keyring, fingerprint

LABS = Path(__file__).parents[2] / "lab_configs"
PROGRAM = [sys.executable, "-c", "from bellwire.cli.main import app; app()"]


def bellwire(*arguments: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def changed(folder: Path, lab: str, was: str, becomes: str) -> Path:
    """A copy of a shipped lab with one change."""
    text = (LABS / f"{lab}.yaml").read_text(encoding="utf-8")
    assert was in text
    path = folder / "changed.yaml"
    path.write_text(text.replace(was, becomes, 1), encoding="utf-8")
    return path


# --- help -------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_without_loading_anything_heavy() -> None:
    heavy = "numpy networkx pydantic yaml zmq rich pulp pyvisa serial msgspec asyncio sqlite3"
    script = (
        "import sys\n"
        "from bellwire.cli.main import app\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        f"loaded = [name for name in {heavy.split()!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for command in ("check", "simulate", "schema", "drivers", "keys"):
        assert f"  {command} " in ran.stdout


def test_the_version_is_one_line() -> None:
    from bellwire import __version__

    assert bellwire("--version").stdout == f"{__version__}\n"


# --- check ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(LABS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_lab_is_good(path: Path) -> None:
    result = bellwire("check", str(path), "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["ok"] is True
    assert summary["lab"] == path.stem
    assert all(link["rate_hz"] > 0 for link in summary["links"].values())
    assert all(0.25 < request["fidelity"] <= 1 for request in summary["requests"].values())


def test_check_says_what_requests_get_beside_each_other() -> None:
    result = bellwire("check", "shared_hub")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "ann-cat beside the requests before it: reserves lanes 3 of ann-hub, 3 of hub-cat" in lines
    (beside,) = [one for one in lines if one.startswith("ben-cat beside the requests before it: ")]
    assert beside.startswith("ben-cat beside the requests before it: reserves lanes ")
    assert beside.endswith(", over ((ben rim) (rim cat))")
    found = json.loads(bellwire("check", "shared_hub", "--json").stdout)
    assert found["requests"]["ann-cat"]["together"]["lanes"] == {"ann-hub": 3, "hub-cat": 3}


def test_a_shipped_lab_is_found_by_its_name() -> None:
    result = bellwire("check", "two_node_link")
    assert result.exit_code == 0
    assert result.stdout.startswith("two_node_link: good.")
    assert result.stderr == ""


BAD = [
    (
        "unknown key",
        "lanes: 8",
        "lane: 8",
        '(links.alice-relay.lane): unknown key "lane" (did you mean "lanes"?)',
    ),
    ("unknown node", "[alice, relay]", "[alcie, relay]", 'unknown node "alcie" (did you mean "alice"?)'),
    (
        "unknown driver",
        "driver: herald_fpga",
        "driver: herald_fgpa",
        'unknown driver "herald_fgpa" (did you mean "herald_fpga"?)',
    ),
    (
        "wrong unit",
        "fibre_km: [10, 10]",
        "fibre_m: [10, 10]",
        'unknown key "fibre_m" (did you mean "fibre_km"?)',
    ),
    ("out of range", "count: 100", "count: -1", "(requests[0].count): must be at least 1, is -1"),
    ("duplicate port", ":27102", ":27101", "127.0.0.1 port 27101 is already taken by nodes.alice"),
    (
        "unreachable fidelity",
        "fidelity_min: 0.8",
        "fidelity_min: 0.99",
        "fidelity 0.99 cannot be reached: at most 0.88",
    ),
    (
        "unconnected nodes",
        "  relay-bob: {nodes: [relay, bob], station: east",
        "  relay-carol: {nodes: [relay, carol], station: east",
        'request "demo": no route between alice and bob',
    ),
    ("unknown mode", "count: 100", "count: 100, mode: asap", 'unknown generation mode "asap"'),
]


@pytest.mark.parametrize(
    ("was", "becomes", "problem"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_bad_lab_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, was: str, becomes: str, problem: str
) -> None:
    path = changed(tmp_path, "three_node_repeater", was, becomes)
    if "carol" in becomes:
        path.write_text(
            path.read_text().replace("\nstations:", "  carol: {role: end}\n\nstations:"), encoding="utf-8"
        )
    result = bellwire("check", str(path))
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("changed.yaml:")
    assert problem in line


def test_check_prints_every_problem_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = changed(tmp_path, "two_node_link", "lanes: 4", "lanes: 0")
    path.write_text(path.read_text().replace("count: 50", "count: 0"), encoding="utf-8")
    result = bellwire("check", str(path))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    as_json = bellwire("check", str(path), "--json")
    assert as_json.exit_code == 2
    assert json.loads(as_json.stdout) == {"ok": False, "problems": result.stderr.splitlines()}


def test_other_commands_tell_the_first_problem_on_one_line(tmp_path: Path) -> None:
    path = changed(tmp_path, "two_node_link", "lanes: 4", "lanes: 0")
    path.write_text(path.read_text().replace("count: 50", "count: 0"), encoding="utf-8")
    result = bellwire("simulate", str(path))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "links.alice-bob.lanes" in line
    assert "[and 1 more" in line


def test_a_lab_inside_the_package_goes_before_the_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bellwire"
    (package / "api").mkdir(parents=True)
    beside = tmp_path / "lab_configs"
    beside.mkdir()
    (beside / "mine.yaml").write_text("", encoding="utf-8")
    monkeypatch.setattr(lab_files, "__file__", str(package / "api" / "lab_files.py"))
    assert places.find_lab("mine") == beside / "mine.yaml"
    inside = package / "lab_configs"
    inside.mkdir()
    (inside / "mine.yaml").write_text("", encoding="utf-8")
    assert places.find_lab("mine") == inside / "mine.yaml"
    assert places.find_lab(str(beside / "mine.yaml")) == beside / "mine.yaml"


def test_a_lab_that_does_not_exist_gets_a_hint() -> None:
    result = bellwire("check", "two_node_lin")
    assert result.exit_code == 2
    assert (
        result.stderr
        == 'there is no lab file or shipped lab "two_node_lin" (did you mean "two_node_link"?)\n'
    )
    assert bellwire("check", "no/such.yaml").stderr == "no/such.yaml: there is no such lab file\n"


# --- schema, drivers, keys --------------------------------------------------------------------------------


def test_the_schema_is_json_and_can_be_written_to_a_file(tmp_path: Path) -> None:
    printed = json.loads(bellwire("schema").stdout)
    assert printed["title"] == "bellwire lab file"
    path = tmp_path / "lab.schema.json"
    assert bellwire("schema", "--output", str(path)).stdout == ""
    assert json.loads(path.read_text(encoding="utf-8")) == printed


def test_every_driver_is_listed_with_the_roles_that_lab_files_give_it() -> None:
    rows = {row["driver"]: row for row in json.loads(bellwire("drivers", "--json").stdout)}
    assert set(rows) == set(cards())
    for role, drivers in DRIVERS_BY_ROLE.items():
        assert all(role in rows[driver]["roles"] for driver in drivers)
    assert rows["herald_fpga"]["roles"][0] == "herald"
    # A maker's library has no bytes of its own to emulate: such a driver drives a stand-in for it.
    assert all(row["seen_on"] or row["emulated"] or row["extra"] for row in rows.values())
    text = bellwire("drivers").stdout
    assert all(name in text for name in cards())


def test_one_driver_is_shown_with_what_nobody_has_verified() -> None:
    text = " ".join(bellwire("drivers", "srs_dg645").stdout.split())
    assert "emulated" in text
    assert cards()["srs_dg645"].unverified
    assert all(" ".join(point.split()) in text for point in cards()["srs_dg645"].unverified)
    assert "srs_dg645" in bellwire("drivers", "srs_dg654").output


def test_keys_are_made_once_listed_and_revoked(tmp_path: Path) -> None:
    def keys(*words: str) -> Result:
        return bellwire("keys", *words, "--state", str(tmp_path), "--json")

    nobody = json.loads(keys("show", "two_node_link").stdout)
    assert {row["state"] for row in nobody["nodes"]} == {"missing"}
    first = json.loads(keys("new", "two_node_link").stdout)["nodes"]
    assert [row["node"] for row in first] == ["alice", "bob", "midpoint"]
    assert {row["state"] for row in first} == {"trusted"}
    secret = (tmp_path / "keys" / "alice.key").read_text(encoding="ascii").strip()
    again = keys("revoke", "two_node_link", "alice")
    second = json.loads(again.stdout)["nodes"]
    assert [row["public_key"] for row in second] == [row["public_key"] for row in first]
    assert [row["state"] for row in second] == ["revoked", "trusted", "trusted"]
    assert secret not in again.output
    unknown = keys("revoke", "two_node_link", "alcie")
    assert unknown.exit_code == 2
    assert unknown.stderr == 'two_node_link: unknown node "alcie" (did you mean "alice"?)\n'
    third = json.loads(keys("new", "two_node_link", "alice", "--replace").stdout)["nodes"]
    assert [row["state"] for row in third] == ["trusted"] * 3
    assert third[0]["public_key"] != first[0]["public_key"]


def test_a_key_that_was_refused_comes_in_once_somebody_says_whose_it_is(tmp_path: Path) -> None:
    ring, elsewhere = Keyring(tmp_path / "keys"), Keyring(tmp_path / "elsewhere")
    ring.make("alice")
    elsewhere.make("bob")
    key = elsewhere.public_of("bob")
    assert key is not None
    ring.refused(key)
    state = ("--state", str(tmp_path))
    shown = json.loads(bellwire("keys", "show", "two_node_link", *state, "--json").stdout)
    assert shown["waiting"] == [{"fingerprint": fingerprint(key), "public_key": key.decode("ascii")}]
    assert "whose are they" in bellwire("keys", "show", "two_node_link", *state).stdout
    right = fingerprint(key)
    wrong = ("1" if right.startswith("0") else "0") + right[1:]
    mistyped = bellwire("keys", "trust", "two_node_link", "bob", wrong, *state)
    assert mistyped.exit_code == 2
    assert fingerprint(key) in mistyped.stderr
    told = bellwire("keys", "trust", "two_node_link", "bob", fingerprint(key), *state, "--json")
    assert json.loads(told.stdout)["waiting"] == []
    ring.reload()
    assert ring.node_of(key.decode("ascii")) == "bob"
    taken = bellwire("keys", "trust", "two_node_link", "alice", key.decode("ascii"), *state)
    assert taken.exit_code == 2
    assert "this is the key of bob" in taken.stderr


def test_a_public_key_that_begins_with_a_dash_is_a_key_and_no_option(tmp_path: Path) -> None:
    key = "-D" + "0" * 38
    state = ("--state", str(tmp_path))
    told = bellwire("keys", "trust", "two_node_link", "bob", key, *state, "--json")
    assert told.exit_code == 0, told.output
    assert {row["node"]: row["public_key"] for row in json.loads(told.stdout)["nodes"]}["bob"] == key


def test_every_demo_asks_under_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second demo in the same folder once delivered nothing: its request had been served already.
    asked: list[str] = []
    monkeypatch.setattr(live, "_run", lambda lab, *_, **__: asked.append(lab.requests[0].request_id))
    assert bellwire("demo").exit_code == bellwire("demo").exit_code == 0
    first, second = asked
    assert first != second
    assert first.startswith("demo-")


def test_a_command_leaves_logging_as_it_found_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It once left every later logger of the process on the stderr of a command that was over.
    async def run_agent(*_: object, **__: object) -> int:
        structlog.get_logger().warning("an agent speaks")
        return 0

    monkeypatch.setattr("bellwire.runtime.node_process.run_agent", run_agent)
    before = structlog.get_config()
    result = bellwire("node", "two_node_link", "alice", "--state", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "an agent speaks" in result.stderr
    assert structlog.get_config() == before
    structlog.get_logger().warning("a test speaks")  # on stdout, which pytest has captured


# --- simulate ---------------------------------------------------------------------------------------------


def test_a_simulation_reports_its_requests_as_one_json_document() -> None:
    result = bellwire("simulate", "two_node_link", "--duration", "3", "--seed", "2", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["seed"] == 2
    assert report["requests"]["demo"]["delivered"] > 10
    assert report["requests"]["demo"]["frame_errors"] == 0
    again = json.loads(
        bellwire("simulate", "two_node_link", "--duration", "3", "--seed", "2", "--json").stdout
    )
    assert again["digest"] == report["digest"]


def test_a_simulation_shows_tables_to_people() -> None:
    result = bellwire("simulate", "two_node_link", "--duration", "1")
    assert result.exit_code == 0, result.output
    assert "two_node_link: 1 s of network time" in result.stdout
    assert "demo" in result.stdout
    assert "alice-bob" in result.stdout


def test_a_trace_has_every_step_as_a_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    result = bellwire("simulate", "two_node_link", "--duration", "0.2", "--json", "--trace", str(path))
    assert result.exit_code == 0, result.output
    steps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(steps) >= 3
    assert {step["node"] for step in steps} == {"alice", "bob", "midpoint"}
    assert [step["now_ns"] for step in steps] == sorted(step["now_ns"] for step in steps)
    assert steps[0]["event"]["t"] == "Started"


def test_a_failed_request_is_bad_news_with_exit_code_1(tmp_path: Path) -> None:
    # A request that cannot be planned at all is a request that fails.
    path = changed(tmp_path, "two_node_link", "fidelity_min: 0.8", "fidelity_min: 0.99")
    result = bellwire("simulate", str(path), "--duration", "2", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["requests"]["demo"]["status"] == "failed"
    (line,) = result.stderr.splitlines()
    assert "request demo failed" in line
    assert "fidelity 0.99 cannot be reached" in line


def test_a_request_without_a_plan_at_the_end_is_bad_news_too(tmp_path: Path) -> None:
    text = (LABS / "shared_hub.yaml").read_text(encoding="utf-8")
    path = tmp_path / "full.yaml"
    path.write_text(text.replace("rate_min_hz: 240", "rate_min_hz: 400"), encoding="utf-8")
    result = bellwire("simulate", str(path), "--duration", "1", "--json")
    assert result.exit_code == 1
    statuses = {name: one["status"] for name, one in json.loads(result.stdout)["requests"].items()}
    assert sorted(statuses.values()) == ["in_progress", "planning"]
    (line,) = result.stderr.splitlines()
    assert " has no plan at the end: " in line
    assert "of 4 lanes left" in line


# --- endings ----------------------------------------------------------------------------------------------


def test_a_device_fault_is_one_line_and_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object, **__: object) -> None:
        raise DeviceFault("west timing", "refused:\nserial number 12 instead of 7")

    monkeypatch.setattr("bellwire.simulator_backend.simulation.simulate", fault)
    result = bellwire("simulate", "two_node_link")
    assert (result.exit_code, result.stderr) == (2, "west timing: refused: serial number 12 instead of 7\n")

    def bug(*_: object, **__: object) -> None:
        raise LocalMisuse("a slot in two pairs")

    monkeypatch.setattr("bellwire.simulator_backend.simulation.simulate", bug)
    assert isinstance(bellwire("simulate", "two_node_link").exception, LocalMisuse)


def test_ctrl_c_ends_a_running_command_with_130_and_no_traceback(tmp_path: Path) -> None:
    trace = tmp_path / "steps.jsonl"
    arguments = ["simulate", "w1_chain_5", "--duration", "100000", "--trace", str(trace)]
    running = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (trace.exists() and trace.stat().st_size > 0):
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline, "the simulation wrote no step"
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert errors == "interrupted\n"
    assert output == ""
