"""Where two photons end: one in each of two arms, alone or meeting at a splitter.

Owns the exact table of both fates, interference included. Refuses more than two photons, and statistics of
how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bellwire.simulator_backend.photons.arms import Arm, cross_operator
from bellwire.simulator_backend.photons.jones import Jones

Floats: TypeAlias = NDArray[np.float64]
Mixture: TypeAlias = Sequence[tuple[float, Jones]]
"""Weights and amplitudes psi[i, j] of two photons, each of norm one."""


def fates(one: Arm, other: Arm, ends: Sequence[str], mixture: Mixture, overlap: float) -> Floats:
    """Probability that the first photon clicks at end i and the second at end j, shape (n + 1, n + 1).

    The last row and column stand for no click. overlap: |<a|b>|^2 of the packets, 0..1: that share of all
    couples cannot be told apart, and each of theirs has both orders of (i, j) alike.
    """
    operators = _Operators(
        [one.click_operator(end) for end in ends],
        [other.click_operator(end) for end in ends],
        [cross_operator(one, other, end) for end in ends],
    )
    strangers = _table(operators, mixture, exchange=False)
    alike = _table(operators, mixture, exchange=True)
    # Interference may leave one order of a couple below zero and never both together.
    table = (1.0 - overlap) * strangers + overlap * (alike + alike.T) / 2.0
    return np.asarray(np.clip(table, 0.0, None), dtype=np.float64)


class _Operators(NamedTuple):
    """At each end: clicks of the first photon, of the second, and what joins them."""

    first: list[Jones]
    second: list[Jones]
    crossed: list[Jones]


def _table(operators: _Operators, mixture: Mixture, *, exchange: bool) -> Floats:
    n = len(operators.first)
    table = np.zeros((n + 1, n + 1))
    for weight, psi in mixture:
        both = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                amount = np.einsum("ab,ac,bd,cd->", psi.conj(), operators.first[i], operators.second[j], psi)
                if exchange:
                    across, back = operators.crossed[i], operators.crossed[j].conj().T
                    amount = amount + np.einsum("ab,ad,bc,cd->", psi.conj(), across, back, psi)
                both[i, j] = amount.real
        first = [float(np.einsum("ab,ac,cb->", psi.conj(), e, psi).real) for e in operators.first]
        second = [float(np.einsum("ab,bd,ad->", psi.conj(), e, psi).real) for e in operators.second]
        table[:n, :n] += weight * both
        table[:n, n] += weight * (np.array(first) - both.sum(axis=1))
        table[n, :n] += weight * (np.array(second) - both.sum(axis=0))
    table[n, n] = 1.0 - float(table.sum())
    return table
