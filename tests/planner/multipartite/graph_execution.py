"""Graph-state plans executed: on stim's tableau for every outcome, and as density matrices with every wait.

Owns the two oracles, which know of the planner nothing but the values of a plan. Refuses planning.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import stim
from numpy.typing import NDArray

from bellwire.planner.multipartite.values import Gate, Measurement, MultipartitePlan, Operation, Qubit
from bellwire.planner.topology import Topology
from tests.planner.multipartite.ghz_execution import BELL_ORDER, PAULIS, TableauRun

Complex = NDArray[np.complex128]

GATES: dict[str, Complex] = {
    "H": np.array([[1, 1], [1, -1]], dtype=np.complex128) / math.sqrt(2.0),
    "S_DAG": np.array([[1, 0], [0, -1j]], dtype=np.complex128),
    "SQRT_X": np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], dtype=np.complex128) / 2.0,
    "Z": PAULIS["Z"],
    "CX": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=np.complex128),
    "CZ": np.diag([1, 1, 1, -1]).astype(np.complex128),
}
OUTCOMES: dict[str, Complex] = {
    "Z": np.eye(2, dtype=np.complex128),
    "X": np.array([[1, 1], [1, -1]], dtype=np.complex128) / math.sqrt(2.0),
}
"""Bras of outcomes 0 and 1, as rows."""


class GraphRun(TableauRun):
    """One round of a graph-state plan on stim's tableau; qubits of a node's own begin in |+>."""

    def place(self, qubit: Qubit) -> int:
        if qubit.side == "own" and qubit not in self.places:
            self.simulator.h(super().place(qubit))
        return super().place(qubit)

    def assert_graph_state(self) -> None:
        """The final qubits are in the target graph state, and all others were measured."""
        final = dict(zip((vertex for vertex, _ in self.plan.vertices), self.plan.qubits, strict=True))
        assert [qubit.node for qubit in self.plan.qubits] == [node for _, node in self.plan.vertices]
        assert set(self.places) - self.gone == set(self.plan.qubits)
        for vertex, qubit in final.items():
            word = stim.PauliString(len(self.places))
            word[self.place(qubit)] = "X"
            for edge in self.plan.edges:
                if vertex in edge:
                    (other,) = set(edge) - {vertex}
                    word[self.place(final[other])] = "Z"
            assert self.simulator.peek_observable_expectation(word) == 1


def owners_of_inputs(plan: MultipartitePlan) -> Iterator[tuple[Operation, set[str]]]:
    """Every operation, and who owns a qubit of the states that it is about to consume, by plain bookkeeping.

    Pairs hold two qubits; an operation takes the measured ones away and puts the rest together.
    """
    states = {number: set(plan.pair_qubits(number)) for number in range(len(plan.pairs))}
    for operation in plan.operations:
        inputs = set().union(*(states.pop(number) for number in operation.consumes))
        yield operation, {qubit.node for qubit in inputs}
        own = {
            qubit
            for step in operation.steps
            if isinstance(step, Gate)
            for qubit in step.qubits
            if qubit.side == "own"
        }
        states[operation.yields] = (inputs | own) - {each.qubit for each in operation.measurements}
        assert states[operation.yields] == set(operation.members)
    assert len(states) == 1


class _Register:
    """A density matrix of named qubits; axis k is the row of qubit k, axis n + k its column."""

    def __init__(self, rho: Complex, qubits: Sequence[Qubit]) -> None:
        self.qubits = list(qubits)
        self.rho = rho.reshape((2,) * (2 * len(self.qubits)))

    def joined(self, other: "_Register") -> None:
        """Side by side with another register."""
        n, m = len(self.qubits), len(other.qubits)
        both = np.multiply.outer(self.rho, other.rho)
        order = [*range(n), *range(2 * n, 2 * n + m), *range(n, 2 * n), *range(2 * n + m, 2 * n + 2 * m)]
        self.rho, self.qubits = both.transpose(order), self.qubits + other.qubits

    def gate(self, rho: Complex, matrix: Complex, qubits: Sequence[Qubit]) -> Complex:
        """A unitary on some qubits."""
        n, count = len(self.qubits), len(qubits)
        at = [self.qubits.index(qubit) for qubit in qubits]
        for axes, factor in ((at, matrix), ([n + each for each in at], matrix.conj())):
            tensor = factor.reshape((2,) * (2 * count))
            rho = np.moveaxis(np.tensordot(tensor, rho, (range(count, 2 * count), axes)), range(count), axes)
        return rho

    def channel(self, qubit: Qubit, shares: Sequence[float]) -> None:
        """A Pauli channel with shares of I, Z, X, Y."""
        parts = zip(shares, BELL_ORDER, strict=True)
        self.rho = np.add.reduce(
            [share * self.gate(self.rho, PAULIS[pauli], (qubit,)) for share, pauli in parts]
        )

    def decay(self, topology: Topology, qubits: Sequence[Qubit], time_s: float) -> None:
        """The channel that shrinks X, Z and Y of each qubit by exp(-rate time)."""
        for qubit in qubits:
            x, z, y = (math.exp(-rate * time_s) for rate in topology.nodes[qubit.node].decay_hz)
            shares = (1 + x + z + y, 1 - x + z - y, 1 + x - z - y, 1 - x - z + y)
            self.channel(qubit, [share / 4 for share in shares])

    def act(self, topology: Topology, operation: Operation) -> None:
        """Steps with noise before each CNOT, turns and corrections, added up over all outcomes."""
        for step in operation.steps:
            for qubit in step.qubits if isinstance(step, Gate) else ():
                if qubit not in self.qubits:
                    assert qubit.side == "own"
                    self.joined(_Register(np.full((2, 2), 0.5, dtype=np.complex128), [qubit]))
        branches: list[tuple[Complex, list[Qubit], tuple[int, ...]]] = [(self.rho, self.qubits, ())]
        for step in operation.steps:
            branches = [
                after for branch in branches for after in self._stepped(topology, operation, step, branch)
            ]
        total = None
        for rho, qubits, bits in branches:
            self.rho, self.qubits = rho, qubits
            for gate in operation.turns:
                self.rho = self.gate(self.rho, GATES[gate.name], gate.qubits)
            for pauli, qubit in operation.paulis(bits):
                self.rho = self.gate(self.rho, PAULIS[pauli], (qubit,))
            total = self.rho if total is None else total + self.rho
        assert total is not None
        self.rho = total

    def _stepped(
        self,
        topology: Topology,
        operation: Operation,
        step: Gate | Measurement,
        branch: tuple[Complex, list[Qubit], tuple[int, ...]],
    ) -> Iterator[tuple[Complex, list[Qubit], tuple[int, ...]]]:
        self.rho, self.qubits = branch[0], list(branch[1])
        if isinstance(step, Gate):
            if step.name == "CX":
                self.channel(step.qubits[1], topology.nodes[operation.node].swap_noise)
            yield self.gate(self.rho, GATES[step.name], step.qubits), self.qubits, branch[2]
            return
        at, n = self.qubits.index(step.qubit), len(self.qubits)
        rest = [qubit for qubit in self.qubits if qubit != step.qubit]
        for bit, bra in enumerate(OUTCOMES[step.basis]):
            half = np.tensordot(bra, self.rho, (0, n + at))
            yield np.tensordot(bra, half, (0, at)), rest, (*branch[2], bit)


def executed_fidelity(plan: MultipartitePlan, topology: Topology) -> float:
    """The fidelity of a round in which every wait lasts its mean.

    Pairs have the states that the plan says. Before an operation each consumed state decays for its wait at
    all its owners; `swap_noise` strikes the target of each CNOT just before it; afterwards the product decays
    for `busy_s`. All outcomes are followed and added up.
    """
    states: dict[int, _Register] = {}
    for pair, supply in enumerate(plan.pairs):
        phi = np.array([1, 0, 0, 1]) / math.sqrt(2.0)
        rho = np.zeros((4, 4), dtype=np.complex128)
        for share, pauli in zip(supply.state, BELL_ORDER, strict=True):
            vector = np.kron(PAULIS[pauli], np.eye(2)) @ phi
            rho += share * np.outer(vector, vector.conj())
        states[pair] = _Register(rho, plan.pair_qubits(pair))
    for operation in plan.operations:
        inputs = [states.pop(number) for number in operation.consumes]
        for register, wait_s in zip(inputs, operation.waits_s, strict=True):
            register.decay(topology, register.qubits, wait_s)
        whole = inputs[0]
        for register in inputs[1:]:
            whole.joined(register)
        whole.act(topology, operation)
        whole.decay(topology, operation.members, operation.busy_s)
        states[operation.yields] = whole
    (final,) = states.values()
    return _overlap(final, plan)


def _overlap(register: _Register, plan: MultipartitePlan) -> float:
    """<G| rho |G> for the target graph."""
    vertices = [vertex for vertex, _ in plan.vertices]
    n = len(vertices)
    wanted = np.empty(2**n, dtype=np.complex128)
    for index, bits in enumerate(itertools.product((0, 1), repeat=n)):
        value = dict(zip(vertices, bits, strict=True))
        wanted[index] = (-1) ** sum(value[a] * value[b] for a, b in plan.edges) / math.sqrt(2**n)
    at = [register.qubits.index(qubit) for qubit in plan.qubits]
    rho = register.rho.transpose([*at, *(n + each for each in at)]).reshape(2**n, 2**n)
    return float((wanted.conj() @ rho @ wanted).real)
