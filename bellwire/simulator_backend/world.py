"""The hidden truth behind an emulated or simulated network: who attempts, what clicks, what the qubits are.

Owns every qubit's true state and the outcome of every chance event. Sans-I/O: time is passed in, chance is
drawn by key, so that both hosts meet the same world from one seed (architecture.md sections 3 and 8). Refuses
protocol: it knows no request, tree or ledger, and tells nobody what it was not asked.

A slot holds at most one of: attempts on a lane, half of a pair, what a measured pair left, a qubit of a
cluster, a fresh |0>, nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from bellwire.core.bell import eigenvalues as eigenvalues_of
from bellwire.core.bell import from_eigenvalues as bell_of
from bellwire.core.bell import permute
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world_lanes import Lease
from bellwire.simulator_backend.world_links import WorldLink
from bellwire.simulator_backend.world_pairs import (
    BASES,
    Memory,
    Pair,
    Slot,
)
from bellwire.simulator_backend.world_words import (
    Click,
    HeraldScript,
    LinkTruth,
    MemoryTruth,
    PairTruth,
    PlannedClick,
)

if TYPE_CHECKING:
    from bellwire.simulator_backend.clusters import Cluster

__all__ = [
    "Click",
    "HeraldOutcome",
    "HeraldPhysics",
    "HeraldScript",
    "LinkTruth",
    "MemoryTruth",
    "PairTruth",
    "PlannedClick",
    "World",
]


_end_of = End._make  # faster than End(...), which every herald would feel


class World:
    """Links and memories of one network. All times in ns of one true clock; calls come in order of time."""

    def __init__(self, links: Iterable[LinkTruth], memories: Iterable[MemoryTruth], seed: int) -> None:
        """One seed is one world.

        Raises:
            LocalMisuse: two links or memories of one name, or a link to a node without a memory.
        """
        self._chance = Chance(seed)
        self._memories: dict[str, Memory] = {}
        for memory in memories:
            if memory.node in self._memories:
                raise LocalMisuse(f"two memories for node {memory.node}")
            self._memories[memory.node] = Memory(memory)
        self._links: dict[str, WorldLink] = {}
        for link in links:
            if link.name in self._links:
                raise LocalMisuse(f"two links of the name {link.name}")
            for node in link.nodes:
                if node not in self._memories:
                    raise LocalMisuse(f"link {link.name} ends at {node}, which has no memory")
            self._links[link.name] = WorldLink(link, self._chance)

    # --- attempts ------------------------------------------------------------------------------------------

    def arm(
        self,
        node: str,
        slot: int,
        link: str,
        lane: int,
        run: int,
        epoch_ns: int,
        first_attempt: int,
        last_attempt: int,
        now_ns: int,
        point: int = 0,
    ) -> PlannedClick | None:
        """Let a slot attempt. Attempt a of (link, run) starts at epoch_ns + a * period_ns.

        The side takes part in attempts from the first whose start is not before now (and not below
        first_attempt) to last_attempt, at an operating point. Re-arming the same (slot, link, lane, run)
        extends or shortens the lease, or goes on at another point; anything else initialises the qubit. A
        lane has one attempting slot per side: a newer one replaces it, while a slot that holds what the lane
        gave before keeps it. Sides with different epochs or points miss each other.

        Returns: the planned click if this call newly determines one; `realise` is due at its at_ns.
        """
        place = self._slot(node, slot)
        line = self._link(link)
        side = line.sides.get(node)
        if side is None or not 0 <= lane < len(line.lanes) or first_attempt < 0:
            raise LocalMisuse(f"{node} cannot arm lane {lane} of link {link} from attempt {first_attempt}")
        if not 0 <= point < len(line.heralds):
            raise LocalMisuse(f"link {link} has operating points 0..{len(line.heralds) - 1}, not {point}")
        track = line.lanes[lane]
        before = track.leases[side]
        going_on = place.lane is track and before is not None and before.slot == slot and before.run == run
        if not going_on:
            self._clear(place, now_ns)
            if before is not None:
                self._clear(place.memory.slots[before.slot], now_ns)
            place.lane = track
            place.lane_side = side
        start = max(first_attempt, track.boundary(epoch_ns, now_ns))
        return track.arm(side, Lease(run, slot, epoch_ns, start, last_attempt, point), now_ns)

    def disarm(self, node: str, slot: int, now_ns: int) -> None:
        """Stop attempting. A winning attempt that has started still clicks, for the other side only."""
        place = self._slot(node, slot)
        if place.lane is not None:
            self._clear(place, now_ns)

    def realise(self, planned: PlannedClick, now_ns: int) -> Click | None:
        """Let a planned click happen: the pair exists from its at_ns. None if the plan was overtaken.

        Raises:
            LocalMisuse: called before at_ns.
        """
        if now_ns < planned.at_ns:
            raise LocalMisuse(f"click due at {planned.at_ns} ns realised early, at {now_ns} ns")
        name, lane, run, attempt, at_ns, _, point = planned
        line = self._link(name)
        taken = line.lanes[lane].take(planned)
        if taken is None:
            return None
        slots, held = taken
        heralds = line.heralds[point]
        drawn = bisect_right(heralds.shares, self._chance.uniform("herald", name, run, attempt, lane))
        code, frame, eigenvalues = heralds.outcomes[drawn]
        ends = [_end_of((name, run, attempt, lane, 0)), _end_of((name, run, attempt, lane, 1))]
        pair = Pair(eigenvalues, frame, ends, [at_ns, at_ns])
        for side in (0, 1):
            if held[side]:
                place = self._memories[line.truth.nodes[side]].slots[slots[side]]
                place.lane = None
                pair.put(side, place)
        return Click(name, lane, run, attempt, code, at_ns, slots, held)

    def change_link(
        self,
        link: str,
        now_ns: int,
        *,
        success_probability: float | None = None,
        outcomes: tuple[HeraldOutcome, ...] | None = None,
        points: tuple[HeraldPhysics, ...] | None = None,
    ) -> tuple[PlannedClick, ...]:
        """The hardware drifts: another truth for every attempt that has not started yet. None: as before.

        Pairs that exist stay as they are; a click that is on its way already gives a pair of the new kind.

        Returns: planned clicks that are newly determined, as `arm` does; earlier ones may be overtaken.

        Raises:
            LocalMisuse: another number of operating points, or a truth that no link can have.
        """
        line = self._link(link)
        before = line.truth
        truth = replace(
            before,
            success_probability=(
                before.success_probability if success_probability is None else success_probability
            ),
            outcomes=before.outcomes if outcomes is None else outcomes,
            points=before.points if points is None else points,
        )
        if len(truth.points) != len(before.points):
            raise LocalMisuse(
                f"link {link} has {len(before.points)} operating points; a change cannot make it "
                f"{len(truth.points)}"
            )
        return line.change(truth, now_ns)

    # --- operations ----------------------------------------------------------------------------------------

    def measure_bell(self, node: str, slot_a: int, slot_b: int, now_ns: int) -> int | None:
        """Reported Bell index 0..3, or None if the measurement failed. Both qubits are gone afterwards.

        The pair that results has frame frame_a ^ frame_b ^ reported index.
        """
        place_a, place_b = self._slot(node, slot_a), self._slot(node, slot_b)
        if place_a is place_b:
            raise LocalMisuse(f"Bell measurement of slot {slot_a} of {node} with itself")
        self._stop(place_a, now_ns)
        self._stop(place_b, now_ns)
        one, two = place_a.pair, place_b.pair
        success = place_a.memory.truth.bsm_success_probability
        if one is None or two is None or one is two:
            return self._measure_bell_in_cluster(place_a, place_b, success, now_ns)
        end_a, end_b = one.ends[place_a.side], two.ends[place_b.side]
        uniform = self._bsm_uniform(end_a, end_b)
        if uniform >= success:
            one.slots[place_a.side] = two.slots[place_b.side] = None
            place_a.pair = place_b.pair = None
            return None
        outcome = min(
            3, int(4.0 * uniform / success)
        )  # every Bell index is equally likely: no pair has a bias
        one.swap(place_a.side, two, place_b.side, outcome, now_ns)
        return outcome

    def apply_pauli(self, node: str, slot: int, pauli: int, now_ns: int) -> None:
        """Physical Pauli gate, index 0..3 (0 does nothing at all), with the noise of a one-qubit gate."""
        if not 0 <= pauli <= 3:
            raise LocalMisuse(f"Pauli index {pauli} is outside 0..3")
        place = self._slot(node, slot)
        self._stop(place, now_ns)
        if pauli == 0:
            return
        survival = place.memory.truth.single_gate_fidelity
        if place.pair is not None:
            place.pair.frame ^= pauli
            l1, l2, l3 = place.pair.eigenvalues
            place.pair.eigenvalues = (l1 * survival, l2 * survival, l3 * survival)
        else:
            self._cluster(place, now_ns).pauli(place, pauli, survival, now_ns)

    def gate(self, node: str, slot: int, name: str, angle_rad: float, now_ns: int) -> None:
        """One-qubit gate: h (angle ignored), rx, ry or rz by `angle_rad`."""
        place = self._slot(node, slot)
        self._stop(place, now_ns)
        survival = place.memory.truth.single_gate_fidelity
        self._cluster(place, now_ns).gate(place, name, angle_rad, survival, now_ns)

    def cnot(self, node: str, control: int, target: int, now_ns: int) -> None:
        """Controlled NOT between two slots of one node."""
        self._controlled("cnot", node, control, target, now_ns)

    def cz(self, node: str, slot_a: int, slot_b: int, now_ns: int) -> None:
        """Controlled Z between two slots of one node."""
        self._controlled("cz", node, slot_a, slot_b, now_ns)

    def measure(self, node: str, slot: int, basis: str, now_ns: int) -> int:
        """Reported bit of a measurement in X, Y or Z, 0 = eigenvalue +1. The qubit is gone afterwards."""
        place = self._slot(node, slot)
        self._stop(place, now_ns)
        if place.cluster is None and basis in BASES:  # pairs are measured by the million: no matrices
            if place.pair is not None:
                uniform = self._chance.uniform("measure", *place.pair.ends[place.side])
                return place.pair.measure(place.side, basis, uniform, now_ns)
            if place.lone is not None:
                uniform = self._chance.uniform("measure", *place.lone.end)
                return place.lone.measure(place, basis, uniform, now_ns)
        cluster = self._cluster(place, now_ns)
        end = next(member.end for member in cluster.members if member.slot is place)
        uniform = self._chance.uniform("measure", *end)
        bit = cluster.measure(place, basis, place.memory.truth.readout_fidelity, uniform, now_ns)
        cluster.demote()
        return bit

    def initialise(self, node: str, slot: int, now_ns: int) -> None:
        """Prepare |0>; whatever was in the slot is lost."""
        place = self._slot(node, slot)
        self._clear(place, now_ns)
        place.uses += 1
        place.fresh_ns = now_ns

    def release(self, node: str, slot: int, now_ns: int) -> None:
        """Give up whatever is in the slot, attempts included."""
        self._clear(self._slot(node, slot), now_ns)

    def lose_node(self, node: str, now_ns: int) -> None:
        """Power loss: every qubit of the node is gone and nothing attempts any more."""
        for place in self._memory(node).slots:
            self._clear(place, now_ns)

    # --- looking (changes nothing) -------------------------------------------------------------------------

    def truth(self, node: str, slot: int, now_ns: int) -> PairTruth | None:
        """The pair whose half is in the slot, or None if the partner is gone or this is no pair."""
        place = self._slot(node, slot)
        pair = place.pair
        if pair is not None:
            far = pair.slots[1 - place.side]
            if far is None:
                return None
            state, frame = bell_of(pair.aged(now_ns)), pair.frame
            ends = (pair.ends[place.side], pair.ends[1 - place.side])
        else:
            mates = None if place.cluster is None else place.cluster.mates()
            if mates is None or place.cluster is None:
                return None
            near, other = mates if mates[0].slot is place else (mates[1], mates[0])
            frame = (near.frame or 0) ^ (other.frame or 0)
            relative = permute(place.cluster.bell_vector(), frame)
            aged = Pair(
                eigenvalues_of(relative), frame, [near.end, other.end], [near.since_ns, other.since_ns]
            )
            aged.slots = [near.slot, other.slot]
            state, far, ends = bell_of(aged.aged(now_ns)), other.slot, (near.end, other.end)
        return PairTruth((far.memory.truth.node, far.number), frame, state, state[0], ends)

    def occupied(self, node: str) -> tuple[int, ...]:
        """Slots that hold a qubit: paired, alone, in a cluster or fresh; attempting slots are not listed."""
        return tuple(
            place.number
            for place in self._memory(node).slots
            if place.pair is not None
            or place.lone is not None
            or place.cluster is not None
            or place.fresh_ns is not None
        )

    def attempting(self, node: str) -> tuple[int, ...]:
        """Slots that are armed on a lane, lease expired or not."""
        return tuple(place.number for place in self._memory(node).slots if place.lane is not None)

    # --- inside --------------------------------------------------------------------------------------------

    def _memory(self, node: str) -> Memory:
        try:
            return self._memories[node]
        except KeyError:
            raise LocalMisuse(f"no memory at node {node!r}") from None

    def _link(self, name: str) -> WorldLink:
        try:
            return self._links[name]
        except KeyError:
            raise LocalMisuse(f"no link of the name {name!r}") from None

    def _slot(self, node: str, number: int) -> Slot:
        slots = self._memory(node).slots
        if not 0 <= number < len(slots):
            raise LocalMisuse(f"{node} has slots 0..{len(slots) - 1}, not {number}")
        return slots[number]

    def _stop(self, place: Slot, now_ns: int) -> None:
        if place.lane is not None:
            place.lane.disarm(place.lane_side, now_ns)
            place.lane = None

    def _clear(self, place: Slot, now_ns: int) -> None:
        """Make a slot empty; its partner, if any, stays behind alone."""
        if place.lane is not None:
            self._stop(place, now_ns)
        place.fresh_ns = place.lone = None
        if place.pair is not None:
            place.pair.slots[place.side] = None
            place.pair = None
        elif place.cluster is not None:
            cluster = place.cluster
            cluster.discard(place)
            cluster.demote()

    def _cluster(self, place: Slot, now_ns: int) -> Cluster:
        from bellwire.simulator_backend.clusters import Cluster  # numpy only where a gate needs it

        return Cluster.of_slot(place, now_ns)

    def _joint_cluster(self, one: Slot, two: Slot, now_ns: int) -> Cluster:
        cluster, other = self._cluster(one, now_ns), self._cluster(two, now_ns)
        if cluster is not other:
            cluster.absorb(other)
        return cluster

    def _controlled(self, name: str, node: str, control: int, target: int, now_ns: int) -> None:
        one, two = self._slot(node, control), self._slot(node, target)
        if one is two:
            raise LocalMisuse(f"{name} of slot {control} of {node} with itself")
        self._stop(one, now_ns)
        self._stop(two, now_ns)
        cluster = self._joint_cluster(one, two, now_ns)
        cluster.controlled(name, one, two, one.memory.truth.gate_fidelity, now_ns)

    def _bsm_uniform(self, one: End, two: End) -> float:
        # Sorted, so that the order in which the slots are named does not matter.
        return (
            self._chance.uniform("bsm", *one, *two) if one < two else self._chance.uniform("bsm", *two, *one)
        )

    def _measure_bell_in_cluster(self, one: Slot, two: Slot, success: float, now_ns: int) -> int | None:
        cluster = self._joint_cluster(one, two, now_ns)
        ends = {member.slot.number: member.end for member in cluster.members if member.slot in (one, two)}
        uniform = self._bsm_uniform(ends[one.number], ends[two.number])
        outcome: int | None = None
        if uniform < success:
            memory = one.memory.truth
            gate, readout = memory.gate_fidelity, memory.readout_fidelity
            outcome = cluster.measure_bell(one, two, gate, readout, uniform / success, now_ns)
        else:
            cluster.discard(one)
            cluster.discard(two)
        cluster.demote()
        return outcome
