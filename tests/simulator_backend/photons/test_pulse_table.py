"""Click patterns of pulsed pairs against sums over photon numbers, published values and qutip."""

from math import comb

import numpy as np
import pytest

from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.arms import Arm, Reach
from bellwire.simulator_backend.photons.jones import BELL_AMPLITUDES, STATES, rotation, waveplate
from bellwire.simulator_backend.photons.pulse_table import (
    PulsedPairs,
    fired_from_silent,
    pattern_probabilities,
)
from tests.simulator_backend.photons.fock import fock_patterns

CLEAN = (1.0, 0.0, 0.0, 0.0)
HH = np.outer(STATES["H"], STATES["H"])


def arm(source, output, **jones):
    """An arm with a Jones matrix, or an efficiency, to each end."""
    ends = {}
    for end, given in jones.items():
        matrix = np.sqrt(given) * np.eye(2) if np.isscalar(given) else given
        ends[end] = (Reach(np.asarray(matrix, dtype=np.complex128), 0.0, ()),)
    return Arm(source, output, 1550.0, ends)


def port(source, output, entrance, **jones):
    """An arm that goes through splitter `s` by that port."""
    plain = arm(source, output, **jones)
    ends = {
        end: tuple(way._replace(splitters=(("s", entrance),)) for way in ways)
        for end, ways in plain.ends.items()
    }
    return Arm(source, output, 1550.0, ends)


def negative_binomial(n, mean, modes):
    """P(n) of `modes` thermal modes, by their whole number: compositions of n photons over modes."""
    share = mean / modes
    return comb(n + modes - 1, n) * share**n / (1.0 + share) ** (n + modes)


@pytest.mark.parametrize("modes", [1, 2, 5])
@pytest.mark.parametrize(("mean", "eta_a", "eta_b"), [(0.05, 0.3, 0.6), (1.5, 0.9, 0.2)])
def test_patterns_of_one_source_are_the_sums_over_photon_numbers(modes, mean, eta_a, eta_b):
    source = PulsedPairs(mean, HH, CLEAN, (arm("s", "signal", a=eta_a), arm("s", "idler", b=eta_b)))
    table = pattern_probabilities([source], ("a", "b"), np.eye(2), float(modes))
    weights = [negative_binomial(n, mean, modes) for n in range(400)]
    neither = sum(w * ((1 - eta_a) * (1 - eta_b)) ** n for n, w in enumerate(weights))
    both = sum(w * (1 - (1 - eta_a) ** n) * (1 - (1 - eta_b) ** n) for n, w in enumerate(weights))
    assert table[0] == pytest.approx(neither, rel=1e-12)
    assert table[3] == pytest.approx(both, rel=1e-9)


@pytest.mark.parametrize(
    ("lam", "eta", "gain", "error"),
    [
        (0.05, 0.1, 0.00111835455, 0.0395936061),
        (0.05, 0.9, 0.076434031, 0.0145522033),
        (0.2, 0.01, 6.33341098e-5, 0.1240647357),
    ],
)
@pytest.mark.parametrize("turn_deg", [0.0, 22.5, 11.0])
def test_an_entangled_source_has_the_published_gain_and_error_in_every_basis(lam, eta, gain, error, turn_deg):
    # Ma, Fung, Lo 2007 (algorithms.md 11.4); double clicks of one side are given a random bit.
    plate = np.sqrt(eta) * waveplate(0.5, turn_deg)
    h, v = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    arms = (arm("s", "signal", ah=h @ plate, av=v @ plate), arm("s", "idler", bh=h @ plate, bv=v @ plate))
    source = PulsedPairs(2.0 * lam, BELL_AMPLITUDES[3], CLEAN, arms)
    table = pattern_probabilities([source], ("ah", "av", "bh", "bv"), np.eye(2), 1.0)
    found = wrong = 0.0
    for pattern, chance in enumerate(table):
        ah, av, bh, bv = ((pattern >> k) & 1 for k in range(4))
        if (ah or av) and (bh or bv):
            found += chance
            wrong += chance * (0.5 if ah == av or bh == bv else float(ah == bh))
    assert found == pytest.approx(gain, rel=1e-8)
    assert wrong / found == pytest.approx(error, rel=1e-6)


def test_intrinsic_errors_move_correlations_by_their_share_alone():
    h, v = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    arms = (arm("s", "signal", ah=h, av=v), arm("s", "idler", bh=h, bv=v))
    for e_d in (0.0, 0.03):
        noise = (1.0 - 1.5 * e_d, e_d / 2.0, e_d / 2.0, e_d / 2.0)
        source = PulsedPairs(1e-6, BELL_AMPLITUDES[0], noise, arms)
        table = pattern_probabilities([source], ("ah", "av", "bh", "bv"), np.eye(2), 1.0)
        same, other = table[0b0101] + table[0b1010], table[0b0110] + table[0b1001]
        assert other / (same + other) == pytest.approx(e_d, abs=1e-5)


@pytest.mark.parametrize(("overlap", "transmittance"), [(1.0, 0.5), (0.6, 0.5), (0.8, 0.35)])
def test_two_sources_at_a_splitter_click_as_an_explicit_fock_calculation_says(overlap, transmittance):
    # Cut at three photons in all: what is left out has weight (4 choose 3) lam^4 of that order, 1e-7.
    lam = 0.01
    t, r = np.sqrt(transmittance) * np.eye(2), np.sqrt(1.0 - transmittance) * np.eye(2)
    one = PulsedPairs(lam, HH, CLEAN, (port("x", "signal", "a", c=t, d=r), arm("x", "idler", ia=1.0)))
    two = PulsedPairs(lam, HH, CLEAN, (port("y", "signal", "b", c=r, d=-t), arm("y", "idler", ib=1.0)))
    overlaps = np.eye(4)
    overlaps[0, 2] = overlaps[2, 0] = overlap
    table = pattern_probabilities([one, two], ("ia", "c", "d", "ib"), overlaps, 1.0)
    expected = fock_patterns(lam, overlap, transmittance, 4)
    assert table == pytest.approx(expected, abs=1e-7)
    ratio = 2.0 * transmittance * (1 - transmittance) / (transmittance**2 + (1 - transmittance) ** 2)
    weak = table[0b1111] / (lam**2 * (transmittance**2 + (1 - transmittance) ** 2))
    assert weak == pytest.approx(1.0 - ratio * overlap, abs=8 * lam)  # multi-pairs fill the dip by O(lam)


def test_purity_of_heralded_photons_is_one_over_the_schmidt_number():
    # Weak sources: the visibility of the fourfold dip is J/K.
    half = np.sqrt(0.5) * np.eye(2)
    lam = 1e-4
    one = PulsedPairs(lam, HH, CLEAN, (port("x", "signal", "a", c=half, d=half), arm("x", "idler", ia=1.0)))
    two = PulsedPairs(lam, HH, CLEAN, (port("y", "signal", "b", c=half, d=-half), arm("y", "idler", ib=1.0)))
    ends = ("ia", "c", "d", "ib")
    for schmidt, overlap in ((1.0, 0.9), (2.0, 1.0), (1.7, 0.8)):
        overlaps = np.eye(4)
        strangers = pattern_probabilities([one, two], ends, overlaps, schmidt)[0b1111]
        overlaps[0, 2] = overlaps[2, 0] = overlap
        dip = pattern_probabilities([one, two], ends, overlaps, schmidt)[0b1111]
        assert 1.0 - dip / strangers == pytest.approx(overlap / schmidt, abs=5e-3)


def test_a_turn_on_both_arms_of_a_singlet_changes_nothing():
    turn = rotation(np.array([0.4, 1.1, -0.7]))
    h, v = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    tables = []
    for u in (np.eye(2), turn):
        arms = (arm("s", "signal", ah=h @ u, av=v @ u), arm("s", "idler", bh=h @ u, bv=v @ u))
        source = PulsedPairs(0.4, BELL_AMPLITUDES[3], CLEAN, arms)
        tables.append(pattern_probabilities([source], ("ah", "av", "bh", "bv"), np.eye(2), 1.3))
    assert tables[0] == pytest.approx(tables[1], abs=1e-14)


def test_patterns_of_independent_ends_are_products():
    chances = [0.1, 0.35, 0.8]
    silent = np.array(
        [np.prod([1 - p for k, p in enumerate(chances) if s >> k & 1] or [1.0]) for s in range(8)]
    )
    fired = fired_from_silent(silent, 3)
    for pattern in range(8):
        expected = np.prod([p if pattern >> k & 1 else 1 - p for k, p in enumerate(chances)])
        assert fired[pattern] == pytest.approx(expected, abs=1e-15)


def test_too_many_detectors_in_one_table_are_refused():
    ends = tuple(f"d{k}" for k in range(11))
    source = PulsedPairs(0.1, HH, CLEAN, (arm("s", "signal", **dict.fromkeys(ends, 0.05)), arm("s", "idler")))
    with pytest.raises(ConfigError, match="11 detectors"):
        pattern_probabilities([source], ends, np.eye(2), 1.0)
