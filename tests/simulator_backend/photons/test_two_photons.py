"""Fates of two photons at a splitter: laws that hold for every polarisation, splitter and overlap."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.simulator_backend.photons.arms import Arm, Reach
from bellwire.simulator_backend.photons.jones import BELL_AMPLITUDES, STATES, rotation
from bellwire.simulator_backend.photons.two_photons import fates

SHARES = st.floats(0.0, 1.0)
ANGLES = st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(np.array)


def arm(entrance, turn, to_c, to_d, loss_c=1.0, loss_d=1.0):
    """Through a splitter to detectors c and d, with a turn of the polarisation before it."""
    ends = {
        end: (Reach(np.asarray(sqrt(loss) * amplitude * turn, dtype=np.complex128), 0.0, (("s", entrance),)),)
        for end, amplitude, loss in (("c", to_c, loss_c), ("d", to_d, loss_d))
    }
    return Arm(entrance, "out", 1550.0, ends)


def couple(turn_a, turn_b, transmittance, loss_c=1.0, loss_d=1.0):
    t, r = sqrt(transmittance), sqrt(1.0 - transmittance)
    return arm("a", turn_a, t, r, loss_c, loss_d), arm("b", turn_b, r, -t, loss_c, loss_d)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ANGLES, ANGLES, SHARES, SHARES, st.integers(0, 3), SHARES, SHARES)
def test_interference_moves_coincidences_and_never_singles(
    a, b, transmittance, overlap, bell, loss_c, loss_d
):
    arms = couple(rotation(a), rotation(b), transmittance, loss_c, loss_d)
    mixture = [(1.0, BELL_AMPLITUDES[bell])]
    table = fates(*arms, ("c", "d"), mixture, overlap)
    strangers = fates(*arms, ("c", "d"), mixture, 0.0)
    assert table.min() >= 0.0
    assert table.sum() == pytest.approx(1.0)
    # How many photons a detector sees on average does not depend on who they are.
    mean, mean_strangers = (each.sum(axis=1) + each.sum(axis=0) for each in (table, strangers))
    assert mean[:2] == pytest.approx(mean_strangers[:2], abs=1e-12)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ANGLES, SHARES)
def test_a_singlet_leaves_by_both_ports_and_the_triplets_by_one_whatever_turns_both(turn, overlap):
    # Psi- is odd under exchange: V = -1, coincidences (1 + overlap)/2; every even state: (1 - overlap)/2.
    arms = couple(rotation(turn), rotation(turn), 0.5)
    for bell, sign in ((0, -1.0), (1, -1.0), (2, -1.0), (3, 1.0)):
        table = fates(*arms, ("c", "d"), [(1.0, BELL_AMPLITUDES[bell])], overlap)
        assert table[0, 1] + table[1, 0] == pytest.approx((1.0 + sign * overlap) / 2.0)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ANGLES, SHARES)
def test_photons_of_pure_polarisation_interfere_with_the_square_of_their_product(turn, transmittance):
    # Coincidences T^2 + R^2 - 2 T R |<u|v>|^2.
    turned = rotation(turn)
    arms = couple(np.eye(2), turned, transmittance)
    state = np.outer(STATES["D"], STATES["H"])
    table = fates(*arms, ("c", "d"), [(1.0, state)], 1.0)
    alike = abs(STATES["D"].conj() @ turned @ STATES["H"]) ** 2
    reflectance = 1.0 - transmittance
    expected = transmittance**2 + reflectance**2 - 2.0 * transmittance * reflectance * alike
    assert table[0, 1] + table[1, 0] == pytest.approx(expected, abs=1e-12)
