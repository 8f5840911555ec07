"""`bellwire links` and `bellwire create`: the map of links, CREATEs, their answers in words, wrong input.

One walk goes through a live lab; everything else runs in this process.
"""

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from bellwire.cli.create_words import CreatePicture
from bellwire.cli.link_tables import memory_in_words
from bellwire.cli.links import as_measured
from bellwire.cli.main import app
from bellwire.core.errors import ConfigError
from bellwire.core.ids import End
from bellwire.core.link_messages import LinkFigures
from bellwire.core.link_words import (
    LinkAck,
    LinkAnswer,
    LinkCreate,
    LinkDone,
    LinkErr,
    LinkErrorCode,
    LinkOkKeep,
    LinkOkMeasure,
)
from bellwire.labs import load_lab
from bellwire.link_layer.advertising import modelled_figures
from bellwire.planner.plans import predict
from bellwire.runtime import control
from tests.cli.processes import PROGRAM, bellwire

LABS = Path(__file__).parents[2] / "lab_configs"
SECOND = 1_000_000_000


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


# --- the map ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(LABS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_lab_has_a_map_of_its_links(path: Path) -> None:
    result = run("links", str(path), "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    document = json.loads(line)
    network = load_lab(path).network
    assert (document["lab"], document["live"]) == (path.stem, False)
    assert list(document["links"]) == list(network.links)
    for name, one in document["links"].items():
        assert len(one["points"]) == max(1, len(network.links[name].points))
        assert one["measured"] is None


def test_the_map_promises_what_a_plan_over_one_link_promises() -> None:
    lab = load_lab(LABS / "two_node_link.yaml")
    expected = predict(lab.network, lab.requests[0])
    assert not isinstance(expected, str)
    (point,) = json.loads(run("links", "two_node_link", "--json").stdout)["links"]["alice-bob"]["points"]
    assert point["rate_hz"] == pytest.approx(expected.rate_hz)
    assert point["fidelity"] == pytest.approx(expected.fidelity)


def test_operating_points_stand_in_rows_of_their_own_with_what_they_mean_to_the_hardware(
    tmp_path: Path,
) -> None:
    text = (LABS / "two_node_link.yaml").read_text(encoding="utf-8")
    dim, bright = "{name: dim, alpha: [0.02, 0.02]}", "{name: bright, alpha: [0.2, 0.2]}"
    light = f"architecture: single_click, operating_points: [{dim}, {bright}], fibre_km: [5, 5]"
    path = tmp_path / "lab.yaml"
    path.write_text(text.replace("fibre_km: [5, 5]", light), encoding="utf-8")
    result = run("links", str(path), "--json")
    assert result.exit_code == 0, result.output
    link = json.loads(result.stdout)["links"]["alice-bob"]
    first, second = link["points"]
    assert link["architecture"] == "single_click"
    assert [first["name"], second["name"]] == ["dim", "bright"]
    assert first["settings"] == {"alpha_first": 0.02, "alpha_second": 0.02}
    # Success grows like 2 alpha eta, infidelity like alpha (algorithms.md 11.1).
    assert second["rate_hz"] / first["rate_hz"] == pytest.approx(10, rel=0.1)
    assert first["fidelity"] - second["fidelity"] == pytest.approx(0.18, abs=0.03)
    shown = run("links", str(path)).stdout
    assert "alpha_first 0.02, alpha_second 0.02" in shown
    assert [line.split()[:2] for line in shown.splitlines()[-2:]] == [
        ["alice-bob", "dim"],
        ["alice-bob", "bright"],
    ]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"shared_at": [], "turn_ms": None, "turns": 1}, "own"),
        ({"shared_at": ["hub"], "turn_ms": 200.0, "turns": 3}, "shared at hub, 3 turns of 200 ms"),
        ({"shared_at": ["hub", "rim"], "turn_ms": None, "turns": 1}, "shared at hub and rim"),
    ],
)
def test_the_map_says_whose_memories_a_link_uses(terms: dict[str, Any], words: str) -> None:
    assert memory_in_words(terms) == words


def test_measured_figures_have_ages_and_only_the_drifts_of_their_own_link() -> None:
    figures = LinkFigures(
        point=0,
        name="only",
        success_probability=0.01,
        success_error=0.001,
        fidelity=0.93,
        fidelity_low=0.91,
        fidelity_high=0.95,
        measured=100,
        tested=60,
        at_ns=3 * SECOND,
    )
    never = msgspec.structs.replace(figures, point=1, measured=0, tested=0, at_ns=0)
    standing = {
        "point": 0,
        "duty": 0.5,
        "wanted_by": ["r"],
        "figures": msgspec.to_builtins([figures, never]),
        "counters": {"heralds": 7},
    }
    fields = {"link": "ab", "point": 0, "direction": "down", "fidelity_before": 0.95}
    drifts = [{"at_ns": 4 * SECOND, "fields": fields | {"link": link}} for link in ("ab", "bc")]
    measured = as_measured("ab", {"now_ns": 5 * SECOND, "links": {"ab": standing}}, drifts)
    assert [one["age_s"] for one in measured["figures"]] == [2.0, None]
    assert measured["figures"][0]["fidelity_low"] == 0.91
    (drift,) = measured["drifts"]
    assert drift == {"point": 0, "direction": "down", "fidelity_before": 0.95, "age_s": 1.0}


def test_a_silent_node_costs_its_links_their_measured_figures_and_the_command_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = load_lab(LABS / "three_node_repeater.yaml").network
    figures = msgspec.to_builtins(modelled_figures(network.links["alice-relay"]))
    drift = {
        "link": "alice-relay",
        "point": 0,
        "direction": "down",
        "fidelity_before": 0.95,
        "fidelity_after": 0.91,
        "fidelity_low": 0.9,
        "fidelity_high": 0.92,
        "tests": 400,
    }
    standing = {
        "point": 0,
        "duty": 1.0,
        "wanted_by": ["demo"],
        "figures": figures,
        "counters": {"heralds": 7, "windows": 2},
    }

    async def ask_one(_state: Path, node: str, do: str, **_fields: Any) -> Any:
        if node != "alice":
            raise ConfigError(f"{node} does not answer")
        if do == "links":
            return {"now_ns": 5 * SECOND, "links": {"alice-relay": standing}}
        return [{"at_ns": 2 * SECOND, "fields": drift}]

    monkeypatch.setattr(control, "ask", ask_one)
    result = run("links", "three_node_repeater", "--live", "--state", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == "relay does not answer: of its links nothing measured is known\n"
    for said in (
        "(modelled)",
        "relay-bob     does not answer",
        "windows 2",
        "alice-relay drifted at operating point only, 3 s ago: fidelity 0.950, then 0.910 "
        "(0.900 to 0.920, 400 tests)",
    ):
        assert said in result.stdout, result.stdout


def test_a_lab_that_is_not_up_has_no_measured_figures(tmp_path: Path) -> None:
    result = run("links", "two_node_link", "--live", "--state", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "alice does not answer" in line


# --- wrong input ------------------------------------------------------------------------------------------

WRONG = [
    ("unknown node", ["alice", "bbo", "--count", "1"], 'unknown node "bbo" (did you mean "bob"?)'),
    ("itself", ["alice", "alice", "--count", "1"], 'FROM and TO are both "alice"'),
    ("a station", ["alice", "midpoint", "--count", "1"], "no link joins alice and midpoint"),
    ("no number", ["alice", "bob"], "either --count"),
    ("two numbers", ["alice", "bob", "--count", "1", "--rate", "2"], "either --count"),
    ("zero pairs", ["alice", "bob", "--count", "0"], "0 pairs: ask for 1 to 65535"),
    ("too many pairs", ["alice", "bob", "--count", "65536"], "65536 pairs: ask for 1 to 65535"),
    ("a rate of nothing", ["alice", "bob", "--rate", "0"], "rate 0.0 Hz"),
    ("impossible fidelity", ["alice", "bob", "--count", "1", "--fidelity-min", "1.2"], "fidelity 1.2"),
    ("no time", ["alice", "bob", "--count", "1", "--within-s", "0"], "--within-s 0"),
    ("endless time", ["alice", "bob", "--count", "1", "--within-s", "inf"], "--within-s inf"),
    ("priority", ["alice", "bob", "--count", "1", "--priority", "8"], "priority 8: choose 0 to 7"),
    ("basis", ["alice", "bob", "--count", "1", "--measure", "--basis", "XYY"], '"XYY"'),
    ("basis of a kept pair", ["alice", "bob", "--count", "1", "--basis", "X"], "go with --measure"),
    ("id", ["alice", "bob", "--count", "1", "--id", "70000"], "id 70000"),
    ("held and measured", ["alice", "bob", "--count", "1", "--measure", "--hold-s", "1"], "--hold-s"),
]


@pytest.mark.parametrize(("terms", "problem"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_a_wrong_create_is_one_line_and_exit_code_2_before_anybody_is_asked(
    terms: list[str], problem: str, tmp_path: Path
) -> None:
    result = run("create", "two_node_link", *terms, "--state", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert problem in line


def test_two_nodes_without_a_link_are_told_their_neighbours_and_the_command_that_would_do() -> None:
    result = run("create", "three_node_repeater", "alice", "bob", "--count", "1")
    assert result.exit_code == 2
    assert "no link joins alice and bob (neighbours of alice: relay); `bellwire request`" in result.stderr


def test_a_create_to_a_lab_that_is_not_up_is_one_line(tmp_path: Path) -> None:
    result = run("create", "two_node_link", "alice", "bob", "--count", "1", "--state", str(tmp_path))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "alice does not answer" in line


# --- answers in words -------------------------------------------------------------------------------------


def end(attempt: int) -> End:
    return End("alice-bob", 1 << 20, attempt, 2, 0)


def told(answer: LinkAnswer) -> Any:
    return msgspec.to_builtins(answer)


def kept(sequence: int, origin: str = "alice") -> LinkOkKeep:
    return LinkOkKeep(
        link="alice-bob",
        origin=origin,
        create=7,
        asked_here=True,
        end=end(sequence),
        sequence=sequence,
        slot=3,
        frame=2,
        purpose=0,
        remote="bob",
        goodness=0.91,
        goodness_at_ns=SECOND,
        born_ns=3 * SECOND,
    )


def measured(sequence: int) -> LinkOkMeasure:
    return LinkOkMeasure(
        link="alice-bob",
        origin="alice",
        create=7,
        asked_here=True,
        end=end(sequence),
        sequence=sequence,
        basis="Z+45",
        bit=1,
        frame=3,
        purpose=0,
        remote="bob",
        goodness=0.91,
        goodness_at_ns=0,
        born_ns=3 * SECOND,
    )


def failed(code: LinkErrorCode, *ends: End) -> LinkErr:
    return LinkErr(
        link="alice-bob", origin="alice", create=7, code=code, where="remote", reason="why", ends=ends
    )


def picture(**terms: Any) -> CreatePicture:
    return CreatePicture(LinkCreate(create=7, partner="bob", count=2, **terms), "alice", "alice-bob")


def test_each_answer_is_a_line_and_the_end_says_the_rate() -> None:
    seen = picture()
    answers: list[LinkAnswer] = [
        LinkAck(link="alice-bob", create=7, queue=1, number=4),
        kept(1),
        kept(2),
        LinkDone(link="alice-bob", origin="alice", create=7, pairs=2),
    ]
    lines = [line for place, one in enumerate(answers) for line in seen.take(place * SECOND, told(one))]
    assert lines == [
        "ACK: alice and bob have it, number 4 of queue 1 of alice-bob",
        "OK 1: kept in slot 3, attempt 1 lane 2, Bell state Psi+, fidelity 0.910, as estimated 2.0 s before",
        "OK 2: kept in slot 3, attempt 2 lane 2, Bell state Psi+, fidelity 0.910, as estimated 2.0 s before",
        "done: 2 pairs, 1.0 pairs/s from the first one on",
    ]
    assert (seen.status, seen.acknowledged) == ("done", True)


def test_a_measured_pair_says_its_basis_and_bit() -> None:
    assert picture(kind="measure").take(0, told(measured(1))) == [
        "OK 1: Z+45 gave 1, attempt 1 lane 2, Bell state Psi-, fidelity 0.910, as modelled"
    ]


def test_a_pair_that_is_taken_back_does_not_end_the_create_and_is_not_in_its_document() -> None:
    seen = picture()
    seen.take(0, told(kept(1)))
    seen.take(0, told(kept(2)))
    assert seen.take(1, told(failed("EXPIRE", end(1)))) == ["EXPIRE: 1 pairs are taken back (why)"]
    assert seen.status == "waiting"
    document = seen.document()
    assert [one["sequence"] for one in document["pairs"]] == [2]
    assert document["expired"] == 1


def test_an_error_ends_it_with_its_code_and_reason() -> None:
    seen = picture()
    assert seen.take(0, told(failed("TIMEOUT"))) == ["ERR TIMEOUT (remote): why"]
    document = seen.document()
    assert (document["status"], document["code"]) == ("failed", "TIMEOUT")
    assert document["error"] == "TIMEOUT (remote): why"


def test_what_is_told_after_the_user_withdrew_it_leaves_it_withdrawn() -> None:
    seen = picture()
    seen.cancelled()
    seen.take(0, told(failed("OTHER")))
    assert seen.document()["status"] == "cancelled"


def test_answers_for_a_create_of_the_same_id_from_the_other_end_are_not_taken() -> None:
    seen = picture()
    assert seen.take(0, told(kept(1, origin="bob"))) == []
    assert seen.document()["pairs"] == []
    assert seen.to_release() == []


def test_kept_qubits_are_let_go_once_told_unless_they_are_to_be_held() -> None:
    seen, holding = picture(), picture(hold_ns=SECOND)
    for one in (seen, holding):
        one.take(0, told(kept(1)))
    assert seen.to_release() == [end(1)]
    assert seen.to_release() == []
    assert holding.to_release() == []


# --- a live lab -------------------------------------------------------------------------------------------


def test_a_running_lab_answers_creates_and_shows_what_its_links_do(
    lab: Path, running: subprocess.Popen[str], tmp_path: Path
) -> None:
    where = ["--state", str(tmp_path / "state")]
    kept_pairs = bellwire("create", str(lab), "alice", "bob", "--count", "2", *where)
    assert kept_pairs.returncode == 0, kept_pairs.stdout + kept_pairs.stderr
    first, *oks, last = kept_pairs.stdout.splitlines()
    assert first.startswith("ACK: alice and bob have it")
    assert [line.split(":")[0] for line in oks] == ["OK 1", "OK 2"]
    assert last.startswith("done: 2 pairs")
    for node in ("alice", "bob"):  # nobody holds a qubit for a command that is over
        slots = asyncio.run(control.ask(tmp_path / "state", node, "status"))["slots"]
        assert {slot["state"] for slot in slots} <= {"free", "attempting"}

    terms = ["--count", "3", "--measure", "--basis", "XZ", "--id", "11", "--json"]
    asked = bellwire("create", str(lab), "bob", "alice", *terms, *where)
    assert asked.returncode == 0, asked.stderr
    document = json.loads(asked.stdout)
    assert (document["create"], document["status"], document["acknowledged"]) == (11, "done", True)
    assert [one["sequence"] for one in document["pairs"]] == [1, 2, 3]
    assert {one["basis"] for one in document["pairs"]} <= {"X", "Z"}
    assert {one["bit"] for one in document["pairs"]} <= {0, 1}

    refused = bellwire("create", str(lab), "alice", "bob", "--count", "1", "--fidelity-min", "0.999", *where)
    assert refused.returncode == 1
    assert refused.stdout.startswith("ERR UNSUPP (local)")
    assert refused.stderr.startswith("create ")

    shown = bellwire("links", str(lab), "--live", "--json", *where)
    assert shown.returncode == 0, shown.stderr
    measured_link = json.loads(shown.stdout)["links"]["alice-bob"]["measured"]
    assert measured_link["counters"]["heralds"] >= 5
    assert [one["name"] for one in measured_link["figures"]] == ["only"]
    assert "Measured" in bellwire("links", str(lab), "--live", *where).stdout

    command = [*PROGRAM, "create", str(lab), "alice", "bob", "--rate", "5", *where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ACK")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "cancelled" in errors
    deadline = time.monotonic() + 30
    wanted_by: list[str] = ["unknown"]
    while wanted_by:  # the two ends agree to forget it
        assert time.monotonic() < deadline, wanted_by
        status = json.loads(bellwire("links", str(lab), "--live", "--json", *where).stdout)
        wanted_by = status["links"]["alice-bob"]["measured"]["wanted_by"]
    assert running.poll() is None
