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

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import end_of
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world_fusions import GroupTruth, check_distinct, fuse, group_truth
from bellwire.simulator_backend.world_gates import (
    apply_controlled,
    apply_gate,
    apply_pauli,
    bell_uniform,
    measure_bell_in_cluster,
    measure_qubit,
    purify,
)
from bellwire.simulator_backend.world_lanes import Lease
from bellwire.simulator_backend.world_links import WorldLink
from bellwire.simulator_backend.world_pairs import UNTURNED, Memory, Pair, Rotation, Slot, truth_of
from bellwire.simulator_backend.world_rounds import Rounds, Scheme
from bellwire.simulator_backend.world_words import (
    Click,
    HeraldScript,
    LinkTruth,
    MemoryTruth,
    PairTruth,
    PlannedClick,
)

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


class World:
    """Links and memories of one network. All times in ns of one true clock; calls come in order of time."""

    def __init__(self, links: Iterable[LinkTruth], memories: Iterable[MemoryTruth], seed: int) -> None:
        """One seed is one world.

        Raises:
            LocalMisuse: two links or memories of one name, or a link to a node without a memory.
        """
        self._chance = Chance(seed)
        self._rounds = Rounds()
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
        ends = [end_of((name, run, attempt, lane, 0)), end_of((name, run, attempt, lane, 1))]
        pair = Pair(eigenvalues, frame, ends, [at_ns, at_ns])
        for side in (0, 1):
            if held[side]:
                place = self._memories[line.truth.nodes[side]].slots[slots[side]]
                place.lane = None
                pair.put(side, place)
        return Click(name, lane, run, attempt, code, at_ns, slots, held)

    def truth_of_link(self, link: str) -> LinkTruth:
        """The hidden truth of a link, as it is now."""
        return self._link(link).truth

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
            return measure_bell_in_cluster(place_a, place_b, success, self._chance, now_ns)
        end_a, end_b = one.ends[place_a.side], two.ends[place_b.side]
        uniform = bell_uniform(end_a, end_b, self._chance)
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
        apply_pauli(place, pauli, now_ns)

    def gate(self, node: str, slot: int, name: str, angle_rad: float, now_ns: int) -> None:
        """One-qubit gate: h (angle ignored), rx, ry or rz by `angle_rad`."""
        place = self._slot(node, slot)
        self._stop(place, now_ns)
        apply_gate(place, name, angle_rad, now_ns)

    def cnot(self, node: str, control: int, target: int, now_ns: int) -> None:
        """Controlled NOT between two slots of one node."""
        self._controlled("cnot", node, control, target, now_ns)

    def cz(self, node: str, slot_a: int, slot_b: int, now_ns: int) -> None:
        """Controlled Z between two slots of one node."""
        self._controlled("cz", node, slot_a, slot_b, now_ns)

    def purify(
        self,
        node: str,
        kept: int,
        measured: int,
        paulis: tuple[int, int],
        scheme: Scheme,
        side: int,
        now_ns: int,
    ) -> int:
        """One node's half of a purification round; the reported bit of the measured qubit, which is gone.

        Paulis on (kept, measured); DEJMPS turns both about X by +pi/2 (side 0) or -pi/2 (side 1); CNOT from
        kept to measured; Z measurement of measured. The noise is that of these gates one by one. Frames and
        the rule for passing: world_rounds.py.
        """
        one, two = self._slot(node, kept), self._slot(node, measured)
        if one is two:
            raise LocalMisuse(f"purification of slot {kept} of {node} with itself")
        if not (0 <= paulis[0] <= 3 and 0 <= paulis[1] <= 3):
            raise LocalMisuse(f"Pauli indices {paulis} of a purification at {node} must lie in 0..3")
        if one.lane is not None or two.lane is not None:
            self._stop(one, now_ns)
            self._stop(two, now_ns)
        return purify(one, two, paulis, scheme, side, self._rounds, self._chance, now_ns)

    def fuse(self, node: str, kept: int, measured: int, now_ns: int) -> int | None:
        """CNOT from kept to measured and Z of the latter: its reported bit. None: it failed, and both qubits
        are gone. It succeeds like a Bell measurement (algorithms.md 0.2: p_f = p_b)."""
        check_distinct(node, kept, measured)
        one, two = self._slot(node, kept), self._slot(node, measured)
        self._stop(one, now_ns)
        self._stop(two, now_ns)
        return fuse(one, two, one.memory.truth.bsm_success_probability, self._chance, now_ns)

    def measure(self, node: str, slot: int, basis: str, now_ns: int, rotation: Rotation = UNTURNED) -> int:
        """Reported bit of a measurement in X, Y or Z, 0 = eigenvalue +1. The qubit is gone afterwards.

        rotation: turns before it, each with the noise of a one-qubit gate.
        """
        place = self._slot(node, slot)
        self._stop(place, now_ns)
        return measure_qubit(place, basis, rotation, self._chance, now_ns)

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
        if place.pair in self._rounds.halves:
            return None
        return truth_of(place, now_ns)

    def group_truth(self, node: str, slot: int, now_ns: int) -> GroupTruth | None:
        """All qubits entangled with the one in the slot as a density matrix; None: the fast form holds it."""
        return group_truth(self._slot(node, slot), now_ns)

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
        if self._rounds.halves:
            self._rounds.settle(place.pair)

    def _clear(self, place: Slot, now_ns: int) -> None:
        """Make a slot empty; its partner, if any, stays behind alone."""
        if place.lane is not None or self._rounds.halves:
            self._stop(place, now_ns)
        place.fresh_ns = place.lone = None
        if place.pair is not None:
            place.pair.slots[place.side] = None
            place.pair = None
        elif place.cluster is not None:
            cluster = place.cluster
            cluster.discard(place)
            cluster.demote()

    def _controlled(self, name: str, node: str, control: int, target: int, now_ns: int) -> None:
        one, two = self._slot(node, control), self._slot(node, target)
        if one is two:
            raise LocalMisuse(f"{name} of slot {control} of {node} with itself")
        self._stop(one, now_ns)
        self._stop(two, now_ns)
        apply_controlled(name, one, two, now_ns)
