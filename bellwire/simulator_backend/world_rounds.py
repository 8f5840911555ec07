"""Purification rounds in the fast form: one end's half is remembered until the other end's half comes.

Owns half-done rounds and the state that a whole round leaves (algorithms.md 2.1). After one half there is no
Bell-diagonal pair; but its bit is a fair coin, and storage, gate and readout noise are Pauli channels, so
nothing else need be worked out before the other half. Whatever else touches one of the four qubits first
makes a cluster of them (`settle`), as if the half had been carried out there. Refuses chance: the caller
brings a number.

The frames follow the gates, f for a frame: a DEJMPS turn (about X by a quarter, in opposite sense at the two
ends) makes f ^ 2 of an f with bit 0; the CNOTs make kept ^ (measured & 1) of the kept pair's frame. The bits
of the two ends agree in a round that passes if (kept ^ measured) & 2 was 0 before the CNOTs, else they
differ.
"""

from __future__ import annotations

from math import pi
from typing import Final, Literal

from bellwire.core.bell import Bell, permute, recurrence
from bellwire.core.bell import eigenvalues as eigenvalues_of
from bellwire.core.bell import from_eigenvalues as bell_of
from bellwire.simulator_backend.world_pairs import Memory, Pair, Slot

Scheme = Literal["dejmps", "bbpssw"]

QUARTER_TURN_RAD: Final = pi / 2.0


def turn_rad(side: int) -> float:
    """DEJMPS: how far a side of the link turns its qubits about X."""
    return -QUARTER_TURN_RAD if side else QUARTER_TURN_RAD


class HalfRound:
    """What one end has done: `kept` and `measured` wait for the other end as they were before the round."""

    __slots__ = (
        "at_ns",
        "bit",
        "kept",
        "kept_slot",
        "measured",
        "measured_side",
        "scheme",
        "side",
        "uniform",
    )

    def __init__(
        self, kept: Slot, measured: Slot, scheme: Scheme, side: int, uniform: float, at_ns: int
    ) -> None:
        assert kept.pair is not None, "a round takes two pairs"
        assert measured.pair is not None, "a round takes two pairs"
        self.kept = kept.pair
        self.measured = measured.pair
        self.kept_slot = kept
        self.measured_side = measured.side
        self.scheme: Scheme = scheme
        self.side = side
        self.uniform = uniform
        self.at_ns = at_ns
        self.bit = 0 if uniform < 0.5 else 1


class Rounds:
    """Half-done rounds of one World, by the pairs that are in them."""

    def __init__(self) -> None:
        self.halves: dict[Pair, HalfRound] = {}

    def may_begin(self, kept: Slot, measured: Slot) -> bool:
        """True when the slots hold halves of two whole pairs between the same two nodes."""
        one, two = kept.pair, measured.pair
        if one is None or two is None or one is two or one in self.halves or two in self.halves:
            return False
        far_kept, far_measured = one.slots[1 - kept.side], two.slots[1 - measured.side]
        if far_kept is None or far_measured is None or far_kept.memory is not far_measured.memory:
            return False
        return far_kept.memory is not kept.memory

    def begin(
        self, kept: Slot, measured: Slot, scheme: Scheme, side: int, uniform: float, now_ns: int
    ) -> int:
        """The first half of a round: the reported bit; the measured slot is empty afterwards."""
        half = HalfRound(kept, measured, scheme, side, uniform, now_ns)
        self.halves[half.kept] = self.halves[half.measured] = half
        half.measured.slots[measured.side] = None
        measured.pair = None
        return half.bit

    def awaited(self, kept: Slot, measured: Slot, scheme: Scheme, side: int) -> HalfRound | None:
        """The half of which these slots may do the other half, or None."""
        half = None if kept.pair is None else self.halves.get(kept.pair)
        if half is None or half.kept is not kept.pair or half.measured is not measured.pair:
            return None
        if half.kept_slot is kept or half.scheme != scheme or half.side == side:
            return None
        return half

    def finish(self, half: HalfRound, kept: Slot, measured: Slot, uniform: float, now_ns: int) -> int:
        """The second half of a round: the reported bit; the kept pair is in its new state, passed or not."""
        one, two, scheme = half.kept, half.measured, half.scheme
        near, here = half.kept_slot.memory, kept.memory
        a = _aged(one, 1 - kept.side, near, half.at_ns, kept.side, here, now_ns, scheme)
        b = _aged(two, half.measured_side, near, half.at_ns, measured.side, here, now_ns, scheme)
        frame, beside = one.frame, two.frame
        if scheme == "dejmps":
            a, b = (a[0], a[3], a[2], a[1]), (b[0], b[3], b[2], b[1])
            frame, beside = frame ^ (frame & 1) << 1, beside ^ (beside & 1) << 1
        gates = (near.truth.gate_fidelity, here.truth.gate_fidelity)
        readouts = (near.truth.readout_fidelity, here.truth.readout_fidelity)
        passed_bit = half.bit ^ (frame ^ beside) >> 1
        passing = _passing(a, b, gates[0] * gates[1], readouts)
        bit = 0 if uniform < (1.0 - passing if passed_bit else passing) else 1
        # Bits that disagree are those that would agree if the measured pair were flipped.
        kind = b if bit == passed_bit else permute(b, 2)
        state = recurrence(a, kind, gate_fidelities=gates, readout_fidelities=readouts).state
        one.eigenvalues = eigenvalues_of(state)
        one.frame = frame ^ (beside & 1)
        one.since_ns[1 - kept.side] = max(half.at_ns, one.since_ns[1 - kept.side])
        one.since_ns[kept.side] = max(now_ns, one.since_ns[kept.side])
        two.slots[measured.side] = None
        measured.pair = None
        del self.halves[one], self.halves[two]
        return bit

    def settle(self, pair: Pair | None) -> None:
        """Somebody touches a pair: if it is in a half-done round, carry the half out, as a cluster."""
        half = None if pair is None else self.halves.get(pair)
        if half is None:
            return
        from bellwire.simulator_backend.clusters import Cluster  # numpy only where it is needed

        del self.halves[half.kept], self.halves[half.measured]
        near, truth = half.kept_slot, half.kept_slot.memory.truth
        # The slot of the measured qubit may attempt again: a stand-in holds the qubit while it is measured.
        gone = Slot(near.memory, -1)
        half.measured.put(half.measured_side, gone)
        cluster = Cluster.of_slot(near, half.at_ns)
        cluster.absorb(Cluster.of_slot(gone, half.at_ns))
        if half.scheme == "dejmps":
            for slot in (near, gone):
                cluster.gate(slot, "rx", turn_rad(half.side), truth.single_gate_fidelity, half.at_ns)
        cluster.controlled("cnot", near, gone, truth.gate_fidelity, half.at_ns)
        cluster.measure(gone, "Z", truth.readout_fidelity, half.uniform, half.at_ns)


def _aged(
    pair: Pair,
    near_side: int,
    near: Memory,
    near_ns: int,
    far_side: int,
    far: Memory,
    far_ns: int,
    scheme: Scheme,
) -> Bell:
    """State when each end began its half, with the noise of the turns, relative to the pair's frame."""
    phase, flip = near.decay(near_ns - pair.since_ns[near_side])
    far_phase, far_flip = far.decay(far_ns - pair.since_ns[far_side])
    phase *= far_phase
    flip *= far_flip
    if scheme == "dejmps":
        survival = near.truth.single_gate_fidelity * far.truth.single_gate_fidelity
        phase *= survival
        flip *= survival
    l1, l2, l3 = pair.eigenvalues
    return bell_of((l1 * phase, l2 * flip, l3 * phase))


def _passing(a: Bell, b: Bell, gates: float, readouts: tuple[float, float]) -> float:
    """Chance that a round passes: p_pur of algorithms.md 2.1, noisy recurrence."""
    m1, m2 = readouts
    alike = m1 * m2 + (1.0 - m1) * (1.0 - m2)
    alpha, beta = a[0] + a[1], b[0] + b[1]
    even = alpha * beta + (1.0 - alpha) * (1.0 - beta)
    return 0.5 + gates * (1.0 - alike) + gates * even * (2.0 * alike - 1.0) - gates / 2.0
