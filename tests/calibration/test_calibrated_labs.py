"""What a lab's links are taken to be: as calibrated while that is in force, else as the file says."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.calibration.records import NS_PER_S, CalibrationRecord, Outcome, Quantity
from bellwire.calibration.store import CalibrationStore, store_in
from bellwire.cli.calibrated_runs import lab_of_run
from bellwire.core.bell import Walsh, eigenvalues, from_walsh
from bellwire.core.errors import ConfigError
from bellwire.core.link_messages import LinkAdvertised
from bellwire.core.settings import LinkSettings
from bellwire.labs import Lab, lab_from_document, load_lab
from bellwire.labs.calibrated import (
    FIDELITY_ERROR_MIN,
    SUCCESS_ERROR_MIN,
    required_calibrations,
    with_calibrations,
)
from bellwire.link_layer.advertising import modelled_figures
from bellwire.link_layer.estimation.beliefs import fidelity_error, worth_of
from bellwire.link_layer.estimation.counts import BasisCounts, Counts
from bellwire.link_layer.estimation.unit import estimation_of
from bellwire.planner.advertised import FILE_FIDELITY_ERROR, FILE_HERALDS, learnt
from bellwire.planner.plans import predict
from bellwire.planner.points import fidelity_at
from bellwire.runtime.runs import create_run
from tests.calibration.made_records import DAY_S, NOW_NS, made
from tests.cli.planning import bellwire, document

LABS = Path(__file__).parents[2] / "lab_configs"
LINK = "alice-bob"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab(LABS / "two_node_link.yaml", live=True)


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return store_in(tmp_path)


def rate(value: float, sigma: float, **terms: Any) -> CalibrationRecord:
    found = {"success_probability": Quantity(value, sigma)}
    return made(f"rate{value}", procedure="herald_rate", link=LINK, quantities=found, **terms)


def quality(value: float, sigma: float) -> CalibrationRecord:
    found = {"fidelity": Quantity(value, sigma)}
    return made(f"quality{value}", procedure="link_quality", link=LINK, quantities=found)


def link_of(lab: Lab) -> LinkSettings:
    return lab.network.links[LINK]


# --- figures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(LABS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_lab_without_calibrations_is_as_its_file_says(path: Path, store: CalibrationStore) -> None:
    lab = load_lab(path)
    assert with_calibrations(lab, store, NOW_NS) is lab


@pytest.mark.parametrize(
    "record",
    [
        rate(0.01, 0.001, ago_s=DAY_S + 1),
        replace(rate(0.01, 0.001), outcome=Outcome.FAILED),
        replace(rate(0.01, 0.001), outcome=Outcome.ABORTED),
        replace(rate(0.01, 0.001), procedure="hom_visibility"),
        replace(rate(0.01, 0.001), link="another"),
        rate(2.0, 0.001),
    ],
    ids=["out of date", "failed", "aborted", "another procedure", "another link", "impossible"],
)
def test_what_is_not_in_force_changes_nothing(
    lab: Lab, store: CalibrationStore, record: CalibrationRecord
) -> None:
    store.put(record)
    assert with_calibrations(lab, store, NOW_NS) is lab


def test_a_calibrated_rate_takes_the_place_of_the_file_and_of_nothing_else(
    lab: Lab, store: CalibrationStore
) -> None:
    store.put(rate(0.004, 0.0004))
    measured = with_calibrations(lab, store, NOW_NS)
    expected = msgspec.structs.replace(link_of(lab), success_probability=0.004, success_error=0.0004)
    assert link_of(measured) == expected
    others = msgspec.structs.replace(measured.network, links=lab.network.links)
    assert others == lab.network
    assert measured.world() == lab.world()


def test_a_calibrated_fidelity_keeps_the_proportions_of_the_errors(lab: Lab, store: CalibrationStore) -> None:
    store.put(quality(0.85, 0.02))
    link = link_of(with_calibrations(lab, store, NOW_NS))
    assert fidelity_at(link.point(0)) == pytest.approx(0.85, abs=1e-9)
    assert link.fidelity_error == 0.02
    for one, was in zip(link.heralds, link_of(lab).heralds, strict=True):
        assert (one.code, one.frame) == (was.code, was.frame)
        new, old = (from_walsh(Walsh(each.signs, each.cost)) for each in (one, was))
        assert [error / (1 - new[0]) for error in new[1:]] == pytest.approx(
            [error / (1 - old[0]) for error in old[1:]], rel=1e-6
        )


def test_a_fidelity_counts_as_the_tests_that_would_give_its_uncertainty(
    lab: Lab, store: CalibrationStore
) -> None:
    store.put(quality(0.85, 0.02))
    link = link_of(with_calibrations(lab, store, NOW_NS))
    (values, *_) = [eigenvalues(from_walsh(Walsh(one.signs, one.cost))) for one in link.heralds]
    tests = link.estimation.table_worth
    # The standard error of the mean of three bases, from binomial counts (estimation's own formula).
    one, two, three = (BasisCounts(tests, 0, float(tests)) for _ in range(3))
    counts = Counts((one, two, three))
    assert fidelity_error(values, counts) == pytest.approx(0.02, rel=0.02)
    assert worth_of((1.0, 1.0, 1.0), 0.01) == pytest.approx(25.0)


def test_an_uncertainty_too_good_to_last_is_widened(lab: Lab, store: CalibrationStore) -> None:
    store.put(rate(0.004, 1e-9))
    store.put(quality(0.9, 1e-9))
    link = link_of(with_calibrations(lab, store, NOW_NS))
    assert link.success_error == pytest.approx(0.004 * SUCCESS_ERROR_MIN)
    assert link.fidelity_error == FIDELITY_ERROR_MIN


def test_a_link_with_a_choice_of_operating_points_keeps_its_file(tmp_path: Path) -> None:
    text = (LABS / "two_node_link.yaml").read_text(encoding="utf-8")
    points = "[{name: dim, alpha: [0.02, 0.02]}, {name: bright, alpha: [0.2, 0.2]}]"
    light = f"architecture: single_click, operating_points: {points}, fibre_km: [5, 5]"
    path = tmp_path / "lab.yaml"
    path.write_text(text.replace("fibre_km: [5, 5]", light), encoding="utf-8")
    lab, store = load_lab(path), store_in(tmp_path)
    store.put(rate(0.004, 0.0004))
    assert with_calibrations(lab, store, NOW_NS) is lab


# --- planner ------------------------------------------------------------------------------------------------


def test_a_plan_counts_with_the_calibrated_figures(lab: Lab, store: CalibrationStore) -> None:
    """Of a rare success the rate is proportional to its probability; the link's fidelity is the pair's."""
    was = predict(lab.network, lab.requests[0])
    store.put(rate(link_of(lab).success_probability / 4, 1e-6))
    store.put(quality(fidelity_at(link_of(lab).point(0)) - 0.05, 0.01))
    now = predict(with_calibrations(lab, store, NOW_NS).network, lab.requests[0])
    assert not isinstance(was, str)
    assert not isinstance(now, str)
    assert now.rate_hz / was.rate_hz == pytest.approx(0.25, rel=0.02)
    assert was.fidelity - now.fidelity == pytest.approx(0.05, abs=0.01)


def test_the_plan_of_an_operator_has_the_figures_of_the_store_and_their_uncertainty(
    lab: Lab, tmp_path: Path
) -> None:
    """`bellwire plan LAB --state FOLDER`: rate in proportion to the measured probability, errors told."""
    asked = ("--from", "alice", "--to", "bob", "--json", "--state", tmp_path)
    by_file = document(bellwire(LABS / "two_node_link.yaml", *asked))
    assert (by_file["rate_error_hz"], by_file["fidelity_error"]) == (None, None)
    p = link_of(lab).success_probability / 4
    now_ns, store = time.time_ns(), store_in(tmp_path)
    store.put(replace(rate(p, 0.1 * p), ended_ns=now_ns))
    store.put(replace(quality(0.85, 0.02), ended_ns=now_ns))
    measured = document(bellwire(LABS / "two_node_link.yaml", *asked))
    assert measured["rate_hz"] / by_file["rate_hz"] == pytest.approx(0.25, rel=0.02)
    assert measured["tree"]["attempt_probability"] == pytest.approx(p)
    assert measured["tree"]["attempt_probability_error"] == pytest.approx(0.1 * p)
    assert measured["rate_error_hz"] / measured["rate_hz"] == pytest.approx(0.1, rel=0.02)
    assert measured["fidelity_error"] == pytest.approx(0.02, rel=0.05)
    people = bellwire(LABS / "two_node_link.yaml", "--from", "alice", "--to", "bob", "--state", tmp_path)
    assert "by calibrations of its links" in people.stdout


def test_a_link_tells_the_uncertainty_of_its_calibration_until_it_has_counted_itself(
    lab: Lab, store: CalibrationStore
) -> None:
    store.put(rate(0.004, 0.0004))
    link = link_of(with_calibrations(lab, store, NOW_NS))
    memory = lab.network.nodes[link.nodes[0]].memory
    assert memory is not None
    unit = estimation_of(link, (memory, memory))
    (figures,) = unit.figures()
    assert (figures.success_probability, figures.success_error, figures.measured) == (0.004, 0.0004, 0)
    assert modelled_figures(link)[0].success_error == 0.0004
    for _ in range(50):
        unit.waited(0, 100)
    (figures,) = unit.figures()
    assert figures.measured == 50
    assert figures.success_probability == pytest.approx(49 / 4999)
    assert figures.success_error == pytest.approx(0.01 / math.sqrt(50), rel=0.03)


def test_news_are_weighed_against_a_calibration_by_its_uncertainty(lab: Lab, store: CalibrationStore) -> None:
    """Means with weights: (p/error)^2 heralds of each for the probability, 1/error^2 for the fidelity."""
    p, f = 0.004, 0.85
    store.put(rate(p, p * 0.05))
    store.put(quality(f, 0.01))
    calibrated = link_of(with_calibrations(lab, store, NOW_NS))
    for link, heralds, error in (
        (calibrated, 400.0, 0.01),
        (link_of(lab), float(FILE_HERALDS), FILE_FIDELITY_ERROR),
    ):
        news = learnt(link, advertised(link, 2 * p, 2 * p * 0.1, f + 0.04, 0.02), NOW_NS)
        assert news is not None
        (point,) = news.points
        by_link = link.success_probability
        assert point.success_probability == pytest.approx(
            (heralds + 100) / (heralds / by_link + 100 / (2 * p))
        )
        own, weight = 1 / error**2, 1 / 0.02**2
        expected = (own * fidelity_at(link.point(0)) + weight * (f + 0.04)) / (own + weight)
        assert point.fidelity == pytest.approx(expected, abs=1e-3)


def advertised(
    link: LinkSettings, success: float, error: float, fidelity: float, fidelity_error: float
) -> LinkAdvertised:
    """What side 0 tells; the interval is the one whose error the planner reads back from it."""
    figures = msgspec.structs.replace(
        modelled_figures(link)[0],
        success_probability=success,
        success_error=error,
        fidelity=fidelity,
        fidelity_low=fidelity - 1.96 * fidelity_error,
        fidelity_high=fidelity + 1.96 * fidelity_error,
        measured=100,
        tested=100,
        at_ns=NOW_NS,
    )
    assert math.isclose(figures.fidelity_error, fidelity_error, rel_tol=0.01)
    return LinkAdvertised(
        link=link.link,
        number=1,
        period_ns=link.period_ns,
        lanes=link.lanes,
        duty=1.0,
        point=0,
        figures=(figures,),
    )


# --- frozen -------------------------------------------------------------------------------------------------


def test_a_run_freezes_its_figures_and_its_agents_and_its_replay_have_the_same(
    lab: Lab, store: CalibrationStore, tmp_path: Path
) -> None:
    store.put(rate(0.004, 0.0004))
    store.put(quality(0.85, 0.02))
    measured = with_calibrations(lab, store, NOW_NS)
    assert measured.digest != lab.digest
    run_dir = create_run(tmp_path / "runs", measured)
    document = json.loads((run_dir / "configuration.json").read_text(encoding="utf-8"))["document"]
    replayed = lab_from_document(document, live=True)
    assert (replayed.network, replayed.digest) == (measured.network, measured.digest)
    store.put(replace(rate(0.001, 0.0001), ended_ns=NOW_NS + NS_PER_S))  # an agent that starts later
    agent = lab_of_run(lab, tmp_path, run_dir)
    assert agent.network == measured.network


def test_a_run_that_began_without_calibrations_goes_on_without(
    lab: Lab, store: CalibrationStore, tmp_path: Path
) -> None:
    run_dir = create_run(tmp_path / "runs", lab)
    store.put(rate(0.004, 0.0004, valid_for_s=math.inf))
    assert lab_of_run(lab, tmp_path, run_dir) is lab
    assert link_of(lab_of_run(lab, tmp_path, None)).success_probability == 0.004


def test_a_store_that_cannot_be_read_is_told_and_the_file_serves(
    lab: Lab, store: CalibrationStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(rate(0.004, 0.0004))
    store.path.write_bytes(b"rubbish " * 1000)
    assert lab_of_run(lab, tmp_path, None) is lab
    assert "links are taken to be as the lab file says" in capsys.readouterr().err


def test_a_configuration_with_other_figures_than_ours_is_refused(lab: Lab) -> None:
    document = lab.document | {"calibrations": {LINK: {"fidelity": "high"}}}
    with pytest.raises(ConfigError, match="not a configuration of this version"):
        lab_from_document(document, path="run/configuration.json")


def test_a_link_names_what_it_must_have(lab: Lab) -> None:
    assert required_calibrations(lab, LINK) == ()
    section = lab.document["links"][LINK] | {"calibration": {"required": ["oven", "rate"]}}
    strict = replace(lab, document=lab.document | {"links": {LINK: section}})
    assert required_calibrations(strict, LINK) == ("oven", "rate")
