"""Slots of memories and the fast form of what they hold: Bell-diagonal pairs that age only when touched.

Owns the representation that the virtual-time host lives on: three real eigenvalues, a frame, and per qubit
the time up to which it has aged. Plain floats, no numpy. Refuses gates outside the Pauli group (clusters.py)
and chance.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Final

from bellwire.core.bell import COST_UNIT_PER_NEPER, Eigenvalues, bsm_noise, decay_rates
from bellwire.core.bell import eigenvalues as eigenvalues_of
from bellwire.core.ids import End
from bellwire.simulator_backend.world_words import MemoryTruth

if TYPE_CHECKING:
    from bellwire.simulator_backend.clusters import Cluster
    from bellwire.simulator_backend.world_lanes import Lane

BASES: Final = ("X", "Y", "Z")
"""What a qubit can be measured in."""


class Memory:
    """One node's slots, with the constants of its truth worked out once."""

    __slots__ = ("bsm_eigenvalues", "flip_rate", "phase_rate", "slots", "truth")

    def __init__(self, truth: MemoryTruth) -> None:
        self.truth: Final = truth
        phase, flip, _ = decay_rates(truth.t1_ns, truth.t2_ns, truth.depolarising_time_ns)
        # The ledger's own rounded rates: a ledger with true parameters agrees with the World to the digit.
        self.phase_rate: Final = phase / COST_UNIT_PER_NEPER
        self.flip_rate: Final = flip / COST_UNIT_PER_NEPER
        self.bsm_eigenvalues: Final = eigenvalues_of(bsm_noise(truth.gate_fidelity, truth.readout_fidelity))
        self.slots: Final = tuple(Slot(self, number) for number in range(truth.slots))

    def decay(self, duration_ns: int) -> tuple[float, float]:
        """Factors on (<X>, <Y>) and on <Z> of one stored qubit; a clock that stepped back ages nothing."""
        if duration_ns <= 0:
            return (1.0, 1.0)
        return (exp(-self.phase_rate * duration_ns), exp(-self.flip_rate * duration_ns))


class Slot:
    """One memory slot: attempts on a lane, a pair's half, what a measured pair left, a cluster's qubit, a
    fresh |0>, or nothing."""

    __slots__ = (
        "cluster",
        "fresh_ns",
        "lane",
        "lane_side",
        "lone",
        "memory",
        "number",
        "pair",
        "side",
        "uses",
    )

    def __init__(self, memory: Memory, number: int) -> None:
        self.memory = memory
        self.number = number
        self.lane: Lane | None = None
        self.lane_side = 0
        self.pair: Pair | None = None
        self.side = 0
        self.lone: Lone | None = None
        self.cluster: Cluster | None = None
        self.fresh_ns: int | None = None
        self.uses = 0

    def own_end(self) -> End:
        """A name for a qubit that no herald ever named; `@` keeps it apart from the names of links."""
        return End(f"@{self.memory.truth.node}", self.uses, 0, self.number, 0)


class Pair:
    """Two qubits in a Bell-diagonal state. A slot that is None lost its qubit; the other is fully mixed."""

    __slots__ = ("eigenvalues", "ends", "frame", "since_ns", "slots")

    def __init__(self, eigenvalues: Eigenvalues, frame: int, ends: list[End], since_ns: list[int]) -> None:
        self.eigenvalues = eigenvalues
        self.frame = frame
        self.ends = ends
        self.since_ns = since_ns
        self.slots: list[Slot | None] = [None, None]

    def put(self, side: int, slot: Slot) -> None:
        """Place one half into an empty slot."""
        assert slot.pair is None, "a slot in two live pairs"
        assert slot.lone is None, "a slot in a pair and with a qubit of its own"
        assert slot.cluster is None, "a slot in a pair and in a cluster"
        self.slots[side] = slot
        slot.pair = self
        slot.side = side

    def aged(self, now_ns: int) -> Eigenvalues:
        """Eigenvalues as of `now_ns`, without touching the pair."""
        l1, l2, l3 = self.eigenvalues
        for side in (0, 1):
            slot = self.slots[side]
            if slot is not None:
                phase, flip = slot.memory.decay(now_ns - self.since_ns[side])
                l1, l2, l3 = l1 * phase, l2 * flip, l3 * phase
        return (l1, l2, l3)

    def swap(self, side: int, other: Pair, other_side: int, outcome: int, now_ns: int) -> None:
        """Bell measurement of our half `side` with the `other_side` half of another pair: we become the long
        pair.

        The new frame is frame ^ other frame ^ reported outcome. The two far qubits age later, on their own:
        storage, swaps and readout noise are all Pauli channels and commute.
        """
        near, beside = self.slots[side], other.slots[other_side]
        assert near is not None, "a swap measures qubits that exist"
        assert beside is not None, "a swap measures qubits that exist"
        memory = near.memory
        phase, flip = memory.decay(now_ns - self.since_ns[side])
        other_phase, other_flip = memory.decay(now_ns - other.since_ns[other_side])
        phase *= other_phase
        a1, a2, a3 = self.eigenvalues
        b1, b2, b3 = other.eigenvalues
        n1, n2, n3 = memory.bsm_eigenvalues
        self.eigenvalues = (a1 * b1 * n1 * phase, a2 * b2 * n2 * flip * other_flip, a3 * b3 * n3 * phase)
        self.frame ^= other.frame ^ outcome
        far_side = 1 - other_side
        far = other.slots[far_side]
        near.pair = beside.pair = None
        self.slots[side] = far
        self.ends[side] = other.ends[far_side]
        self.since_ns[side] = other.since_ns[far_side]
        if far is not None:
            assert far.pair is other, "the far slot has left its pair"
            far.pair = self
            far.side = side

    def measure(self, side: int, basis: str, uniform: float, now_ns: int) -> int:
        """Reported bit of a destructive measurement of our half `side` in X, Y or Z; our other half, if it
        still exists, stays behind as a `Lone` qubit that the bit says something about.

        Either bit is equally likely: each half of a Bell-diagonal state is fully mixed. The other half is
        then polarised along the same axis by the correlation <XX>, <YY> or <ZZ>, as far as it is left.
        """
        near, far = self.slots[side], self.slots[1 - side]
        assert near is not None, "a measurement needs a qubit that exists"
        bit = 0 if uniform < 0.5 else 1
        near.pair = self.slots[side] = None
        if far is None:
            return bit
        l1, l2, l3 = self.eigenvalues
        phase, flip = near.memory.decay(now_ns - self.since_ns[side])
        if basis == "X":
            polarisation, odd = l1 * phase, self.frame & 1
        elif basis == "Z":
            polarisation, odd = l2 * flip, self.frame >> 1
        else:  # lambda_3 is -<YY>
            polarisation, odd = -l3 * phase, (self.frame ^ self.frame >> 1) & 1
        polarisation *= 2.0 * near.memory.truth.readout_fidelity - 1.0
        # As in a cluster, the frame of the pair stays with side 0.
        frame = self.frame if side == 1 else 0
        end, since_ns = self.ends[1 - side], self.since_ns[1 - side]
        far.pair = None
        far.lone = Lone(basis, -polarisation if odd ^ bit else polarisation, end, frame, since_ns)
        return bit


class Lone:
    """One qubit whose partner was measured: polarised along one axis, -1..1 (as of `since_ns`)."""

    __slots__ = ("basis", "end", "frame", "polarisation", "since_ns")

    def __init__(self, basis: str, polarisation: float, end: End, frame: int, since_ns: int) -> None:
        self.basis = basis
        self.polarisation = polarisation
        self.end = end
        self.frame = frame
        self.since_ns = since_ns

    def measure(self, near: Slot, basis: str, uniform: float, now_ns: int) -> int:
        """Reported bit in X, Y or Z; across the axis of polarisation both bits are equally likely."""
        near.lone = None
        if basis != self.basis:
            return 0 if uniform < 0.5 else 1
        phase, flip = near.memory.decay(now_ns - self.since_ns)
        read = 2.0 * near.memory.truth.readout_fidelity - 1.0
        return 0 if 2.0 * uniform < 1.0 + self.polarisation * (flip if basis == "Z" else phase) * read else 1
