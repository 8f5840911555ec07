"""Photonic links against the tables of algorithms.md 11.1 to 11.3 and against an independent photon count."""

from math import cos, exp, sin, sqrt

import numpy as np
import pytest

from bellwire.core import photonics
from bellwire.core.bell import Bell
from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldPhysics


def target_fidelity(physics: HeraldPhysics, code: int) -> float:
    (outcome,) = [outcome for outcome in physics.outcomes if outcome.code == code]
    return outcome.state[{1: 2, 2: 3}[code]]


@pytest.mark.parametrize(
    ("bright", "efficiency", "visibility", "dark", "success", "fidelity", "success_digit"),
    [
        ((0.05, 0.05), (1e-3, 1e-3), 0.9, 1e-7, 1.0019734e-4, 0.92389612, 5e-12),
        ((0.1, 0.1), (1e-3, 1e-3), 0.9, 1e-7, 2.0018944e-4, 0.87616740, 5e-12),
        ((0.3, 0.3), (1e-3, 1e-3), 0.9, 1e-7, 6.0010532e-4, 0.68198930, 5e-12),
        ((0.2, 0.3), (0.5, 0.4), 0.9, 0.01, 0.2210076, 0.72974775, 5e-8),
    ],
)
def test_single_click_gives_the_published_probability_and_fidelity(
    bright: tuple[float, float],
    efficiency: tuple[float, float],
    visibility: float,
    dark: float,
    success: float,
    fidelity: float,
    success_digit: float,
) -> None:
    physics = photonics.single_click(*bright, *efficiency, visibility, dark)
    assert physics.success_probability == pytest.approx(success, abs=success_digit)
    assert physics.fidelity == pytest.approx(fidelity, abs=6e-9)


@pytest.mark.parametrize(
    ("bright", "efficiency", "dark", "published_fidelity", "published_success"),
    [
        ((0.05, 0.05), (1e-3, 1e-3), 1e-7, 0.92398482, None),
        ((0.1, 0.1), (1e-3, 1e-3), 1e-7, 0.87625043, None),
        ((0.3, 0.3), (1e-3, 1e-3), 1e-7, 0.68205052, None),
        ((0.2, 0.3), (0.5, 0.4), 0.01, 0.73595872, 0.2196216),
    ],
)
def test_the_published_single_click_estimate_is_slightly_more_optimistic_than_ours(
    bright: tuple[float, float],
    efficiency: tuple[float, float],
    dark: float,
    published_fidelity: float,
    published_success: float | None,
) -> None:
    """Humphreys et al. 2018, SI eq. 8-10, at V = 0.9: any click counts, darks inside the square root."""
    (a, b), (ea, eb) = bright, efficiency
    quiet = (1 - dark) ** 2
    noise = 1 - quiet
    up_up = a * b * (quiet * (ea * (1 - eb) + eb * (1 - ea) + ea * eb) + noise * (1 - ea) * (1 - eb))
    up_down = a * (1 - b) * (quiet * ea + noise * (1 - ea))
    down_up = b * (1 - a) * (quiet * eb + noise * (1 - eb))
    success = up_up + up_down + down_up + (1 - a) * (1 - b) * noise
    fidelity = ((up_down + down_up) / 2 + sqrt(0.9 * up_down * down_up)) / success
    assert fidelity == pytest.approx(published_fidelity, abs=6e-9)
    if published_success is not None:
        assert success == pytest.approx(published_success, abs=5e-8)
    ours = photonics.single_click(*bright, *efficiency, 0.9, dark)
    assert ours.fidelity < fidelity
    assert ours.fidelity == pytest.approx(fidelity, rel=0.01)


def test_single_click_in_the_low_loss_limit_is_two_alpha_eta_and_one_minus_alpha() -> None:
    physics = photonics.single_click(0.01, 0.01, 1e-4, 1e-4, 1.0, 0.0)
    assert physics.success_probability == pytest.approx(2 * 0.01 * 1e-4, rel=1e-3)
    assert physics.fidelity == pytest.approx(0.99, abs=1e-4)


def test_phase_noise_moves_weight_only_between_the_two_psi_states() -> None:
    still = photonics.single_click(0.1, 0.1, 0.2, 0.2, 0.95, 1e-4)
    shaken = photonics.single_click(0.1, 0.1, 0.2, 0.2, 0.95, 1e-4, phase_rms_rad=0.5)
    (before, _), (after, _) = still.outcomes, shaken.outcomes
    assert after.state[2] - after.state[3] == pytest.approx((before.state[2] - before.state[3]) * exp(-0.125))
    assert after.state[2] + after.state[3] == pytest.approx(before.state[2] + before.state[3])


@pytest.mark.parametrize(
    ("arms", "visibility", "dark", "threshold", "resolving", "digits"),
    [
        ((0.3, 0.2), 0.9, 0.01, (0.0376299594, 0.7932489452), (0.0364116951, 0.8040120051), (6e-11, 6e-11)),
        ((0.05, 0.05), 0.95, 1e-3, (0.00144315685, 0.87628691), (0.00143804085, 0.87768066), (6e-12, 6e-9)),
        ((0.1, 0.1), 0.9, 1e-5, (0.00500359525, 0.94947829), (0.00500340022, 0.94949631), (6e-12, 6e-9)),
        ((1.0, 1.0), 1.0, 0.0, (0.5, 1.0), (0.5, 1.0), (1e-15, 1e-15)),
        ((1.0, 1.0), 0.8, 0.0, (0.5, 0.9), (0.5, 0.9), (1e-15, 1e-15)),
    ],
)
def test_double_click_gives_the_published_probability_and_fidelity(
    arms: tuple[float, float],
    visibility: float,
    dark: float,
    threshold: tuple[float, float],
    resolving: tuple[float, float],
    digits: tuple[float, float],
) -> None:
    for expected, counts in ((threshold, False), (resolving, True)):
        physics = photonics.double_click(*arms, visibility, dark, counts)
        assert physics.success_probability == pytest.approx(expected[0], abs=digits[0])
        assert physics.fidelity == pytest.approx(expected[1], abs=digits[1])


@pytest.mark.parametrize("resolving", [False, True])
@pytest.mark.parametrize("protocol", ["single", "double"])
def test_heralded_states_are_states_and_the_two_codes_differ_by_a_z(protocol: str, resolving: bool) -> None:
    if protocol == "single":
        physics = photonics.single_click(0.2, 0.3, 0.5, 0.4, 0.9, 0.01, resolving=resolving)
    else:
        physics = photonics.double_click(0.3, 0.2, 0.9, 0.01, resolving)
    plus, minus = physics.outcomes
    assert (plus.code, minus.code, plus.share, minus.share) == (1, 2, 0.5, 0.5)
    assert minus.state == (plus.state[1], plus.state[0], plus.state[3], plus.state[2])
    assert sum(plus.state) == pytest.approx(1.0, abs=1e-12)
    assert min(plus.state) >= 0.0
    assert target_fidelity(physics, 1) == target_fidelity(physics, 2) == pytest.approx(physics.fidelity)


def test_bunched_photons_beside_a_dark_count_leave_even_parity() -> None:
    """Perfect arms and overlap: every wrong herald comes from bunching, half Phi+ and half Phi-."""
    dark = 0.01
    physics = photonics.double_click(1.0, 1.0, 1.0, dark, False)
    wrong = dark / (0.5 + dark)
    expected: Bell = (wrong / 2, wrong / 2, 1 - wrong, 0.0)
    assert physics.outcomes[0].state == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("offset", "expected"), [(0.5, 0.93941306), (1.0, 0.77880078), (2.0, 0.36787944)])
def test_gaussian_packets_lose_visibility_with_delay_as_published(offset: float, expected: float) -> None:
    assert photonics.gaussian_visibility(1.0, offset, 1.0) == pytest.approx(expected, abs=5e-9)


def test_jitter_is_the_average_over_delays() -> None:
    offset, width, jitter, steps = 0.7, 1.3, 0.9, 4001
    grid = [offset + jitter * 8 * (2 * i / (steps - 1) - 1) for i in range(steps)]
    weight = [exp(-((x - offset) ** 2) / (2 * jitter**2)) for x in grid]
    mean = sum(w * photonics.gaussian_visibility(0.95, x, width) for w, x in zip(weight, grid, strict=True))
    expected = mean / sum(weight)
    assert photonics.gaussian_visibility(0.95, offset, width, jitter_rms_ns=jitter) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize(("offset", "detuning"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.8)])
def test_closed_forms_of_visibility_equal_the_overlap_integral(offset: float, detuning: float) -> None:
    """Visibility = |integral of conj(a) b|^2 of the two amplitudes, by the midpoint rule."""
    steps, span, width = 40_000, 24.0, 0.9
    grid = [span * (i + 0.5) / steps for i in range(steps)]

    def overlap(amplitude: object) -> float:
        real = imaginary = 0.0
        for t in grid:
            value = amplitude(t) * amplitude(t - offset)  # type: ignore[operator]
            real += value * cos(detuning * t)
            imaginary += value * sin(detuning * t)
        return (real * real + imaginary * imaginary) * (span / steps) ** 2

    gauss = overlap(
        lambda t: exp(-((t - 10) ** 2) / (4 * width**2)) / (2 * 3.141592653589793 * width**2) ** 0.25
    )
    decaying = overlap(lambda t: exp(-t / (2 * width)) / sqrt(width) if t >= 0 else 0.0)
    expected = photonics.gaussian_visibility(1.0, offset, width, detuning_rad_per_ns=detuning)
    assert gauss == pytest.approx(expected, rel=1e-6)
    expected = photonics.exponential_visibility(1.0, offset, width, detuning_rad_per_ns=detuning)
    assert decaying == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("visibility", [0.3, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("window", [0.05, 0.7, 2.0, 6.0])
def test_a_window_keeps_the_early_and_purer_part_of_dephasing_photons(
    visibility: float, window: float
) -> None:
    """Average of exp(-g |t1 - t2|) over detection times with density exp(-t), t < window, by the midpoint
    rule, whose error is below (g window/steps)^2; g = 1/V - 1 is what gives V without a window."""
    steps, dephasing = 1500, 1 / visibility - 1
    grid = (np.arange(steps) + 0.5) * window / steps
    density = np.exp(-grid)
    contrast = np.exp(-dephasing * np.abs(grid[:, None] - grid[None, :]))
    expected = density @ contrast @ density / density.sum() ** 2
    assert photonics.windowed_visibility(visibility, 3 * window, 3.0) == pytest.approx(expected, rel=2e-5)


def test_a_long_window_changes_nothing_and_a_short_one_makes_photons_alike() -> None:
    assert photonics.windowed_visibility(0.9, 60.0, 1.0) == pytest.approx(0.9, abs=1e-12)
    assert photonics.windowed_visibility(0.9, 1e-9, 1.0) == pytest.approx(1.0, abs=1e-9)
    below, above = (photonics.windowed_visibility(0.7, w, 1.0) for w in (0.999e-5, 1.001e-5))
    assert below == pytest.approx(above, abs=1e-8)
    assert photonics.windowed_visibility(0.0, 1.0, 1.0) == 0.0
    assert photonics.windowed_visibility(1.0, 1.0, 1.0) == 1.0
    with pytest.raises(LocalMisuse, match="must be above 0"):
        photonics.windowed_visibility(0.9, 0.0, 1.0)


def test_fibre_and_arm_multiply_up() -> None:
    assert photonics.fibre_transmission(10.0, 0.2) == pytest.approx(10**-0.2)
    assert photonics.fibre_transmission(5.0, 0.2171472, 0.0) == pytest.approx(exp(-5 / 20), rel=1e-6)
    assert photonics.fibre_transmission(0.0, 0.2, 3.0) == pytest.approx(0.501187, rel=1e-6)
    arm = photonics.arm_efficiency(emission=0.5, conversion=0.4, fibre=0.3, detector=0.9)
    assert arm == pytest.approx(0.054)
    assert photonics.dephased_visibility(10.0, 8.0) == pytest.approx(0.4)
    assert photonics.hom_coincidence_probability(0.9) == pytest.approx(0.05)
    assert photonics.window_acceptance(2.0, 1.0) == pytest.approx(1 - exp(-2))


def test_impossible_optics_are_refused() -> None:
    with pytest.raises(LocalMisuse):
        photonics.double_click(1.2, 0.1, 0.9, 0.0, False)
    with pytest.raises(LocalMisuse):
        photonics.double_click(0.0, 0.0, 0.9, 0.0, False)
    with pytest.raises(LocalMisuse):
        photonics.single_click(0.1, 0.1, 0.1, 0.1, 1.1, 0.0)
    with pytest.raises(LocalMisuse):
        photonics.fibre_transmission(-1.0, 0.2)
    with pytest.raises(LocalMisuse):
        photonics.dephased_visibility(1.0, 3.0)
    with pytest.raises(LocalMisuse):
        photonics.herald_index(0)
