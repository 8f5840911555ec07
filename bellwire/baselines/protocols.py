"""The part of a node that runs the baselines: it owns their qubits' measurements and carries their messages.

Owns the protocols of installed plans whose generation mode names a baseline, the Bell measurements that they
order, and the facts about them. Refuses plans of all other modes, cutoffs and the clearing away of dead
halves (the swapping part does that for every plan), and delivery (the transport layer).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from bellwire.baselines.connectionless import (
    DatagramDestination,
    DatagramNode,
    DatagramSource,
    datagram_options,
)
from bellwire.baselines.hops import HopProtocol, OwnHalf, Place
from bellwire.baselines.virtual_circuits import CircuitEnd, CircuitNode
from bellwire.core.baseline_messages import Datagram, DatagramHeard, Expire, Track
from bellwire.core.bell import Walsh, decay
from bellwire.core.effects import MeasureBell, ReleaseQubit
from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.events import BellMeasured, Received
from bellwire.core.facts import Born, Released, Swapped
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.modes import Named, is_foreign, parse_mode
from bellwire.core.notices import LinkPairReady, PlanInstalled, PlanRemoved, SlotFreed, UpdatePair
from bellwire.core.plans import NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook

FlowKey = tuple[RequestId, int]

SwapResult = Literal["ok", "failed", "unknown"]


class Measurement(NamedTuple):
    """A Bell measurement under way."""

    flow: FlowKey
    left: OwnHalf
    right: OwnHalf


class Baselines:
    """Part of every node with a memory; idle unless a plan names a baseline."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory to swap in")
        self._network = network
        self._node = node
        self._slots = slots
        self._memory = memory
        self._bsm = Walsh(memory.bsm_signs, memory.bsm_cost)
        self.flows: dict[FlowKey, HopProtocol] = {}
        self._places: dict[FlowKey, Place] = {}
        self._measuring: dict[int, Measurement] = {}
        self._frames: dict[End, int] = {}  # of own, living halves of flows
        self.counters: dict[str, int] = dict.fromkeys(
            (
                "tried",
                "succeeded",
                "failed",
                "unknown",
                "sent",
                "forwarded",
                "arrived",
                "acknowledged",
                "marked",
                "lost",
                "died",
                "expired",
                "forgotten",
                "early_dropped",
                "tracks_dropped",
                "records_dropped",
            ),
            0,
        )

    def on_events(self) -> Mapping[type, Handler]:
        return {BellMeasured: self._measured}

    def on_messages(self) -> Mapping[type, Handler]:
        return dict.fromkeys((Datagram, DatagramHeard, Track, Expire), self._heard)

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._pair_ready,
            UpdatePair: self._pair_updated,
            PlanInstalled: self._plan_installed,
            PlanRemoved: self._plan_removed,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({UpdatePair, SlotFreed})

    def idle(self) -> bool:
        return not (self.flows or self._frames or self._measuring)

    def only_when_busy(self) -> frozenset[type]:
        return frozenset({LinkPairReady, UpdatePair})

    # ---- plans

    def _plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        """A new version of a plan begins anew: halves that an earlier one held are given up, because what
        their datagrams or tracks have seen is forgotten."""
        plan = notice.plan
        if self._end(plan.request):
            for end in list(self._frames):
                slot = self._slots.holding(end)
                if slot is not None and slot.request == plan.request:
                    self.give_up(step, end)
        if plan.mode == "" or not is_foreign(plan.mode):
            return
        for tree in sorted({link.tree for link in plan.links}):
            place = _place(plan, tree, self._node)
            if place.hops > 1:
                self.flows[plan.request, tree] = self._protocol(plan, place)
                self._places[plan.request, tree] = place

    def _protocol(self, plan: NodePlan, place: Place) -> HopProtocol:
        mode = parse_mode(plan.mode)
        if not isinstance(mode, Named):
            raise LocalMisuse(
                f'generation mode "{plan.mode}": a baseline does not combine with other policies'
            )
        inner = plan.role == "inner"
        if mode.name == "virtual_circuit":
            return (CircuitNode if inner else CircuitEnd)(place, self, self.counters)
        if mode.name != "connectionless":
            raise LocalMisuse(f'generation mode "{plan.mode}" is executed by no part of this node')
        options = datagram_options(mode)
        if inner:
            return DatagramNode(place, options, self, self.counters)
        if plan.role == "source":
            return DatagramSource(place, options, self, self.counters, self._network.timers.delivery_ns)
        return DatagramDestination(place, self.counters)

    def _plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        self._end(notice.request)

    def _end(self, request: RequestId) -> bool:
        ended = [key for key in self.flows if key[0] == request]
        for key in ended:
            del self.flows[key], self._places[key]
        return bool(ended)

    # ---- pairs

    def _pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        if not self.flows or notice.request is None:
            return
        flow = self.flows.get((notice.request, notice.tree))
        if flow is not None:
            flow.pair(step, OwnHalf(notice.end, notice.slot, self._frames[notice.end]))

    def _pair_updated(self, step: Step, notice: UpdatePair) -> None:
        """Births name frames; releases are how a half ends by other hands."""
        if not self.flows and not self._frames:
            return
        fact = notice.fact
        if type(fact) is Born:
            if fact.request is not None and (fact.request, fact.tree) in self.flows:
                self._frames[fact.end] = fact.frame
        elif type(fact) is Released and self._frames.pop(fact.end, None) is not None:
            for flow in self.flows.values():
                flow.gone(step, fact.end)

    # ---- what protocols may do (Hands)

    def swap(self, step: Step, place: Place, left: OwnHalf, right: OwnHalf) -> None:
        """Measure both halves, which are held."""
        self._slots.measure(left.slot)
        self._slots.measure(right.slot)
        operation = step.operation()
        self._measuring[operation] = Measurement((place.request, place.tree), left, right)
        self.counters["tried"] += 1
        step.order(
            MeasureBell(
                operation=operation,
                left_slot=left.slot,
                right_slot=right.slot,
                within_ns=self._memory.operation_limit_ns,
            )
        )

    def give_up(self, step: Step, end: End) -> None:
        """End an own half that is still held."""
        slot = self._slots.holding(end)
        if slot is None or slot.state != "held":
            return
        step.tell(UpdatePair(fact=Released(end=end, reason="withdrawn", at_ns=step.now_ns)))
        step.order(ReleaseQubit(slot=slot.index, tag=0))
        self._slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    def _measured(self, step: Step, event: BellMeasured) -> None:
        measurement = self._measuring.pop(event.operation, None)
        if measurement is None:
            return
        key, left, right = measurement
        outcome = event.outcome if event.ended == "done" else None
        result: SwapResult = (
            "ok" if outcome is not None else "unknown" if event.ended == "unknown" else "failed"
        )
        self.counters["succeeded" if result == "ok" else result] += 1
        born_ns = (self._slots.slot(left.slot).born_ns, self._slots.slot(right.slot).born_ns)
        waited_ns = sum(max(0, event.at_ns - since_ns) for since_ns in born_ns)
        noise = decay(self._bsm, self._memory.rates, waited_ns)
        step.tell(
            UpdatePair(
                fact=Swapped(
                    left=left.end,
                    right=right.end,
                    result=result,
                    outcome=0 if outcome is None else outcome,
                    signs=noise.signs,
                    cost=noise.cost,
                    at_ns=event.at_ns,
                )
            )
        )
        for half in (left, right):
            self._frames.pop(half.end, None)
            self._slots.free(half.slot)
            step.tell(SlotFreed(slot=half.slot))
        flow = self.flows.get(key)
        if flow is not None:
            flow.swapped(step, left, right, outcome)

    # ---- messages and time

    def _heard(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, Datagram | DatagramHeard | Track | Expire)
        key = (message.request, message.tree)
        flow = self.flows.get(key)
        if flow is None:
            return
        place = self._places[key]
        if received.source not in _speakers(place, message):
            raise PeerViolation(
                received.source,
                f"{type(message).__name__} of {message.request}, which is not its word: expected from "
                f"{' or '.join(sorted(_speakers(place, message)))}",
            )
        flow.heard(step, received.source, message)

    def deadline_ns(self) -> int | None:
        if not self.flows:
            return None
        earliest: int | None = None
        for flow in self.flows.values():
            due = flow.deadline_ns()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def on_deadline(self, step: Step) -> None:
        for flow in list(self.flows.values()):
            due = flow.deadline_ns()
            if due is not None and due <= step.now_ns:
                flow.on_deadline(step)


def _place(plan: NodePlan, tree: int, node: NodeId) -> Place:
    partners = {link.link: link.partner for link in plan.links if link.tree == tree}
    swap = next((one for one in plan.swaps if one.tree == tree), None)
    left: LinkId | None = None
    right: LinkId | None = None
    if swap is not None:
        left, right = swap.left_link, swap.right_link
    elif plan.role == "source":
        right = next(iter(partners))
    else:
        left = next(iter(partners))
    beside = set(partners.values())
    route = next(route for route in plan.routes if beside == _beside(route, node))
    return Place(
        request=plan.request,
        tree=tree,
        source=plan.source,
        destination=plan.destination,
        route=route,
        left=None if left is None else partners[left],
        right=None if right is None else partners[right],
        left_link=left,
        right_link=right,
    )


def _speakers(place: Place, message: Datagram | DatagramHeard | Track | Expire) -> set[NodeId]:
    """Who may send a message to this place: datagrams and tracks go from neighbour to neighbour."""
    if isinstance(message, Datagram):
        return set() if place.left is None else {place.left}
    if isinstance(message, DatagramHeard):
        return {place.destination}
    if isinstance(message, Track):
        return {name for name in (place.left, place.right) if name is not None}
    return set(place.route) - {place.source, place.destination}


def _beside(route: tuple[NodeId, ...], node: NodeId) -> set[NodeId]:
    at = route.index(node)
    return {*route[max(0, at - 1) : at], *route[at + 1 : at + 2]}
