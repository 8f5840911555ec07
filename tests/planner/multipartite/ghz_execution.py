"""Plans executed step by step, symbolically and as density matrices: the oracles of GHZ plans.

Owns two executions that know nothing of the planner but the values of a plan: stim's tableau, with every
outcome forced in turn, and a numpy density matrix in which every wait is a channel. Refuses planning.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import stim
from numpy.typing import NDArray

from bellwire.planner.multipartite.values import Gate, MultipartitePlan, Operation, Qubit
from bellwire.planner.topology import Topology

Complex = NDArray[np.complex128]

FORCED_MAX = 8
"""Up to so many measurements all strings of outcomes are tried; beyond, a sample with a fixed seed."""
SAMPLE = 64

PAULIS: dict[str, Complex] = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}
BELL_ORDER = "IZXY"
CNOT: Complex = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=np.complex128)


def outcome_strings(plan: MultipartitePlan, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """All strings of outcomes of a plan's measurements in order, or a sample of them."""
    count = sum(len(operation.measurements) for operation in plan.operations)
    if count <= FORCED_MAX:
        yield from itertools.product((0, 1), repeat=count)
        return
    chance = np.random.default_rng(seed)
    for _ in range(SAMPLE):
        yield tuple(int(each) for each in chance.integers(0, 2, count))


class TableauRun:
    """One round of a plan on stim's tableau, with outcomes as they are wanted."""

    def __init__(self, plan: MultipartitePlan) -> None:
        self.plan = plan
        self.places: dict[Qubit, int] = {}
        self.gone: set[Qubit] = set()
        self.simulator = stim.TableauSimulator()
        for pair in range(len(plan.pairs)):
            left, right = plan.pair_qubits(pair)
            self.simulator.h(self.place(left))
            self.simulator.cx(self.place(left), self.place(right))

    def place(self, qubit: Qubit) -> int:
        assert qubit not in self.gone, f"{qubit} was measured before"
        return self.places.setdefault(qubit, len(self.places))

    def run(self, outcomes: Sequence[int]) -> None:
        """Execute all operations; every outcome must be as likely as its opposite."""
        left = list(outcomes)
        for operation in self.plan.operations:
            own = [left.pop(0) for _ in operation.measurements]
            self._steps(operation, own)
            for gate in operation.turns:
                self._gate(gate)
            for pauli, qubit in operation.paulis(own):
                getattr(self.simulator, pauli.lower())(self.place(qubit))
        assert not left

    def _steps(self, operation: Operation, outcomes: Sequence[int]) -> None:
        wanted = iter(outcomes)
        for step in operation.steps:
            if isinstance(step, Gate):
                self._gate(step)
                continue
            place, basis = self.place(step.qubit), step.basis.lower()
            assert getattr(self.simulator, f"peek_{basis}")(place) == 0, "an outcome was certain"
            getattr(self.simulator, f"postselect_{basis}")(place, desired_value=bool(next(wanted)))
            self.gone.add(step.qubit)

    def _gate(self, gate: Gate) -> None:
        self.simulator.do(stim.CircuitInstruction(gate.name, [self.place(qubit) for qubit in gate.qubits]))

    def entangled_owners(self, operation: Operation) -> set[str]:
        """Owners of all qubits that share a stabiliser, directly or not, with those that are acted on."""
        groups: list[set[int]] = []
        for stabiliser in self.simulator.canonical_stabilizers():
            here = set(stabiliser.pauli_indices())
            touched = [group for group in groups if group & here]
            groups = [group for group in groups if not group & here]
            groups.append(here.union(*touched))
        acted = {
            self.place(qubit)
            for step in operation.steps
            for qubit in (step.qubits if isinstance(step, Gate) else (step.qubit,))
        }
        reached = set().union(*(group for group in groups if group & acted))
        return {qubit.node for qubit, place in self.places.items() if place in reached}

    def assert_ghz(self) -> None:
        """The final qubits are in (|0..0> + |1..1>)/sqrt 2, and all others were measured."""
        final = [self.place(qubit) for qubit in self.plan.qubits]
        assert set(self.places) - self.gone == set(self.plan.qubits)
        size = len(self.places)
        whole = stim.PauliString(size)
        for place in final:
            whole[place] = "X"
        assert self.simulator.peek_observable_expectation(whole) == 1
        for one, other in itertools.pairwise(final):
            pair = stim.PauliString(size)
            pair[one] = pair[other] = "Z"
            assert self.simulator.peek_observable_expectation(pair) == 1


def owners_before_each_operation(plan: MultipartitePlan) -> list[set[str]]:
    """For every operation, who owns a qubit that is entangled with what it acts on, by the tableau."""
    owners: list[set[str]] = []
    for index, operation in enumerate(plan.operations):
        run = TableauRun(plan)
        for done in plan.operations[:index]:
            run._steps(done, [0] * len(done.measurements))
        owners.append(run.entangled_owners(operation))
    return owners


def executed_fidelity(plan: MultipartitePlan, topology: Topology) -> float:
    """The fidelity to GHZ of a round in which every wait lasts its mean, by a density matrix.

    Pairs have the states that the plan says. Before an operation each consumed state decays for its wait at
    all its owners; `swap_noise` strikes each qubit that a CNOT targets; afterwards the product decays for
    `busy_s`. All outcomes are followed and added up.
    """
    places: dict[Qubit, int] = {}
    rho = np.ones((1, 1), dtype=np.complex128)
    states: dict[int, tuple[Qubit, ...]] = {}
    for pair, supply in enumerate(plan.pairs):
        states[pair] = plan.pair_qubits(pair)
        for qubit in states[pair]:
            places[qubit] = len(places)
        rho = np.kron(rho, _bell_diagonal(supply.state))
    register = _Register(rho, places, topology)
    for operation in plan.operations:
        for state, wait_s in zip(operation.consumes, operation.waits_s, strict=True):
            register.decay(states.pop(state), wait_s)
        register.act(operation)
        states[operation.yields] = operation.members
        register.decay(operation.members, operation.busy_s)
    assert len(states) == 1
    return register.ghz_fidelity(plan.qubits)


def _bell_diagonal(state: Sequence[float]) -> Complex:
    phi = np.zeros(4, dtype=np.complex128)
    phi[0] = phi[3] = 1 / math.sqrt(2.0)
    rho = np.zeros((4, 4), dtype=np.complex128)
    for share, pauli in zip(state, BELL_ORDER, strict=True):
        vector = np.kron(np.eye(2), PAULIS[pauli]) @ phi
        rho += share * np.outer(vector, vector.conj())
    return rho


class _Register:
    """A density matrix of named qubits, as a tensor with two axes of length 2 for each."""

    def __init__(self, rho: Complex, places: dict[Qubit, int], topology: Topology) -> None:
        self.places, self.topology = places, topology
        self.size = len(places)
        self.rho: Complex = rho.reshape((2,) * (2 * self.size))

    def conjugated(self, rho: Complex, matrix: Complex, *qubits: Qubit) -> Complex:
        """A matrix on some qubits from the left, and its adjoint from the right."""
        count = len(qubits)
        tensor = matrix.reshape((2,) * (2 * count))
        inner = list(range(count, 2 * count))
        for factor, offset in ((tensor, 0), (tensor.conj(), self.size)):
            axes = [self.places[qubit] + offset for qubit in qubits]
            rho = np.moveaxis(np.tensordot(factor, rho, axes=(inner, axes)), range(count), axes)
        return rho

    def channel(self, qubit: Qubit, shares: Sequence[float]) -> None:
        """A Pauli channel with shares of I, Z, X, Y."""
        self.rho = np.add.reduce(
            [
                share * self.conjugated(self.rho, PAULIS[pauli], qubit)
                for share, pauli in zip(shares, BELL_ORDER, strict=True)
            ]
        )

    def decay(self, qubits: Sequence[Qubit], wait_s: float) -> None:
        """The channel that shrinks X, Z and Y of each qubit by exp(-rate wait)."""
        for qubit in qubits:
            x, z, y = (math.exp(-rate * wait_s) for rate in self.topology.nodes[qubit.node].decay_hz)
            shares = (1 + x + z + y, 1 - x + z - y, 1 + x - z - y, 1 - x - z + y)
            self.channel(qubit, [share / 4 for share in shares])

    def act(self, operation: Operation) -> None:
        """Noise, steps and corrections, over all outcomes."""
        noise = self.topology.nodes[operation.node].swap_noise
        for step in operation.steps:
            if isinstance(step, Gate) and step.name == "CX":
                self.channel(step.qubits[1], noise)
        branches = []
        for bits in itertools.product((0, 1), repeat=len(operation.measurements)):
            branch, left = self.rho, list(bits)
            for step in operation.steps:
                if isinstance(step, Gate):
                    assert step.name == "CX"
                    branch = self.conjugated(branch, CNOT, *step.qubits)
                else:
                    sign = -1 if left.pop(0) else 1
                    branch = self.conjugated(
                        branch, (PAULIS["I"] + sign * PAULIS[step.basis]) / 2, step.qubit
                    )
            for pauli, qubit in operation.paulis(bits):
                branch = self.conjugated(branch, PAULIS[pauli], qubit)
            branches.append(branch)
        self.rho = np.add.reduce(branches)
        for measurement in operation.measurements:
            self.trace_out(measurement.qubit)

    def trace_out(self, qubit: Qubit) -> None:
        """Forget a qubit that was measured."""
        gone = self.places.pop(qubit)
        self.rho = np.trace(self.rho, axis1=gone, axis2=gone + self.size)
        self.places = {each: place - (place > gone) for each, place in self.places.items()}
        self.size -= 1

    def ghz_fidelity(self, qubits: Sequence[Qubit]) -> float:
        """Overlap of the qubits that are left with GHZ."""
        assert set(qubits) == set(self.places)
        order = [self.places[qubit] for qubit in qubits]
        rho = self.rho.transpose([*order, *(self.size + place for place in order)])
        rho = rho.reshape((2**self.size, 2**self.size))
        return float((rho[0, 0] + rho[0, -1] + rho[-1, 0] + rho[-1, -1]).real / 2)
