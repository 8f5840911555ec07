"""`bellwire calibrations`: values with uncertainty, age and validity; history; picture; wrong input."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import typer
from typer.testing import CliRunner, Result

from bellwire.calibration.records import NS_PER_S, Check, Outcome, Quantity
from bellwire.calibration.store import CalibrationStore, store_in
from bellwire.cli.calibration_tables import span, with_uncertainty
from bellwire.cli.calibrations import HISTORY_MAX, calibrations
from bellwire.cli.exits import Commands
from bellwire.labs import Lab, calibrated
from tests.calibration.made_records import DAY_S, HOUR_S, NOW_NS, made, visible

LAB = "two_node_link"
app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
app.command()(calibrations)


@app.callback()
def _group() -> None:
    """One command alone would be no group, and errors are turned into lines by the group."""


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS)


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return store_in(tmp_path)


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link must have a visibility and an oven, as a lab file would say."""

    def must_have(_lab: Lab, _link: str) -> tuple[str, ...]:
        return ("hom_visibility", "oven")

    monkeypatch.setattr(calibrated, "required_calibrations", must_have)


def run(store: CalibrationStore, *arguments: str, code: int = 0) -> Result:
    found = CliRunner().invoke(app, ["calibrations", LAB, *arguments, "--state", str(store.folder.parent)])
    assert found.exit_code == code, found.output
    return found


def row(shown: str, name: str) -> list[str]:
    """The cells of the line that begins with a name; cells are two blanks or more apart."""
    (line,) = [line for line in shown.splitlines() if line.split("  ")[0] == name]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_lab_without_any_says_so(store: CalibrationStore) -> None:
    said = run(store).stdout
    assert said == (f"alice-bob: no calibration is required, and none is stored in {store.folder}\n")
    assert not store.folder.exists()


def test_values_stand_with_uncertainty_unit_limits_age_and_what_is_left(store: CalibrationStore) -> None:
    found = {"visibility": Quantity(0.9213, 0.0042), "width": Quantity(21.04, 0.9, "ps")}
    checks = (Check("visibility", 0.9213, 0.7), Check("fill", 0.5, 0.05, 0.95))
    store.put(made("one", quantities=found, checks=checks, ago_s=3 * HOUR_S))
    said = run(store).stdout
    assert row(said, "hom_visibility") == [
        "hom_visibility",
        "in force",
        "visibility",
        "0.9213 ± 0.0042",
        ">= 0.7",
        "3.0 h",
        "21.0 h",
    ]
    assert "width        21.04 ± 0.90      ps     -" in said
    assert "fill         0.5                      0.05 to 0.95" in said


def test_what_is_stale_looks_stale(store: CalibrationStore) -> None:
    store.put(made("one", procedure="oven", ago_s=DAY_S + 2 * HOUR_S))
    cells = row(run(store).stdout, "oven")
    assert cells[:2] == ["oven", "OUT OF DATE"]
    assert cells[-2:] == ["1.1 d", "over for 2.0 h"]


def test_what_failed_is_shown_with_its_limit_and_its_reason(store: CalibrationStore) -> None:
    store.put(visible("good", 0.9, ago_s=7200))
    store.put(visible("bad", 0.62, ago_s=3600))
    store.put(made("lost", Outcome.ABORTED, ago_s=60, reason="middle-delay: no answer"))
    said = run(store).stdout
    assert row(said, "hom_visibility")[:2] == ["hom_visibility", "OUT OF LIMITS"]
    assert ">= 0.7, NOT MET" in said
    assert "the last run of hom_visibility aborted 1 min ago: middle-delay: no answer" in said


@pytest.mark.usefixtures("required")
def test_a_link_is_said_to_be_ready_or_why_not(store: CalibrationStore) -> None:
    store.put(visible("good", 0.9, ago_s=HOUR_S))
    said = run(store).stdout
    assert "alice-bob: NOT READY, due in 23.0 h" in said
    assert row(said, "oven")[:2] == ["oven", "NEVER DONE"]
    assert "alice-bob: oven of alice-bob was never done" in said
    store.put(made("warm", procedure="oven"))
    assert "alice-bob: ready, due in 23.0 h" in run(store).stdout


def test_a_history_shows_every_run_once(store: CalibrationStore) -> None:
    store.put(visible("old", 0.9, ago_s=3 * DAY_S))
    for name in ("bad", "good"):
        begun = made(f"{name}.begun", Outcome.ABORTED, ago_s=120, reason="begun; nothing says how it ended")
        store.put(begun)
        store.put(visible(name, 0.5 if name == "bad" else 0.9, ago_s=60, operator="eve"))
    store.put(made("dead.begun", Outcome.ABORTED, ago_s=30, reason="begun; nothing says how it ended"))
    said = run(store, "alice-bob", "hom_visibility", "--history").stdout
    assert "hom_visibility of alice-bob: 4 runs" in said
    lines = [line for line in said.splitlines() if line.startswith("2027-01-1")]
    assert [line[20:].split("  ")[1].strip() for line in lines] == [
        "aborted",
        "in force",
        "failed",
        "replaced",
    ]
    assert "visibility 0.900 ± 0.012" in lines[1]
    assert "eve" in lines[1]
    assert "visibility = 0.5 (>= 0.7, NOT MET)" in lines[2]


def test_a_long_history_says_how_much_more_there_is(store: CalibrationStore) -> None:
    for number in range(HISTORY_MAX + 2):
        store.put(visible(str(number), 0.9))
    said = run(store, "alice-bob", "hom_visibility", "--history").stdout
    assert f"{HISTORY_MAX} runs, and 2 older" in said


@pytest.mark.usefixtures("required")
def test_json_is_one_document_without_numbers_that_json_lacks(store: CalibrationStore) -> None:
    bad = {"visibility": Quantity(float("nan"), 0.1), "width": Quantity(21.0, 1.0, "ps")}
    checks = (Check("visibility", float("nan"), 0.7),)
    store.put(made("one", Outcome.FAILED, quantities=bad, checks=checks, valid_for_s=float("inf")))
    (line,) = run(store, "--history", "--json").stdout.splitlines()

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    link = json.loads(line, parse_constant=refuse)["links"]["alice-bob"]
    assert (link["ready"], link["required"]) == (False, ["hom_visibility", "oven"])
    told = link["procedures"]["hom_visibility"]
    assert told["decides"]["state"] == "out of limits"
    assert told["decides"]["quantities"]["visibility"]["value"] is None
    assert told["decides"]["checks"][0]["passed"] is False
    assert [one["record_id"] for one in told["history"]] == ["one"]
    assert link["procedures"]["oven"] == {"decides": None, "latest": None, "history": [], "older": 0}


def test_a_picture_is_drawn_beside_the_table(store: CalibrationStore, tmp_path: Path) -> None:
    for number in range(3):
        store.put(visible(str(number), 0.9, ago_s=number * HOUR_S))
    path = tmp_path / "history.png"
    said = run(store, "alice-bob", "hom_visibility", "--plot", str(path)).stdout
    assert said.splitlines()[-1] == f"written: {path}"
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == (1080, 420)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["alice-bbo"], 'no link is called "alice-bbo" (did you mean "alice-bob"?)'),
        (["alice-bob", "hom"], 'alice-bob has had no calibration "hom" (known: hom_visibility)'),
        (["--plot", "a.png"], "a picture shows one procedure of one link"),
        (["alice-bob", "--plot", "a.png"], "a picture shows one procedure of one link"),
        (["alice-bob", "hom_visibility", "--plot", "/no/where/a.png"], "/no/where/a.png: cannot be written"),
    ],
)
def test_wrong_input_ends_in_one_line(store: CalibrationStore, arguments: list[str], said: str) -> None:
    store.put(visible("one", 0.9))
    result = run(store, *arguments, code=2)
    (line,) = result.stderr.splitlines()
    assert said in line
    assert result.stdout == ""


def test_a_broken_store_ends_in_one_line(store: CalibrationStore) -> None:
    store.put(visible("one", 0.9))
    store.path.write_bytes(b"rubbish " * 1000)
    (line,) = run(store, code=2).stderr.splitlines()
    assert "cannot be read: file is not a database" in line


def test_a_record_from_a_clock_that_was_ahead_has_a_negative_age(store: CalibrationStore) -> None:
    store.put(replace(made("one", procedure="oven"), ended_ns=NOW_NS + 600 * NS_PER_S))
    assert row(run(store).stdout, "oven")[-2:] == ["-10 min", "1.0 d"]


@pytest.mark.parametrize(
    ("value", "sigma", "said"),
    [
        (0.92134, 0.0042, "0.9213 ± 0.0042"),
        (0.92134, 0.099, "0.921 ± 0.099"),
        (21.04, 0.9, "21.04 ± 0.90"),
        (123456.0, 789.0, "123460 ± 790"),
        (1234.56, 12.3, "1235 ± 12"),
        (-3.0, 1.0, "-3.0 ± 1.0"),
        (3.21e-5, 1.1e-6, "(3.21 ± 0.11)e-05"),
        (0.0, 2e-9, "(0.0 ± 2.0)e-09"),
        (5.0, 0.0, "5"),
        (float("nan"), 1.0, "nan"),
    ],
)
def test_an_uncertainty_has_two_digits_and_the_value_as_many(value: float, sigma: float, said: str) -> None:
    assert with_uncertainty({"value": value, "sigma": sigma}) == said


@pytest.mark.parametrize(
    ("span_s", "said"), [(12, "12 s"), (300, "5 min"), (11_520, "3.2 h"), (216_000, "2.5 d"), (-5, "-5 s")]
)
def test_spans_are_short(span_s: float, said: str) -> None:
    assert span(span_s) == said
