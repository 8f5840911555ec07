"""What two clicks behind a splitter leave in two memories whose photons met there.

Owns the state of the memories for every pattern, with loss, darks, interference and turned polarisation.
Refuses packets and windows (their overlap is a number here) and the meaning of patterns (heralding.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bellwire.simulator_backend.photons.arms import cross_operator
from bellwire.simulator_backend.photons.optics import Optics

Operator: TypeAlias = NDArray[np.complex128]
"""A 4 x 4 matrix, on (arm, polarisation) of one photon or on two memories."""


def click_operator(
    optics: Optics, emitters: tuple[str, str], end: str, accepted: tuple[float, float]
) -> Operator:
    """Click operator of an end on (arm, polarisation) of one photon.

    accepted: share of each emitter's packet inside the window.
    """
    one, other = (optics.arm(name, "out") for name in emitters)
    scale = [sqrt(share) for share in accepted]
    block = np.zeros((4, 4), dtype=np.complex128)
    block[:2, :2] = accepted[0] * one.click_operator(end)
    block[2:, 2:] = accepted[1] * other.click_operator(end)
    block[:2, 2:] = scale[0] * scale[1] * cross_operator(one, other, end)
    block[2:, :2] = block[:2, 2:].conj().T
    return block


class Memories(NamedTuple):
    """Unnormalised states of both memories, index 2 m + n of |m n>, when their photons met a click operator.

    Each memory holds (|0 H> + |1 V>)/sqrt 2 with its photon, or is mixed when it emitted none. emitted:
    chances of a photon.
    """

    emitted: tuple[float, float]
    visibility: float

    def both(self, x: Operator, y: Operator) -> Operator:
        """Two photons, one each at x and at y."""
        across = np.einsum("xn,ym->mnxy", x[:2, 2:], y[2:, :2]).reshape(4, 4)
        across = across + np.einsum("xn,ym->mnxy", y[:2, 2:], x[2:, :2]).reshape(4, 4)
        along = np.kron(x[:2, :2].T, y[2:, 2:].T) + np.kron(y[:2, :2].T, x[2:, 2:].T)
        a, b = self.emitted
        return np.asarray(a * b * (along + self.visibility * across) / 8.0, dtype=np.complex128)

    def one(self, x: Operator) -> Operator:
        """One photon, at x."""
        a, b = self.emitted
        mixed = np.eye(2) / 4.0
        first, second = np.kron(x[:2, :2].T, mixed), np.kron(mixed, x[2:, 2:].T)
        return np.asarray(a * (1.0 - b) * first + b * (1.0 - a) * second, dtype=np.complex128)

    def two_clicks(self, click: Sequence[Operator], darks: Sequence[float], i: int, j: int) -> Operator:
        """State behind clicks of i and j and silence of all others.

        Written without differences of numbers near one: photons at both, one dark and light at the other, two
        darks. Light at i alone means one photon there and the other nowhere, or both there.
        """
        others = [k for k in range(len(click)) if k not in (i, j)]
        quiet = float(np.prod([1.0 - darks[k] for k in others]))
        left = np.eye(4, dtype=np.complex128) - sum((click[k] for k in others), np.zeros((4, 4)))
        a, b = self.emitted
        nothing = (1.0 - a) * (1.0 - b) * np.eye(4) / 4.0
        total = (1.0 - darks[i]) * (1.0 - darks[j]) * 2.0 * self.both(click[i], click[j])
        for lit, dark in ((i, j), (j, i)):
            light = self.both(2.0 * left - click[lit], click[lit]) + self.one(click[lit])
            total = total + (1.0 - darks[lit]) * darks[dark] * light
        total = total + darks[i] * darks[j] * (self.both(left, left) + self.one(left) + nothing)
        return np.asarray(quiet * total, dtype=np.complex128)
