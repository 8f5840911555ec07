"""How good a graph state is after everything that happened to its qubits (ADR 0008, algorithms.md 11.5).

Owns the history of a round as events, and the exact fidelity that follows from it. Refuses times and plans.

Model. Pairs are Bell-diagonal when they are made. What waits decays at all its owners; the `swap_noise` of
the acting node strikes the measured qubit of each CNOT just before it; the product decays while the outcome
travels. Gates on single qubits, local CZ and measurements are perfect.

Why it is exact. All noise is Pauli noise, all operations are Clifford, and wrong outcomes lead to wrong
Paulis, so the state stays diagonal in the basis Z^s |G>. Its fidelity is the mean of the expectation values
of the 2**n stabilisers K_S, S a set of vertices. Carried back in time, K_S is a Pauli word; it holds X on a
qubit whose `reach` (the final vertices that a Z on it flips) has an odd part in S, and Z where the reaches of
its neighbours have. Each channel multiplies the expectation value by its eigenvalue for that letter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from bellwire.core.bell import Eigenvalues
from bellwire.planner.multipartite.values import Qubit


@dataclass(frozen=True, slots=True)
class Paired:
    """A pair entered the graph as an edge: Phi+ with an H on one qubit.

    values: <XX>, <ZZ>, -<YY> of the pair as it was then.
    """

    turned: Qubit  # that got the H
    other: Qubit
    values: Eigenvalues


@dataclass(frozen=True, slots=True)
class Struck:
    """A Pauli channel on a qubit; values: what is left of its X, Z and Y."""

    qubit: Qubit
    beside: frozenset[Qubit]  # its neighbours then
    values: Eigenvalues


@dataclass(frozen=True, slots=True)
class Merged:
    """A fusion: a Z on the measured qubit before it is a Z on the kept one after it."""

    kept: Qubit
    measured: Qubit


@dataclass(frozen=True, slots=True)
class SwappedOut:
    """A swap in graph language: a Z on one of the two is a Z on the neighbours of the other one."""

    one: Qubit
    other: Qubit
    beside_one: frozenset[Qubit]
    beside_other: frozenset[Qubit]


@dataclass(frozen=True, slots=True)
class Pivoted:
    """An H on both ends of an edge: a Z is an X after it, which is a Z on the neighbours that it then has."""

    one: Qubit
    other: Qubit
    beside_one: frozenset[Qubit]
    beside_other: frozenset[Qubit]


Event = Paired | Struck | Merged | SwappedOut | Pivoted


class _Letters(NamedTuple):
    """Sets of final vertices: a stabiliser K_S holds X (or Z) where S has an odd part of the set."""

    x: int
    z: int


def graph_fidelity(history: Sequence[Event], final: Sequence[Qubit]) -> float:
    """Fidelity of the final qubits to the graph state, 0..1. history: in order of time."""
    reach = {qubit: 1 << index for index, qubit in enumerate(final)}

    def all_of(qubits: Iterable[Qubit]) -> int:
        together = 0
        for qubit in qubits:
            together ^= reach[qubit]
        return together

    left: dict[_Letters, Eigenvalues] = {}

    def strike(letters: _Letters, values: Eigenvalues) -> None:
        known = left.get(letters, (1.0, 1.0, 1.0))
        left[letters] = (known[0] * values[0], known[1] * values[1], known[2] * values[2])

    for event in reversed(history):
        match event:
            case Paired():
                # K of the qubit without the H was XX, that of the turned one was ZZ
                strike(_Letters(reach[event.other], reach[event.turned]), event.values)
            case Struck():
                strike(_Letters(reach[event.qubit], all_of(event.beside)), event.values)
            case Merged():
                reach[event.measured] = reach[event.kept]
            case SwappedOut():
                reach[event.one], reach[event.other] = all_of(event.beside_other), all_of(event.beside_one)
            case Pivoted():
                one, other = all_of(event.beside_one), all_of(event.beside_other)
                reach[event.one], reach[event.other] = one, other
            case _:
                assert_never(event)
    sets: NDArray[np.int64] = np.arange(1 << len(final), dtype=np.int64)
    values: NDArray[np.float64] = np.ones(len(sets))
    for letters, (x, z, y) in left.items():
        holds_x, holds_z = _odd(sets & letters.x), _odd(sets & letters.z)
        values *= np.array([1.0, x, z, y])[holds_x + 2 * holds_z]
    return min(1.0, float(values.mean()))


def _odd(sets: NDArray[np.int64]) -> NDArray[np.int64]:
    odd: NDArray[np.int64] = np.bitwise_count(sets).astype(np.int64) & 1
    return odd
