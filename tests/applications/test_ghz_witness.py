"""The GHZ witness: the projector, the bound, frames and errors."""

import random

import numpy as np
import pytest
import qutip

from bellwire.applications.ghz_witness import (
    Trial,
    expected_fidelity,
    settings_of,
    witness,
)
from bellwire.core.errors import ConfigError

MATRICES = {"X": qutip.sigmax(), "Y": qutip.sigmay(), "Z": qutip.sigmaz()}
PAULIS = (qutip.qeye(2), qutip.sigmaz(), qutip.sigmax(), qutip.sigmay())


def ghz(size: int) -> qutip.Qobj:
    return qutip.ket2dm(qutip.ghz_state(size))


def noisy(size: int, share: float) -> qutip.Qobj:
    return share * ghz(size) + (1.0 - share) * qutip.tensor([qutip.qeye(2)] * size) / 2**size


def sample(state: qutip.Qobj, size: int, count: int, seed: int, frames: bool = False) -> list[Trial]:
    """States measured one after the other in the settings of the witness, drawn as the package says."""
    chance = random.Random(seed)
    settings = settings_of(size)
    drawn: dict[tuple[tuple[str, ...], tuple[int, ...]], tuple[list[tuple[int, ...]], list[float]]] = {}
    trials: list[Trial] = []
    for number in range(count):
        setting = settings[number % len(settings)]
        turned = (0, *(chance.randrange(4) if frames else 0 for _ in range(size - 1)))
        if (setting, turned) not in drawn:
            gates = qutip.tensor([PAULIS[one] for one in turned])
            rho = gates * state * gates.dag()
            outcomes, weights = [], []
            for index in range(1 << size):
                bits = tuple(index >> place & 1 for place in range(size))
                projector = qutip.tensor(
                    [
                        (qutip.qeye(2) + (1 - 2 * bit) * MATRICES[basis]) / 2
                        for bit, basis in zip(bits, setting, strict=True)
                    ]
                )
                outcomes.append(bits)
                weights.append(max(0.0, float(np.real((projector * rho).tr()))))
            drawn[setting, turned] = outcomes, weights
        outcomes, weights = drawn[setting, turned]
        trials.append(Trial(setting, chance.choices(outcomes, weights)[0], turned))
    return trials


@pytest.mark.parametrize("size", [3, 4, 5])
def test_the_expected_fidelity_is_that_of_the_package(size: int) -> None:
    for share in (1.0, 0.8, 0.3):
        state = noisy(size, share)
        assert expected_fidelity(state.full(), [1.0] * size) == pytest.approx(
            qutip.fidelity(state, qutip.ghz_state(size)) ** 2, abs=1e-6
        )


def test_readout_errors_lower_products_by_the_contrast_of_each_bit() -> None:
    """Three members of readout r on a perfect state: F = 1/8 + 3/8 c**2 + 1/2 c**3 with c = 2 r - 1."""
    contrast = 0.98
    wanted = 1 / 8 + 3 / 8 * contrast**2 + 1 / 2 * contrast**3
    assert expected_fidelity(ghz(3).full(), [0.99] * 3) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("size", "share"), [(3, 0.9), (3, 0.5), (4, 0.8)])
def test_the_fidelity_of_a_sample_is_right_within_its_error(size: int, share: float, seed: int) -> None:
    """2000 states of any frames, twelve cases, five standard errors: false alarm 7e-6 for the whole test."""
    found = witness(sample(noisy(size, share), size, 2000, seed, frames=True), size)
    assert found is not None
    wanted = share + (1.0 - share) / 2**size
    assert abs(found.fidelity - wanted) < 5.0 * found.error
    assert found.value == pytest.approx(0.5 - found.fidelity)


def test_a_state_of_two_and_one_does_not_pass_the_bound() -> None:
    """|+> beside a Bell pair is nearest to GHZ of all states without entanglement of three: F = 1/2."""
    state = qutip.tensor(qutip.ket2dm((qutip.basis(2, 0) + qutip.basis(2, 1)).unit()), ghz(2))
    found = witness(sample(state, 3, 4000, 7), 3)
    assert found is not None
    assert found.fidelity < 0.5 + 5.0 * found.error


def test_a_wrong_frame_spoils_the_fidelity() -> None:
    trials = [trial._replace(frames=(0, 1, 0)) for trial in sample(ghz(3), 3, 400, 1)]
    found = witness(trials, 3)
    assert found is not None
    assert found.fidelity < 0.1


def test_two_members_and_a_crowd_have_no_settings() -> None:
    for size in (2, 7):
        with pytest.raises(ConfigError, match="3 to 6"):
            settings_of(size)
    assert witness(sample(ghz(3), 3, 6, 0), 3) is None
