"""What becomes of kept qubits of a request that names a use: measured, or a teleportation over them.

Owns the qubits from the hand-over of the transport layer to the report of what was done with each, and the
slots of the memory in which an application prepares qubits of its own. Refuses statistics, which are whose
who asked, and requests without a use. Source of the teleportation: Bennett et al., PRL 70, 1895 (1993).

Every qubit ends in exactly one report "qubit_used" of its node, with the number of the delivery: a bit in a
basis, the outcome of a Bell measurement, or neither when it was lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bellwire.core.bases import measurement_in
from bellwire.core.effects import ApplyPauli, MeasureBell, MeasureQubit, PrepareQubit, ReleaseQubit, Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import BellMeasured, PauliApplied, QubitMeasured, QubitPrepared, Received
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.link_words import Basis
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import TeleportOutcome
from bellwire.core.notices import MemoryLost, OwnSlotFreed, PlanInstalled, QubitDelivered, SlotFreed
from bellwire.core.own_slots import OwnSlots
from bellwire.core.qubit_uses import MeasureUse, QubitUse
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook

OUTCOMES_MAX: Final = 1024
"""Outcomes of teleportations whose qubit is not handed over here yet; the oldest is forgotten beyond this."""

Stage = Literal["waiting", "preparing", "projecting", "correcting", "measuring"]


@dataclass(slots=True)
class _Known:
    """A request with a use, as its plan says."""

    use: QubitUse
    place: int  # of this node among the members
    destination: NodeId


@dataclass(slots=True)
class _Used:
    """One qubit between its hand-over and its report."""

    known: _Known
    request: RequestId
    number: int
    slot: int
    frame: int
    give_up_ns: int  # while it waits: for a slot at the source, for the outcome at the destination
    stage: Stage = "waiting"
    own_slot: int | None = None  # with the state to be teleported
    outcome: int | None = None  # of the Bell measurement of a teleportation
    basis: Basis | None = None


class QubitUses:
    """The applications of one end node that use kept qubits."""

    def __init__(self, settings: NetworkSettings, node: NodeId, slots: SlotBook, own: OwnSlots) -> None:
        memory = settings.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory: only end nodes use qubits")
        self._node = node
        self._slots = slots
        self._limit_ns = memory.operation_limit_ns
        self._patience_ns = settings.timers.delivery_ns
        self._own = own
        self._requests: dict[RequestId, _Known] = {}
        self._qubits: dict[tuple[RequestId, int], _Used] = {}
        self._operations: dict[int, _Used] = {}
        self._outcomes: dict[tuple[RequestId, int], int | None] = {}  # that came before their qubit

    def on_events(self) -> Mapping[type, Handler]:
        return {
            QubitPrepared: self._on_prepared,
            BellMeasured: self._on_projected,
            PauliApplied: self._on_corrected,
            QubitMeasured: self._on_measured,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {TeleportOutcome: self._on_outcome}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            PlanInstalled: self._on_plan,
            QubitDelivered: self._on_delivered,
            OwnSlotFreed: self._on_own_slot_freed,
            MemoryLost: self._on_memory_lost,
        }

    def gives(self) -> frozenset[type]:
        return frozenset((SlotFreed, OwnSlotFreed))

    def deadline_ns(self) -> int | None:
        return min((one.give_up_ns for one in self._qubits.values() if one.stage == "waiting"), default=None)

    def on_deadline(self, step: Step) -> None:
        for one in list(self._qubits.values()):
            if one.stage == "waiting" and one.give_up_ns <= step.now_ns:
                self._lose(step, one)

    # ---- beginning

    def _on_plan(self, step: Step, notice: PlanInstalled) -> None:
        plan = notice.plan
        if plan.use is None or plan.role == "inner":
            return
        members = (plan.source, plan.destination) if plan.fusion is None else plan.fusion.members
        self._requests[plan.request] = _Known(plan.use, members.index(self._node), plan.destination)

    def _on_delivered(self, step: Step, notice: QubitDelivered) -> None:
        one = _Used(
            known=self._requests[notice.request],
            request=notice.request,
            number=notice.number,
            slot=notice.slot,
            frame=notice.frame,
            give_up_ns=step.now_ns + self._patience_ns,
        )
        self._qubits[one.request, one.number] = one
        if isinstance(one.known.use, MeasureUse):
            self._measure(step, one, one.known.use.of(one.number)[one.known.place])
        elif one.known.place == 0:
            self._prepare(step, one)
        elif (one.request, one.number) in self._outcomes:
            self._mend(step, one, self._outcomes.pop((one.request, one.number)))

    def _prepare(self, step: Step, one: _Used) -> None:
        """Make the state of this delivery, as soon as a slot is free for it."""
        use = one.known.use
        if isinstance(use, MeasureUse) or not self._own.any_free:
            return
        one.stage, one.own_slot = "preparing", self._own.take()
        order = PrepareQubit(
            operation=step.operation(),
            slot=one.own_slot,
            turns=use.states[use.of(one.number)[0]],
            within_ns=self._limit_ns,
        )
        self._operations[order.operation] = one
        step.order(order)

    def _measure(self, step: Step, one: _Used, basis: Basis) -> None:
        measurement = measurement_in(basis)
        one.stage, one.basis = "measuring", basis
        order = MeasureQubit(
            operation=step.operation(),
            slot=one.slot,
            basis=measurement.basis,
            tag=one.number,
            within_ns=self._limit_ns,
            rotation=measurement.rotation,
        )
        self._operations[order.operation] = one
        step.order(order)

    def _mend(self, step: Step, one: _Used, outcome: int | None) -> None:
        """Feed forward: the state is here up to the Pauli that frame and outcome name together."""
        use = one.known.use
        if isinstance(use, MeasureUse) or outcome is None:
            self._lose(step, one)
            return
        one.outcome = outcome
        if one.frame ^ outcome == 0:
            self._measure(step, one, use.of(one.number)[1])
            return
        one.stage = "correcting"
        order = ApplyPauli(
            operation=step.operation(), slot=one.slot, pauli=one.frame ^ outcome, within_ns=self._limit_ns
        )
        self._operations[order.operation] = one
        step.order(order)

    # ---- results

    def _on_prepared(self, step: Step, event: QubitPrepared) -> None:
        one = self._operations.pop(event.operation, None)
        if one is None:
            return
        assert one.own_slot is not None, "a state is prepared in a slot"
        if event.ended != "done":
            self._tell_outcome(step, one, None)
            self._lose(step, one)
            return
        one.stage = "projecting"
        order = MeasureBell(
            operation=step.operation(), left_slot=one.own_slot, right_slot=one.slot, within_ns=self._limit_ns
        )
        self._operations[order.operation] = one
        step.order(order)

    def _on_projected(self, step: Step, event: BellMeasured) -> None:
        one = self._operations.pop(event.operation, None)
        if one is None:
            return
        one.outcome = event.outcome
        self._tell_outcome(step, one, event.outcome)
        if event.ended == "done":
            self._end(step, one, None)
        else:
            self._lose(step, one)

    def _tell_outcome(self, step: Step, one: _Used, outcome: int | None) -> None:
        told = TeleportOutcome(request=one.request, number=one.number, outcome=outcome)
        step.send(one.known.destination, told, "outcome")

    def _on_outcome(self, step: Step, received: Received) -> None:
        told = received.message
        assert isinstance(told, TeleportOutcome)
        one = self._qubits.get((told.request, told.number))
        if one is None:
            self._outcomes[told.request, told.number] = told.outcome
            if len(self._outcomes) > OUTCOMES_MAX:
                del self._outcomes[next(iter(self._outcomes))]
        elif one.stage == "waiting" and one.known.place != 0:
            self._mend(step, one, told.outcome)

    def _on_corrected(self, step: Step, event: PauliApplied) -> None:
        one = self._operations.pop(event.operation, None)
        if one is None:
            return
        use = one.known.use
        if event.ended != "done" or isinstance(use, MeasureUse):
            self._lose(step, one)
        else:
            self._measure(step, one, use.of(one.number)[1])

    def _on_measured(self, step: Step, event: QubitMeasured) -> None:
        one = self._operations.pop(event.operation, None)
        if one is None:
            return
        if event.ended == "done":
            self._end(step, one, event.bit)
        else:
            self._lose(step, one)

    # ---- ending

    def _end(self, step: Step, one: _Used, bit: int | None) -> None:
        """The qubit is used up."""
        del self._qubits[one.request, one.number]
        self._report(step, one, bit)
        self._set_free(step, one)

    def _lose(self, step: Step, one: _Used) -> None:
        """Nothing became of the qubit; what may be left of it, and of the state for it, is let go."""
        del self._qubits[one.request, one.number]
        one.basis, one.outcome = None, None
        self._report(step, one, None)
        for slot in (one.slot, one.own_slot):
            if slot is not None:
                step.order(ReleaseQubit(slot=slot, tag=0))
        self._set_free(step, one)

    def _set_free(self, step: Step, one: _Used) -> None:
        self._slots.free(one.slot)
        step.tell(SlotFreed(slot=one.slot))
        if one.own_slot is None:
            return
        self._own.give_back(one.own_slot)
        self._prepare_waiting(step)
        if self._own.any_free:
            step.tell(OwnSlotFreed())

    def _on_own_slot_freed(self, step: Step, notice: OwnSlotFreed) -> None:
        self._prepare_waiting(step)

    def _prepare_waiting(self, step: Step) -> None:
        for one in self._qubits.values():
            if one.stage == "waiting" and one.known.place == 0:
                self._prepare(step, one)

    def _report(self, step: Step, one: _Used, bit: int | None) -> None:
        step.order(
            Report(
                name="qubit_used",
                request=one.request,
                fields={
                    "number": one.number,
                    "frame": one.frame,
                    "basis": one.basis,
                    "bit": bit,
                    "outcome": one.outcome,
                },
            )
        )

    def _on_memory_lost(self, step: Step, notice: MemoryLost) -> None:
        """Every qubit is gone; orders that are still to end concern nobody."""
        self._operations.clear()
        lost, self._qubits = list(self._qubits.values()), {}
        for one in lost:
            if one.own_slot is not None:
                self._own.give_back(one.own_slot)
            self._slots.lose(one.slot)
            one.basis, one.outcome = None, None
            self._report(step, one, None)
