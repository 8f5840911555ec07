"""The shipped labs of adaptive execution: checked, simulated, and GHZ states in what people see of a lab."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bellwire.cli.lab_status import LabStatus, fusion_counts
from bellwire.cli.main import app
from bellwire.cli.picture import LabPicture
from bellwire.cli.screen import PlainLines
from bellwire.cli.show import what_of
from bellwire.labs import load_lab
from bellwire.labs.tunings import read_tuning
from tests.cli.running import SECOND_NS
from tests.cli.test_screen import drawn

LABS = Path(__file__).parents[2] / "lab_configs"


def bellwire(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_check_says_the_mode_of_each_request_and_predicts_ghz_states() -> None:
    tuning = read_tuning(LABS / "tunings" / "adaptive_chain.yaml")
    chain = bellwire("check", "adaptive_chain")["requests"]
    assert {name: one["mode"] for name, one in chain.items()} == {"tuned": tuning.mode, "score": "score"}
    assert chain["tuned"]["tree"] == tuning.tree
    (state,) = bellwire("check", "ghz_star")["requests"].values()
    assert state["members"] == ["alice", "carol", "bob"]
    assert set(state["route"]) == {"alice", "carol", "bob", "hub"}
    assert state["rate_hz"] == pytest.approx(1 / state["latency_s"])
    assert 0.5 < state["fidelity"] < 0.975**3  # three pairs of 0.975, gates, and storage
    text = CliRunner().invoke(app, ["check", "ghz_star"]).stdout
    assert "GHZ of 3, score" in text
    assert "states/s" in text


def test_the_path_of_four_around_a_hub_is_checked_and_simulated() -> None:
    (asked,) = bellwire("check", "graph_path")["requests"].values()
    assert asked["edges"] == [["alice", "bob"], ["bob", "carol"], ["carol", "dave"]]
    (made,) = bellwire("simulate", "graph_path", "--duration", "5")["requests"].values()
    assert (made["status"], made["delivered"], made["frame_errors"]) == ("completed", 20, 0)
    # Paulis and Hadamard gates at delivery are not in the estimate: up to two of weight 0.999 at three tails.
    assert made["fidelity_true_mean"] < made["fidelity_mean"]
    assert made["fidelity_mean"] == pytest.approx(made["fidelity_true_mean"], abs=0.006)
    assert "graph of 4, score" in CliRunner().invoke(app, ["check", "graph_path"]).stdout


def test_a_ghz_request_that_cannot_be_served_is_one_line_with_its_place(tmp_path: Path) -> None:
    text = (LABS / "ghz_star.yaml").read_text(encoding="utf-8")
    path = tmp_path / "star.yaml"
    path.write_text(text.replace("mode: score", "mode: oldest"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("star.yaml:")
    assert 'request "ghz": generation mode "oldest" is none for GHZ states' in line


def test_a_tuned_and_a_plain_score_share_the_chain_and_both_end() -> None:
    requests = bellwire("simulate", "adaptive_chain", "--duration", "20")["requests"]
    for one in requests.values():
        assert (one["status"], one["delivered"], one["frame_errors"]) == ("completed", 40, 0)
        # The estimate is for another moment of the same pair than the truth: 1 ms costs 0.0008.
        assert one["fidelity_mean"] == pytest.approx(one["fidelity_true_mean"], abs=0.0008)
    text = CliRunner().invoke(app, ["simulate", "ghz_star", "--duration", "5"]).stdout
    assert "GHZ of 3, score" in text
    assert "completed" in text
    (state,) = bellwire("simulate", "ghz_star", "--duration", "5")["requests"].values()
    assert (state["status"], state["delivered"], state["frame_errors"]) == ("completed", 20, 0)


@pytest.mark.parametrize(
    ("members", "mode", "said"),
    [
        ("ab", "score(alpha=0.5, gain=1.05)", "score"),
        ("ab", "score if occupancy < 0.5 else longest_hop", "score, longest_hop"),
        ("ab", "oldest > oldest(discard=0)", "oldest"),
        ("abc", "fixed_tree", "GHZ of 3, fixed_tree"),
        ("ab", "no such mode", "no such mode"),
    ],
)
def test_a_mode_is_named_by_its_policies(members: str, mode: str, said: str) -> None:
    assert what_of(members, mode) == said


# --- GHZ states in the picture of a running lab -----------------------------------------------------------


def star() -> LabPicture:
    """Two states delivered."""
    lab = load_lab(LABS / "ghz_star.yaml", live=True)
    picture = LabPicture(lab, lab.requests)
    picture.submitted(SECOND_NS)
    picture.take(told(number) for number in (1, 2))
    return picture


def told(number: int) -> dict[str, Any]:
    fields = {
        "number": number,
        "head_end": f"alice-hub/7.{number}.0:0",
        "tail_end": f"bob-hub/8.{number}.0:0",
        "frame": 0,
        "fidelity": 0.8,
        "age_ns": 16_000_000,
        "latency_ns": SECOND_NS,
    }
    at_ns = (number + 1) * SECOND_NS
    return {"node": "alice", "name": "pair_delivered", "request": "ghz", "at_ns": at_ns, "fields": fields}


def group(number: int, *, frame_zero: bool = True, members: int = 3) -> str:
    ends = [[link, run, number, 0, 0] for link, run in (("alice-hub", 7), ("bob-hub", 8), ("carol-hub", 9))]
    seen = {"ends": ends[:members], "ghz_fidelity": 0.79, "frame_zero": frame_zero}
    return json.dumps({"operation": "release", "truth": None, "group": seen}) + "\n"


def left_over(number: int) -> str:
    """Source and destination alone, when the third member went first: no pair was ever delivered."""
    ends = [["alice-hub", 7, number, 0, 0], ["bob-hub", 8, number, 0, 0]]
    return json.dumps({"operation": "release", "truth": {"ends": ends, "frame": 3, "fidelity": 0.5}}) + "\n"


def test_a_ghz_state_is_compared_with_the_world_as_a_whole(tmp_path: Path) -> None:
    picture, path = star(), tmp_path / "truth.jsonl"
    path.write_text(group(1) + left_over(1) + group(2) + group(2, frame_zero=False), encoding="utf-8")
    picture.take_truth(path)
    row = picture.rows()["ghz"]
    assert (row["frames_checked"], row["frame_errors"]) == (2, 0)
    assert row["fidelity_true_mean"] == pytest.approx(0.79)
    assert row["members"] == ["alice", "carol", "bob"]
    assert picture.requests["ghz"].prediction is not None


@pytest.mark.parametrize("wrong", [group(1, frame_zero=False), group(1, members=2)])
def test_a_ghz_state_that_is_not_the_plain_one_or_lacks_a_member_is_an_error(
    wrong: str, tmp_path: Path
) -> None:
    picture, path = star(), tmp_path / "truth.jsonl"
    path.write_text(wrong, encoding="utf-8")
    picture.take_truth(path)
    assert picture.rows()["ghz"]["frame_errors"] == 1


def test_lines_speak_of_ghz_states_and_fusions_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    picture = star()
    status = LabStatus(picture.lab)
    status.look(0, dict.fromkeys(picture.lab.addresses), started=True)
    PlainLines(picture, status, lambda: 0.0).draw()
    assert "ghz (submitted): 2 of 20 GHZ states, 1.0 GHZ states/s" in capsys.readouterr().out
    hub = {"hub": {"fusions": {"tried": 4, "succeeded": 3, "failed": 1, "unknown": 0, "cutoffs": 2}}}
    assert fusion_counts(hub) == {"tried": 4, "succeeded": 3, "failed": 1, "unknown": 0}


def test_a_wide_screen_shows_the_mode_and_speaks_of_states() -> None:
    picture = star()
    status = LabStatus(picture.lab)
    status.look(0, dict.fromkeys(picture.lab.addresses), started=True)
    wide, usual = ("\n".join(drawn(picture, status, width, 60)) for width in (140, 100))
    assert "GHZ of 3, score" in wide
    assert "GHZ of 3, score" not in usual
    for text in (wide, usual):
        assert "states/s" in text
        assert "2 of 20" in text
    assert all(len(line) <= 140 for line in wide.splitlines())
