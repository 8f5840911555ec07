"""`bellwire experiment` in virtual time, its refusals and its guide; instruments: test_experiment_live.py."""

import json
import re
from pathlib import Path

import pytest
from pyarrow import parquet

from bellwire.cli import experiment as command_file
from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL, WRONG_INPUT
from bellwire.study import lab_experiments_virtual
from bellwire.study.evaluation_statistics import NETWORKS_MIN
from bellwire.study.lab_experiments import Row
from bellwire.study.lab_experiments_figures import COUNTS_MIN
from bellwire.study.lab_experiments_instruments import NOTE
from bellwire.study.lab_experiments_virtual import VirtualTask
from tests.cli.experimenting import bellwire
from tests.hosts.live import ROOT

TEXTBOOK = "textbook_two_segments"
SCAN = "links.a-m.attempt.success_probability=0.1,0.3"

# --- virtual time -----------------------------------------------------------------------------------------


def test_a_scan_leaves_table_picture_and_document_and_goes_on(tmp_path: Path) -> None:
    arguments = (TEXTBOOK, "--set", SCAN, "--swap", "on,off", "--pairs", 8, "--workers", 1, "--out", tmp_path)
    first = bellwire(*arguments, "--repetitions", 2, "--operator", "maria", "--json")
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    assert document == json.loads((tmp_path / "experiment.json").read_text())
    assert [(one["values"], one["target"]) for one in document["points"]] == [
        ([p], target) for p in (0.1, 0.3) for target in ("end to end", "a-m", "m-b")
    ]
    (sitting,) = document["sittings"]
    assert (sitting["operator"], sitting["kept"], sitting["measured"]) == ("maria", 0, 12)
    assert {"bellwire", "python", "sources"} <= set(sitting["versions"])
    assert document["complete"]
    assert document["frozen"]["document"]["links"]["a-m"]["attempt"]["success_probability"] == 0.1
    assert (tmp_path / "lab.yaml").read_bytes() == (ROOT / "lab_configs" / f"{TEXTBOOK}.yaml").read_bytes()
    rows = parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert len(rows) == 12
    assert {row["seed"] for row in rows} == {1, 2}
    assert (tmp_path / "experiment.png").read_bytes().startswith(b"\x89PNG")

    more = bellwire(*arguments, "--repetitions", 3)
    assert more.exit_code == 0, more.output
    assert "repetitions: 18, of which 12 were there" in more.output
    assert "success_probability" in more.stdout
    after = json.loads((tmp_path / "experiment.json").read_text())
    assert [(one["kept"], one["measured"]) for one in after["sittings"]] == [(0, 12), (12, 6)]

    other = bellwire(TEXTBOOK, "--set", "seed=3,4", "--pairs", 8, "--out", tmp_path)
    assert other.exit_code == WRONG_INPUT
    assert "this directory holds another experiment" in other.output
    assert after == json.loads((tmp_path / "experiment.json").read_text())


def test_an_interruption_keeps_what_was_measured_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (TEXTBOOK, "--set", SCAN, "--pairs", 3, "--repetitions", 3, "--workers", 1, "--out", tmp_path)
    real, performed = lab_experiments_virtual.perform_virtual, list[int]()

    def until_the_third(task: VirtualTask) -> Row:
        if len(performed) == 2:
            raise KeyboardInterrupt
        performed.append(task.seed)
        return real(task)

    monkeypatch.setattr(lab_experiments_virtual, "perform_virtual", until_the_third)
    stopped = bellwire(*arguments)
    assert stopped.exit_code == INTERRUPTED
    assert "2 of 6 repetitions are kept; the same command goes on" in stopped.output
    document = json.loads((tmp_path / "experiment.json").read_text())
    assert (document["complete"], document["finished"]) == (False, 2)
    assert document["sittings"][0]["interrupted"] is True
    assert len(parquet.read_table(tmp_path / "runs.parquet")) == 2
    monkeypatch.undo()
    whole = bellwire(*arguments)
    assert whole.exit_code == 0, whole.output
    assert "of which 2 were there" in whole.output
    assert json.loads((tmp_path / "experiment.json").read_text())["complete"]


def test_a_request_that_is_not_served_is_told_with_its_point(tmp_path: Path) -> None:
    """Success once in 10^9 attempts, for 20 ms: a pair comes with a probability of 2e-7."""
    arguments = ("--set", "links.a-m.attempt.success_probability=1e-9", "--set", "requests.0.deadline_s=0.02")
    result = bellwire(
        TEXTBOOK, *arguments, "--pairs", 2, "--repetitions", 1, "--workers", 1, "--out", tmp_path
    )
    assert result.exit_code == UNSUCCESSFUL
    assert (
        "links.a-m.attempt.success_probability=1e-09, requests.0.deadline_s=0.02, end to end: "
        in result.output
    )
    (point,) = json.loads((tmp_path / "experiment.json").read_text())["points"]
    assert point["rate_hz"]["value"] == 0.0
    assert point["rate_hz"]["interval_from"] == "counts"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--swap", "maybe"), 'unknown --swap "maybe"'),
        (("--set", "linkz.a=1"), 'did you mean "links"'),
        (("--set", "seed"), "written key=value"),
        (("--mode", "live"), "--mode virtual only"),
        (("--pairs", "0"), "outside 1.."),
        (("--request", "pair"), 'did you mean "pairs"'),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = bellwire(TEXTBOOK, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == WRONG_INPUT
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_two_commands_do_not_share_a_directory(tmp_path: Path) -> None:
    from bellwire.runtime.store import AgentLock

    lock = AgentLock(tmp_path, "experiment")
    try:
        result = bellwire(TEXTBOOK, "--pairs", 1, "--out", tmp_path)
    finally:
        lock.release()
    assert result.exit_code == WRONG_INPUT
    assert "already runs" in result.output


def test_columns_have_the_shortest_names_that_tell_keys_apart() -> None:
    keys = [
        "links.a-m.fibre_km.1",
        "device:middle-delay.delay_ps",
        "nodes.a.memory.t2_s",
        "nodes.b.memory.t2_s",
    ]
    assert command_file.short_keys(keys) == ["fibre_km.1", "delay_ps", "a.memory.t2_s", "b.memory.t2_s"]
    assert command_file.short_keys(["seed"]) == ["seed"]


# --- the guide --------------------------------------------------------------------------------------------

GUIDE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")


def test_every_option_of_the_command_is_in_its_guide_and_every_option_of_the_guide_is_one() -> None:
    known = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", bellwire("--help").output)) - {"--help"}
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", GUIDE)) - {"--no-submit"}  # of `bellwire up`
    assert named == known


def test_the_guide_gives_the_numbers_of_the_code() -> None:
    assert f"from {NETWORKS_MIN} repetitions on" in GUIDE
    assert f"with fewer than {COUNTS_MIN} intervals" in GUIDE
    assert f"`{NOTE}`" in GUIDE
