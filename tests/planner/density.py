"""Trees executed on density matrices: the truth about fidelity and success that plans are held against.

Owns channels, Bell measurements with corrections and purification circuits on numpy matrices of up to four
qubits at once, and the timing of one execution in which every wait lasts its mean. Takes from the planner
only the values of topology and tree. Refuses Bell-diagonal shortcuts: states may be any matrices.

Qubits of a matrix are numbered from the left. Every pair is kept in the frame of Phi+: whoever measures
corrects at once.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree
from bellwire.planner.topology import Node, Topology, pair_of

Matrix = NDArray[np.complexfloating[Any, Any]]

I2 = np.eye(2, dtype=np.complex128)
X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
Y = np.array([[0, -1j], [1j, 0]], dtype=np.complex128)
Z = np.array([[1, 0], [0, -1]], dtype=np.complex128)
PAULIS = (I2, Z, X, Y)
"""In the order of Bell indices: I, Z, X, Y."""

PHI_PLUS = np.array([1, 0, 0, 1], dtype=np.complex128) / math.sqrt(2.0)
BELL_VECTORS = tuple(np.kron(I2, pauli) @ PHI_PLUS for pauli in PAULIS)
CNOT = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=np.complex128)


@dataclass(frozen=True)
class Executed:
    """What one execution of a tree gives: state, chance of a complete round, mean time by 1.1 and 2.2."""

    state: Matrix  # 4 x 4, normalised
    success_probability: float
    latency_s: float


def bell_diagonal(weights: tuple[float, ...]) -> Matrix:
    """The mixture of (Phi+, Phi-, Psi+, Psi-) with given weights."""
    return sum(
        weight * np.outer(vector, vector.conj()) for weight, vector in zip(weights, BELL_VECTORS, strict=True)
    )  # type: ignore[return-value]


def diagonal(state: Matrix) -> tuple[float, ...]:
    """Overlaps of a pair with the four Bell states."""
    return tuple(float((vector.conj() @ state @ vector).real) for vector in BELL_VECTORS)


# --- operations on qubits --------------------------------------------------------------------------------


def on(operator: Matrix, *qubits: int, of: int) -> Matrix:
    """An operator on some qubits of `of`, the identity on the others."""
    count = len(qubits)
    rest = [qubit for qubit in range(of) if qubit not in qubits]
    whole = np.kron(operator, np.eye(2 ** (of - count))).reshape((2,) * (2 * of))
    order = [*qubits, *rest]
    place = [order.index(qubit) for qubit in range(of)]
    return whole.transpose([*place, *(of + each for each in place)]).reshape(2**of, 2**of)


def apply(state: Matrix, operator: Matrix) -> Matrix:
    """A o A^dagger."""
    return operator @ state @ operator.conj().T


def traced_out(state: Matrix, *qubits: int) -> Matrix:
    """The state of the other qubits."""
    count = int(math.log2(len(state)))
    tensor = state.reshape((2,) * (2 * count))
    for qubit in sorted(qubits, reverse=True):
        tensor = np.trace(tensor, axis1=qubit, axis2=qubit + tensor.ndim // 2)
    side = 2 ** (count - len(qubits))
    return tensor.reshape(side, side)


def pauli_noise(state: Matrix, weights: tuple[float, ...], qubit: int) -> Matrix:
    """The Pauli (I, Z, X, Y) with given probabilities on one qubit."""
    count = int(math.log2(len(state)))
    return sum(
        weight * apply(state, on(pauli, qubit, of=count))
        for weight, pauli in zip(weights, PAULIS, strict=True)
    )  # type: ignore[return-value]


def mixed(state: Matrix, fidelity: float, *qubits: int) -> Matrix:
    """With probability 1 - fidelity the qubits are replaced by fully mixed ones."""
    count = int(math.log2(len(state)))
    spoilt = np.zeros_like(state)
    for paulis in product(PAULIS, repeat=len(qubits)):
        operator = np.eye(len(state), dtype=np.complex128)
        for pauli, qubit in zip(paulis, qubits, strict=True):
            operator = on(pauli, qubit, of=count) @ operator
        spoilt += apply(state, operator) / 4 ** len(qubits)
    return fidelity * state + (1.0 - fidelity) * spoilt


def stored(state: Matrix, left: Node, right: Node, wait_s: float) -> Matrix:
    """A pair after both its memories aged: <X>, <Z>, <Y> of each qubit shrink by exp(-rate t)."""
    for qubit, node in enumerate((left, right)):
        x, z, y = (math.exp(-rate * wait_s) for rate in node.decay_hz)
        weights = (
            (1.0 + x + z + y) / 4.0,
            (1.0 - x + z - y) / 4.0,
            (1.0 + x - z - y) / 4.0,
            (1.0 - x - z + y) / 4.0,
        )
        assert min(weights) > -1e-12, "decay rates of no physical memory"
        state = pauli_noise(state, weights, qubit)
    return state


def measured_bell(one: Matrix, other: Matrix, noise: tuple[float, ...]) -> Matrix:
    """Qubits 1 and 2 of a-k, k-b are measured in the Bell basis; b corrects; all four outcomes count."""
    whole = pauli_noise(np.kron(one, other), noise, 1)
    result = np.zeros((4, 4), dtype=np.complex128)
    for outcome, vector in enumerate(BELL_VECTORS):
        projector = on(np.outer(vector, vector.conj()), 1, 2, of=4)
        left_over = traced_out(apply(whole, projector), 1, 2)
        assert math.isclose(float(np.trace(left_over).real), 0.25, abs_tol=1e-9)  # BSMs tell nothing
        result += apply(left_over, on(PAULIS[outcome], 1, of=2))
    return result


def twirled(state: Matrix) -> Matrix:
    """The average over the twelve bilateral rotations U x U* of the tetrahedral group (Bennett 1996)."""
    turn = (np.eye(2) - 1j * (X + Y + Z)) / 2.0  # by 2 pi/3 about (1, 1, 1)
    total = np.zeros_like(state)
    for pauli in PAULIS:
        for power in range(3):
            rotation = pauli @ np.linalg.matrix_power(turn, power)
            total += apply(state, np.kron(rotation, rotation.conj())) / 12.0
    return total


def rotation_x(angle: float) -> Matrix:
    """Rx(angle)."""
    return math.cos(angle / 2.0) * I2 - 1j * math.sin(angle / 2.0) * X


def purified_pair(
    kept: Matrix, measured: Matrix, scheme: str, left: Node, right: Node
) -> tuple[float, Matrix]:
    """One round by its circuit: chance that the two readings agree, and the kept pair if they do.

    Qubits: 0, 1 the kept pair, 2, 3 the measured one; 0 and 2 at the left node.
    """
    if scheme == "bbpssw":
        kept, measured = twirled(kept), twirled(measured)
    whole = np.kron(kept, measured)
    if scheme == "dejmps":
        for qubit, angle in ((0, math.pi / 2), (2, math.pi / 2), (1, -math.pi / 2), (3, -math.pi / 2)):
            whole = apply(whole, on(rotation_x(angle), qubit, of=4))
    for control, target, node in ((0, 2, left), (1, 3, right)):
        whole = mixed(apply(whole, on(CNOT, control, target, of=4)), node.gate_fidelity, control, target)
    kept_after = np.zeros((4, 4), dtype=np.complex128)
    for reading in (0, 1):
        effect = [
            np.diag([m, 1.0 - m] if reading == 0 else [1.0 - m, m]).astype(np.complex128)
            for m in (left.readout_fidelity, right.readout_fidelity)
        ]
        seen = on(np.kron(effect[0], effect[1]), 2, 3, of=4)
        kept_after += traced_out(seen @ whole, 2, 3)
    chance = float(np.trace(kept_after).real)
    state = kept_after / chance
    return chance, twirled(state) if scheme == "bbpssw" else state


# --- trees -----------------------------------------------------------------------------------------------


def execute(tree: Tree, topology: Topology) -> Executed:
    """A tree from its leaves to the pair between its ends; its parts go at the latencies that they have.

    latency_s of the result is worked out from the children's paces and the success probabilities found here.
    """
    left, right = topology.nodes[tree.left], topology.nodes[tree.right]
    match tree:
        case LinkLeaf():
            link = topology.links[pair_of(tree.left, tree.right)]
            return Executed(bell_diagonal(link.state), 1.0, tree.latency_s)
        case StoredLeaf():
            return Executed(bell_diagonal(tree.state), 1.0, 0.0)
        case SwapNode():
            one, other = execute(tree.one, topology), execute(tree.other, topology)
            at = topology.nodes[tree.one.right]
            wait_one_s, wait_other_s, both_s = mean_waits_s(tree.one.latency_s, tree.other.latency_s)
            state = measured_bell(
                stored(one.state, left, at, wait_one_s),
                stored(other.state, at, right, wait_other_s),
                at.swap_noise,
            )
            told_s = max(topology.delay_s(at.name, left.name), topology.delay_s(at.name, right.name))
            state = stored(state, left, right, at.swap_s + told_s)
            chance = one.success_probability * other.success_probability * at.swap_probability
            return Executed(state, chance, (both_s + at.swap_s + told_s) / at.swap_probability)
        case PurifyNode():
            kept, measured = execute(tree.kept, topology), execute(tree.measured, topology)
            if tree.pumping:
                wait_kept_s, wait_measured_s = tree.measured.latency_s, 0.0
                both_s = tree.kept.latency_s + tree.measured.latency_s
            else:
                wait_kept_s, wait_measured_s, both_s = mean_waits_s(
                    tree.kept.latency_s, tree.measured.latency_s
                )
            agree, state = purified_pair(
                stored(kept.state, left, right, wait_kept_s),
                stored(measured.state, left, right, wait_measured_s),
                tree.scheme,
                left,
                right,
            )
            busy_s = max(left.purification_s, right.purification_s) + topology.delay_s(left.name, right.name)
            chance = kept.success_probability * measured.success_probability * agree
            return Executed(stored(state, left, right, busy_s), chance, (both_s + busy_s) / agree)


def mean_waits_s(one_s: float, other_s: float) -> tuple[float, float, float]:
    """Mean wait of each pair for the other, two exponential times; and 3/2 of the longer time until both are.

    A pair that is there already (time 0) waits all of the other's time, which then has no factor.
    """
    if one_s == 0.0 or other_s == 0.0:
        return other_s, one_s, one_s + other_s
    return other_s**2 / (one_s + other_s), one_s**2 / (one_s + other_s), 1.5 * max(one_s, other_s)
