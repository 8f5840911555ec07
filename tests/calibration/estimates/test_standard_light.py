"""Efficiencies in light of measured power behind a splitter of unknown ratio, with a meter that errs.

False alarms: coverage.py; seeds fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.detectors import PHOTON_ENERGY_J_NM
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.standard_light import (
    DetectorNoise,
    LitInput,
    StandardEfficiencies,
    standard_efficiencies,
)
from bellwire.calibration.records import Quantity
from tests.calibration.estimates.coverage import Draw, assert_draws_cover

EFFICIENCY = {"left_h": 0.81, "left_v": 0.74, "right_h": 0.9, "right_v": 0.78}
PORTS = {label: label.partition("_")[0] for label in EFFICIENCY}
THROUGH = 0.46
NM, DARK_HZ, DEAD_S, SECONDS = 1541.0, 60.0, 50e-9, 4.0
LOSSES_DB = (81.0, 82.0)
METER_ERROR, LOSS_ERROR_DB = 0.03, 0.1


@dataclass(frozen=True)
class Bench:
    """`response`: of the meter; `loss_db`: beyond what is stated of both; `way_db`: of the second way."""

    response: float = 1.0
    loss_db: float = 0.0
    way_db: float = 0.0
    power_w: float = 5e-6

    def counted(self, chance: np.random.Generator) -> tuple[list[LitInput], dict[str, DetectorNoise]]:
        inputs: list[LitInput] = []
        for index, stated_db in enumerate(LOSSES_DB):
            loss_db = stated_db + self.loss_db + index * self.way_db
            photons = self.power_w * NM / PHOTON_ENERGY_J_NM * 10.0 ** (-loss_db / 10.0) / 2.0
            counts: dict[str, int] = {}
            for label, eta in EFFICIENCY.items():
                share = THROUGH if (PORTS[label] == "left") == (index == 0) else 1.0 - THROUGH
                rate = photons * share * eta + DARK_HZ
                counts[label] = int(chance.poisson(SECONDS * rate / (1.0 + rate * DEAD_S)))
            shown = self.power_w * self.response * (1.0 + 1e-4 * float(chance.standard_normal()))
            inputs.append(LitInput(counts, SECONDS, Quantity(shown, 1e-4 * shown, "W"), stated_db))
        dark = {
            label: DetectorNoise(poisson_rate(int(chance.poisson(DARK_HZ * SECONDS)), SECONDS), DEAD_S)
            for label in EFFICIENCY
        }
        return inputs, dark


def told(inputs: list[LitInput], noise: dict[str, DetectorNoise]) -> StandardEfficiencies:
    return standard_efficiencies(
        inputs, noise, PORTS, wavelength_nm=NM, meter_error=METER_ERROR, loss_error_db=LOSS_ERROR_DB
    )


def test_efficiencies_are_covered_when_meter_and_losses_err_as_stated() -> None:
    chance = np.random.default_rng(7)

    def draw() -> Draw:
        bench = Bench(float(chance.normal(1.0, METER_ERROR)), float(chance.normal(0.0, LOSS_ERROR_DB)), 0.03)
        found = told(*bench.counted(chance))
        compared = {label: (one, EFFICIENCY[label]) for label, one in found.efficiency.items()}
        return {**compared, "way": (found.way_db, 0.03)}

    assert_draws_cover(draw, 400)


def test_detectors_compare_without_the_error_of_the_standard() -> None:
    chance = np.random.default_rng(8)
    mean = float(np.mean(list(EFFICIENCY.values())))
    assert_draws_cover(
        lambda: {
            label: (one, EFFICIENCY[label] / mean)
            for label, one in told(*Bench(1.05, 0.3).counted(chance)).over_mean.items()
        },
        400,
    )


def test_the_ratio_of_the_splitter_does_not_matter_and_one_input_alone_is_wrong() -> None:
    inputs, noise = Bench().counted(np.random.default_rng(9))
    found = told(inputs, noise).efficiency
    for label, eta in EFFICIENCY.items():
        assert found[label].value == pytest.approx(eta, rel=0.015)
    once = told([inputs[0], inputs[0]], noise).efficiency
    assert once["left_h"].value == pytest.approx(2.0 * THROUGH * EFFICIENCY["left_h"], rel=0.015)


def test_a_way_that_loses_more_than_stated_is_seen_in_the_counts() -> None:
    found = told(*Bench(way_db=1.0).counted(np.random.default_rng(10))).way_db
    assert abs(found.value - 1.0) < 4.5 * found.sigma < 0.1


def test_a_detector_in_the_dark_is_named() -> None:
    inputs, noise = Bench().counted(np.random.default_rng(11))
    dark = [LitInput({**one.counts, "left_v": 0}, one.duration_s, one.power_w, one.loss_db) for one in inputs]
    with pytest.raises(NoEstimate, match="no light at left_v"):
        told(dark, noise)
