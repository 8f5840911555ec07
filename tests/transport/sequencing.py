"""A coordinator and the nodes of its pairs with nothing but their sequence parts; words may get lost.

Owns virtual time, the channel and the evidence. Requests for single pairs are made by hand: a test says which
are there, and which fail.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

from bellwire.core.effects import Persist, ReleaseQubit, Report, Send
from bellwire.core.events import Persisted, Received, Record, Started, TimerFired
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    MemoryLost,
    Notice,
    PairKept,
    PeerRestarted,
    RequestGenerated,
    RequestNotified,
    RequestWithdrawn,
    SequenceTold,
    SlotFreed,
)
from bellwire.core.plans import EntanglementRequest, ExecutionBatch, SequencePair
from bellwire.core.settings import NetworkSettings
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from bellwire.transport.sequences import Sequences
from tests.node.networks import chain
from tests.transport.bench import MS

SECOND = 1_000 * MS
HOLD_NS = 2 * SECOND
NODES = ("a", "b")
HOP_NS = MS


class Tell(NamedTuple):
    """A test's own event: the upper and lower parts tell these notices."""

    notices: tuple[Notice, ...]


class Others:
    """Stands for all parts that a sequence part talks to."""

    def __init__(self) -> None:
        self.wanted: list[EntanglementRequest] = []
        self.withdrawn: list[str] = []
        self.told: list[SequenceTold] = []

    def on_events(self) -> Mapping[type, Handler]:
        return {Tell: self._tell}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            RequestGenerated: lambda step, notice: self.wanted.append(notice.request),
            RequestWithdrawn: lambda step, notice: self.withdrawn.append(notice.request),
            SequenceTold: lambda step, notice: self.told.append(notice),
            SlotFreed: lambda step, notice: None,
        }

    def gives(self) -> frozenset[type]:
        return frozenset((PairKept, RequestNotified, MemoryLost, PeerRestarted))

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass

    def _tell(self, step: Step, event: Tell) -> None:
        for notice in event.notices:
            step.tell(notice)


def request(pairs: int = 3, nodes: tuple[NodeId, NodeId] = ("a", "b"), **terms: Any) -> EntanglementRequest:
    sequence = tuple(SequencePair(pair_id=f"p{n}", nodes=nodes) for n in range(1, pairs + 1))
    return EntanglementRequest(
        request_id="q", target_nodes=("a", "b"), entanglement_sequence=sequence, **terms
    )


class Node:
    """One node with its machine, its store and its memory."""

    def __init__(self, name: NodeId, bench: "Bench") -> None:
        self.name = name
        self.bench = bench
        self.store: list[Record] = []
        self.incarnation = 0
        self.fired: set[tuple[str, str]] = set()
        self.start()

    def start(self) -> None:
        self.incarnation += 1
        self.writing: dict[int, Record] = {}
        self.others = Others()
        self.slots = SlotTable(self.bench.network, self.name)
        self.part = Sequences(
            self.bench.network, self.name, self.slots, self.bench.divide, lambda asked: HOLD_NS
        )
        self.machine = NodeMachine(self.name, [self.part, self.others])
        self.free = [slot.index for slot in self.slots.slots()]
        self.feed(Started(incarnation=self.incarnation, records=tuple(self.store)))

    def feed(self, event: Any) -> None:
        for effect in self.machine.handle(self.bench.now_ns, event):
            if isinstance(effect, Persist):
                self.writing[effect.token] = effect.record
            elif isinstance(effect, ReleaseQubit):
                self.free.append(effect.slot)
            elif isinstance(effect, Report):
                self.bench.reports.append((self.bench.now_ns, self.name, effect))
            elif isinstance(effect, Send):
                self.bench.carry(self.name, effect)
        self.fired |= self.part.transitions.fired

    def write(self) -> None:
        while self.writing:
            token = next(iter(self.writing))
            self.store.append(self.writing.pop(token))
            self.feed(Persisted(token=token))


class Bench:
    """a coordinates; all pairs are between a and b, and a gives them away unless a test says otherwise."""

    def __init__(self, batches: tuple[int, ...] = (2, 1)) -> None:
        self.network: NetworkSettings = chain(lanes=8, station=False)
        self.batches = batches
        self.divisions: list[tuple[tuple[str, ...], int | None]] = []
        self.refuses = ""
        self.now_ns = 0
        self.reports: list[tuple[int, NodeId, Report]] = []
        self.lost: Any = lambda source, message: False
        self._flying: list[tuple[int, int, NodeId, NodeId, int, Any]] = []
        self._order = count()
        self.nodes = {name: Node(name, self) for name in NODES}

    def divide(
        self, asked: EntanglementRequest, done: Any, at_most: int | None
    ) -> tuple[ExecutionBatch, ...] | str:
        """Batches of the sizes that the test named, no larger than they may be."""
        self.divisions.append((tuple(done), at_most))
        if self.refuses:
            return self.refuses
        left = [pair.pair_id for pair in asked.entanglement_sequence if pair.pair_id not in done]
        sizes = [size if at_most is None else min(size, at_most) for size in self.batches]
        found: list[ExecutionBatch] = []
        for size in sizes:
            if left:
                found.append(ExecutionBatch(pair_ids=tuple(left[:size]), latency_s=0.1))
                left = left[size:]
        return tuple(found)

    # ---- the channel and time

    def carry(self, source: NodeId, effect: Send) -> None:
        if not self.lost(source, effect.message):
            incarnation = self.nodes[source].incarnation if source in self.nodes else 1
            entry = (self.now_ns + HOP_NS, next(self._order), effect.to, source, incarnation, effect.message)
            heappush(self._flying, entry)

    def run(self, duration_ns: int) -> None:
        until_ns = self.now_ns + duration_ns
        while True:
            due = [each.machine.next_deadline_ns for each in self.nodes.values()]
            times = [each for each in due if each is not None]
            times += [self._flying[0][0]] if self._flying else []
            next_ns = min(times, default=until_ns + 1)
            if next_ns > until_ns:
                break
            self.now_ns = max(self.now_ns, next_ns)
            if self._flying and self._flying[0][0] <= self.now_ns:
                _, _, to, source, incarnation, message = heappop(self._flying)
                self.nodes[to].feed(Received(source=source, incarnation=incarnation, message=message))
            for node in self.nodes.values():
                deadline_ns = node.machine.next_deadline_ns
                if deadline_ns is not None and deadline_ns <= self.now_ns:
                    node.feed(TimerFired())
        self.now_ns = until_ns

    # ---- what a test does

    def tell(self, node: NodeId, *notices: Notice) -> None:
        self.nodes[node].feed(Tell(notices))

    def parts(self, giver: NodeId = "a") -> list[EntanglementRequest]:
        """Requests for single pairs that a node was asked for in this life, the oldest first."""
        return self.nodes[giver].others.wanted

    def make(self, part: EntanglementRequest, at: tuple[NodeId, ...] = NODES, age_ns: int = 0) -> None:
        """Its pair is delivered: kept at its nodes, and its request is complete."""
        assert part.part_of is not None
        for name in at:
            node = self.nodes[name]
            slot = node.free.pop(0)
            node.slots.attempt(slot)
            kept = PairKept(
                request=part.request_id,
                part_of=part.part_of,
                number=1,
                slot=slot,
                born_ns=self.now_ns - age_ns,
                due_ns=self.now_ns - age_ns + HOLD_NS,
            )
            self.tell(name, kept)
        self.end(part, "completed")

    def end(self, part: EntanglementRequest, status: Any, reason: str | None = None) -> None:
        notice = RequestNotified(
            request_id=part.request_id, status=status, generated_count=1, error_message=reason
        )
        self.tell(part.target_nodes[0], notice)

    def restart(self, name: NodeId) -> None:
        self.nodes[name].start()
        for other in self.nodes.values():
            if other.name != name:
                incarnation = self.nodes[name].incarnation
                other.feed(Tell((PeerRestarted(peer=name, incarnation=incarnation),)))

    @property
    def told(self) -> list[str]:
        return [each.happened for each in self.nodes["a"].others.told]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [dict(report.fields) for _, _, report in self.reports if report.name == name]

    def used(self) -> list[tuple[str, str]]:
        """Pair and node of every use, in order."""
        return [
            (str(report.fields["pair_id"]), node)
            for _, node, report in self.reports
            if report.name == "pair_consumed"
        ]

    def taken(self) -> int:
        return sum(slot.state != "free" for node in self.nodes.values() for slot in node.slots.slots())
