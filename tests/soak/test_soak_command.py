"""`bellwire soak` as its user sees it: sums, exit codes, wrong input, and the file it writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bellwire.cli.main import app
from bellwire.soak.histories import Case, Told
from bellwire.soak.rules import Broken


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["soak", *words])
    return result.exit_code, result.stdout, result.stderr


def test_it_says_what_was_done_and_what_was_found(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    code, text, _ = run("--seeds", "3", "--workers", "1", "--json", "--out", str(out))
    assert code == 0
    found = json.loads(text)
    assert found["seeds"] == 3
    assert found["violations"] == 0
    assert found["played_again"] == 3
    assert found["played_differently"] == []
    assert found["pairs_delivered"] > 0
    assert sum(found["faults_fired"].values()) > 0
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["rows"][0]["steps checked"] == found["counts"]["steps"] > 1000
    assert written["command"] == "bellwire soak --seeds 3 --first 0 --profile all"


def test_a_violation_is_made_small_told_with_its_line_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from bellwire.soak import running, shrinking

    def always_broken(case: Case) -> Told:
        return Told(seed=case.seed, nodes=3, rule="frames", problem=str(Broken("frames", "planted")))

    monkeypatch.setattr(running, "play", always_broken)
    monkeypatch.setattr(shrinking.shrink, "__defaults__", (always_broken,))
    code, _, told = run("--seeds", "1", "--first", "4", "--workers", "1")
    assert code == 1
    assert "frames: planted" in told
    assert "replay: bellwire soak --first 4 --seeds 1 --profile all --faults none --seconds 0.039" in told


def test_ctrl_c_ends_a_run_with_what_has_been_played_by_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bellwire.cli import soak as command
    from bellwire.soak import running

    def stopped(cases: list[Case], workers: int) -> dict[str, Any]:
        def tell(done: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        return running.soak(cases, workers, tell, lambda told: None)

    monkeypatch.setattr(command, "_run", stopped)
    out = tmp_path / "soak.json"
    code, text, _ = run("--seeds", "50", "--workers", "1", "--out", str(out))
    assert code == 130
    assert "2 of all, from seed 0 on, then interrupted" in text
    written = json.loads(out.read_text(encoding="utf-8"))
    assert (written["seeds"], written["interrupted"], written["violations"]) == (2, True, 0)
    assert written["pairs_delivered"] > 0


def test_a_history_is_played_again_with_some_of_its_faults() -> None:
    code, text, _ = run("--first", "3", "--seeds", "1", "--faults", "none", "--workers", "1", "--json")
    assert code == 0
    assert json.loads(text)["faults_fired"] == {}


def test_wrong_words_are_told_as_such() -> None:
    for words, wanted in (
        (("--profile", "partition"), "partitions"),
        (("--faults", "first"), "numbers from 0 on"),
        (("--faults", "0,99", "--seeds", "1"), "there is no 99"),
        (("--out", "nowhere/soak.json"), "no such folder"),
    ):
        code, _, told = run(*words)
        assert code == 2
        assert wanted in told
