"""Tomography of teleported states and its closed form, against an independent package."""

import random
from math import tau

import numpy as np
import pytest
import qutip

from bellwire.applications.teleportation import (
    BASES,
    STATES,
    Trial,
    expected_fidelity,
    mean_fidelity,
    tomography,
)
from bellwire.core.bell import Bell, werner

PAULIS = (qutip.qeye(2), qutip.sigmaz(), qutip.sigmax(), qutip.sigmay())
MATRICES = {"X": qutip.sigmax(), "Y": qutip.sigmay(), "Z": qutip.sigmaz()}
PAIRS: tuple[Bell, ...] = ((1.0, 0.0, 0.0, 0.0), (0.85, 0.1, 0.03, 0.02), werner(0.9), (0.4, 0.3, 0.2, 0.1))


def prepared(turns: tuple[int, int, int]) -> qutip.Qobj:
    """|0> after turns about X, Y and X, as the package turns."""
    state = qutip.basis(2, 0)
    for matrix, steps in zip((qutip.sigmax(), qutip.sigmay(), qutip.sigmax()), turns, strict=True):
        state = (-1j * matrix * (steps * tau / 256) / 2).expm() * state
    return qutip.ket2dm(state)


def teleported(state: qutip.Qobj, pair: Bell) -> qutip.Qobj:
    """What comes out: the whole protocol on three qubits, all outcomes mended and added."""
    phi = qutip.bell_state("00")
    shared = sum(
        weight * qutip.ket2dm(qutip.tensor(qutip.qeye(2), pauli) * phi)
        for weight, pauli in zip(pair, PAULIS, strict=True)
    )
    whole = qutip.tensor(state, shared)
    out = 0
    for pauli in PAULIS:
        bell = qutip.tensor(qutip.qeye(2), pauli) * phi
        bra = qutip.tensor(bell.dag(), qutip.qeye(2))
        left = qutip.Qobj((bra * whole * bra.dag()).full())
        out = out + pauli * left * pauli.dag()
    return out


@pytest.mark.parametrize("number", range(6))
def test_states_are_prepared_as_their_names_say(number: int) -> None:
    state = STATES[number]
    rho = prepared(state.turns)
    bloch = [qutip.expect(MATRICES[basis], rho) for basis in BASES]
    assert bloch == pytest.approx(list(state.bloch), abs=1e-12)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_closed_form_is_what_the_whole_protocol_gives(pair: Bell) -> None:
    fidelities = []
    for state in STATES:
        rho = prepared(state.turns)
        wanted = float(np.real((rho * teleported(rho, pair)).tr()))
        assert expected_fidelity(state, pair) == pytest.approx(wanted, abs=1e-9)
        fidelities.append(wanted)
    assert sum(fidelities) / 6 == pytest.approx(mean_fidelity(pair[0]), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pair", PAIRS[1:])
def test_tomography_finds_the_fidelity_within_its_error(pair: Bell, seed: int) -> None:
    """200 looks for each of 18, twelve cases of seven values, five standard errors: false alarm 5e-5."""
    chance = random.Random(seed)
    trials = []
    for number, state in enumerate(STATES):
        rho = teleported(prepared(state.turns), pair)
        for basis in BASES:
            zero = (1.0 + qutip.expect(MATRICES[basis], rho)) / 2.0
            trials += [Trial(number, basis, int(chance.random() >= zero)) for _ in range(200)]
    found = tomography(trials)
    assert found is not None
    assert abs(found.fidelity - mean_fidelity(pair[0])) < 5.0 * found.error
    for one in found.states:
        assert abs(one.fidelity - expected_fidelity(one.state, pair)) < 5.0 * one.error


def test_a_state_without_looks_gives_no_answer() -> None:
    assert tomography([Trial(0, "X", 0)] * 10) is None
