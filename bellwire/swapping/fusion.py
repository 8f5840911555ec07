"""Fusion at run time: states that reach a node by different links become one (stack paper IV-E, appendix D).

Owns the execution of fusion plans at a node: the orders and the facts. Refuses the account of what is held
(fusion_executions.py), the choice (fusion_choices.py), delivery, and the end of dead qubits, which is the
same for all held ends (protocols.py). A failed fusion is a fact that reaches every node of the tree, and all
members discard (algorithms.md 4.1, pitfall 14.14).

Graph states: a state that is all of one vertex at this node is turned by a Hadamard gate and belongs to the
next vertex from then on, which puts an edge between the two (planner/graph_knots.py).
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from bellwire.core.bell import Walsh, decay
from bellwire.core.effects import ApplyPauli, FuseQubits, MeasureBell, ReleaseQubit
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import BellMeasured, Ended, PauliApplied, QubitsFused
from bellwire.core.facts import Corrected, Fused, Released, ReleaseReason, Swapped
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    EndChanged,
    EndUnlocked,
    LinkPairReady,
    PlanInstalled,
    PlanRemoved,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import FusionPlan, NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import LedgerView, SlotBook, SlotView
from bellwire.swapping.fusion_choices import FusionChoice, choose_at_once, choose_by_worth, choose_fixed
from bellwire.swapping.fusion_executions import FusionExecution
from bellwire.swapping.fusion_noise import fusion_noise, with_turns

PURPOSE = "fuse:"
"""Views that a decision asks for, followed by the request."""

SWEEP = "sweep"
"""Views that the swapping part reads at intervals: fusion looks too, lest lost news stop it."""


FusionResult = Literal["ok", "failed", "unknown"]


class Joining(NamedTuple):
    """A fusion or a leaving Bell measurement in flight."""

    request: RequestId
    choice: FusionChoice


class Turning(NamedTuple):
    """A Hadamard gate in flight."""

    request: RequestId
    end: End


class Fusion:
    """Part of every node with a memory; without a fusion plan it does nothing."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory to fuse in")
        self._network = network
        self._node = node
        self._slots = slots
        self._memory = memory
        self._noise = fusion_noise(memory)
        self._bsm = Walsh(memory.bsm_signs, memory.bsm_cost)
        self._executions: dict[RequestId, FusionExecution] = {}
        self._joining: dict[int, Joining] = {}
        self._turning: dict[int, Turning] = {}
        self._limits: list[tuple[int, End, RequestId]] = []  # heap of cutoffs
        self.counters: dict[str, int] = dict.fromkeys(
            ("tried", "succeeded", "failed", "unknown", "cutoffs", "turned", "turns_failed"), 0
        )

    def on_events(self) -> Mapping[type, Handler]:
        return {QubitsFused: self._fused, BellMeasured: self._left, PauliApplied: self._turned}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._pair_ready,
            EndChanged: self._end_changed,
            ViewReady: self._view_ready,
            PlanInstalled: self._plan_installed,
            PlanRemoved: self._plan_removed,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({UpdatePair, SlotFreed, ViewWanted, EndUnlocked})

    def idle(self) -> bool:
        return not (self._executions or self._joining or self._turning or self._limits)

    def only_when_busy(self) -> frozenset[type]:
        return frozenset({LinkPairReady, EndChanged, ViewReady})

    def deadline_ns(self) -> int | None:
        looks = [one.look_ns for one in self._executions.values() if one.look_ns is not None]
        if self._limits:
            looks.append(self._limits[0][0])
        return min(looks, default=None)

    def on_deadline(self, step: Step) -> None:
        """End of patience, and cutoffs of states that wait here to be joined; a complete one waits for its
        delivery instead."""
        for waiting in self._executions.values():
            if waiting.look_ns is not None and waiting.look_ns <= step.now_ns:
                waiting.look_ns = None
                self._reconsider(step, waiting)
        limits = self._limits
        while limits and limits[0][0] <= step.now_ns:
            _, end, request = heappop(limits)
            execution = self._executions.get(request)
            slot = self._slots.holding(end)
            if execution is None or slot is None or end not in execution.parts:
                continue
            if slot.state == "locked":  # an operation is under way, and has a limit of its own
                heappush(limits, (step.now_ns + self._memory.operation_limit_ns, end, request))
            elif slot.state == "held" and not execution.whole(end):
                self.counters["cutoffs"] += 1
                self._give_up(step, execution, slot, end, "cutoff")

    # ---- plans

    def _plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        plan: NodePlan = notice.plan
        if plan.fusion is None:
            self._executions.pop(plan.request, None)
            return
        known = self._executions.get(plan.request)
        execution = FusionExecution(plan.fusion, plan.cutoff_ns)
        self._executions[plan.request] = execution
        if known is not None and known.follows(plan.fusion):
            execution.parts = known.parts
        elif known is not None:
            # A state of the old tree may reach where the new one has another way: joined, they could close.
            for former in known.parts:
                self._withdraw(step, former)
        for slot in sorted(self._slots.slots(), key=lambda one: (one.born_ns, one.index)):
            end = slot.end
            mine = slot.state == "held" and slot.request == plan.request and slot.link in plan.fusion.branches
            if mine and end is not None and end not in execution.parts:
                self._hold(step, execution, end, slot.link, slot.born_ns)
        self._reconsider(step, execution)

    def _plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        self._executions.pop(notice.request, None)

    # ---- what is held

    def _hold(self, step: Step, execution: FusionExecution, end: End, link: LinkId, at_ns: int) -> None:
        execution.begin(end, link, self._slots)
        self._turn_if_due(step, execution, end)
        if execution.cutoff_ns is not None and len(execution.plan.branches) > 1:
            heappush(self._limits, (at_ns + execution.cutoff_ns, end, execution.plan.request))

    def _held_slot(self, end: End) -> SlotView | None:
        slot = self._slots.holding(end)
        return slot if slot is not None and slot.state == "held" else None

    def _pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        execution = None if notice.request is None else self._executions.get(notice.request)
        if execution is None:
            return
        slot = self._slots.slot(notice.slot)
        if slot.link in execution.plan.branches:
            self._hold(step, execution, notice.end, slot.link, notice.at_ns)
            self._reconsider(step, execution)

    def _end_changed(self, step: Step, notice: EndChanged) -> None:
        slot = self._slots.holding(notice.end)
        execution = None if slot is None or slot.request is None else self._executions.get(slot.request)
        if execution is not None and execution.plan.order != "asap":
            self._reconsider(step, execution)

    # ---- decide

    def _reconsider(self, step: Step, execution: FusionExecution) -> None:
        if len(execution.parts) < 2 or len(execution.plan.branches) < 2:
            return
        if execution.plan.order == "asap":
            while choice := choose_at_once(execution.plan, execution.held(self._slots)):
                self._join(step, execution, choice)
        else:
            step.tell(ViewWanted(purpose=PURPOSE + execution.plan.request, request=execution.plan.request))

    def _view_ready(self, step: Step, notice: ViewReady) -> None:
        if notice.purpose == SWEEP:
            for execution in self._executions.values():
                if execution.plan.order != "asap":
                    self._decide(step, execution, notice.view)
        elif notice.purpose.startswith(PURPOSE):
            found = self._executions.get(notice.purpose[len(PURPOSE) :])
            if found is not None:
                self._decide(step, found, notice.view)

    def _decide(self, step: Step, execution: FusionExecution, view: LedgerView) -> None:
        while choice := self._chosen(step, execution, view):
            self._join(step, execution, choice)
        self._wait_for_patience(step, execution)

    def _chosen(self, step: Step, execution: FusionExecution, view: LedgerView) -> FusionChoice | None:
        plan, held, owner_of = execution.plan, execution.held(self._slots), self._network.owner
        if plan.order == "fixed":
            return choose_fixed(plan, held, view, owner_of)
        overdue_ns = None if plan.patience_ns is None else step.now_ns - plan.patience_ns
        return choose_by_worth(plan, held, view, owner_of, overdue_ns)

    def _wait_for_patience(self, step: Step, execution: FusionExecution) -> None:
        """Look again when the second of two states that are not worth joining has waited long enough."""
        patience_ns = execution.plan.patience_ns
        if execution.plan.order != "score" or patience_ns is None:
            return
        births = sorted(state.slot.born_ns for state in execution.held(self._slots))
        later = [born_ns + patience_ns for born_ns in births[1:] if born_ns + patience_ns > step.now_ns]
        execution.look_ns = min(later) if later else None

    def _join(self, step: Step, execution: FusionExecution, choice: FusionChoice) -> None:
        kept, measured = choice.kept.slot, choice.measured.slot
        operation = step.operation()
        self._joining[operation] = Joining(execution.plan.request, choice)
        self.counters["tried"] += 1
        self._slots.measure(measured.index)
        if choice.leave:
            self._slots.measure(kept.index)
            step.order(
                MeasureBell(
                    operation=operation,
                    left_slot=kept.index,
                    right_slot=measured.index,
                    within_ns=self._memory.operation_limit_ns,
                )
            )
            return
        self._slots.lock(kept.index)
        step.order(
            FuseQubits(
                operation=operation,
                kept_slot=kept.index,
                measured_slot=measured.index,
                within_ns=self._memory.operation_limit_ns,
            )
        )

    def _turn_if_due(self, step: Step, execution: FusionExecution, end: End) -> None:
        slot = self._held_slot(end)
        if slot is None or not execution.due(end):
            return
        operation = step.operation()
        self._turning[operation] = Turning(execution.plan.request, end)
        self._slots.lock(slot.index)
        step.order(
            ApplyPauli(
                operation=operation,
                slot=slot.index,
                pauli=0,
                within_ns=self._memory.operation_limit_ns,
                hadamard=True,
            )
        )

    # ---- what came of it

    def _turned(self, step: Step, event: PauliApplied) -> None:
        turning = self._turning.pop(event.operation, None)
        slot = None if turning is None else self._slots.holding(turning.end)
        if turning is None or slot is None or slot.state != "locked":
            return  # nothing of ours, or the instrument has forgotten the qubit since
        end, execution = turning.end, self._executions.get(turning.request)
        if event.ended != "done":
            self.counters["turns_failed"] += 1
            self._give_up(step, execution, slot, end, "dead")
            return
        self.counters["turned"] += 1
        self._slots.unlock(slot.index, slot.born_ns)
        fact = Corrected(end=end, pauli=0, at_ns=event.at_ns, hadamard=True)
        audience = () if execution is None else self._audience(execution.plan)
        step.tell(UpdatePair(fact=fact, audience=audience))
        if execution is None or end not in execution.parts:  # the plan ended while the order was under way
            self._withdraw(step, end)
            return
        execution.turn(end)
        self._turn_if_due(step, execution, end)
        if execution.whole(end):
            step.tell(EndUnlocked(end=end))  # delivery may take it, and will not hear of it otherwise
        self._reconsider(step, execution)

    def _fused(self, step: Step, event: QubitsFused) -> None:
        joining = self._joining.pop(event.operation, None)
        if joining is None:
            return
        kept, measured, _ = joining.choice
        result = self._result(event.ended)
        waited_ns = max(0, event.at_ns - measured.slot.born_ns)
        fact = Fused(
            kept=kept.end,
            measured=measured.end,
            result=result,
            bit=event.bit if event.bit is not None and result == "ok" else 0,
            kept_cost=self._noise.kept_after(kept.turns),
            measured_cost=self._noise.measured_after(self._memory.rates, waited_ns, measured.turns),
            mixed_cost=self._noise.mixed,
            at_ns=event.at_ns,
        )
        execution = self._executions.get(joining.request)
        if execution is not None:
            execution.parts.pop(measured.end, None)
            execution.parts.pop(kept.end, None)
        self._free(step, measured.slot)
        if result != "ok":
            self._free(step, kept.slot)
        else:
            self._slots.unlock(kept.slot.index, kept.slot.born_ns)
            if execution is not None:
                execution.join(kept, measured)
        step.tell(UpdatePair(fact=fact, audience=self._audience_of(joining)))
        if execution is not None:
            self._turn_if_due(step, execution, kept.end)
            self._reconsider(step, execution)
        else:  # the plan ended while the order was under way
            self._withdraw(step, kept.end)

    def _left(self, step: Step, event: BellMeasured) -> None:
        joining = self._joining.pop(event.operation, None)
        if joining is None:
            return
        kept, measured, _ = joining.choice
        result = self._result(event.ended)
        waited_ns = max(0, event.at_ns - kept.slot.born_ns) + max(0, event.at_ns - measured.slot.born_ns)
        noise = decay(self._bsm, self._memory.rates, waited_ns)
        fact = Swapped(
            left=kept.end,
            right=measured.end,
            result=result,
            outcome=event.outcome if event.outcome is not None and result == "ok" else 0,
            signs=noise.signs,
            cost=with_turns(noise.cost, self._noise.turn, kept.turns + measured.turns),
            at_ns=event.at_ns,
        )
        for state in (kept, measured):
            self._free(step, state.slot)
        step.tell(UpdatePair(fact=fact, audience=self._audience_of(joining)))

    def _result(self, ended: Ended) -> FusionResult:
        result: FusionResult = "ok" if ended == "done" else "unknown" if ended == "unknown" else "failed"
        self.counters["succeeded" if result == "ok" else result] += 1
        return result

    def _give_up(
        self, step: Step, execution: FusionExecution | None, slot: SlotView, end: End, reason: ReleaseReason
    ) -> None:
        """End an own qubit; all nodes of the tree are told."""
        audience: tuple[NodeId, ...] = ()
        if execution is not None:
            execution.parts.pop(end, None)
            audience = self._audience(execution.plan)
        fact = Released(end=end, reason=reason, at_ns=step.now_ns)
        step.tell(UpdatePair(fact=fact, audience=audience))
        step.order(ReleaseQubit(slot=slot.index, tag=0))
        self._free(step, slot)

    def _withdraw(self, step: Step, end: End) -> None:
        slot = self._held_slot(end)
        if slot is not None:
            step.tell(UpdatePair(fact=Released(end=end, reason="withdrawn", at_ns=step.now_ns)))
            step.order(ReleaseQubit(slot=slot.index, tag=0))
            self._free(step, slot)

    def _free(self, step: Step, slot: SlotView) -> None:
        self._slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    def _audience_of(self, joining: Joining) -> tuple[NodeId, ...]:
        execution = self._executions.get(joining.request)
        return () if execution is None else self._audience(execution.plan)

    def _audience(self, plan: FusionPlan) -> tuple[NodeId, ...]:
        return tuple(name for name in plan.nodes if name != self._node)
