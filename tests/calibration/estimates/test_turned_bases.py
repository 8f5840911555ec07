"""Tomography by turned plates: unlike detectors and unlike light, every way in which plates may turn.

False alarms: coverage.py; seeds fixed. Detectors and light of each draw are unlike by up to 30 % and 10 %.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import qutip  # type: ignore[import-untyped]  # qutip ships no types

from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.estimates.tomography import BELL_KETS, Matrices, concurrences
from bellwire.calibration.estimates.turned_bases import (
    LABELS,
    LEAD_MIN,
    POSITIONS,
    SENSES,
    Senses,
    turned_tomography,
)
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Draw, assert_draws_cover, failed

H, V = qutip.basis(2, 0), qutip.basis(2, 1)
ANALYSED = {"h": H, "v": V, "d": (H + V).unit(), "a": (H - V).unit()}


def _plate(axis_deg: float) -> qutip.Qobj:
    """A quarter-wave plate with its fast axis so far from H."""
    axis = np.radians(axis_deg)
    fast = np.cos(axis) * H + np.sin(axis) * V
    return fast * fast.dag() + 1j * (1 - fast * fast.dag())


def _ket(label: str, rest_deg: float, turn: int, way: int) -> Matrices:
    """What a detector projects on, before a plate that is taken for part of the way when it rests."""
    frame = _plate(rest_deg) * _plate(rest_deg + way * turn * 45.0).dag()
    return np.asarray((frame * ANALYSED[label]).full()[:, 0])


def _chances(state: Matrices, rests_deg: tuple[float, float], ways: tuple[int, int]) -> Floats:
    """Of every pair of detectors at every position, (5, 4, 4)."""
    found = []
    for turns in POSITIONS:
        for one, other in itertools.product(LABELS, repeat=2):
            kets = [
                _ket(label, *rest) for label, *rest in zip((one, other), rests_deg, turns, ways, strict=True)
            ]
            ket = np.kron(*kets)
            found.append(float(np.real(ket.conj() @ state @ ket)))
    return np.array(found).reshape(len(POSITIONS), 4, 4)


def _unlike(chances: Floats, total: float, chance: np.random.Generator) -> Floats:
    """Mean counts of detectors and light that are unlike."""
    weights = chance.uniform(0.7, 1.0, (2, 4))
    means = np.einsum("cij,c,i,j->cij", chances, chance.uniform(0.9, 1.1, 5), *weights)
    return np.asarray(means * total / means.sum())


def _turned_a_little(index: int, weight: float, chance: np.random.Generator) -> Matrices:
    """A Werner state whose qubits paddles have not brought back entirely."""
    ket = qutip.Qobj(BELL_KETS[index].reshape(4, 1), dims=[[2, 2], [1, 1]])
    turns = [
        sum(
            a * s
            for a, s in zip(
                chance.normal(0.0, 0.04, 3), (qutip.sigmax(), qutip.sigmay(), qutip.sigmaz()), strict=True
            )
        )
        for _ in range(2)
    ]
    ket = qutip.tensor(*((-1j * turn).expm() for turn in turns)) * ket
    return np.asarray(weight * (ket * ket.dag()).full() + (1.0 - weight) * np.eye(4) / 4.0)


@pytest.mark.parametrize("rests_deg", [(0.0, 90.0), (90.0, 90.0)])
@pytest.mark.parametrize("ways", [(1, 1), (-1, 1)])
def test_counts_without_noise_give_the_state_back_whichever_way_the_plates_turn(
    rests_deg: tuple[float, float], ways: tuple[int, int]
) -> None:
    """The plates are those of qutip's Jones matrices, not of the estimate. The state may be mirrored."""
    chance = np.random.default_rng(3)
    state = _turned_a_little(2, 0.9, chance)
    found = turned_tomography(
        _unlike(_chances(state, rests_deg, ways), 1e8, chance),
        POSITIONS,
        bell_index=2,
        generator=chance,
        bootstraps=20,
    )
    distance = min(np.abs(found.found.state - one).max() for one in (state, state.conj()))
    assert distance < 3e-4
    assert found.lead > 1000.0 * LEAD_MIN
    assert failed(found.checks()) == set()


def test_weights_are_those_of_the_detectors() -> None:
    chance = np.random.default_rng(4)
    chances = _chances(_turned_a_little(0, 0.95, chance), (0.0, 90.0), (1, 1))
    weights = np.array([[1.0, 0.8, 1.1, 1.1], [0.9, 1.0, 1.1, 1.0]])
    means = 1e6 * np.einsum("cij,i,j->cij", chances, *weights)
    found = turned_tomography(means, POSITIONS, bell_index=0, generator=chance, bootstraps=20)
    assert found.weights == pytest.approx(weights, abs=2e-3)


def test_a_state_that_is_not_entangled_is_not_made_so_by_a_choice_of_signs() -> None:
    chance = np.random.default_rng(5)
    separable = np.diag([0.5, 0.0, 0.0, 0.5]).astype(np.complex128)
    counts = chance.poisson(_unlike(_chances(separable, (0.0, 90.0), (1, 1)), 50_000.0, chance))
    found = turned_tomography(counts, POSITIONS, bell_index=0, generator=chance, bootstraps=50)
    assert "lower end of the fidelity" in failed(found.checks())
    assert "lead of the way the plates turn" in failed(found.checks())


def test_positions_that_leave_settings_out_and_dark_detectors_are_refused() -> None:
    chance = np.random.default_rng(6)
    counts = np.full((5, 4, 4), 100)
    with pytest.raises(NoEstimate, match="do not determine"):
        turned_tomography(counts[:1], POSITIONS[:1], bell_index=0, generator=chance)
    counts[:, 2, :] = 0
    with pytest.raises(NoEstimate, match="no pairs at all"):
        turned_tomography(counts, POSITIONS, bell_index=0, generator=chance)
    with pytest.raises(LocalMisuse, match="4 tables"):
        turned_tomography(counts[:4], POSITIONS, bell_index=0, generator=chance)
    assert len(set(SENSES)) == 8
    assert Senses().states(0, 0) == ("z+", "z-", "x+", "x-")


@pytest.mark.slow
def test_intervals_hold_the_truth_of_unlike_detectors() -> None:
    chance = np.random.default_rng(311)

    def draw() -> Draw:
        index, weight = int(chance.integers(4)), chance.uniform(0.6, 0.97)
        state = _turned_a_little(index, weight, chance)
        ways = (1, -1) if chance.integers(2) else (1, 1)
        counts = chance.poisson(_unlike(_chances(state, (0.0, 90.0), ways), 60_000.0, chance))
        found = turned_tomography(counts, POSITIONS, bell_index=index, generator=chance, bootstraps=100).found
        ket = BELL_KETS[index]
        return {
            "F": (found.fidelity, float(np.real(ket.conj() @ state @ ket))),
            "C": (found.concurrence, float(concurrences(state[None])[0])),
            "purity": (found.purity, float(np.real(np.trace(state @ state)))),
        }

    assert_draws_cover(draw, 200, conservative=frozenset({"F", "C", "purity"}))
