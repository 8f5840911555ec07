"""Bits of test rounds against density matrices: the parity of a Bell state, and what noise leaves of it."""

from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.core.bell import Bell, decay_rates, eigenvalues
from bellwire.link_layer.estimation.beliefs import (
    CALIBRATION_HALF_LIFE_NS,
    FLAT,
    Belief,
    Calibration,
    calibrated,
    fidelity_in,
    physical,
    updated,
)
from bellwire.link_layer.estimation.counts import BASES, Counts, Tally, contrast, expected_parity
from bellwire.link_layer.estimation.selection import check_basis

Matrix = NDArray[np.complex128]

I2 = np.eye(2, dtype=np.complex128)
SIGMA: dict[str, Matrix] = {
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}
PAULIS = (I2, SIGMA["Z"], SIGMA["X"], SIGMA["Y"])


def bell_projector(index: int) -> Matrix:
    """Phi+ with Pauli `index` on the first qubit."""
    phi = np.array([1, 0, 0, 1], dtype=np.complex128) / np.sqrt(2.0)
    state = np.kron(PAULIS[index], I2) @ phi
    return np.outer(state, state.conj())


def relaxed(rho: Matrix, qubit: int, t_ns: float, t1_ns: float, t2_ns: float) -> Matrix:
    """T1/T2 as a Pauli channel (twirled, algorithms.md 11.5), Kraus operator by Kraus operator."""
    flip = (1.0 - np.exp(-t_ns / t1_ns)) / 4.0
    phase = (1.0 - np.exp(-t_ns / t2_ns)) / 2.0 - flip
    weights = (1.0 - 2.0 * flip - phase, phase, flip, flip)
    found = np.zeros((4, 4), dtype=np.complex128)
    for weight, pauli in zip(weights, PAULIS, strict=True):
        operator = np.kron(pauli, I2) if qubit == 0 else np.kron(I2, pauli)
        found += weight * operator @ rho @ operator.conj().T
    return found


def parity_chance(rho: Matrix, basis: str, readout: tuple[float, float]) -> float:
    """Probability that the XOR of the two reported bits is 1."""
    odd = 0.0
    for one in (0, 1):
        for two in (0, 1):
            effects = []
            for bit, right in zip((one, two), readout, strict=True):
                up = (I2 + SIGMA[basis]) / 2.0
                effects.append(
                    right * up + (1 - right) * (I2 - up) if bit == 0 else right * (I2 - up) + (1 - right) * up
                )
            if one ^ two:
                odd += float(np.trace(reduce(np.kron, effects) @ rho).real)
    return odd


@pytest.mark.parametrize("frame", range(4))
@pytest.mark.parametrize("basis", range(3))
def test_a_perfect_bell_state_never_gives_an_error_in_any_basis(frame: int, basis: int) -> None:
    odd = parity_chance(bell_projector(frame), BASES[basis], (1.0, 1.0))
    assert odd == pytest.approx(float(expected_parity(frame, basis)), abs=1e-12)


@pytest.mark.parametrize("frame", range(4))
@pytest.mark.parametrize("basis", range(3))
def test_the_chance_of_an_error_is_that_of_the_density_matrix(frame: int, basis: int) -> None:
    """An asymmetric state whose halves waited for different times in memories of bad readout."""
    relative: Bell = (0.8, 0.1, 0.07, 0.03)
    readout, waited = (0.97, 0.93), (2_000_000, 5_000_000)
    t1, t2 = (40_000_000, 30_000_000), (9_000_000, 20_000_000)
    rho = sum(relative[index] * bell_projector(index ^ frame) for index in range(4))
    assert isinstance(rho, np.ndarray)
    for qubit in (0, 1):
        rho = relaxed(rho, qubit, waited[qubit], t1[qubit], t2[qubit])
    odd = parity_chance(rho, BASES[basis], readout)
    error = 1.0 - odd if expected_parity(frame, basis) else odd

    rates = (decay_rates(t1[0], t2[0], None), decay_rates(t1[1], t2[1], None))
    left = contrast(basis, rates, waited, readout)
    assert error == pytest.approx((1.0 - eigenvalues(relative)[basis] * left) / 2.0, abs=1e-9)


def test_a_clock_that_stepped_back_ages_nothing() -> None:
    rates = (decay_rates(10_000, 10_000, None),) * 2
    assert contrast(0, rates, (-500, 0), (1.0, 1.0)) == 1.0


def test_the_best_guess_is_the_mean_of_the_beta_posterior() -> None:
    belief = Belief((0.9, 0.8, 0.9), 60.0)
    counts = Counts()
    for basis, errors in enumerate((3, 9, 0)):
        for test in range(40):
            counts.add(basis, test < errors, 1.0)
    for value, found, errors in zip(belief.values, updated(belief, counts), (3, 9, 0), strict=True):
        # Beta(60 e, 60 (1 - e)) and 40 tests.
        assert (1.0 - found) / 2.0 == pytest.approx((60.0 * (1.0 - value) / 2.0 + errors) / 100.0)
    flat = updated(FLAT, counts)
    assert (1.0 - flat[0]) / 2.0 == pytest.approx(4.0 / 42.0)  # Laplace's rule


def test_with_less_contrast_the_guess_converges_to_the_true_eigenvalue() -> None:
    """10 000 tests at contrast 0.6; the standard error of the eigenvalue is near 0.014."""
    counts = Counts()
    errors = np.random.default_rng(3).random(10_000) < (1.0 - 0.8 * 0.6) / 2.0
    for error in errors.tolist():
        counts.add(1, error, 0.6)
    assert updated(FLAT, counts)[1] == pytest.approx(0.8, abs=4 * 0.0147)


def test_an_estimate_outside_the_tetrahedron_becomes_a_state_of_the_same_fidelity() -> None:
    values = (0.99, 0.80, 0.99)  # <XX> and <YY> near 1 force <ZZ> near 1
    state = physical(values)
    assert min(state) >= 0.0
    assert sum(state) == pytest.approx(1.0)
    assert state[0] == pytest.approx(fidelity_in(values))
    assert physical((1.0, 1.0, 1.0)) == (1.0, 0.0, 0.0, 0.0)


def test_a_calibration_replaces_the_table_and_fades_with_age() -> None:
    table = Belief((0.96, 0.96, 0.96), 60.0)  # F = 0.97
    fresh = calibrated(table, 0.0, Calibration(0.91, 0.002, 0), 0)
    assert fidelity_in(fresh.values) == pytest.approx(0.91, abs=5e-4)
    old = calibrated(table, 0.0, Calibration(0.91, 0.002, 0), 24 * CALIBRATION_HALF_LIFE_NS)
    assert fidelity_in(old.values) == pytest.approx(0.97, abs=5e-4)
    rough = calibrated(table, 0.0, Calibration(0.91, 0.03, 0), 0)
    assert 0.91 < fidelity_in(rough.values) < 0.97


def test_a_calibrations_worth_is_the_tests_that_would_give_its_error() -> None:
    """Variance of F from n tests in each basis: sum of e (1 - e)/n over 4."""
    found = calibrated(Belief((0.8, 0.8, 0.8), 1e-9), 0.0, Calibration(0.85, 0.01, 0), 0)
    variance = sum((1.0 - value**2) / 4.0 / found.worth for value in found.values) / 4.0
    assert variance**0.5 == pytest.approx(0.01, rel=1e-6)


def test_halving_flatters_no_link_and_keeps_the_contrast() -> None:
    tally = Tally()
    for test in range(9):
        tally.add(2, 0, test < 3, 0.5)
    tally.halve()
    one = tally.by_frame[2].bases[0]
    assert (one.tests, one.errors, one.contrast) == (5, 2, 0.5)


def test_tests_are_their_share_of_all_pairs_and_equally_many_in_each_basis() -> None:
    """50 000 pairs: 5 standard errors, false alarm 2e-6 for each of six figures."""
    pairs = 50_000
    found = [check_basis("a-b", 7, attempt, attempt % 3, 6554) for attempt in range(pairs)]
    share = 6554 / 65536
    tests = [basis for basis in found if basis is not None]
    assert abs(len(tests) - share * pairs) < 5.0 * (pairs * share * (1 - share)) ** 0.5
    for basis in range(3):
        assert abs(tests.count(basis) - len(tests) / 3) < 5.0 * (len(tests) * 2 / 9) ** 0.5
    assert not any(check_basis("a-b", 7, attempt, 0, 0) is not None for attempt in range(1000))
    assert all(check_basis("a-b", 7, attempt, 0, 65536) is not None for attempt in range(1000))


def test_which_pairs_are_tests_follows_from_every_part_of_their_name() -> None:
    names = [("a-b", 7, 100, 0), ("a-c", 7, 100, 0), ("a-b", 8, 100, 0), ("a-b", 7, 100, 1)]

    def pattern(link: str, run: int, first: int, lane: int) -> list[int | None]:
        return [check_basis(link, run, first + step, lane, 32768) for step in range(64)]

    assert len({tuple(pattern(*name)) for name in names}) == len(names)
    assert pattern(*names[0]) == pattern(*names[0])
