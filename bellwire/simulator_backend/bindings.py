"""Orders of machines become deeds in the World, and the World's answers become events, in virtual time.

Owns the translation of device effects for all nodes of a virtual lab. Refuses protocol knowledge. Orders
that take no time are answered at once, without an appointment (architecture.md section 4, cost rules).
"""

from collections import Counter
from collections.abc import Callable
from math import tau
from typing import Protocol

from bellwire.core.effects import (
    ApplyPauli,
    CheckDark,
    FuseQubits,
    MeasureBell,
    MeasureQubit,
    PrepareQubit,
    PurifyPair,
    ReleaseQubit,
    SetSwitch,
    StartAttempts,
    StartRun,
    StopAttempts,
)
from bellwire.core.events import (
    BellMeasured,
    DarkChecked,
    Ended,
    Event,
    Heralded,
    PairPurified,
    PauliApplied,
    QubitHeld,
    QubitMeasured,
    QubitPrepared,
    QubitsFused,
    StationDecided,
    StationHeralded,
    SwitchSet,
)
from bellwire.core.ids import LinkId, NodeId, SwitchId
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.settings import NetworkSettings
from bellwire.simulator_backend.clock import HARDWARE, HOUSEKEEPING, VirtualClock
from bellwire.simulator_backend.world import PairTruth, PlannedClick, World
from bellwire.simulator_backend.world_fusions import GroupTruth
from bellwire.simulator_backend.world_pairs import ROTATION_STEPS
from bellwire.simulator_backend.world_words import LinkTruth

Tell = Callable[[NodeId, Event], None]
"""Give an event to a node's machine, now."""


class TruthWitness(Protocol):
    """Somebody who may look at a pair just before an end of it is used up."""

    def __call__(self, node: NodeId, slot: int, truth: PairTruth | None) -> None: ...


class VirtualBindings:
    """All instruments of a virtual lab."""

    def __init__(
        self, network: NetworkSettings, clock: VirtualClock, world: World, tell: Tell, witness: TruthWitness
    ) -> None:
        """`witness` sees the World's truth of every pair that is released for delivery or measured."""
        self._network = network
        self._clock = clock
        self._world = world
        self._tell = tell
        self._witness = witness
        self.group_witnesses: list[Callable[[int, NodeId, GroupTruth], None]] = []  # of delivered groups
        self._runs: dict[LinkId, tuple[int, int]] = {}  # link with a station -> (run, epoch)
        self._bounding: set[LinkId] = set()
        self.switch_faults: dict[SwitchId, str] = {}  # why a switch refuses to move, for tests and scenarios
        self.stray_light_hz: dict[SwitchId, float] = {}  # counts behind a switch without light of the lab
        self._fences: dict[SwitchId, int] = {}
        self._lit: dict[LinkId, LinkTruth] = {}  # truths of links through switches
        self._losses: Counter[NodeId] = Counter()  # how often a memory has lost its power
        self._armed: dict[tuple[NodeId, int], int] = {}  # slot -> generation of its latest StartAttempts

    def start_attempts(self, node: NodeId, order: StartAttempts) -> None:
        """Arm one side of a lane; the World plans the click when both sides are armed.

        An order of the same generation extends a lease. When the slot has caught a qubit in the meantime,
        whose herald is still on its way, there is nothing to extend, and nothing is initialised.
        """
        clock = self._clock
        place = (node, order.slot)
        if self._armed.get(place) == order.generation and order.slot not in self._world.attempting(node):
            return
        self._armed[place] = order.generation
        planned = self._world.arm(
            node,
            order.slot,
            order.link,
            order.lane,
            order.run,
            order.epoch_ns,
            order.first,
            order.last,
            clock.now_ns,
            order.point,
        )
        if planned is not None:
            clock.at(planned.at_ns, HARDWARE, self._click, planned)

    def change_link(
        self,
        link: LinkId,
        *,
        success_probability: float | None = None,
        outcomes: tuple[HeraldOutcome, ...] | None = None,
        points: tuple[HeraldPhysics, ...] | None = None,
    ) -> None:
        """The hidden truth of a link changes now, see `World.change_link`; no machine is told."""
        clock = self._clock
        for planned in self._world.change_link(
            link, clock.now_ns, success_probability=success_probability, outcomes=outcomes, points=points
        ):
            clock.at(planned.at_ns, HARDWARE, self._click, planned)

    def stop_attempts(self, node: NodeId, order: StopAttempts) -> None:
        """Disarm, and forget what the slot may have caught."""
        self._world.disarm(node, order.slot, self._clock.now_ns)
        self._world.release(node, order.slot, self._clock.now_ns)

    def _click(self, planned: PlannedClick) -> None:
        clock = self._clock
        click = self._world.realise(planned, clock.now_ns)
        if click is None:
            return
        link = self._network.links[click.link]
        heralded: Heralded | None = None
        if link.station is None:  # both nodes hear the same
            heralded = Heralded(
                link=click.link,
                run=click.run,
                attempt=click.attempt,
                lane=click.lane,
                code=click.code,
                at_ns=click.at_ns,
                sigma_ns=0,
            )
        for side in (0, 1):
            node, delay_ns = link.nodes[side], link.herald_delay_ns[side]
            event: Event | None = heralded
            if event is None:
                if not click.held[side]:
                    continue  # the slot had left the attempt: no herald line is waited for any more
                event = QubitHeld(
                    slot=click.slots[side],
                    link=click.link,
                    run=click.run,
                    attempt=click.attempt,
                    lane=click.lane,
                    at_ns=click.at_ns + delay_ns,
                )
            if delay_ns:
                clock.at(clock.now_ns + delay_ns, HARDWARE, self._tell, node, event)
            else:
                self._tell(node, event)
        if link.station is not None:
            self._tell(
                link.station,
                StationHeralded(
                    link=click.link,
                    run=click.run,
                    attempt=click.attempt,
                    lane=click.lane,
                    code=click.code,
                    at_ns=click.at_ns,
                    sigma_ns=0,
                ),
            )

    def start_run(self, station: NodeId, order: StartRun) -> None:
        """The analyser decides this run's attempts from now on, and says at intervals how far it is."""
        self._runs[order.link] = (order.run, order.epoch_ns)
        if order.link not in self._bounding:
            self._bounding.add(order.link)
            self._bound(station, order.link)

    def _bound(self, station: NodeId, link: LinkId) -> None:
        run, epoch_ns = self._runs[link]
        settings = self._network.links[link]
        clock = self._clock
        decided = (clock.now_ns - settings.click_delay_ns - epoch_ns) // settings.period_ns - 1
        if decided >= 0:
            self._tell(station, StationDecided(link=link, run=run, attempt=decided))
        clock.at(
            clock.now_ns + self._network.timers.herald_bound_ns, HOUSEKEEPING, self._bound, station, link
        )

    def measure_bell(self, node: NodeId, order: MeasureBell) -> None:
        """Measure two slots; the result comes after the operation's duration."""
        memory = self._network.nodes[node].memory
        duration_ns = memory.bsm_duration_ns if memory is not None else 0
        if duration_ns:
            at_ns, losses = self._clock.now_ns + duration_ns, self._losses[node]
            self._clock.at(at_ns, HARDWARE, self._measure_bell, node, order, losses)
        else:
            self._measure_bell(node, order, self._losses[node])

    def _measure_bell(self, node: NodeId, order: MeasureBell, losses: int) -> None:
        now_ns = self._clock.now_ns
        if losses != self._losses[node]:  # a memory that lost power meanwhile knows nothing of it
            lost = BellMeasured(operation=order.operation, ended="unknown", outcome=None, at_ns=now_ns)
            self._tell(node, lost)
            return
        memory = self._network.nodes[node].memory
        if memory is not None and order.left_slot >= memory.slots:  # a teleportation uses the pair up
            self._witness(node, order.right_slot, self._world.truth(node, order.right_slot, now_ns))
        outcome = self._world.measure_bell(node, order.left_slot, order.right_slot, now_ns)
        ended: Ended = "failed" if outcome is None else "done"
        self._tell(node, BellMeasured(operation=order.operation, ended=ended, outcome=outcome, at_ns=now_ns))

    def fuse_qubits(self, node: NodeId, order: FuseQubits) -> None:
        """Fuse two slots; the result comes after the duration of a Bell measurement (t_f = t_b)."""
        memory = self._network.nodes[node].memory
        duration_ns = memory.bsm_duration_ns if memory is not None else 0
        if duration_ns:
            at_ns, losses = self._clock.now_ns + duration_ns, self._losses[node]
            self._clock.at(at_ns, HARDWARE, self._fuse_qubits, node, order, losses)
        else:
            self._fuse_qubits(node, order, self._losses[node])

    def _fuse_qubits(self, node: NodeId, order: FuseQubits, losses: int) -> None:
        now_ns = self._clock.now_ns
        if losses != self._losses[node]:
            lost = QubitsFused(operation=order.operation, ended="unknown", bit=None, at_ns=now_ns)
            self._tell(node, lost)
            return
        bit = self._world.fuse(node, order.kept_slot, order.measured_slot, now_ns)
        ended: Ended = "failed" if bit is None else "done"
        self._tell(node, QubitsFused(operation=order.operation, ended=ended, bit=bit, at_ns=now_ns))

    def measure_qubit(self, node: NodeId, order: MeasureQubit) -> None:
        """Measure one slot."""
        now_ns = self._clock.now_ns
        self._witness(node, order.slot, self._world.truth(node, order.slot, now_ns))
        if order.tag:
            self._witness_group(node, order.slot)
        bit = self._world.measure(node, order.slot, order.basis, now_ns, order.rotation)
        self._tell(
            node,
            QubitMeasured(operation=order.operation, ended="done", bit=bit, at_ns=now_ns, stamp_ns=now_ns),
        )

    def prepare_qubit(self, node: NodeId, order: PrepareQubit) -> None:
        """Prepare |0> and turn it."""
        now_ns = self._clock.now_ns
        self._world.initialise(node, order.slot, now_ns)
        for name, steps in zip(("rx", "ry", "rx"), order.turns, strict=True):
            if steps:
                self._world.gate(node, order.slot, name, steps * tau / ROTATION_STEPS, now_ns)
        self._tell(
            node, QubitPrepared(operation=order.operation, ended="done", at_ns=now_ns, stamp_ns=now_ns)
        )

    def purify_pair(self, node: NodeId, order: PurifyPair) -> None:
        """The local half of a purification round."""
        now_ns = self._clock.now_ns
        bit = self._world.purify(
            node,
            order.kept_slot,
            order.measured_slot,
            (order.kept_pauli, order.measured_pauli),
            order.scheme,
            order.side,
            now_ns,
        )
        self._tell(node, PairPurified(operation=order.operation, ended="done", bit=bit, at_ns=now_ns))

    def apply_pauli(self, node: NodeId, order: ApplyPauli) -> None:
        """Apply a Pauli, after a Hadamard gate if the order says so."""
        now_ns = self._clock.now_ns
        if order.hadamard:
            self._world.gate(node, order.slot, "h", 0.0, now_ns)
        self._world.apply_pauli(node, order.slot, order.pauli, now_ns)
        self._tell(node, PauliApplied(operation=order.operation, ended="done", at_ns=now_ns))

    def release(self, node: NodeId, order: ReleaseQubit) -> None:
        """Forget a qubit."""
        now_ns = self._clock.now_ns
        if order.tag:
            self._witness(node, order.slot, self._world.truth(node, order.slot, now_ns))
            self._witness_group(node, order.slot)
        self._world.release(node, order.slot, now_ns)

    def _witness_group(self, node: NodeId, slot: int) -> None:
        now_ns = self._clock.now_ns
        group = self._world.group_truth(node, slot, now_ns) if self.group_witnesses else None
        if group is not None:
            for witness in self.group_witnesses:
                witness(now_ns, node, group)

    # ---- optical switches

    def dark_links(self) -> None:
        """Switches stand at no setting when a lab begins: their links give nothing until one is ordered."""
        for switch in self._network.switches:
            self._show(switch, None)

    def set_switch(self, node: NodeId, order: SetSwitch) -> None:
        """The light of the old setting goes at once, that of the new one comes when the order is done."""
        refused = self.switch_faults.get(order.switch, "")
        if order.fence < self._fences.get(order.switch, 0):
            refused = f"fence {order.fence} is older than {self._fences[order.switch]}"
        else:
            self._fences[order.switch] = order.fence
            self._show(order.switch, None if refused else order.setting)
        ended: Ended = "failed" if refused else "done"
        now_ns = self._clock.now_ns
        self._tell(node, SwitchSet(operation=order.operation, ended=ended, at_ns=now_ns, reason=refused))

    def check_dark(self, node: NodeId, order: CheckDark) -> None:
        """Count for as long as the check takes."""
        check_ns = self._network.switches[order.switch].check_ns
        self._clock.at(self._clock.now_ns + check_ns, HARDWARE, self._checked, node, order)

    def _checked(self, node: NodeId, order: CheckDark) -> None:
        self._tell(
            node,
            DarkChecked(
                operation=order.operation,
                ended="done",
                at_ns=self._clock.now_ns,
                rate_hz=self.stray_light_hz.get(order.switch, 0.0),
            ),
        )

    def _show(self, switch: SwitchId, setting: str | None) -> None:
        """Links at this setting have the World's truth, all others through the switch give nothing."""
        for name, link in self._network.links.items():
            if link.through is None or link.through.switch != switch:
                continue
            truth = self._lit.setdefault(name, self._world.truth_of_link(name))
            shining = link.through.setting == setting
            points = tuple(
                HeraldPhysics(one.success_probability if shining else 0.0, one.outcomes)
                for one in truth.points
            )
            self.change_link(
                name,
                success_probability=truth.success_probability if shining else 0.0,
                points=points or None,
            )

    def power_loss(self, node: NodeId) -> None:
        """The node's memory forgets everything."""
        self._losses[node] += 1
        self._armed = {place: used for place, used in self._armed.items() if place[0] != node}
        self._world.lose_node(node, self._clock.now_ns)
