"""Where two photons end: one in each of two arms, alone or meeting at a splitter.

Owns the exact table of both fates, interference included. Refuses more than two photons, and statistics of
how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bellwire.simulator_backend.photons.arms import Arm, cross_operator
from bellwire.simulator_backend.photons.jones import Jones

Floats: TypeAlias = NDArray[np.float64]
Mixture: TypeAlias = Sequence[tuple[float, Jones]]
"""Weights and amplitudes psi[i, j] of two photons, each of norm one."""


def fates(one: Arm, other: Arm, ends: Sequence[str], mixture: Mixture, overlap: float) -> Floats:
    """Probability that the first photon clicks at end i and the second at end j, shape (n + 1, n + 1).

    The last row and column stand for no click. overlap: |<a|b>|^2 of the packets, 0..1. Where photons cannot
    be told apart only the sum over the order of (i, j) means something.
    """
    n = len(ends)
    mine = [one.click_operator(end) for end in ends]
    theirs = [other.click_operator(end) for end in ends]
    crossed = [cross_operator(one, other, end) for end in ends]
    table = np.zeros((n + 1, n + 1))
    for weight, psi in mixture:
        first = [float(np.einsum("ab,ac,cb->", psi.conj(), e, psi).real) for e in mine]
        second = [float(np.einsum("ab,bd,ad->", psi.conj(), e, psi).real) for e in theirs]
        both = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                direct = np.einsum("ab,ac,bd,cd->", psi.conj(), mine[i], theirs[j], psi)
                exchange = np.einsum("ab,ad,bc,cd->", psi.conj(), crossed[i], crossed[j].conj().T, psi)
                both[i, j] = direct.real + overlap * exchange.real
        table[:n, :n] += weight * both
        table[:n, n] += weight * (np.array(first) - both.sum(axis=1))
        table[n, :n] += weight * (np.array(second) - both.sum(axis=0))
    table[n, n] = max(0.0, 1.0 - float(table.sum()))
    return np.asarray(np.clip(table, 0.0, None), dtype=np.float64)
