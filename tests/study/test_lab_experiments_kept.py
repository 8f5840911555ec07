"""The directory of an experiment: what counts as measured, and lab files for other processes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.core.errors import ConfigError
from bellwire.labs import load_lab
from bellwire.study import lab_experiments_kept
from bellwire.study.lab_experiments import LabExperiment
from bellwire.study.lab_experiments_kept import DOCUMENT, ExperimentFolder
from bellwire.study.lab_experiments_plan import Asked, plan_experiment
from bellwire.study.lab_experiments_samples import Pairs, row_of

LABS = Path(__file__).parents[2] / "lab_configs"
LANES = "links.alice-bob.lanes=2,4"


def planned(*settings: str, **terms: Any) -> LabExperiment:
    return plan_experiment(LABS / "two_node_link.yaml", Asked(settings=settings, repetitions=2, **terms))


def opened(experiment: LabExperiment, folder: Path) -> ExperimentFolder:
    return ExperimentFolder(experiment, folder, "maria", ["experiment"])


def found() -> dict[str, Any]:
    return row_of(Pairs(submitted_ns=0, ended_ns=5, status="completed"))


def test_what_was_put_counts_for_its_combination_and_is_there_again(tmp_path: Path) -> None:
    experiment = planned(LANES, mode="emulated")
    folder = opened(experiment, tmp_path)
    first, second = experiment.combinations
    key, one = next(iter(folder.left.items()))
    assert one.combination is first
    row = folder.put(key, found())
    assert (row["links.alice-bob.lanes"], row["target"], row["swap"]) == (2, "end to end", "on")
    assert row["predicted_rate_hz"] == one.target.predicted_rate_hz  # nothing was told while it ran
    assert (folder.kept_of(first), folder.kept_of(second)) == (1, 0)
    again = opened(experiment, tmp_path)
    assert (again.kept, again.total, len(again.left)) == (1, 4, 3)
    assert again.rows[key] == json.loads(json.dumps(row))


def test_results_of_other_sources_do_not_count_but_for_those_of_real_instruments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mode, kept in (("virtual", 0), ("live", 1)):
        experiment = planned(mode=mode)
        before = opened(experiment, tmp_path / mode)
        before.put(next(iter(before.left)), found())
        monkeypatch.setattr(lab_experiments_kept, "code_version", lambda: "another")
        after = opened(experiment, tmp_path / mode)
        assert (after.kept, after.others) == (kept, 1 - kept)
        monkeypatch.undo()


def test_a_combination_becomes_a_lab_file_that_other_processes_read(tmp_path: Path) -> None:
    experiment = planned(LANES, mode="emulated")
    folder = opened(experiment, tmp_path)
    path = folder.write_lab(experiment.combinations[1], 77)
    lab = load_lab(path, live=True)
    assert lab.network.links["alice-bob"].lanes == 4
    assert lab.seed == 77
    assert lab.addresses == experiment.lab.addresses
    scanned = planned("seed=5,6", mode="emulated")
    other = opened(scanned, tmp_path / "other")
    assert load_lab(other.write_lab(scanned.combinations[0], 77)).seed == 5


def test_a_tuning_beside_the_lab_file_is_found_from_elsewhere(tmp_path: Path) -> None:
    sections = yaml.safe_load((LABS / "adaptive_chain.yaml").read_text(encoding="utf-8"))
    assert any("tuning" in one for one in sections["requests"])
    number = next(index for index, one in enumerate(sections["requests"]) if "tuning" in one)
    name = sections["requests"][number]["id"]
    asked = Asked(settings=["seed=5"], request=name)
    experiment = plan_experiment(LABS / "adaptive_chain.yaml", asked)
    path = opened(experiment, tmp_path).write_lab(experiment.combinations[0], 5)
    mode = load_lab(path).requests[number].generation_mode
    assert mode == load_lab(LABS / "adaptive_chain.yaml").requests[number].generation_mode


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / DOCUMENT).write_text('{"made": "by somebody"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="no experiment of bellwire"):
        opened(planned(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [DOCUMENT]


def test_every_sitting_stays_in_the_document(tmp_path: Path) -> None:
    experiment = planned()
    for interrupted in (True, False):
        folder = opened(experiment, tmp_path)
        folder.note_lab(values=[], run="runs/x", seed=1)
        document = folder.close(interrupted, [])
    assert [one["interrupted"] for one in document["sittings"]] == [True, False]
    assert all(one["labs"] == [{"values": [], "run": "runs/x", "seed": 1}] for one in document["sittings"])
    assert document["frozen"]["digest"] == experiment.lab.digest
    assert document["repetitions"] == 2
