"""Efficiencies from singles and coincidences, and what an attempt succeeds with by the planner's model."""

from __future__ import annotations

import numpy as np
import pytest

from bellwire.calibration.estimates.attempt_of_pairs import PairTotals, attempt_probability
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse
from bellwire.core.pair_sources import midpoint_source
from tests.calibration.estimates.coverage import Draw, assert_draws_cover

NONE = Quantity(0.0, 0.0)


def totals(coincidences: int, first: int, second: int) -> PairTotals:
    return PairTotals(
        coincidences=coincidences, accidentals=NONE, singles=(first, second), dark_singles=(NONE, NONE)
    )


def test_a_weak_source_gives_the_product_of_pairs_and_both_efficiencies() -> None:
    """1e6 pairs, efficiencies 0.2 and 0.3: of 1e-6 pairs in an attempt, 6e-8 reach both."""
    found = attempt_probability(totals(60_000, 200_000, 300_000), 1e-6)
    assert found.value == pytest.approx(6e-8, rel=1e-5)


def test_a_bright_source_is_planned_with_all_its_pairs() -> None:
    found = attempt_probability(totals(60_000, 200_000, 300_000), 0.2)
    by_model = midpoint_source(0.2, 0.2, 0.3, 0.0, 0.0, 0.0).success_probability
    assert found.value == pytest.approx(by_model)
    assert found.value > 1.1 * 0.2 * 0.06


def test_stated_intervals_hold_the_truth_as_often_as_promised() -> None:
    """400 draws of sources, efficiencies, darks and accidentals. False alarms: coverage.py."""
    chance = np.random.default_rng(77)

    def draw() -> Draw:
        pairs = chance.uniform(2e4, 2e5)
        one, other = chance.uniform(0.05, 0.6, 2)
        both = int(chance.poisson(pairs * one * other))
        firsts = both + int(chance.poisson(pairs * one * (1.0 - other)))
        seconds = both + int(chance.poisson(pairs * other * (1.0 - one)))
        dark_hz, accidental = chance.uniform(100.0, 1000.0), chance.uniform(5.0, 200.0)
        beside = int(chance.poisson(40.0 * accidental))
        told = PairTotals(
            coincidences=both + int(chance.poisson(accidental)),
            accidentals=Quantity(beside / 40.0, np.sqrt(beside) / 40.0),
            singles=(firsts + int(chance.poisson(dark_hz)), seconds + int(chance.poisson(dark_hz))),
            dark_singles=(
                Quantity(chance.normal(dark_hz, 10.0), 10.0),
                Quantity(chance.normal(dark_hz, 10.0), 10.0),
            ),
        )
        return {
            "probability": (
                attempt_probability(told, 0.02),
                midpoint_source(0.02, one, other, 0.0, 0.0, 0.0).success_probability,
            )
        }

    assert_draws_cover(draw, 400)


@pytest.mark.parametrize(("both", "first", "second"), [(0, 10, 10), (20, 10, 30)])
def test_counts_that_no_pairs_leave_say_nothing(both: int, first: int, second: int) -> None:
    with pytest.raises(NoEstimate, match="no efficiency"):
        attempt_probability(totals(both, first, second), 0.02)


def test_an_attempt_without_pairs_is_refused() -> None:
    with pytest.raises(LocalMisuse):
        attempt_probability(totals(10, 100, 100), 0.0)
