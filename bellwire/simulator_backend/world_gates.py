"""Operations on qubits in slots: the fast form where it holds, a density matrix where it does not.

Owns the choice between the two, and which number of `Chance` decides what is read. Refuses attempts: the
World has stopped them before it calls here. Both forms report the same for the same chance.
"""

from __future__ import annotations

from math import tau
from typing import TYPE_CHECKING

from bellwire.core.ids import End
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world_pairs import (
    BASES,
    ROTATION_STEPS,
    UNTURNED,
    Rotation,
    Slot,
    turned_axis,
)
from bellwire.simulator_backend.world_rounds import Rounds, Scheme, turn_rad

if TYPE_CHECKING:
    from bellwire.simulator_backend.clusters import Cluster


def cluster_of(place: Slot, now_ns: int) -> Cluster:
    """The density matrix of a slot's qubit, and of whatever it is entangled with."""
    from bellwire.simulator_backend.clusters import Cluster  # numpy only where a gate needs it

    return Cluster.of_slot(place, now_ns)


def _joint_cluster(one: Slot, two: Slot, now_ns: int) -> Cluster:
    cluster, other = cluster_of(one, now_ns), cluster_of(two, now_ns)
    if cluster is not other:
        cluster.absorb(other)
    return cluster


def apply_pauli(place: Slot, pauli: int, now_ns: int) -> None:
    """Pauli 0..3 with the noise of a one-qubit gate; 0 does nothing at all."""
    if pauli == 0:
        return
    survival = place.memory.truth.single_gate_fidelity
    if place.pair is not None:
        place.pair.frame ^= pauli
        l1, l2, l3 = place.pair.eigenvalues
        place.pair.eigenvalues = (l1 * survival, l2 * survival, l3 * survival)
    else:
        cluster_of(place, now_ns).pauli(place, pauli, survival, now_ns)


def apply_gate(place: Slot, name: str, angle_rad: float, now_ns: int) -> None:
    """h, rx, ry or rz with the noise of a one-qubit gate."""
    survival = place.memory.truth.single_gate_fidelity
    cluster_of(place, now_ns).gate(place, name, angle_rad, survival, now_ns)


def apply_controlled(name: str, one: Slot, two: Slot, now_ns: int) -> None:
    """cnot or cz with the noise of a two-qubit gate."""
    cluster = _joint_cluster(one, two, now_ns)
    cluster.controlled(name, one, two, one.memory.truth.gate_fidelity, now_ns)


def measure_qubit(place: Slot, basis: str, rotation: Rotation, chance: Chance, now_ns: int) -> int:
    """Reported bit in X, Y or Z after turns; the qubit is gone afterwards."""
    if place.cluster is None and basis in BASES:  # pairs are measured by the million: no matrices
        axis = BASES[basis]
        if rotation != UNTURNED:
            axis = turned_axis(basis, rotation, place.memory.truth.single_gate_fidelity)
        if place.pair is not None:
            uniform = chance.uniform("measure", *place.pair.ends[place.side])
            return place.pair.measure(place.side, axis, uniform, now_ns)
        if place.lone is not None:
            uniform = chance.uniform("measure", *place.lone.end)
            return place.lone.measure(place, axis, uniform, now_ns)
    for name, steps in zip(("rx", "ry", "rx"), rotation, strict=True):
        if steps % ROTATION_STEPS:
            apply_gate(place, name, steps * tau / ROTATION_STEPS, now_ns)
    cluster = cluster_of(place, now_ns)
    end = next(member.end for member in cluster.members if member.slot is place)
    uniform = chance.uniform("measure", *end)
    bit = cluster.measure(place, basis, place.memory.truth.readout_fidelity, uniform, now_ns)
    cluster.demote()
    return bit


def bell_uniform(one: End, two: End, chance: Chance) -> float:
    """What decides the Bell measurement of two qubits; the order in which they are named does not matter."""
    return chance.uniform("bsm", *one, *two) if one < two else chance.uniform("bsm", *two, *one)


def measure_bell_in_cluster(one: Slot, two: Slot, success: float, chance: Chance, now_ns: int) -> int | None:
    """Reported Bell index of two qubits that are not halves of two pairs; None: the measurement failed."""
    cluster, other = cluster_of(one, now_ns), cluster_of(two, now_ns)
    members = (*cluster.members, *other.members)
    ends = {member.slot.number: member.end for member in members if member.slot in (one, two)}
    uniform = bell_uniform(ends[one.number], ends[two.number], chance)
    outcome: int | None = None
    if uniform < success:
        if cluster is not other:
            cluster.absorb(other)
        outcome = cluster.measure_bell(one, two, one.memory.bsm_noise, uniform / success, now_ns)
    else:  # what was apart stays apart
        cluster.discard(one)
        other.discard(two)
        other.demote()
    cluster.demote()
    return outcome


def purify(
    kept: Slot,
    measured: Slot,
    paulis: tuple[int, int],
    scheme: Scheme,
    side: int,
    rounds: Rounds,
    chance: Chance,
    now_ns: int,
) -> int:
    """One node's half of a purification round: Paulis, turns, CNOT, Z measurement; the reported bit."""
    half = rounds.awaited(kept, measured, scheme, side)
    if half is None:
        rounds.settle(kept.pair)
        rounds.settle(measured.pair)
    for place, pauli in zip((kept, measured), paulis, strict=True):
        apply_pauli(place, pauli, now_ns)
    if measured.pair is not None:
        uniform = chance.uniform("measure", *measured.pair.ends[measured.side])
        if half is not None:
            return rounds.finish(half, kept, measured, uniform, now_ns)
        if rounds.may_begin(kept, measured):
            return rounds.begin(kept, measured, scheme, side, uniform, now_ns)
    if scheme == "dejmps":
        for place in (kept, measured):
            apply_gate(place, "rx", turn_rad(side), now_ns)
    apply_controlled("cnot", kept, measured, now_ns)
    return measure_qubit(measured, "Z", UNTURNED, chance, now_ns)
