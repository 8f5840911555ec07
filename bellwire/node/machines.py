"""Machines of a node: parts joined by a routing table.

Owns the composition of roles (end node, repeater, station) and the order of work within a step. Refuses protocol
knowledge: a line here that names a field of a part's state is a fault.
"""

from collections.abc import Callable, Sequence

from bellwire.applications.notification import StatusNotification
from bellwire.applications.requests import RequestGenerator
from bellwire.core.effects import Effect
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event, Received, Started, TimerFired
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Part, Step, run_notices
from bellwire.core.plans import EntanglementRequest, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.gem.protocols import Broadcast, Replica, Update
from bellwire.link_layer.service import LinkService
from bellwire.link_layer.station import HeraldingStation
from bellwire.node.slots import SlotTable
from bellwire.planner.protocols import Messaging, PlanDispatch
from bellwire.swapping.protocols import Swapping
from bellwire.transport.delivery import Delivery
from bellwire.transport.monitoring import ExecutionMonitoring
from bellwire.transport.requests import RequestProcessing

Compute = Callable[[EntanglementRequest, int, tuple[NodeId, ...]], RequestPlan | str]
"""What a destination calls to make a plan: request, version, nodes to avoid -> plan, or why there is none."""


NOTICES_PER_SLOT = 4
"""An event that touches every slot (lost memory, withdrawn plan) may speak this often about each."""


class NodeMachine:
    """Routes events, messages and notices to parts; one event at a time, to completion."""

    def __init__(self, node: NodeId, parts: Sequence[Part], finish: Callable[[Step], None] | None = None) -> None:
        """`finish` runs at the end of every step, after the last notice (the GEM publishes there)."""
        self.node = node
        self.parts = tuple(parts)
        self.next_deadline_ns: int | None = None
        self._finish = finish
        self._step = Step(node)
        self._events: dict[type, tuple[Handler, ...]] = {}
        self._messages: dict[type, Handler] = {}
        self._notices: dict[type, tuple[Handler, ...]] = {}
        for part in self.parts:
            for kind, handler in part.on_events().items():
                self._events[kind] = (*self._events.get(kind, ()), handler)
            for kind, handler in part.on_messages().items():
                if kind in self._messages:
                    raise LocalMisuse(f"{node}: two parts take the message {kind.__name__}")
                self._messages[kind] = handler
            for kind, handler in part.on_notices().items():
                self._notices[kind] = (*self._notices.get(kind, ()), handler)
        self._close_table()

    def _close_table(self) -> None:
        """A notice that a part may give but nobody of this role takes falls on the floor, by name and on purpose."""
        for part in self.parts:
            for kind in part.gives():
                self._notices.setdefault(kind, ())

    def takers(self, kind: type) -> tuple[Handler, ...]:
        """Who takes a notice, for tests of the graph."""
        return self._notices.get(kind, ())

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        """Work off one event and everything that follows from it within this node."""
        step = self._step
        step.now_ns = now_ns
        step.effects = []
        kind = type(event)
        if kind is Received:
            handler = self._messages.get(type(event.message))  # type: ignore[union-attr]
            if handler is not None:
                handler(step, event)
        elif kind is TimerFired:
            for part in self.parts:
                deadline = part.deadline_ns()
                if deadline is not None and deadline <= now_ns:
                    part.on_deadline(step)
                    run_notices(step, self._notices)
        else:
            if kind is Started:
                step.incarnation = event.incarnation  # type: ignore[union-attr]
            for handler in self._events.get(kind, ()):
                handler(step, event)
        if step.notices:
            run_notices(step, self._notices)
        if self._finish is not None:
            self._finish(step)
            if step.notices:
                run_notices(step, self._notices)
        self._set_deadline()
        return step.effects

    def _set_deadline(self) -> None:
        earliest: int | None = None
        for part in self.parts:
            deadline = part.deadline_ns()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        self.next_deadline_ns = earliest


class QuantumNode(NodeMachine):
    """An end node or repeater: a NodeMachine whose ledger, slots and deliveries hosts and tests may read."""

    def __init__(self, network: NetworkSettings, node: NodeId, compute: Compute, *, digests: bool = True) -> None:
        role = network.nodes[node].role
        self.network = network
        self.slots = SlotTable(network, node)
        self.replica = Replica(network, node)
        self.broadcast = Broadcast(network, node, self.replica, digests=digests)
        self.links = LinkService(network, node, self.slots)
        self.swapping = Swapping(network, node, self.slots)
        self.delivery: Delivery | None = None
        self.requests: RequestProcessing | None = None
        parts: list[Part] = [
            self.broadcast,
            Update(network, node, self.replica),
            self.links,
            self.swapping,
            Messaging(network, node),
        ]
        if role == "end":
            self.delivery = Delivery(network, node, self.slots)
            self.requests = RequestProcessing(network, node)
            parts += [
                PlanDispatch(network, node, compute),
                self.delivery,
                self.requests,
                ExecutionMonitoring(network, node),
                RequestGenerator(network, node),
                StatusNotification(network, node),
            ]
        super().__init__(node, parts, self.broadcast.flush)
        self._step.notices_max += NOTICES_PER_SLOT * len(self.slots.slots())


class StationMachine(NodeMachine):
    """A heralding station: physical and link parts only."""

    def __init__(self, network: NetworkSettings, node: NodeId) -> None:
        super().__init__(node, [HeraldingStation(network, node)])


def make_machine(network: NetworkSettings, node: NodeId, compute: Compute, *, digests: bool = True) -> NodeMachine:
    """The machine of a node of any role."""
    if network.nodes[node].role == "station":
        return StationMachine(network, node)
    return QuantumNode(network, node, compute, digests=digests)
