"""`bellwire calibrate` without a lab that is up: plans, refusals, and what a lab file may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from bellwire.calibration.order import in_order
from bellwire.calibration.procedure_names import PROCEDURE_NAMES
from bellwire.calibration.table import procedures
from bellwire.cli.main import app
from bellwire.labs.free_ports import on_free_ports

LABS = Path(__file__).parents[2] / "lab_configs"


def bellwire(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "photons.yaml"
    path.write_text(on_free_ports((LABS / "entangled_photons.yaml").read_text(encoding="utf-8")), "utf-8")
    return path


def test_names_for_lab_files_are_those_of_the_procedures() -> None:
    assert set(PROCEDURE_NAMES) == set(procedures())
    assert set(in_order(procedures())) == set(procedures())


def test_every_need_comes_before_whoever_needs_it() -> None:
    order = in_order(procedures())
    for place, name in enumerate(order):
        assert set(procedures()[name].needs) <= set(order[:place])


def test_a_dry_run_says_what_would_be_done_and_why_something_is_left_out(lab: Path, tmp_path: Path) -> None:
    found = bellwire(
        "calibrate", str(lab), "--all", "--dry-run", "--json", "--state", str(tmp_path / "state")
    )
    assert found.exit_code == 0, found.output
    steps = {one["procedure"]: one for one in json.loads(found.stdout)["steps"]}
    assert steps["polarisation"]["instruments"] == [
        "source-pump",
        "bob-paddles",
        "alice-tagger",
        "bob-tagger",
    ]
    assert not steps["polarisation"]["in_force"]
    assert "distribution" in steps["hom"]["obstacle"]
    assert not (tmp_path / "state").exists()
    shown = bellwire("calibrate", str(lab), "alice-bob", "darks", "--dry-run").stdout
    assert "dark counts of every detector" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say which procedures, or --all (the procedures are references, detector_bias, darks"),
        (("alice-bob", "darks", "--all"), "say which procedures, or --all"),
        (("alice-bob", "dark"), 'no procedure is called "dark" (did you mean "darks"?)'),
        (("alice-bbo", "darks"), 'no link is called "alice-bbo"'),
        (("memory_liftime",), 'no procedure is called "memory_liftime" (did you mean "memory_lifetime"?)'),
        (("alice-bob", "hom"), "hom of alice-bob: "),
        (("darks", "--override", "clok"), 'no procedure is called "clok" (did you mean "clock"?)'),
    ],
)
def test_wrong_words_are_one_line(lab: Path, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    found = bellwire("calibrate", str(lab), *words, "--state", str(tmp_path / "state"))
    assert found.exit_code == 2
    assert sentence in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_lab_that_is_not_up_leaves_a_record_that_says_so(lab: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    found = bellwire("calibrate", str(lab), "darks", "--json", "--state", str(state))
    assert found.exit_code == 1
    (step,) = json.loads(found.stdout)["steps"]
    assert step["outcome"] == "aborted"
    assert "is the lab up?" in step["reason"]
    shown = json.loads(bellwire("calibrations", str(lab), "--json", "--state", str(state)).stdout)
    assert "darks" in json.dumps(shown)


def test_a_lab_without_a_console_is_told_to_name_one(lab: Path, tmp_path: Path) -> None:
    sections = yaml.safe_load(lab.read_text(encoding="utf-8"))
    del sections["console"]
    lab.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    found = bellwire("calibrate", str(lab), "darks", "--state", str(tmp_path / "state"))
    assert found.exit_code == 2
    assert "console: {address:" in found.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("tagger: bob-tagger", "tagger: bob-taggr"), 'no equipment is called "bob-taggr" (did you mean'),
        (("tagger: bob-tagger", "tagger: bob-paddles"), "bob-paddles is no time tagger"),
        (("paddles: bob-paddles, plate", "paddles: source-oven, plate"), "is no polarisation controller"),
        (("source: source-pairs", "source: source-pump"), 'no composite is called "source-pump"'),
        (("kind: distribution", "kind: meeting"), "a meeting link has 1, not 2"),
        (("      source: source-pairs", "      source: source-pairs\n      required: [darkz]"), '"darkz"'),
        (("limits: {polarisation.", "limits: {polarization."), "say PROCEDURE.QUANTITY"),
    ],
)
def test_a_wrong_calibration_section_is_told_by_line(
    lab: Path, change: tuple[str, str], sentence: str
) -> None:
    text = lab.read_text(encoding="utf-8")
    assert change[0] in text
    lab.write_text(text.replace(*change, 1), encoding="utf-8")
    found = bellwire("check", str(lab))
    assert found.exit_code == 2
    assert sentence in found.stderr, found.stderr
    assert "photons.yaml:" in found.stderr
