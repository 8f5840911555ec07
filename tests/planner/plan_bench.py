"""Nodes with only their planning parts, and messages that take time, get lost, doubled or late by a seed.

Owns the bench of the dispatch tests. Refuses links and qubits: what plans start is only listened to.
"""

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count as counter
from random import Random
from typing import Any, NamedTuple

from bellwire.core.effects import Effect, Report, Send
from bellwire.core.events import Received, Started, TimerFired
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    LinkRequested,
    LinkWithdrawn,
    Notice,
    PlanActive,
    PlanEnded,
    PlanFailed,
    PlanInstalled,
    PlanRemoved,
    PlanRequested,
)
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import NetworkSettings
from bellwire.node.routing import NodeMachine
from bellwire.planner.protocols import Compute, Messaging, PlanDispatch

MS = 1_000_000
SECOND = 1_000 * MS


class Tell(NamedTuple):
    notices: tuple[Notice, ...]


class Listener:
    """Takes what the rest of a node takes."""

    def __init__(self) -> None:
        self.heard: list[Notice] = []

    def on_events(self) -> Mapping[type, Handler]:
        return {Tell: self._tell}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        kinds = (PlanActive, PlanFailed, PlanInstalled, PlanRemoved, LinkRequested, LinkWithdrawn)
        return dict.fromkeys(kinds, lambda step, notice: self.heard.append(notice))

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass

    def _tell(self, step: Step, event: Tell) -> None:
        for notice in event.notices:
            step.tell(notice)

    def of(self, kind: type) -> list[Any]:
        return [notice for notice in self.heard if isinstance(notice, kind)]


class PlanBench:
    """Messages take a millisecond unless a seed has other plans for them; end nodes dispatch.

    watch: told the node after each of its steps, where a test sets it.
    """

    def __init__(self, settings: NetworkSettings, compute: Compute, seed: int | None = None) -> None:
        self.settings = settings
        self.compute = compute
        self.watch: Callable[[NodeId], None] | None = None
        self.draw = None if seed is None else Random(seed)
        self.now_ns = 0
        self.order = counter()
        self.queue: list[tuple[int, int, NodeId, Received]] = []
        self.down: set[NodeId] = set()
        self.sent: list[tuple[NodeId, Send]] = []
        self.reports: list[tuple[NodeId, Report]] = []
        self.machines: dict[NodeId, NodeMachine] = {}
        self.messaging: dict[NodeId, Messaging] = {}
        self.dispatch: dict[NodeId, PlanDispatch] = {}
        self.listeners: dict[NodeId, Listener] = {}
        for name, node in settings.nodes.items():
            if node.role != "station":
                self.start(name)

    def start(self, name: NodeId) -> None:
        messaging = self.messaging[name] = Messaging(self.settings, name)
        listener = self.listeners[name] = Listener()
        parts: list[Any] = [messaging, listener]
        if self.settings.nodes[name].role == "end":
            self.dispatch[name] = PlanDispatch(self.settings, name, self.compute, messaging)
            parts.append(self.dispatch[name])
        self.machines[name] = NodeMachine(name, parts)
        self.down.discard(name)
        self.feed(name, Started(incarnation=1))

    def feed(self, name: NodeId, event: Any) -> None:
        effects = self.machines[name].handle(self.now_ns, event)
        if self.watch is not None:
            self.watch(name)
        for effect in effects:
            self.perform(name, effect)

    def perform(self, name: NodeId, effect: Effect) -> None:
        if isinstance(effect, Report):
            self.reports.append((name, effect))
        elif isinstance(effect, Send):
            self.sent.append((name, effect))
            delays = [MS]
            if self.draw is not None:
                copies = self.draw.choice((0, 1, 1, 1, 2))
                delays = [MS + self.draw.randrange(400 * MS) for _ in range(copies)]
            for delay_ns in delays:
                event = Received(source=name, incarnation=1, message=effect.message)
                heappush(self.queue, (self.now_ns + delay_ns, next(self.order), effect.to, event))

    def run(self, duration_ns: int) -> None:
        until_ns = self.now_ns + duration_ns
        while True:
            due = min(
                (
                    (machine.next_deadline_ns, name)
                    for name, machine in self.machines.items()
                    if machine.next_deadline_ns is not None and name not in self.down
                ),
                default=None,
            )
            at_ns = self.queue[0][0] if self.queue else None
            if due is not None and (at_ns is None or due[0] < at_ns):
                if due[0] > until_ns:
                    break
                self.now_ns = max(self.now_ns, due[0])
                self.feed(due[1], TimerFired())
            elif at_ns is not None and at_ns <= until_ns:
                _, _, name, event = heappop(self.queue)
                self.now_ns = max(self.now_ns, at_ns)
                if name not in self.down:
                    self.feed(name, event)
            else:
                break
        self.now_ns = until_ns

    def want(self, request: EntanglementRequest, version: int, avoid: tuple[NodeId, ...] = ()) -> None:
        told = PlanRequested(request=request, version=version, avoid=avoid)
        self.feed(request.target_nodes[0], Tell((told,)))

    def end(self, request: EntanglementRequest, version: int) -> None:
        told = PlanEnded(request=request.request_id, version=version)
        self.feed(request.target_nodes[0], Tell((told,)))

    def installed(self, request: str) -> dict[NodeId, int]:
        return {
            name: messaging.plans[request].version
            for name, messaging in self.messaging.items()
            if request in messaging.plans
        }

    def heard(self, name: NodeId, kind: type) -> list[Any]:
        return self.listeners[name].of(kind)

    def said(self, name: NodeId, kind: type) -> list[Any]:
        return [
            send.message for sender, send in self.sent if sender == name and isinstance(send.message, kind)
        ]
