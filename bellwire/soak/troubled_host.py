"""The virtual host as a bad world: facts as messages, peers judged by what is heard of them, and every fault.

Owns how each fault acts. Refuses to choose faults (faults.py) and to judge what comes of them (rules.py).
Machines, World and clock are those of the ordinary virtual host; facts travel as messages through the same
machines' gap detection as on the live bus, and a peer is up, suspect or down by the live bus's own rule.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from bellwire.core.errors import PeerViolation
from bellwire.core.events import (
    BellMeasured,
    DeviceChanged,
    Event,
    PairPurified,
    PauliApplied,
    PeerChanged,
    QubitMeasured,
    QubitsFused,
    Received,
    TimerFired,
)
from bellwire.core.ids import NodeId
from bellwire.core.messages import Message
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_MS
from bellwire.gem.replica import FactSource
from bellwire.labs import Lab
from bellwire.node.machines import Compute
from bellwire.node.routing import NodeMachine
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.liveness import Liveness
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.clock import HOUSEKEEPING, TIMER, VirtualClock
from bellwire.simulator_backend.host import Watch
from bellwire.simulator_backend.message_host import MessageHost, without_logs
from bellwire.simulator_backend.network import MessageFaults, Post
from bellwire.simulator_backend.world_changes import changed
from bellwire.soak.faults import (
    ClockSkew,
    ClockStep,
    Crash,
    Cut,
    Fault,
    LinkTrouble,
    MemoryReset,
    MessageNoise,
    OrderTrouble,
    Pause,
    SlowDisks,
)
from bellwire.soak.local_clocks import LocalClock

_ENDS: Final = (BellMeasured, QubitMeasured, PairPurified, QubitsFused, PauliApplied)
_RESULTS: Final = {BellMeasured: "outcome", QubitMeasured: "bit", PairPurified: "bit", QubitsFused: "bit"}
"""The field of each end of an order that tells the result."""

HEARTBEAT_NS: Final = BusSettings().interval_ns


def _unknown(event: Event) -> Event:
    """The same end of an order, without its result."""
    result = _RESULTS.get(type(event))
    changes: dict[str, Any] = {"ended": "unknown"} | ({} if result is None else {result: None})
    unknown: Event = msgspec.structs.replace(event, **changes)
    return unknown


class TroubledPost(Post):
    """Messages through cuts and noises."""

    def __init__(
        self,
        network: NetworkSettings,
        clock: VirtualClock,
        chance: Chance,
        faults: Sequence[Fault],
        deliver: Callable[[NodeId, NodeId, int, Message], None],
    ) -> None:
        super().__init__(network, clock, chance, MessageFaults(), deliver)
        self._noises = [
            (
                fault.at_ns,
                fault.until_ns,
                MessageFaults(
                    loss_probability=fault.loss_probability,
                    duplicate_probability=fault.duplicate_probability,
                    jitter_ns=fault.jitter_ns,
                    reorder=fault.reorder,
                ),
            )
            for fault in faults
            if isinstance(fault, MessageNoise)
        ]
        self._cuts = [
            (fault.at_ns, fault.until_ns, frozenset(fault.sources), frozenset(fault.targets))
            for fault in faults
            if isinstance(fault, Cut)
        ]
        self.cut = 0

    def is_cut(self, source: NodeId, to: NodeId) -> bool:
        """No message gets through now."""
        now_ns = self._clock.now_ns
        return any(
            at_ns <= now_ns < until_ns and source in sources and to in targets
            for at_ns, until_ns, sources, targets in self._cuts
        )

    def send(self, source: NodeId, incarnation: int, to: NodeId, message: Message) -> None:
        """Put a message on its way, or into the ditch."""
        if self._cuts and self.is_cut(source, to):
            self.cut += 1
            return
        now_ns = self._clock.now_ns
        self._faults = next(
            (noise for at_ns, until_ns, noise in self._noises if at_ns <= now_ns < until_ns), None
        )
        super().send(source, incarnation, to, message)


class TroubledHost(MessageHost):
    """A lab in virtual time with a list of faults."""

    def __init__(
        self,
        lab: Lab,
        seed: int,
        compute: Compute,
        faults: Sequence[Fault],
        *,
        watch: Watch | None = None,
        perturb: Callable[[int], int] | None = None,
    ) -> None:
        """Faults of the lab file's own scenario are not planted."""
        self._clocks = {
            node: LocalClock(
                next((one for one in faults if isinstance(one, ClockSkew) and one.node == node), None),
                [one for one in faults if isinstance(one, ClockStep) and one.node == node],
            )
            for node in lab.network.nodes
        }
        self._new_disks = any(isinstance(one, Crash) and one.forgets for one in faults)
        super().__init__(lab, seed, compute, watch=watch, perturb=perturb, make=self._make_clocked)
        self.faults = tuple(faults)
        self.fired: Counter[str] = Counter()  # faults that acted, by kind
        self.on_clock_set: list[Callable[[NodeId], None]] = []
        self.on_restarted: list[Callable[[NodeId], None]] = []
        self.on_resumed: list[Callable[[NodeId, int], None]] = []
        self.restarts: list[tuple[int, NodeId, bool]] = []  # when, who, whether it has forgotten
        self.post: TroubledPost = TroubledPost(lab.network, self.clock, self._chance, faults, self._arrive)
        self._persist_latency_ns = sum(one.latency_ns for one in faults if isinstance(one, SlowDisks))
        self._orders = [one for one in faults if isinstance(one, OrderTrouble)]
        self._answered = 0
        self._own_deadlines_ns: dict[NodeId, int | None] = {}
        self._standing: dict[NodeId, int] = {}  # until when
        self._held_back: dict[NodeId, list[Event]] = {}
        self._opinions: dict[NodeId, dict[NodeId, Liveness]] = {}

    # ---- life

    def start(self, absent: Collection[NodeId] = ()) -> None:
        """Start everything, and plan the faults."""
        super().start(absent)
        at = self.clock.at
        for number, node in enumerate(self.network.nodes):
            at(number * HEARTBEAT_NS // len(self.network.nodes), HOUSEKEEPING, self._listen, node)
        for fault in self.faults:
            match fault:
                case Crash():
                    at(fault.at_ns, HOUSEKEEPING, self._kill, fault)
                case Pause():
                    at(fault.at_ns, HOUSEKEEPING, self._stand_still, fault)
                case ClockStep():
                    at(fault.at_ns, HOUSEKEEPING, self._clock_set, fault.node)
                case MemoryReset():
                    at(fault.at_ns, HOUSEKEEPING, self._reset_memory, fault)
                case LinkTrouble():
                    self._plan_link_trouble(fault)
                case ClockSkew():
                    self.fired["clock skew"] += 1  # all the time
                case SlowDisks():
                    self.fired["slow disks"] += 1
                case MessageNoise() | Cut() | OrderTrouble():
                    pass  # they act when something is sent or answered

    def own_time(self, node: NodeId, true_ns: int) -> int:
        """What the clock of a node shows at a true time."""
        return self._clocks[node].own(true_ns)

    def _make_clocked(
        self, network: NetworkSettings, node: NodeId, compute: Compute, source: FactSource | None
    ) -> NodeMachine:
        """A machine that lives by its own clock and hears facts as messages; instruments keep true time."""
        machine = without_logs(network, node, compute, source)
        clock = self._clocks[node]
        handle = machine.handle

        def handle_by_own_clock(now_ns: int, event: Event) -> list[Any]:
            try:
                effects = handle(clock.own(now_ns), event)
            except PeerViolation:
                # A node with a new disk has forgotten what others speak of; its agent counts it and goes on.
                if not self._new_disks:
                    raise
                self.fired["word that a new disk knows nothing of"] += 1
                return []
            self._own_deadlines_ns[node] = own_ns = machine.next_deadline_ns
            machine.next_deadline_ns = None if own_ns is None else clock.true(own_ns)
            return effects

        if self._new_disks or not clock.right:
            machine.__dict__["handle"] = handle_by_own_clock
        return machine

    def _boot(self, node: NodeId) -> None:
        self._opinions[node] = {}
        super()._boot(node)

    def _kill(self, fault: Crash) -> None:
        node = fault.node
        if node not in self.machines:
            return
        self.fired["crash without its records" if fault.forgets else "crash"] += 1
        self._end_life(node)
        self._standing.pop(node, None)
        self._held_back.pop(node, None)
        self.clock.at(self.clock.now_ns + fault.down_ns, HOUSEKEEPING, self._rise, node, fault.forgets)

    def _rise(self, node: NodeId, forgets: bool) -> None:
        if forgets:
            self.store.lose_records(node)
        self.restarts.append((self.clock.now_ns, node, forgets))
        for told in self.on_restarted:
            told(node)
        self._boot(node)

    # ---- standing still

    def _stand_still(self, fault: Pause) -> None:
        node = fault.node
        if node in self.machines and node not in self._standing:
            self.fired["pause"] += 1
            self._standing[node] = until_ns = self.clock.now_ns + fault.for_ns
            self._held_back[node] = []
            self.clock.at(until_ns, HOUSEKEEPING, self._go_on, node, until_ns)

    def _go_on(self, node: NodeId, until_ns: int) -> None:
        if self._standing.get(node) != until_ns:
            return  # it was killed meanwhile
        del self._standing[node]
        for told in self.on_resumed:
            told(node, until_ns)
        for event in self._held_back.pop(node):
            self._tell(node, event)
        self._timer_anew(node)

    def _timer_anew(self, node: NodeId) -> None:
        machine = self.machines.get(node)
        if machine is not None and machine.next_deadline_ns is not None:
            deadline_ns = max(machine.next_deadline_ns, self.clock.now_ns)
            self._timers[node] = deadline_ns
            self.clock.at(deadline_ns, TIMER, self._timer, node, machine, deadline_ns)

    def _tell(self, node: NodeId, event: Event) -> None:
        if self._orders and isinstance(event, _ENDS):
            troubled = self._troubled_end(node, event)
            if troubled is None:
                return
            event = troubled
        self._tell_or_keep(node, event)

    def _tell_or_keep(self, node: NodeId, event: Event) -> None:
        if node in self._standing:
            if type(event) is not TimerFired:  # asked for anew afterwards
                self._held_back[node].append(event)
            return
        super()._tell(node, event)

    # ---- clocks

    def _clock_set(self, node: NodeId) -> None:
        self.fired["clock step"] += 1
        machine = self.machines.get(node)
        own_ns = self._own_deadlines_ns.get(node)
        if machine is None or own_ns is None:
            return
        machine.next_deadline_ns = self._clocks[node].true(own_ns)
        for told in self.on_clock_set:
            told(node)
        if node not in self._standing:
            self._timer_anew(node)

    # ---- instruments

    def _troubled_end(self, node: NodeId, event: Event) -> Event | None:
        now_ns = self.clock.now_ns
        for fault in self._orders:
            if fault.node == node and fault.at_ns <= now_ns < fault.until_ns:
                self._answered += 1
                if self._chance.uniform("order", node, self._answered) < fault.probability:
                    self.fired[f"order {fault.ended}"] += 1
                    unknown = _unknown(event)
                    if fault.ended == "unknown":
                        return unknown
                    memory = self.network.nodes[node].memory
                    assert memory is not None
                    late_ns, life = now_ns + memory.operation_limit_ns, self.incarnations[node]
                    self.clock.at(late_ns, HOUSEKEEPING, self._tell_late, node, life, unknown)
                    return None
        return event

    def _tell_late(self, node: NodeId, life: int, event: Event) -> None:
        if self.incarnations[node] == life and node in self.machines:
            self._tell_or_keep(node, event)

    def _reset_memory(self, fault: MemoryReset) -> None:
        node = fault.node
        if node in self._standing:  # a node that stands still has instruments that nobody resets
            self.clock.at(self._standing[node] + NS_PER_MS, HOUSEKEEPING, self._reset_memory, fault)
            return
        if node not in self.machines:
            return
        self.fired["memory reset"] += 1
        self.bindings.power_loss(node)
        self._tell(node, DeviceChanged(role="memory", ready=False, lost_state=True, reason="planned reset"))
        back = DeviceChanged(role="memory", ready=True, lost_state=False, reason="after a planned reset")
        self.clock.at(self.clock.now_ns + fault.down_ns, HOUSEKEEPING, self._tell, node, back)

    def _plan_link_trouble(self, fault: LinkTrouble) -> None:
        truth = next(one for one in self.lab.world()[0] if one.name == fault.link)
        for at_ns, physics in (
            (fault.at_ns, changed(truth, fault.success_factor, fault.noise)),
            (fault.until_ns, changed(truth, 1.0, 0.0)),
        ):
            self.change_link_at(
                at_ns,
                fault.link,
                success_probability=physics[0].success_probability,
                outcomes=physics[0].outcomes,
                points=physics if truth.points else None,
            )
        self.clock.at(fault.at_ns, HOUSEKEEPING, partial(self.fired.update, ["link trouble"]))

    # ---- words

    def _arrive(self, to: NodeId, source: NodeId, incarnation: int, message: Message) -> None:
        """As on the live bus: a word of a life that is over counts until the receiver knows better."""
        if to in self.machines and self._heard(to, source, incarnation):
            self._tell(to, Received(source=source, incarnation=incarnation, message=message))

    def _heard(self, to: NodeId, source: NodeId, incarnation: int) -> bool:
        opinions = self._opinions[to]
        opinion = opinions.get(source)
        if opinion is None:
            opinion = opinions[source] = Liveness(HEARTBEAT_NS)
        verdict = opinion.heard(incarnation, self.clock.now_ns)
        if verdict == "begun" or verdict == "risen":
            self._tell(to, PeerChanged(peer=source, state="up", incarnation=incarnation))
        return verdict != "ended"

    def _listen(self, node: NodeId) -> None:
        """Once a heartbeat interval: who is heard, and who has been silent for too long."""
        now_ns = self.clock.now_ns
        self.clock.at(now_ns + HEARTBEAT_NS, HOUSEKEEPING, self._listen, node)
        if node not in self.machines or node in self._standing:
            return
        for source in self.network.nodes:
            if source == node:
                continue
            if (
                source in self.machines
                and source not in self._standing
                and not self.post.is_cut(source, node)
            ):
                self._heard(node, source, self.incarnations[source])
        for source, opinion in self._opinions[node].items():
            state = opinion.judge(now_ns)
            if state is not None:
                self.fired[f"peer {state}"] += 1
                self._tell(node, PeerChanged(peer=source, state=state, incarnation=opinion.incarnation))
