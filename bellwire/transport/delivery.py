"""Delivery: a pair that spans the route becomes a numbered record at both ends, once.

Owns the routing between the ledger, the head's side (head.py) and the tail's side (tail.py) of one end
node, and the public list of records. Refuses to choose swaps and to serve requests that end elsewhere.
Source: architecture.md section 6; the tables of both sides stand in delivery_states.py.
"""

from collections.abc import Mapping

from bellwire.core.events import PauliApplied, Persisted, QubitMeasured, Started
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import (
    Aborted,
    Commit,
    Inquiry,
    Offer,
    OfferAnswer,
    Settled,
)
from bellwire.core.notices import (
    EndChanged,
    EndDied,
    EndUnlocked,
    EntanglementReported,
    LinkPairReady,
    MemoryLost,
    PairKept,
    PeerRestarted,
    PlanInstalled,
    PlanRemoved,
    PlanRequested,
    QubitDelivered,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import is_pre_distributed
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.transport.delivery_groups import wanted_group
from bellwire.transport.delivery_records import DeliveryRecord, from_record
from bellwire.transport.handover import ALWAYS_Z, PURPOSE, Circuit, Handover
from bellwire.transport.head import Head
from bellwire.transport.tail import Tail


class Delivery:
    """The delivery part of an end node."""

    def __init__(self, settings: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        self.handover = Handover(settings, node, slots)
        self.head = Head(self.handover)
        self.tail = Tail(self.handover)

    # ---- for applications, monitoring and tests

    def records(self, request: RequestId) -> tuple[DeliveryRecord, ...]:
        """All records of a request by number, void ones included."""
        return self.handover.book.records(request)

    def delivered_count(self, request: RequestId) -> int:
        """Pairs of a request that both ends have durably recorded and that count."""
        return self.handover.book.settled_count(request)

    # ---- tables

    def on_events(self) -> Mapping[type, Handler]:
        return {
            Started: self._on_started,
            Persisted: self._on_persisted,
            QubitMeasured: self._on_measured,
            PauliApplied: self._on_corrected,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {
            Offer: self.tail.on_offer,
            OfferAnswer: self.head.on_answer,
            Commit: self.tail.on_commit,
            Aborted: self.tail.on_aborted,
            Settled: self.head.on_settled,
            Inquiry: self.head.on_inquiry,
        }

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._on_pair_ready,
            EndChanged: self._on_end_changed,
            EndUnlocked: self._on_end_unlocked,
            EndDied: self._on_end_died,
            ViewReady: self._on_view,
            PlanRequested: self._on_plan_requested,
            PlanInstalled: self._on_plan_installed,
            PlanRemoved: self._on_plan_removed,
            MemoryLost: self._on_memory_lost,
            PeerRestarted: self._on_peer_restarted,
        }

    def gives(self) -> frozenset[type]:
        return frozenset((UpdatePair, SlotFreed, ViewWanted, EntanglementReported, QubitDelivered, PairKept))

    def deadline_ns(self) -> int | None:
        return self.handover.alarms.earliest_ns()

    def on_deadline(self, step: Step) -> None:
        for side, head_end in self.handover.alarms.take_due(step.now_ns):
            if side == "head":
                self.head.on_alarm(step, head_end)
            else:
                self.tail.on_alarm(step, head_end)

    # ---- handlers

    def _on_started(self, step: Step, event: Started) -> None:
        newest: dict[str, DeliveryRecord] = {}
        for record in event.records:
            if record.kind == "delivery":
                newest[record.key] = from_record(record)
        for delivery in newest.values():
            if delivery.role == "tail":
                self.tail.restore(delivery)
            elif delivery.state == "committed":
                self.head.restore(step, delivery)
            else:
                self.handover.book.write(delivery)

    def _on_persisted(self, step: Step, event: Persisted) -> None:
        # Tokens of other parts, and of records that nobody waits for, are not ours.
        if not self.head.on_persisted(step, event.token):
            self.tail.on_persisted(step, event.token)

    def _on_measured(self, step: Step, event: QubitMeasured) -> None:
        if not self.head.on_measured(step, event):
            self.tail.on_measured(step, event)

    def _on_corrected(self, step: Step, event: PauliApplied) -> None:
        self.tail.on_corrected(step, event)

    def _on_pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        if notice.request in self.handover.circuits:
            self.handover.look(step, notice.end)

    def _on_end_changed(self, step: Step, notice: EndChanged) -> None:
        slot = self.handover.slots.holding(notice.end)
        if slot is not None and slot.state in ("held", "offered"):
            self.handover.look(step, notice.end)

    def _on_end_unlocked(self, step: Step, notice: EndUnlocked) -> None:
        slot = self.handover.slots.holding(notice.end)
        if slot is not None and slot.request in self.handover.circuits:
            self.handover.look(step, notice.end)

    def _on_end_died(self, step: Step, notice: EndDied) -> None:
        # Ends that delivery has taken are released by delivery alone (view.py, SlotState).
        if notice.end in self.head.pairs:
            self.handover.look(step, notice.end)
        self.tail.on_died(step, notice.end)

    def _on_view(self, step: Step, notice: ViewReady) -> None:
        if notice.purpose != PURPOSE:
            return
        for end in self.handover.take_looks(step, notice.as_of_ns):
            slot = self.handover.slots.holding(end)
            request = None if slot is None else slot.request
            circuit = None if request is None else self.handover.circuits.get(request)
            if end in self.head.pairs or (circuit is not None and circuit.side == "head"):
                self.head.consider(step, notice.view, circuit, end)
            else:
                self.tail.consider(step, notice.view, circuit, end)

    def _on_plan_requested(self, step: Step, notice: PlanRequested) -> None:
        self.head.wanted[notice.request.request_id] = notice.request.count

    def _on_plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        plan = notice.plan
        if plan.role == "inner" or is_pre_distributed(plan.request):
            return
        at_head = plan.role == "source"
        if plan.use is not None:
            self.handover.used.add(plan.request)
        if plan.part_of is not None and plan.hold_ns is not None:
            self.handover.parts[plan.request] = (plan.part_of, plan.hold_ns)
        self.handover.circuits[plan.request] = Circuit(
            request=plan.request,
            version=plan.version,
            side="head" if at_head else "tail",
            peer=plan.destination if at_head else plan.source,
            mode=plan.consumption,
            refinement=next(
                (
                    each
                    for each in plan.purifications
                    if each.partner == (plan.destination if at_head else plan.source)
                ),
                None,
            ),
            group=None if plan.fusion is None else wanted_group(plan.fusion),
            choice=plan.bases[0 if at_head else -1] if plan.bases else ALWAYS_Z,
        )
        for end in self.handover.waiting(plan.request):
            self.handover.look(step, end)

    def _on_plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        circuit = self.handover.circuits.get(notice.request)
        if circuit is None or circuit.version > notice.version:
            return
        del self.handover.circuits[notice.request]
        self.handover.parts.pop(notice.request, None)
        self.head.withdraw(step, notice.request)
        self.tail.withdraw(step, notice.request)
        for end in self.handover.waiting(notice.request):
            self.handover.release(step, end, "withdrawn")

    def _on_memory_lost(self, step: Step, notice: MemoryLost) -> None:
        self.head.on_memory_lost(step)
        self.tail.on_memory_lost(step)

    def _on_peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        self.head.on_peer_restarted(step, notice.peer)
