"""Frames in software, and the words for rounds, against density matrices written here."""

from itertools import product

import numpy as np
import pytest

from bellwire.core.bell import Bell, dejmps, permute
from bellwire.core.errors import ConfigError
from bellwire.core.purification import judged
from bellwire.core.purification_words import Level, levels_of

PAULIS = (
    np.eye(2),
    np.diag([1.0, -1.0]),
    np.array([[0.0, 1.0], [1.0, 0.0]]),
    np.array([[0.0, -1j], [1j, 0.0]]),
)
PHI_PLUS = np.array([1.0, 0.0, 0.0, 1.0]) / np.sqrt(2.0)
BELL = [np.kron(np.eye(2), pauli) @ PHI_PLUS for pauli in PAULIS]


def pair(state: Bell) -> np.ndarray:
    """Density matrix of an absolute Bell-diagonal state."""
    return sum(weight * np.outer(vector, vector.conj()) for weight, vector in zip(state, BELL, strict=True))


def on(gate: np.ndarray, place: int) -> np.ndarray:
    """A one-qubit gate on one of four qubits."""
    found = np.eye(1)
    for each in range(4):
        found = np.kron(found, gate if each == place else np.eye(2))
    return found


def cnot(control: int, target: int) -> np.ndarray:
    zero, one = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    return on(zero, control) + on(one, control) @ on(PAULIS[2], target)


def turn(angle: float) -> np.ndarray:
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * PAULIS[2]


@pytest.mark.parametrize(("kept_frame", "measured_frame"), list(product(range(4), repeat=2)))
def test_bits_and_frames_of_a_round_are_those_of_the_four_qubits(
    kept_frame: int, measured_frame: int
) -> None:
    one, two = (0.9, 0.05, 0.03, 0.02), (0.85, 0.08, 0.05, 0.02)
    rho = np.kron(pair(permute(one, kept_frame)), pair(permute(two, measured_frame)))  # A1 B1 A2 B2
    gates = cnot(0, 2) @ cnot(1, 3)
    for place, angle in ((0, np.pi / 2), (2, np.pi / 2), (1, -np.pi / 2), (3, -np.pi / 2)):
        gates = gates @ on(turn(angle), place)
    rho = gates @ rho @ gates.conj().T
    expected = dejmps(one, two)
    chance = 0.0
    for bits in product((0, 1), repeat=2):
        seen = on(np.diag([1.0 - bits[0], bits[0]]), 2) @ on(np.diag([1.0 - bits[1], bits[1]]), 3)
        left = seen @ rho @ seen
        weight = float(np.trace(left).real)
        rung = judged((kept_frame, measured_frame), bits)
        if not rung.passed:
            continue
        chance += weight
        kept = np.einsum("abcdefcd->abef", left.reshape((2,) * 8)).reshape(4, 4) / weight
        absolute = tuple(float((vector.conj() @ kept @ vector).real) for vector in BELL)
        relative = permute((absolute[0], absolute[1], absolute[2], absolute[3]), rung.frame)
        assert relative == pytest.approx(expected.state, abs=1e-12)
    assert chance == pytest.approx(expected.success_probability, abs=1e-12)


def test_levels_are_read_by_their_number_of_links() -> None:
    assert levels_of("1:1, 4:2p") == {1: Level(1, pumping=False), 4: Level(2, pumping=True)}
    assert levels_of("adaptive") == {}


@pytest.mark.parametrize("text", ["", "adaptiv", "1", "0:1", "1:0", "1:5", "1:1,1:2", "1:1;2:1", "a:1"])
def test_what_is_out_of_the_grammar_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match=f'purification "{text}"'):
        levels_of(text)
