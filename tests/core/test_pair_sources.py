"""Sender-receiver links and midpoint sources against algorithms.md 11.4 and an independent photon count.

The photon count knows nothing of the closed forms: it adds up number states of the source, photon by photon,
with threshold detectors behind lossy arms.
"""

from math import exp, expm1

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.core.pair_sources import midpoint_source, sender_receiver
from bellwire.core.photonics import HeraldPhysics


def error_rate(physics: HeraldPhysics) -> float:
    """E of a Werner-like state: w = 1 - 2E, F = (1 + 3w)/4."""
    return (1.0 - (4.0 * physics.fidelity - 1.0) / 3.0) / 2.0


@pytest.mark.parametrize(
    ("lam", "eta", "gain", "error", "gain_digit"),
    [
        (0.05, 0.1, 0.00111835455, 0.0395936061, 6e-12),
        (0.05, 0.9, 0.076434031, 0.0145522033, 6e-10),
        (0.2, 0.01, 6.33341098e-5, 0.1240647357, 6e-14),
    ],
)
def test_a_midpoint_source_gives_the_published_gain_and_error(
    lam: float, eta: float, gain: float, error: float, gain_digit: float
) -> None:
    physics = midpoint_source(2 * lam, eta, eta, 0.0, 0.0, 0.0)
    assert physics.success_probability == pytest.approx(gain, abs=gain_digit)
    assert error_rate(physics) == pytest.approx(error, abs=6e-11)


def counted(
    lam: float, eta: tuple[float, float], background: tuple[float, float], wrong: float, photons: int
) -> tuple[float, float]:
    """(gain, gain times error) of the SPDC state, by number states up to `photons` pairs.

    n pairs come with (n+1) lam^n/(1+lam)^(n+2), spread evenly over m = 0..n vertical photons of the first
    arm, whose partners of the second arm are polarised the other way. A memory heralds when any photon or its
    background does; its bit is the polarisation seen, a coin when both or none were; `wrong` of the bits
    of true photons are turned.
    """
    gain = wrong_gain = 0.0
    for n in range(photons + 1):
        weight = exp(np.log(lam) * n - np.log1p(lam) * (n + 2))  # (n+1) of the law cancels the even spread
        for m in range(n + 1):
            heralds, bias = [], []
            for arm, (h, v) in enumerate(((n - m, m), (m, n - m))):
                dark_h, dark_v = (1.0 - eta[arm]) ** h, (1.0 - eta[arm]) ** v
                heralds.append(1.0 - (1.0 - background[arm]) * dark_h * dark_v)
                bias.append((1.0 - dark_h) * dark_v - dark_h * (1.0 - dark_v))
            gain += weight * heralds[0] * heralds[1]
            alike = (1.0 - 2.0 * wrong) * bias[0] * bias[1]  # P(same bit) - P(other bit)
            wrong_gain += weight * (heralds[0] * heralds[1] + alike) / 2.0
    return gain, wrong_gain


@pytest.mark.parametrize("lam", [1e-3, 0.05, 0.4])
@pytest.mark.parametrize("eta", [(0.3, 0.3), (0.05, 0.6), (1.0, 0.2)])
@pytest.mark.parametrize(("background", "wrong"), [((0.0, 0.0), 0.0), ((1e-4, 3e-3), 0.02)])
def test_gain_and_error_are_the_sum_over_number_states(
    lam: float, eta: tuple[float, float], background: tuple[float, float], wrong: float
) -> None:
    gain, wrong_gain = counted(lam, eta, background, wrong, photons=60)
    physics = midpoint_source(2 * lam, *eta, *background, wrong)
    assert physics.success_probability == pytest.approx(gain, rel=1e-10)
    assert error_rate(physics) == pytest.approx(wrong_gain / gain, rel=1e-8, abs=1e-12)


def test_a_weak_source_behind_weak_arms_has_the_error_of_double_pairs() -> None:
    """Small eta, no background: E = lam/(1 + 3 lam), 1 - 2E = (1 + lam)/(1 + 3 lam)."""
    for lam in (0.01, 0.1, 0.5):
        physics = midpoint_source(2 * lam, 1e-6, 1e-6, 0.0, 0.0, 0.0)
        assert error_rate(physics) == pytest.approx(lam / (1 + 3 * lam), rel=1e-5)
        w = (1 + lam) / (1 + 3 * lam)
        assert physics.fidelity == pytest.approx((1 + 3 * w) / 4, rel=1e-5)


@given(st.floats(1e-9, 1e-4), st.floats(1e-9, 1e-4), st.floats(1e-9, 1e-4))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_rare_heralds_keep_their_digits(lam: float, eta_a: float, eta_b: float) -> None:
    """Q -> 2 lam eta_a eta_b (1 + 3 lam) at small numbers; written as in 11.4 it would be rounding noise."""
    physics = midpoint_source(2 * lam, eta_a, eta_b, 0.0, 0.0, 0.0)
    leading = 2 * lam * eta_a * eta_b * (1 + 3 * lam)
    assert physics.success_probability == pytest.approx(leading, rel=1e-3)
    assert error_rate(physics) == pytest.approx(lam / (1 + 3 * lam), rel=1e-3, abs=1e-9)


def test_backgrounds_alone_leave_a_mixed_state() -> None:
    physics = midpoint_source(0.1, 0.0, 0.0, 0.01, 0.02, 0.0)
    assert physics.success_probability == pytest.approx(0.01 * 0.02, rel=1e-12)
    assert physics.outcomes[0].state == pytest.approx((0.25, 0.25, 0.25, 0.25), abs=1e-15)


def test_without_dark_counts_a_sender_is_heard_with_the_published_probability() -> None:
    """p = p_g exp(-d/L_att) eta_det, at the defaults of 0.2 over 10 km."""
    signal = 0.33 * exp(-10 / 20) * 0.4
    physics = sender_receiver(signal, 0.0, 0.97)
    assert physics.success_probability == signal
    assert physics.fidelity == pytest.approx(0.97, abs=1e-15)


@pytest.mark.parametrize(("signal", "dark"), [(0.3, 0.01), (1e-3, 1e-3), (0.0, 0.2), (1.0, 0.1)])
def test_a_dark_herald_leaves_qubits_that_know_nothing_of_each_other(signal: float, dark: float) -> None:
    """Density matrices: a Psi+ pair where the photon came; elsewhere the sender's half is mixed (its photon
    is lost) and the receiver's is whatever it was prepared in, here |0>."""
    psi = np.array([0, 1, 1, 0]) / np.sqrt(2)
    pair = 0.95 * np.outer(psi, psi) + 0.05 * (np.eye(4) - np.outer(psi, psi)) / 3
    alone = np.kron(np.eye(2) / 2, np.diag([1.0, 0.0]))
    rho = signal * pair + (1 - signal) * dark * alone
    bell = [
        np.array(vector) / np.sqrt(2) for vector in ([1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0])
    ]
    physics = sender_receiver(signal, dark, 0.95)
    assert physics.success_probability == pytest.approx(np.trace(rho), rel=1e-14)
    state = [vector @ rho @ vector / np.trace(rho) for vector in bell]
    assert physics.outcomes[0].state == pytest.approx(state, abs=1e-14)


def test_both_have_one_code() -> None:
    for physics in (sender_receiver(0.1, 1e-3, 0.98), midpoint_source(0.1, 0.2, 0.1, 1e-5, 1e-5, 0.01)):
        (outcome,) = physics.outcomes
        assert (outcome.code, outcome.share) == (1, 1.0)
        assert outcome.state[2] == max(outcome.state) == physics.fidelity
        assert sum(outcome.state) == pytest.approx(1.0, abs=1e-15)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(LocalMisuse, match=r"signal_probability = 1\.2"):
        sender_receiver(1.2, 0.0, 0.9)
    with pytest.raises(LocalMisuse, match=r"intrinsic_fidelity = 0\.2"):
        sender_receiver(0.1, 0.0, 0.2)
    with pytest.raises(LocalMisuse, match="never herald"):
        sender_receiver(0.0, 0.0, 0.9)
    with pytest.raises(LocalMisuse, match="mean_pair_number = 0"):
        midpoint_source(0.0, 0.1, 0.1, 0.0, 0.0, 0.0)
    with pytest.raises(LocalMisuse, match=r"intrinsic_error = 0\.6"):
        midpoint_source(0.1, 0.1, 0.1, 0.0, 0.0, 0.6)
    with pytest.raises(LocalMisuse, match="never herald"):
        midpoint_source(0.1, 0.0, 0.1, 0.0, 0.0, 0.0)


def test_the_gain_never_exceeds_either_memory_alone() -> None:
    physics = midpoint_source(1.0, 0.9, 0.4, 1e-3, 1e-3, 0.01)
    alone = [-expm1(-2 * np.log1p(eta * 0.5)) + 1e-3 for eta in (0.9, 0.4)]
    assert physics.success_probability < min(alone)
