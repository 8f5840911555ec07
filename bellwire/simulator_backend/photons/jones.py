"""Polarisation as Jones calculus: states, waveplates, turns of a fibre.

Owns 2 x 2 matrices in the basis (H, V) with the phase convention of the textbooks: D = (H + V)/sqrt 2,
R = (H - iV)/sqrt 2. Refuses loss laws and delays of components (they multiply these matrices).
"""

from math import cos, pi, radians, sin, sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bellwire.core.bell import Bell
from bellwire.core.registry import lookup

Jones: TypeAlias = NDArray[np.complex128]
"""A 2 x 2 matrix on (H, V), or a state as a vector of two."""

IDENTITY: Final[Jones] = np.eye(2, dtype=np.complex128)

PAULIS: Final[tuple[Jones, ...]] = (
    np.array([[1, 0], [0, 1]], dtype=np.complex128),
    np.array([[1, 0], [0, -1]], dtype=np.complex128),
    np.array([[0, 1], [1, 0]], dtype=np.complex128),
    np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
)
"""I, Z, X, Y: in the order of the Bell indices (core/bell.py)."""

_HALF: Final = 1.0 / sqrt(2.0)

STATES: Final[dict[str, Jones]] = {
    "H": np.array([1, 0], dtype=np.complex128),
    "V": np.array([0, 1], dtype=np.complex128),
    "D": np.array([_HALF, _HALF], dtype=np.complex128),
    "A": np.array([_HALF, -_HALF], dtype=np.complex128),
    "R": np.array([_HALF, -1j * _HALF], dtype=np.complex128),
    "L": np.array([_HALF, 1j * _HALF], dtype=np.complex128),
}
"""Polarisations by letter."""

BELL_AMPLITUDES: Final[tuple[Jones, ...]] = tuple(
    (_HALF * matrix).astype(np.complex128)
    for matrix in (PAULIS[0], PAULIS[1], PAULIS[2], np.array([[0, 1], [-1, 0]], dtype=np.complex128))
)
"""Amplitudes psi[i, j] of |i>|j>, i and j in (H, V), of Phi+, Phi-, Psi+, Psi-."""


def state_of(letter: str) -> Jones:
    """Jones vector of H, V, D, A, R or L. Raises ConfigError for another letter."""
    return lookup("polarisation", letter, STATES)


def waveplate(retardance_waves: float, angle_deg: float) -> Jones:
    """A waveplate of that retardance (0.25: quarter wave) with its fast axis at `angle_deg` from H."""
    angle = radians(angle_deg)
    c, s = cos(angle), sin(angle)
    turn = np.array([[c, -s], [s, c]], dtype=np.complex128)
    half = pi * retardance_waves
    plate = np.array([[np.exp(-1j * half), 0], [0, np.exp(1j * half)]], dtype=np.complex128)
    return np.asarray(turn @ plate @ turn.T, dtype=np.complex128)


def rotations(vectors_rad: NDArray[np.float64]) -> Jones:
    """Turns exp(-i v.sigma/2) of the Poincare sphere about each vector by its length, shape (n, 2, 2).

    vectors_rad: shape (n, 3). The three directions are those of the Paulis Z, X, Y: H/V, D/A, R/L of the
    sphere.
    """
    half = np.linalg.norm(vectors_rad, axis=1)[:, None, None] / 2.0
    generators = np.einsum("nk,kab->nab", vectors_rad, np.stack(PAULIS[1:]))
    # sin(a/2)/a is half of sinc, which has no trouble at a = 0.
    return np.asarray(np.cos(half) * IDENTITY - 0.5j * np.sinc(half / pi) * generators, dtype=np.complex128)


def rotation(vector_rad: NDArray[np.float64]) -> Jones:
    """One of `rotations`, of a vector of shape (3,)."""
    return np.asarray(rotations(vector_rad[None, :])[0], dtype=np.complex128)


def normalised(jones: Jones) -> tuple[float, Jones]:
    """Mean power transmission of a Jones matrix for unpolarised light, and the matrix without it."""
    power = float(np.sum(np.abs(jones) ** 2)) / 2.0
    return (0.0, IDENTITY) if power == 0.0 else (power, np.asarray(jones / sqrt(power), dtype=np.complex128))


def pauli_weights(turn: Jones) -> Bell:
    """Shares of I, Z, X, Y in a turn after twirling: |tr(P U)/2|^2 over their sum, as `pauli_channel` takes
    them. A turn of one photon of a pair moves the Bell state by these weights."""
    weights = [abs(complex(np.trace(pauli @ turn))) ** 2 for pauli in PAULIS]
    total = sum(weights)
    if total == 0.0:
        return (1.0, 0.0, 0.0, 0.0)
    a, b, c, d = (weight / total for weight in weights)
    return (a, b, c, d)
