"""Two end nodes on one link, with the real ledger and slots, and a channel and stores that fail on command.

Owns virtual time, crashes at a chosen step and the evidence (reports, durable records). The link layer is a
feeder that is told when a pair is born.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count as counter
from typing import Any, Literal, NamedTuple

from bellwire.core.effects import (
    ApplyPauli,
    Effect,
    MeasureQubit,
    Persist,
    Publish,
    ReleaseQubit,
    Report,
    Send,
)
from bellwire.core.events import (
    PauliApplied,
    PeerChanged,
    Persisted,
    QubitMeasured,
    Received,
    Record,
    Started,
    TimerFired,
)
from bellwire.core.facts import Born, Released
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import FactBatch, Message
from bellwire.core.notices import (
    EndDied,
    EntanglementReported,
    LinkPairReady,
    Notice,
    PlanInstalled,
    PlanRequested,
    SlotFreed,
    UpdatePair,
)
from bellwire.core.plans import EntanglementRequest, NodePlan
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, NodeSettings, Timers
from bellwire.gem.protocols import Gem
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from bellwire.transport.delivery import Delivery

MS = 1_000_000
HOP_NS = 1 * MS
DEVICE_NS = 10_000
STORE_NS = 50_000
REQUEST = "r1"
LANES = 4
TIMERS = Timers(answer_ns=200 * MS, delivery_ns=2_000 * MS)

Loss = Callable[[int, Send], bool]
CrashKind = Literal["before_effects", "before_write", "after_write"]


class Tell(NamedTuple):
    """A test's own event: the feeder tells these notices."""

    notices: tuple[Notice, ...]


class Herald(NamedTuple):
    """A test's own event: a pair is born here."""

    attempt: int
    lane: int
    frame: int


class Crash(NamedTuple):
    """Stop a node at its `step`-th event (from 1), and how much of that step reaches the world."""

    step: int
    kind: CrashKind
    down_ns: int


def network(correct_frames: bool = True, head_side: int = 0, timers: Timers = TIMERS) -> NetworkSettings:
    """alice and bob on the link ab; alice is the head. `head_side`: alice's side of the link."""
    memory = MemorySettings(
        slots=LANES,
        rates=(0, 0, 0),
        bsm_signs=0,
        bsm_cost=(0, 0, 0),
        bsm_success_probability=1.0,
        operation_limit_ns=MS,
    )
    slots = tuple(range(LANES))
    link = LinkSettings(
        link="ab",
        nodes=("alice", "bob") if head_side == 0 else ("bob", "alice"),
        station=None,
        period_ns=MS,
        lanes=LANES,
        slots=(slots, slots),
        success_probability=0.5,
        heralds=(),
        click_delay_ns=0,
        herald_delay_ns=(0, 0),
        length_km=1.0,
    )
    nodes = {
        name: NodeSettings(name=name, role="end", memory=memory, links=("ab",)) for name in ("alice", "bob")
    }
    delays = {a: {b: 0 if a == b else HOP_NS for b in nodes} for a in nodes}
    return NetworkSettings(
        nodes=nodes, links={"ab": link}, delays_ns=delays, timers=timers, correct_frames=correct_frames
    )


def plan_of(node: NodeId, mode: Literal["keep", "measure"], version: int = 1) -> NodePlan:
    """The part of an end node."""
    return NodePlan(
        request=REQUEST,
        version=version,
        source="alice",
        destination="bob",
        role="source" if node == "alice" else "destination",
        routes=(("alice", "bob"),),
        links=(),
        swaps=(),
        cutoff_ns=None,
        rounds=False,
        lease_ns=3_000 * MS,
        consumption=mode,
    )


class Feeder:
    """Plays link layer, swapping and planner for one node."""

    def __init__(self, settings: NetworkSettings, node: NodeId, slots: SlotTable) -> None:
        self.side = settings.links["ab"].nodes.index(node)
        self.slots = slots
        self.reported: list[EntanglementReported] = []

    def on_events(self) -> Mapping[type, Handler]:
        return {Tell: self._tell, Herald: self._herald}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            EndDied: self._died,
            EntanglementReported: lambda step, notice: self.reported.append(notice),
            SlotFreed: lambda step, notice: None,
        }

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass

    def _tell(self, step: Step, event: Tell) -> None:
        for notice in event.notices:
            step.tell(notice)

    def _herald(self, step: Step, event: Herald) -> None:
        end = End("ab", 1, event.attempt, event.lane, self.side)
        generation = self.slots.attempt(event.lane)
        self.slots.hold(event.lane, end, REQUEST, 0, step.now_ns)
        born = Born(
            end=end,
            slot=event.lane,
            generation=generation,
            request=REQUEST,
            tree=0,
            frame=event.frame,
            signs=0,
            cost=(0, 0, 0),
            rates=(0, 0, 0),
            at_ns=step.now_ns,
            sigma_ns=0,
        )
        step.tell(UpdatePair(fact=born))
        step.tell(LinkPairReady(end=end, slot=event.lane, request=REQUEST, tree=0, at_ns=step.now_ns))

    def _died(self, step: Step, notice: EndDied) -> None:
        slot = self.slots.holding(notice.end)
        if slot is not None and slot.state == "held":
            index = slot.index
            step.tell(UpdatePair(fact=Released(end=notice.end, reason="dead", at_ns=step.now_ns)))
            step.order(ReleaseQubit(slot=index, tag=0))
            self.slots.free(index)
            step.tell(SlotFreed(slot=index))


@dataclass
class Node:
    """One node: what dies with it, and what survives."""

    name: NodeId
    incarnation: int = 0
    up: bool = False
    steps: int = 0
    crash: Crash | None = None
    store: list[Record] = field(default_factory=list)
    writing: dict[int, Record] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    machine: NodeMachine = field(init=False)
    slots: SlotTable = field(init=False)
    delivery: Delivery = field(init=False)
    feeder: Feeder = field(init=False)

    def named(self, name: str) -> list[Report]:
        """Reports of a name."""
        return [report for report in self.reports if report.name == name]


class Bench:
    """alice (head) and bob (tail)."""

    def __init__(
        self,
        mode: Literal["keep", "measure"] = "keep",
        *,
        wanted: int | None = 1,
        settings: NetworkSettings | None = None,
        loss: Loss | None = None,
        delay: Callable[[Send], tuple[int, ...]] | None = None,
    ) -> None:
        self.settings = network() if settings is None else settings
        self.mode: Literal["keep", "measure"] = mode
        self.wanted = wanted
        self.loss = loss
        self.delay = delay
        self.now_ns = 0
        self.order = counter()
        self.queue: list[tuple[int, int, NodeId, int, Any]] = []
        self.sent: list[tuple[NodeId, Send]] = []
        self.fired: set[tuple[str, str, str]] = set()
        self.held_facts: dict[NodeId, list[tuple[Node, FactBatch]]] = {}  # nodes that get no facts for now
        self.ended: Callable[[NodeId, Effect], str] = lambda node, effect: "done"
        self.nodes = {name: Node(name) for name in ("alice", "bob")}
        for node in self.nodes.values():
            self.start(node)

    # ---- life

    def start(self, node: Node) -> None:
        """Boot, or boot again: only the store survived."""
        node.incarnation += 1
        node.up = True
        node.slots = SlotTable(self.settings, node.name)
        node.delivery = Delivery(self.settings, node.name, node.slots)
        node.feeder = Feeder(self.settings, node.name, node.slots)
        gem = Gem(self.settings, node.name, None, digests=False)
        node.machine = NodeMachine(node.name, [*gem.parts, node.delivery, node.feeder], gem.flush)
        self.step(node, Started(incarnation=node.incarnation, records=tuple(node.store)))
        if node.up:
            self.install(node)
        for peer in self.nodes.values():
            if peer is not node and peer.up:
                self.post(0, peer, PeerChanged(peer=node.name, state="up", incarnation=node.incarnation))
                self.post(0, node, PeerChanged(peer=peer.name, state="up", incarnation=peer.incarnation))

    def install(self, node: Node) -> None:
        """Tell a node its plan, as planner and request processing do after every start."""
        notices: tuple[Notice, ...] = (PlanInstalled(plan=plan_of(node.name, self.mode)),)
        if node.name == "alice":
            request = EntanglementRequest(
                request_id=REQUEST, target_nodes=("alice", "bob"), count=self.wanted, consumption=self.mode
            )
            notices = (PlanRequested(request=request, version=1, avoid=()), *notices)
        self.step(node, Tell(notices))

    def stop(self, node: Node, kind: CrashKind, down_ns: int) -> None:
        """Crash now; boot again after `down_ns`."""
        self.note_rows(node)
        node.up = False
        if kind == "after_write":
            node.store.extend(node.writing.values())
        node.writing = {}
        heappush(self.queue, (self.now_ns + down_ns, next(self.order), node.name, -1, None))

    def note_rows(self, node: Node) -> None:
        """Collect the table rows that fired in this life."""
        self.fired |= {("head", *row) for row in node.delivery.head.transitions.fired}
        self.fired |= {("tail", *row) for row in node.delivery.tail.transitions.fired}

    # ---- time

    def post(self, after_ns: int, node: Node, event: Any) -> None:
        """An event for this life of a node; a crash drops it."""
        entry = (self.now_ns + after_ns, next(self.order), node.name, node.incarnation, event)
        heappush(self.queue, entry)

    def run(self, until_ns: int) -> None:
        """Work off everything up to a time."""
        while True:
            due = [
                (machine.next_deadline_ns, name)
                for name, machine in ((node.name, node.machine) for node in self.nodes.values() if node.up)
                if machine.next_deadline_ns is not None
            ]
            timer = min(due, default=None)
            at_ns = self.queue[0][0] if self.queue else None
            if timer is not None and (at_ns is None or timer[0] < at_ns):
                if timer[0] > until_ns:
                    break
                self.now_ns = max(self.now_ns, timer[0])
                self.step(self.nodes[timer[1]], TimerFired())
            elif at_ns is not None and at_ns <= until_ns:
                _, _, name, incarnation, event = heappop(self.queue)
                self.now_ns = max(self.now_ns, at_ns)
                node = self.nodes[name]
                if incarnation == -1:
                    self.start(node)
                elif node.up and (incarnation in (0, node.incarnation)):
                    self.deliver(node, event)
            else:
                break
        self.now_ns = until_ns

    def deliver(self, node: Node, event: Any) -> None:
        if isinstance(event, Persisted):
            record = node.writing.pop(event.token)
            node.store.append(record)
        self.step(node, event)

    def step(self, node: Node, event: Any) -> None:
        """One event at one node, and its crash if it is due."""
        node.steps += 1
        crash = node.crash
        dying = crash is not None and node.steps == crash.step
        effects = node.machine.handle(self.now_ns, event)
        if not (dying and crash is not None and crash.kind == "before_effects"):
            for effect in effects:
                self.perform(node, effect)
        if dying and crash is not None:
            self.stop(node, crash.kind, crash.down_ns)

    def perform(self, node: Node, effect: Effect) -> None:
        if (
            isinstance(effect, Send)
            and isinstance(effect.message, FactBatch)
            and effect.to in self.held_facts
        ):
            self.held_facts[effect.to].append((node, effect.message))
        elif isinstance(effect, Send):
            self.sent.append((node.name, effect))
            if self.loss is not None and self.loss(len(self.sent) - 1, effect):
                return
            for delay_ns in (HOP_NS,) if self.delay is None else self.delay(effect):
                self.carry(node, effect.to, effect.message, delay_ns)
        elif isinstance(effect, Publish):
            for peer in self.nodes:
                if peer in self.held_facts:
                    self.held_facts[peer].append((node, effect.batch))
                elif peer != node.name:
                    self.carry(node, peer, effect.batch, HOP_NS)
        elif isinstance(effect, Persist):
            node.writing[effect.token] = effect.record
            self.post(STORE_NS, node, Persisted(token=effect.token))
        elif isinstance(effect, MeasureQubit):
            ended = self.ended(node.name, effect)
            bit = effect.slot % 2 if ended == "done" else None
            self.post(
                DEVICE_NS,
                node,
                QubitMeasured(operation=effect.operation, ended=ended, bit=bit, at_ns=self.now_ns),  # type: ignore[arg-type]  # the test's word
            )
        elif isinstance(effect, ApplyPauli):
            ended = self.ended(node.name, effect)
            self.post(
                DEVICE_NS,
                node,
                PauliApplied(operation=effect.operation, ended=ended, at_ns=self.now_ns),  # type: ignore[arg-type]  # the test's word
            )
        elif isinstance(effect, Report):
            node.reports.append(effect)
            if effect.name == "pair_delivered":
                node.used.append(str(effect.fields["head_end"]))

    def carry(self, node: Node, to: NodeId, message: Message | FactBatch, delay_ns: int) -> None:
        event = Received(source=node.name, incarnation=node.incarnation, message=message)
        # A message is for whoever is up when it comes: incarnation 0 stands for any life.
        heappush(self.queue, (self.now_ns + delay_ns, next(self.order), to, 0, event))

    # ---- verbs

    @property
    def alice(self) -> Node:
        return self.nodes["alice"]

    @property
    def bob(self) -> Node:
        return self.nodes["bob"]

    def born(self, attempt: int, frame: int = 0, lane: int = 0, who: str = "both") -> None:
        """A pair of this attempt is heralded, at both nodes or at one."""
        for node in self.nodes.values():
            if who in ("both", node.name) and node.up:
                self.step(node, Herald(attempt, lane, frame))

    def numbers(self, node: Node) -> list[int]:
        """Numbers of the pairs that count."""
        return [record.number for record in node.delivery.records(REQUEST) if record.state != "void"]

    def hold_facts(self, *names: NodeId) -> None:
        """Facts to these nodes wait until `pass_facts`."""
        self.held_facts = {name: [] for name in names}

    def pass_facts(self) -> None:
        """Facts that waited arrive now, and later ones flow again."""
        waiting, self.held_facts = self.held_facts, {}
        for name, batches in waiting.items():
            for author, batch in batches:
                if author.name != name:
                    self.carry(author, name, batch, HOP_NS)

    def hear(self, name: NodeId, message: Message) -> None:
        """A node hears a message of the other one, now."""
        other = self.nodes["bob" if name == "alice" else "alice"]
        self.step(
            self.nodes[name],
            Received(source=other.name, incarnation=other.incarnation, message=message),
        )

    def said(self, name: NodeId, kind: type) -> list[Any]:
        """Messages of a kind that a node sent."""
        return [
            send.message for sender, send in self.sent if sender == name and isinstance(send.message, kind)
        ]

    def end(self, attempt: int, node: Node, lane: int = 0) -> End:
        """The end of an attempt at a node."""
        return End("ab", 1, attempt, lane, self.settings.links["ab"].nodes.index(node.name))


def check_quiet(bench: Bench) -> None:
    """What must hold once everything has drained."""
    alice, bob = bench.alice, bench.bob
    for node in (alice, bob):
        bench.note_rows(node)
        assert node.up
        assert not node.delivery.head.pairs, node.delivery.head.pairs
        assert not node.delivery.tail.pairs, node.delivery.tail.pairs
        assert all(slot.state in ("free", "held", "lost") for slot in node.slots.slots()), node.slots.slots()
        assert len(node.used) == len(set(node.used)), f"{node.name} used an end twice: {node.used}"
        for record in node.delivery.records(REQUEST):
            assert record.state in ("settled", "void"), record
    assert bench.numbers(alice) == bench.numbers(bob)
    pairs = [
        {
            (r.number, r.head_end, r.tail_end, r.frame)
            for r in node.delivery.records(REQUEST)
            if r.state != "void"
        }
        for node in (alice, bob)
    ]
    assert pairs[0] == pairs[1]
    for node in (alice, bob):
        for record in node.delivery.records(REQUEST):
            if record.state != "void" and record.mode == "keep":
                assert str(record.head_end) in node.used, (
                    f"{node.name} counts a pair that it never had: {record}"
                )
            if record.state != "void" and record.mode == "measure":
                assert record.bit is not None, record
    if bench.wanted is not None:
        assert len(bench.numbers(alice)) <= bench.wanted
