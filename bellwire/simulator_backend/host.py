"""The virtual host: hundreds of machines in one process, in virtual time.

Owns the life of machines (start, crash, restart), the execution of their effects and one timer each. Refuses
protocol knowledge: the machines are those that run live (architecture.md, first page).
"""

import gc
from collections import deque
from collections.abc import Callable, Collection
from functools import partial

from bellwire.core.effects import (
    AnswerLink,
    ApplyPauli,
    CheckDark,
    Effect,
    FuseQubits,
    MeasureBell,
    MeasureQubit,
    Persist,
    PrepareQubit,
    Publish,
    PurifyPair,
    ReleaseQubit,
    Report,
    Send,
    SetSwitch,
    StartAttempts,
    StartRun,
    StopAttempts,
)
from bellwire.core.events import (
    Event,
    PeerChanged,
    Persisted,
    Received,
    Record,
    RequestSubmitted,
    Started,
    TimerFired,
)
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.link_words import LinkAnswer
from bellwire.core.messages import Message, PlanInstall
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.plans import NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.gem.replica import FactSource
from bellwire.node.machines import Compute, QuantumNode, make_machine
from bellwire.node.routing import NodeMachine
from bellwire.simulator_backend.author_logs import AuthorLogs, FactReader
from bellwire.simulator_backend.bindings import VirtualBindings
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.clock import HOUSEKEEPING, TIMER, VirtualClock
from bellwire.simulator_backend.network import MessageFaults, Post
from bellwire.simulator_backend.store import VirtualStore
from bellwire.simulator_backend.trace import TraceDigest
from bellwire.simulator_backend.virtual_lab import VirtualLab
from bellwire.simulator_backend.world import PairTruth, World
from bellwire.simulator_backend.world_changes import changed

PEER_SILENCE_NS = 1_500_000_000
"""A crashed node is judged down after this long, as on the live bus (six heartbeat intervals)."""

Watch = Callable[[int, NodeId, Event, list[Effect]], None]
"""Sees every step: time, node, event, effects. For traces, checkers and tests."""

MakeMachine = Callable[[NetworkSettings, NodeId, Compute, FactSource | None], NodeMachine]
"""Makes the machine of a node's new life: network, node, planner, where it reads others' facts."""


class VirtualHost:
    """Runs every machine of a lab in virtual time."""

    def __init__(
        self,
        lab: VirtualLab,
        seed: int,
        compute: Compute,
        *,
        watch: Watch | None = None,
        perturb: Callable[[int], int] | None = None,
        make: MakeMachine = make_machine,
    ) -> None:
        """`watch` sees every step; `perturb` permutes simultaneous appointments (see VirtualClock); `make`
        builds the machine of each life (tests let clocks be skewed there, or record what is read)."""
        self.lab = lab
        self.network = lab.network
        scenario = lab.scenario
        self.clock = VirtualClock(perturb)
        self._chance = chance = Chance(seed)
        links, memories = lab.world()
        self.world = World(links, memories, seed)
        self.store = VirtualStore()
        stores = () if lab.network.stores is None else lab.network.stores.super_links
        self.logs = AuthorLogs(
            lab.network,
            forgetting=not scenario.crashes,
            stores={link.request: frozenset(link.route) for link in stores},
        )
        faults = MessageFaults(
            loss_probability=scenario.message_loss_probability,
            duplicate_probability=scenario.duplicate_probability,
            jitter_ns=scenario.delay_jitter_ns,
            reorder=scenario.reorder,
        )
        self.post = Post(lab.network, self.clock, chance, faults, self._arrive)
        self.bindings = VirtualBindings(lab.network, self.clock, self.world, self._tell, self._witness)
        self.digest = TraceDigest()
        self.machines: dict[NodeId, NodeMachine] = {}
        self.incarnations: dict[NodeId, int] = {}
        self.reports: list[Callable[[int, NodeId, Report], None]] = []
        self.answers: list[Callable[[int, NodeId, LinkAnswer], None]] = []
        self.witnesses: list[Callable[[int, NodeId, int, PairTruth], None]] = []
        self.events = 0
        self._compute = compute
        self._make = make
        self._watch = watch
        self._persist_latency_ns = scenario.persist_latency_ns
        self._readers: dict[NodeId, FactReader] = {}
        self._timers: dict[NodeId, int | None] = {}
        self._waiting: deque[tuple[NodeId, Event]] = deque()
        self._busy = False
        self._execute: dict[type, Callable[..., None]] = {
            Send: self._send,
            Publish: self._publish,
            StartAttempts: self.bindings.start_attempts,
            StopAttempts: self.bindings.stop_attempts,
            StartRun: self.bindings.start_run,
            MeasureBell: self.bindings.measure_bell,
            MeasureQubit: self.bindings.measure_qubit,
            PrepareQubit: self.bindings.prepare_qubit,
            PurifyPair: self.bindings.purify_pair,
            FuseQubits: self.bindings.fuse_qubits,
            ApplyPauli: self.bindings.apply_pauli,
            ReleaseQubit: self.bindings.release,
            SetSwitch: self.bindings.set_switch,
            CheckDark: self.bindings.check_dark,
            Persist: self._persist,
            Report: self._report,
            AnswerLink: self._answer,
        }

    # ---- life

    def start(self, absent: Collection[NodeId] = ()) -> None:
        """Start every node, submit the lab's requests, and plan the scenario's crashes and changes. absent:
        nodes that are not started; they may join later (`join_at`)."""
        self.bindings.dark_links()
        for node in self.network.nodes:
            if node not in absent:
                self._boot(node)
        for request in self.lab.requests:
            self._tell(request.target_nodes[0], RequestSubmitted(request=request))
        for crash in self.lab.scenario.crashes:
            self.clock.at(crash.at_ns, HOUSEKEEPING, self.crash, crash.node, crash.down_ns)
        if self.lab.scenario.link_changes:
            self._plan_changes()

    def _plan_changes(self) -> None:
        truths = {truth.name: truth for truth in self.lab.world()[0]}
        for change in self.lab.scenario.link_changes:
            truth = truths[change.link]
            physics = changed(truth, change.success_factor, change.noise)
            self.change_link_at(
                change.at_ns,
                change.link,
                success_probability=physics[0].success_probability,
                outcomes=physics[0].outcomes,
                points=physics if truth.points else None,
            )

    def tell_at(self, at_ns: int, node: NodeId, event: Event) -> None:
        """Something from outside happens at a node: an application or an operator acts."""
        self.clock.at(at_ns, HOUSEKEEPING, self._tell, node, event)

    def change_link_at(
        self,
        at_ns: int,
        link: LinkId,
        *,
        success_probability: float | None = None,
        outcomes: tuple[HeraldOutcome, ...] | None = None,
        points: tuple[HeraldPhysics, ...] | None = None,
    ) -> None:
        """The hidden truth of a link changes at a time, see `World.change_link`."""
        change = partial(
            self.bindings.change_link,
            link,
            success_probability=success_probability,
            outcomes=outcomes,
            points=points,
        )
        self.clock.at(at_ns, HOUSEKEEPING, change)

    def run(self, until_ns: int) -> None:
        """Advance virtual time. The collector sleeps meanwhile: words never refer to themselves."""
        gc.disable()
        try:
            self.clock.run(until_ns)
        finally:
            gc.enable()

    def _boot(self, node: NodeId) -> None:
        incarnation = self.store.next_incarnation(node)
        self.incarnations[node] = incarnation
        reader = self.logs.reader(node)
        machine = self._make(self.network, node, self._compute, reader)
        self.machines[node] = machine
        self._timers[node] = None
        if isinstance(machine, QuantumNode):
            self._readers[node] = reader
        seed = self._chance.bits64("machine", node, incarnation)
        self._tell(node, Started(incarnation=incarnation, records=self.store.records(node), seed=seed))

    def crash(self, node: NodeId, down_ns: int) -> None:
        """Kill a node with everything volatile, and bring it back later with a higher incarnation."""
        if node not in self.machines:
            return
        self._end_life(node)
        now_ns = self.clock.now_ns
        if down_ns > PEER_SILENCE_NS:
            for peer in self.network.nodes:
                if peer != node:
                    self.clock.at(
                        now_ns + PEER_SILENCE_NS,
                        HOUSEKEEPING,
                        self._peer_down,
                        peer,
                        node,
                        self.incarnations[node],
                    )
        self.clock.at(now_ns + down_ns, HOUSEKEEPING, self._restart, node)

    def join_at(self, at_ns: int, node: NodeId) -> None:
        """A node that has not been there begins its first life."""
        self.clock.at(at_ns, HOUSEKEEPING, self._join, node)

    def _join(self, node: NodeId) -> None:
        """The newcomer and every other host hear of each other, as soon as word can go there and back."""
        if node in self.machines:
            return
        self._boot(node)
        for peer, incarnation in self.incarnations.items():
            if peer != node:
                at_ns = self.clock.now_ns + self.network.delay_ns(node, peer)
                here = PeerChanged(peer=node, state="up", incarnation=self.incarnations[node])
                there = PeerChanged(peer=peer, state="up", incarnation=incarnation)
                self.clock.at(at_ns, HOUSEKEEPING, self._tell, peer, here)
                self.clock.at(at_ns, HOUSEKEEPING, self._tell, node, there)

    def _end_life(self, node: NodeId) -> None:
        """A node is gone, and what its memory held with it."""
        machine = self.machines.pop(node)
        reader = self._readers.pop(node, None)
        if reader is not None:
            self.logs.leave(reader)
        if isinstance(machine, QuantumNode):
            self.bindings.power_loss(node)

    def _peer_down(self, peer: NodeId, node: NodeId, incarnation: int) -> None:
        self._tell(peer, PeerChanged(peer=node, state="down", incarnation=incarnation))

    def _restart(self, node: NodeId) -> None:
        """Peers hear of the old life too, which nobody told them when all began, or none would know that this
        is a restart."""
        lives = [self.incarnations[node]]
        self._boot(node)
        lives.append(self.incarnations[node])
        now_ns = self.clock.now_ns
        for peer in self.network.nodes:
            if peer != node:
                at_ns = now_ns + self.network.delay_ns(node, peer)
                for life in lives:
                    greeting = PeerChanged(peer=node, state="up", incarnation=life)
                    self.clock.at(at_ns, HOUSEKEEPING, self._tell, peer, greeting)

    # ---- steps

    def _tell(self, node: NodeId, event: Event) -> None:
        """Give an event to a machine; events that arise meanwhile wait for their turn, in order."""
        self._waiting.append((node, event))
        if self._busy:
            return
        self._busy = True
        waiting, machines, execute = self._waiting, self.machines, self._execute
        clock, timers, watch = self.clock, self._timers, self._watch
        try:
            while waiting:
                node, event = waiting.popleft()
                machine = machines.get(node)
                if machine is None:
                    continue
                self.events += 1
                effects = machine.handle(clock.now_ns, event)
                for effect in effects:
                    execute[type(effect)](node, effect)
                deadline_ns = machine.next_deadline_ns
                if deadline_ns is not None:
                    planned_ns = timers[node]
                    if planned_ns is None or deadline_ns < planned_ns:
                        timers[node] = deadline_ns
                        clock.at(deadline_ns, TIMER, self._timer, node, machine, deadline_ns)
                if watch is not None:
                    watch(clock.now_ns, node, event, effects)
        finally:
            waiting.clear()
            self._busy = False

    def _timer(self, node: NodeId, machine: NodeMachine, planned_ns: int) -> None:
        """An appointment with a machine's deadline; an overtaken one passes without a word."""
        if self.machines.get(node) is not machine or self._timers[node] != planned_ns:
            return
        self._timers[node] = None
        deadline_ns = machine.next_deadline_ns
        if deadline_ns is None:
            return
        if deadline_ns <= self.clock.now_ns:
            self._tell(node, TimerFired())
        else:
            self._timers[node] = deadline_ns
            self.clock.at(deadline_ns, TIMER, self._timer, node, machine, deadline_ns)

    # ---- effects

    def _send(self, node: NodeId, effect: Send) -> None:
        if type(effect.message) is PlanInstall:
            self._follow(node, effect.to, effect.message.plan)
        if effect.to == node:
            self._waiting.append(
                (node, Received(source=node, incarnation=self.incarnations[node], message=effect.message))
            )
        else:
            self.post.send(node, self.incarnations[node], effect.to, effect.message)

    def _follow(self, source: NodeId, to: NodeId, plan: NodePlan) -> None:
        """Facts of a request concern the nodes of its routes and the centre; nobody else reads them."""
        centre = self.network.centre
        for node in (source, to) if centre is None else (source, to, centre):
            reader = self._readers.get(node)
            if reader is not None:
                reader.serve(plan.request)
                for route in plan.routes:
                    for author in route:
                        reader.follow(author)

    def _arrive(self, to: NodeId, source: NodeId, incarnation: int, message: Message) -> None:
        if incarnation != self.incarnations[source]:
            return
        self._tell(to, Received(source=source, incarnation=incarnation, message=message))

    def _publish(self, node: NodeId, effect: Publish) -> None:
        self.digest.add(self.clock.now_ns, node, effect.batch)
        self.logs.publish(node, effect.batch, self.clock.now_ns)

    def _persist(self, node: NodeId, effect: Persist) -> None:
        written = partial(self._persisted, node, self.incarnations[node], effect.record, effect.token)
        if self._persist_latency_ns:
            self.clock.at(self.clock.now_ns + self._persist_latency_ns, HOUSEKEEPING, written)
        else:
            written()

    def _persisted(self, node: NodeId, incarnation: int, record: Record, token: int) -> None:
        if self.incarnations[node] == incarnation and node in self.machines:
            self.store.write(node, record)
            self._tell(node, Persisted(token=token))

    def _report(self, node: NodeId, effect: Report) -> None:
        self.digest.add(self.clock.now_ns, node, effect)
        for listener in self.reports:
            listener(self.clock.now_ns, node, effect)

    def _answer(self, node: NodeId, effect: AnswerLink) -> None:
        self.digest.add(self.clock.now_ns, node, effect)
        for listener in self.answers:
            listener(self.clock.now_ns, node, effect.answer)

    def _witness(self, node: NodeId, slot: int, truth: PairTruth | None) -> None:
        if truth is not None:
            for witness in self.witnesses:
                witness(self.clock.now_ns, node, slot, truth)
