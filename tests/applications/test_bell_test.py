"""The CHSH value: closed forms, an independent package, frames, and honest errors."""

import random
from math import sqrt

import numpy as np
import pytest
import qutip

from bellwire.applications.bell_test import (
    SETTINGS,
    Trial,
    bell_test,
    contrast_of,
    expected_product,
    expected_value,
)
from bellwire.core.bases import AXES
from bellwire.core.bell import Bell, werner

PAULIS = (qutip.qeye(2), qutip.sigmaz(), qutip.sigmax(), qutip.sigmay())
STATES: tuple[Bell, ...] = (
    (0.9, 0.05, 0.03, 0.02),
    (0.6, 0.1, 0.25, 0.05),
    werner(0.93),
    (1.0, 0.0, 0.0, 0.0),
)


def density(state: Bell, frame: int) -> qutip.Qobj:
    """Bell-diagonal state relative to a frame, as the package makes it: Paulis on one qubit of Phi+."""
    phi = qutip.bell_state("00")
    turned = [qutip.tensor(qutip.qeye(2), PAULIS[index ^ frame]) * phi for index in range(4)]
    return sum(weight * qutip.ket2dm(ket) for weight, ket in zip(state, turned, strict=True))


def observable(basis: str) -> qutip.Qobj:
    x, y, z = AXES[basis]
    return x * qutip.sigmax() + y * qutip.sigmay() + z * qutip.sigmaz()


def sample(state: Bell, count: int, seed: int) -> list[Trial]:
    """Pairs of all frames, measured as the package says."""
    chance = random.Random(seed)
    agreeing = {
        (one, other, frame): (
            1.0 + qutip.expect(qutip.tensor(observable(one), observable(other)), density(state, frame))
        )
        / 2.0
        for one, other in SETTINGS
        for frame in range(4)
    }
    trials: list[Trial] = []
    for _ in range(count):
        (one, other), frame, bit = chance.choice(SETTINGS), chance.randrange(4), chance.randrange(2)
        same = chance.random() < agreeing[one, other, frame]
        trials.append(Trial(one, other, bit, bit if same else 1 - bit, frame))
    return trials


@pytest.mark.parametrize("state", STATES)
def test_expected_products_are_those_of_the_package(state: Bell) -> None:
    for one, other in SETTINGS:
        product = qutip.tensor(observable(one), observable(other))
        assert expected_product(one, other, state) == pytest.approx(
            qutip.expect(product, density(state, 0)), abs=1e-12
        )


def test_the_value_of_a_werner_state_is_its_closed_form() -> None:
    """S = 2 sqrt 2 (4 F - 1) / 3, and 2 sqrt 2 for a perfect pair."""
    assert expected_value((1.0, 0.0, 0.0, 0.0)) == pytest.approx(2.0 * sqrt(2.0), abs=1e-12)
    for fidelity in (0.7, 0.85, 0.97):
        wanted = 2.0 * sqrt(2.0) * (4.0 * fidelity - 1.0) / 3.0
        assert expected_value(werner(fidelity)) == pytest.approx(wanted, abs=1e-12)
    contrast = contrast_of((0.99, 0.98), other_gate=0.999)
    assert contrast == pytest.approx(0.98 * 0.96 * 0.999, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("state", STATES[:3])
def test_pairs_of_all_frames_give_the_expected_value_within_the_error(state: Bell, seed: int) -> None:
    """4000 pairs, twelve cases, five standard errors: false alarm 7e-6 for the whole test."""
    found = bell_test(sample(state, 4000, seed))
    assert found is not None
    assert abs(found.value - expected_value(state)) < 5.0 * found.error
    assert found.error == pytest.approx(sqrt(4.0 * (1.0 - (found.value / 4.0) ** 2) / 1000.0), rel=0.1)


def test_the_spread_of_the_value_over_many_samples_is_the_error_that_is_told() -> None:
    """300 samples: the standard deviation of deviations in units of the error is 1 +- 5 / sqrt(600), false
    alarm 6e-7."""
    state = STATES[0]
    pulls = []
    for seed in range(300):
        found = bell_test(sample(state, 400, seed))
        assert found is not None
        pulls.append((found.value - expected_value(state)) / found.error)
    assert abs(float(np.std(pulls)) - 1.0) < 5.0 / sqrt(600.0)


def test_a_wrong_frame_spoils_the_value() -> None:
    trials = [trial._replace(frame=trial.frame ^ 2) for trial in sample(STATES[3], 2000, 0)]
    found = bell_test(trials)
    assert found is not None
    assert found.value < 1.0


def test_pairs_that_all_agree_are_not_known_without_error() -> None:
    trials = [
        Trial(one, other, 0, 0 if (one, other) != ("X", "Z-45") else 1, 0)
        for one, other in SETTINGS
        for _ in range(2)
    ]
    found = bell_test(trials)
    assert found is not None
    assert found.value == 4.0
    assert found.error > 1.0


def test_too_few_pairs_and_pairs_of_another_test_give_no_value() -> None:
    assert bell_test([Trial("X", "Z+45", 0, 0, 0)]) is None
    assert bell_test([*sample(STATES[3], 100, 0), Trial("Z", "Z", 0, 0, 0)]) is None
