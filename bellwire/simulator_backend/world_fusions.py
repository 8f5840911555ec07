"""Fusions in the World, and the truth about groups of three and more qubits.

Owns the fusion of two slots (algorithms.md 4.1) and the look at a whole cluster as a density matrix. Refuses
frames that nodes believe in: whoever compares brings them. Imports numpy only when it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.graph_states import GraphEdges
from bellwire.core.ids import End
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world_gates import cluster_of
from bellwire.simulator_backend.world_pairs import Slot

if TYPE_CHECKING:
    from bellwire.simulator_backend.clusters import Tensor


class GroupTruth(NamedTuple):
    """All qubits that are entangled with one, as they are now."""

    ends: tuple[End, ...]
    nodes: tuple[str, ...]  # that hold them, in the same order
    density: Tensor  # 2**n x 2**n, qubits in the same order

    def ghz_fidelity(self, paulis: dict[End, int] | None = None) -> float:
        """To the GHZ state with Pauli indices on some ends; None: to |00..> + |11..> itself."""
        import numpy as np

        from bellwire.simulator_backend.clusters import PAULIS

        pauli = [PAULIS[(paulis or {}).get(end, 0)] for end in self.ends]
        zeros, ones = np.ones(1, dtype=np.complex128), np.ones(1, dtype=np.complex128)
        for each in pauli:
            zeros, ones = np.outer(zeros, each[:, 0]).ravel(), np.outer(ones, each[:, 1]).ravel()
        ghz = (zeros + ones) / np.sqrt(2.0)
        return float(np.real(ghz.conj() @ self.density @ ghz))

    def density_parts(self) -> tuple[list[list[float]], list[list[float]]]:
        """Real and imaginary part of the density matrix, row by row, for files."""
        return (self.density.real.tolist(), self.density.imag.tolist())

    @staticmethod
    def of_parts(
        ends: tuple[End, ...], nodes: tuple[str, ...], parts: tuple[list[list[float]], list[list[float]]]
    ) -> GroupTruth:
        """What such a file says."""
        import numpy as np

        real, imaginary = (np.array(part, dtype=np.float64) for part in parts)
        return GroupTruth(ends, nodes, np.asarray(real + 1j * imaginary, dtype=np.complex128))

    def graph_weights(self, edges: GraphEdges) -> list[float]:
        """Weights of Z**s |G> for the graph state G of edges between nodes, by the bits of s, those of the
        first node highest: its fidelity comes first (algorithms.md 4.3). Every node holds one of the qubits.
        """
        import numpy as np

        size = len(self.nodes)
        place = {node: size - 1 - index for index, node in enumerate(self.nodes)}
        numbers = np.arange(1 << size)
        both = sum((numbers >> place[a] & 1) & (numbers >> place[b] & 1) for a, b in edges)
        hadamards = np.ones((1, 1))
        for _ in range(size):
            hadamards = np.kron(hadamards, np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0))
        states = hadamards * (-1.0) ** both  # row s: the real amplitudes of Z**s |G>
        return [float(np.real(row @ self.density @ row)) for row in states]

    def of_graph(self, edges: GraphEdges) -> tuple[float, bool]:
        """Fidelity to the graph state, and whether of all its Paulis the plain one is the likeliest."""
        weights = self.graph_weights(edges)
        return weights[0], max(weights) == weights[0]

    def has_frame_zero(self) -> bool:
        """Of all GHZ states with X errors and a phase, the plain one is the likeliest."""
        import numpy as np

        size = len(self.density)
        equal = np.real(np.diagonal(self.density)) + np.real(np.diagonal(self.density)[::-1])
        coherence = 2.0 * np.real(self.density[np.arange(size), size - 1 - np.arange(size)])
        weights = np.stack((equal + coherence, equal - coherence))[:, : size // 2]
        return int(np.argmax(weights)) == 0


def fuse(kept: Slot, measured: Slot, success: float, chance: Chance, now_ns: int) -> int | None:
    """CNOT from kept to measured, then Z of the latter; the reported bit, or None: it failed, both are gone.

    Each qubit suffers the phase flip of its memory first; the gate and the readout have their own noise.
    """
    one, other = cluster_of(kept, now_ns), cluster_of(measured, now_ns)
    ends = {member.slot.number: member.end for member in (*one.members, *other.members)}
    uniform = chance.uniform("fuse", *ends[kept.number], *ends[measured.number])
    truth = kept.memory.truth
    bit: int | None = None
    if uniform < success:
        if one is not other:
            one.absorb(other)
        for place in (kept, measured):
            one.flip_phase(place, truth.phase_flip, now_ns)
        one.controlled("cnot", kept, measured, truth.gate_fidelity, now_ns)
        bit = one.measure(measured, "Z", truth.readout_fidelity, uniform / success, now_ns)
    else:
        one.discard(kept)
        other.discard(measured)
        other.demote()
    one.demote()
    return bit


def group_truth(place: Slot, now_ns: int) -> GroupTruth | None:
    """The cluster of a slot's qubit; None: it is in none, or alone in it."""
    cluster = place.cluster
    if cluster is None or len(cluster.members) < 2:
        return None
    size = 1 << len(cluster.members)
    return GroupTruth(
        tuple(member.end for member in cluster.members),
        tuple(member.slot.memory.truth.node for member in cluster.members),
        cluster.aged(now_ns).reshape(size, size),
    )


def check_distinct(node: str, kept: int, measured: int) -> None:
    """Raises LocalMisuse for a fusion of a qubit with itself."""
    if kept == measured:
        raise LocalMisuse(f"fusion of slot {kept} of {node} with itself")
