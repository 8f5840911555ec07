"""Pairs of entangled photons in arms of unlike detectors, where sums over the arms are wrong.

False alarms: coverage.py; seeds fixed. The bias of the mean is told at 4 standard errors (6e-5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.estimates.pair_rate import ArmClicks, PairClicks, PairRate, pair_rate
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Draw, assert_draws_cover

BASES = ((0, 1), (2, 3))
WINDOWS = 40
DARK_S = 4.0
AGREE = np.array([[0.49, 0.01], [0.01, 0.49]])
EVEN = np.full((2, 2), 0.25)


@dataclass(frozen=True)
class World:
    """`first`, `second`: chance of a click of each detector by a photon of its polarisation, the choice of
    the basis included.
    """

    rate: float = 2e5
    first: tuple[float, ...] = (0.10, 0.055, 0.03, 0.05)
    second: tuple[float, ...] = (0.04, 0.09, 0.08, 0.05)
    dark: float = 400.0
    dead_s: float = 60e-9
    window_s: float = 1e-9
    seconds: float = 4.0

    def joint(self) -> Floats:
        """(4, 4): a Bell state, each basis by itself adding up to 1."""
        return np.block([[AGREE, EVEN], [EVEN, AGREE]])

    def clicks(self, chance: np.random.Generator) -> PairClicks:
        t, first, second = self.seconds, np.array(self.first), np.array(self.second)
        live = [1.0 / (1.0 + self.dead_s * (self.rate * each / 2 + self.dark)) for each in (first, second)]
        mean = t * self.rate * np.outer(first * live[0], second * live[1]) * self.joint()
        both = chance.poisson(mean).astype(np.float64)
        alone = [
            t * (self.rate * each / 2 + self.dark) * up - mean.sum(axis=axis)
            for each, up, axis in ((first, live[0], 1), (second, live[1], 0))
        ]
        singles = [
            both.sum(axis=axis) + chance.poisson(rest) for rest, axis in zip(alone, (1, 0), strict=True)
        ]
        beside = np.outer(*singles) * self.window_s / t
        darks = [
            tuple(poisson_rate(int(chance.poisson(self.dark * DARK_S)), DARK_S) for _ in range(4))
            for _ in range(2)
        ]
        dead = np.full(4, self.dead_s)
        return PairClicks(
            t,
            ArmClicks(singles[0], darks[0], dead, BASES),
            ArmClicks(singles[1], darks[1], dead, BASES),
            both + chance.poisson(beside),
            chance.poisson(WINDOWS * beside).astype(np.float64),
            WINDOWS,
        )

    def truth(self) -> dict[str, float]:
        found = {
            "rate": self.rate,
            "heralding_first": sum(self.first) / 2,
            "heralding_second": sum(self.second) / 2,
        }
        found |= {f"first.{index}": value for index, value in enumerate(self.first)}
        return found | {f"second.{index}": value for index, value in enumerate(self.second)}


def drawn(world: World, chance: np.random.Generator) -> Draw:
    found = pair_rate(world.clicks(chance))
    quantities = {
        "rate": found.rate,
        "heralding_first": found.heralding_first,
        "heralding_second": found.heralding_second,
    }
    quantities |= {f"first.{index}": one for index, one in enumerate(found.first)}
    quantities |= {f"second.{index}": one for index, one in enumerate(found.second)}
    return {name: (one, world.truth()[name]) for name, one in quantities.items()}


@pytest.mark.parametrize("world", [World(), World(seconds=0.05, dark=2000.0), World(dead_s=1e-6)])
def test_pairs_and_shares_are_covered_whatever_the_detectors(world: World) -> None:
    chance = np.random.default_rng(11)
    assert_draws_cover(lambda: drawn(world, chance), 400)


def test_unlike_detectors_leave_no_bias_that_the_sums_of_the_arms_have() -> None:
    chance, world = np.random.default_rng(5), World()
    rates, sums = [], []
    for _ in range(200):
        counted = world.clicks(chance)
        rates.append(pair_rate(counted).rate.value)
        net = float((counted.coincidences - counted.off_peak / WINDOWS).sum())
        singles = [
            float(arm.clicks.sum()) - 4 * world.dark * world.seconds
            for arm in (counted.first, counted.second)
        ]
        sums.append(singles[0] * singles[1] / net / world.seconds)
    error = float(np.std(rates)) / np.sqrt(len(rates))
    assert abs(np.mean(rates) - world.rate) < 4.0 * error
    assert abs(np.mean(sums) - world.rate) > 20.0 * error


def test_a_single_detector_in_each_arm_is_the_known_ratio() -> None:
    arms = [
        ArmClicks(np.array([each]), (poisson_rate(100, 10.0),), np.zeros(1), ((0,),))
        for each in (21_000.0, 31_000.0)
    ]
    found = pair_rate(PairClicks(2.0, arms[0], arms[1], np.array([[3_000.0]]), np.array([[4_000.0]]), 40))
    assert found.rate.value == pytest.approx((10_500 - 10) * (15_500 - 10) / (2_900 / 2))
    assert found.first[0].value == found.heralding_first.value == pytest.approx(1_450 / 15_490)


def test_what_cannot_be_told_is_refused() -> None:
    counted = World().clicks(np.random.default_rng(1))
    with pytest.raises(NoEstimate, match="no pairs"):
        pair_rate(replace(counted, coincidences=np.zeros((4, 4))))
    dark = tuple(poisson_rate(10**6, 1.0) for _ in range(4))
    with pytest.raises(NoEstimate, match="do not exceed the darks"):
        pair_rate(replace(counted, first=replace(counted.first, darks=dark)))
    with pytest.raises(LocalMisuse, match="each in one set"):
        replace(counted.first, sets=((0, 1), (1, 2, 3)))
    with pytest.raises(LocalMisuse, match="4 by 4"):
        pair_rate(replace(counted, coincidences=np.zeros((4, 3))))


def test_the_result_names_every_detector() -> None:
    found = pair_rate(World().clicks(np.random.default_rng(2)))
    assert isinstance(found, PairRate)
    assert (len(found.first), len(found.second)) == (4, 4)
