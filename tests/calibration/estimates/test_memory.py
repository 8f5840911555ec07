"""Lifetimes of memories from decays of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.memory import Decay, lifetime_from_counts, lifetime_from_fidelities
from bellwire.core.bell import dephase, werner
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Draw, assert_draws_cover, failed

TIMES = np.linspace(0.0, 100.0, 11)
POWER = {Decay.EXPONENTIAL: 1, Decay.GAUSSIAN: 2}


@pytest.mark.parametrize("decay", list(Decay))
def test_lifetimes_are_covered(decay: Decay) -> None:
    """200 draws of counts in one basis, lifetimes of 0.2 to 1.5 of the longest storage."""
    chance = np.random.default_rng(161)

    def draw() -> Draw:
        lifetime, height, total = (
            chance.uniform(20.0, 150.0),
            chance.uniform(0.3, 0.49),
            int(chance.integers(200, 2000)),
        )
        right = chance.binomial(total, 0.5 + height * np.exp(-((TIMES / lifetime) ** POWER[decay])))
        found = lifetime_from_counts(TIMES, right, np.full(11, total), decays=(decay,))
        return {"lifetime": (found.lifetime, lifetime), "start": (found.start, 0.5 + height)}

    assert_draws_cover(draw, 200)


@pytest.mark.parametrize("decay", list(Decay))
def test_the_counts_tell_which_decay_it_is(decay: Decay) -> None:
    chance = np.random.default_rng(162)
    right = chance.binomial(5000, 0.5 + 0.47 * np.exp(-((TIMES / 50.0) ** POWER[decay])))
    found = lifetime_from_counts(TIMES, right, np.full(11, 5000))
    assert found.decay is decay
    assert not failed(found.checks(40.0))
    assert failed(found.checks(70.0)) == {"memory lifetime"}


def test_fidelities_of_a_dephased_pair_give_its_coherence_time() -> None:
    """Pure dephasing of bell.py, F = 1/2 + (F0 - 1/2) exp(-t/T2) for a state without X errors."""
    truth = [dephase((0.94, 0.06, 0.0, 0.0), float(t) + 1e-9, 60.0)[0] for t in TIMES]
    found = lifetime_from_fidelities(TIMES, truth, np.full(11, 0.01), floor=0.5, decays=(Decay.EXPONENTIAL,))
    assert found.lifetime.value == pytest.approx(60.0, rel=1e-4)
    assert found.start.value == pytest.approx(0.94, rel=1e-4)
    assert werner(0.25)[0] == 0.25  # the floor of a pair that is mixed fully


def test_outcomes_read_with_the_wrong_sign_are_refused() -> None:
    right = np.random.default_rng(163).binomial(1000, 0.5 - 0.45 * np.exp(-TIMES / 50.0))
    with pytest.raises(NoEstimate, match="above the floor"):
        lifetime_from_counts(TIMES[:6], right[:6] - 20, np.full(6, 1000))


def test_a_decay_that_was_hardly_seen_is_not_a_lifetime() -> None:
    """A lifetime of 8 longest storages: 3 % are lost, 4 sigma of these counts."""
    chance = np.random.default_rng(164)
    right = chance.binomial(2000, 0.5 + 0.48 * np.exp(-TIMES / 800.0))
    found = lifetime_from_counts(TIMES, right, np.full(11, 2000), decays=(Decay.EXPONENTIAL,))
    assert failed(found.checks(10.0)) == {"lifetime over the longest storage"}
    assert found.lifetime.interval[0] > 300.0


def test_no_decay_at_all_is_said_with_the_lifetime_it_excludes() -> None:
    flat = 900 + 4 * np.array([0, 1, -2, 2, 0, -1, 1, 2, -2, 1, 2])
    with pytest.raises(NoEstimate, match=r"no decay within 100 us, the lifetime is above \d+"):
        lifetime_from_counts(TIMES, flat, np.full(11, 1000))


def test_more_right_outcomes_than_all_are_misuse() -> None:
    with pytest.raises(LocalMisuse, match="right ones"):
        lifetime_from_counts(TIMES, np.full(11, 12), np.full(11, 10))
