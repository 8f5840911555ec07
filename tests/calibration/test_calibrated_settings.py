"""Instruments come back as they were calibrated, not as the lab file first had them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwire.calibration.records import Outcome
from bellwire.calibration.store import CalibrationStore, store_in
from bellwire.labs import Lab, load_lab
from bellwire.labs.calibrated_settings import with_applied_settings
from tests.calibration.made_records import NOW_NS, made

LABS = Path(__file__).parents[2] / "lab_configs"
LINK = "alice-bob"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab(LABS / "entangled_photons.yaml", live=True)


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return store_in(tmp_path)


def settings(lab: Lab, name: str) -> dict[str, object]:
    return dict(next(one for one in lab.equipment if one.full_name == name).settings)


def values(lab: Lab) -> dict[str, float]:
    return dict(lab.composites[0].values)


def test_without_records_the_lab_is_the_same(lab: Lab, store: CalibrationStore) -> None:
    assert with_applied_settings(lab, store, NOW_NS) is lab


def test_paddles_and_the_operating_point_are_those_that_were_applied(
    lab: Lab, store: CalibrationStore
) -> None:
    store.put(made("one", procedure="polarisation", link=LINK, applied={"bob-paddles angle_deg.2": 71.5}))
    store.put(made("two", procedure="oven_scan", link=LINK, applied={"source-oven temperature_set_c": 38.4}))
    store.put(made("three", procedure="source_power", link=LINK, applied={"source-pump power_set_mw": 7.5}))
    found = with_applied_settings(lab, store, NOW_NS)
    assert settings(found, "bob-paddles") == {
        "angle_deg.1": 0.0,
        "angle_deg.2": 71.5,
        "angle_deg.3": 0.0,
    }
    assert values(found) == {"pump_value": 7.5, "crystal_temperature_c": 38.4}
    # The composite brings its parts up in its own order: they must not be asserted beside it.
    assert "temperature_set_c" not in settings(found, "source-oven")
    assert "power_set_mw" not in settings(found, "source-pump")
    assert settings(found, "source-oven") == settings(lab, "source-oven")


def test_what_failed_or_ran_out_or_belongs_to_another_lab_changes_nothing(
    lab: Lab, store: CalibrationStore
) -> None:
    applied = {"bob-paddles angle_deg.2": 71.5}
    store.put(made("one", procedure="polarisation", link=LINK, applied=applied, outcome=Outcome.FAILED))
    store.put(made("two", procedure="polarisation", link="elsewhere", applied=applied))
    store.put(made("three", procedure="bell_test", link=LINK, applied=applied, valid_for_s=1.0))
    assert with_applied_settings(lab, store, NOW_NS + 10**13) is lab


def test_of_two_records_the_later_one_counts(lab: Lab, store: CalibrationStore) -> None:
    for name, procedure, angle, ended_ns in (
        ("late", "polarisation", 30.0, NOW_NS),
        ("early", "keep_polarisation", 60.0, NOW_NS - 10**9),
    ):
        store.put(
            made(
                name,
                procedure=procedure,
                link=LINK,
                applied={"bob-paddles angle_deg.1": angle},
                ended_ns=ended_ns,
            )
        )
    found = with_applied_settings(lab, store, NOW_NS)
    assert settings(found, "bob-paddles")["angle_deg.1"] == 30.0
