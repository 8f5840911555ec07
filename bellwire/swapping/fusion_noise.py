"""What a fusion does to the states that it joins, in the integers of the ledger.

Owns the costs that a node writes into its `Fused` facts. Refuses the waiting of the kept qubit, which every
replica adds by itself (gem/groups.py).
"""

from typing import NamedTuple

from bellwire.core.bell import Cost, join, to_walsh, werner
from bellwire.core.settings import MemorySettings


class FusionNoise(NamedTuple):
    """Costs of one fusion; see the fields of `Fused`."""

    kept: Cost
    measured: Cost
    mixed: int
    turn: Cost  # of a Hadamard gate before

    def kept_after(self, turns: int) -> Cost:
        """With the gates that turned the kept qubit before."""
        return with_turns(self.kept, self.turn, turns)

    def measured_after(self, rates: Cost, waited_ns: int, turns: int) -> Cost:
        """With the decay of the measured qubit until then, and the gates that turned it before."""
        a1, a2, a3 = with_turns(self.measured, self.turn, turns)
        r1, r2, r3 = rates
        return (a1 + r1 * waited_ns, a2 + r2 * waited_ns, a3 + r3 * waited_ns)


def with_turns(cost: Cost, turn: Cost, turns: int) -> Cost:
    """A cost and that of so many gates, which mix a qubit alike in all directions."""
    a1, a2, a3 = cost
    b1, b2, b3 = turn
    return (a1 + turns * b1, a2 + turns * b2, a3 + turns * b3)


def fusion_noise(memory: MemorySettings) -> FusionNoise:
    """Of this memory: a phase flip on each qubit, the gate, one readout (algorithms.md 0.2, 4.1, 11.6).

    A gate that fails mixes both qubits, which ruins the phase of the whole state and the X error on either
    side; its weight is therefore told once, for the joint, and not as noise of one side.
    """
    phase = to_walsh((1.0 - memory.phase_flip, memory.phase_flip, 0.0, 0.0))
    readout = to_walsh((memory.readout_fidelity, 0.0, 1.0 - memory.readout_fidelity, 0.0))
    gate = to_walsh(werner((1.0 + 3.0 * memory.gate_fidelity) / 4.0))
    turn = to_walsh(werner((1.0 + 3.0 * memory.single_gate_fidelity) / 4.0))
    return FusionNoise(phase.cost, join(phase, readout).cost, gate.cost[0], turn.cost)
