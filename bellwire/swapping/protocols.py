"""The swapping layer's protocols: measure, and act on what others measured.

Owns the execution of swap plans at a node: SwappingProtocol decides and measures; its outcome is a fact, and
the handlers of that fact at the two partners are SwappingCorrection (right: the frame moves, in software),
SwappingAck (left: the longer pair is established) and SwappingFail (both: discard). Refuses delivery and
link work.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import NamedTuple

from bellwire.core.bell import Walsh, decay
from bellwire.core.effects import MeasureBell
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import BellMeasured, Received
from bellwire.core.facts import Released, ReleaseReason, Swapped
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import RoundOver
from bellwire.core.notices import (
    EndChanged,
    EndDied,
    LinkPairReady,
    MemoryLost,
    PeerLost,
    PlanInstalled,
    PlanRemoved,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import NodePlan, SwapPlan
from bellwire.core.registry import lookup
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import LedgerView, SlotBook, SlotView
from bellwire.swapping.outcomes import SwappingAck, SwappingCorrection, SwappingFail
from bellwire.swapping.policies import POLICIES, Candidates, Policy

SWEEPS_PER_LEASE = 3
"""The ledger is read for every held end this often per plan lease, so that a lost message delays nothing for
long."""

PlanKey = tuple[RequestId, int]


class Execution:
    """One swap plan being executed: the held ends of each side, in the order in which they were born."""

    __slots__ = ("left", "plan", "policy", "right")

    def __init__(self, plan: SwapPlan, policy: Policy) -> None:
        self.plan = plan
        self.policy = policy
        self.left: dict[End, SlotView] = {}
        self.right: dict[End, SlotView] = {}


class Measurement(NamedTuple):
    """A Bell-state measurement in flight."""

    execution: PlanKey
    left: SlotView
    right: SlotView
    left_end: End
    right_end: End


class Swapping:
    """Part of every node with a memory; end nodes have no swap plan and only discard."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory to swap in")
        self._network = network
        self._slots = slots
        self._memory = memory
        self._bsm = Walsh(memory.bsm_signs, memory.bsm_cost)
        self._plans: dict[RequestId, NodePlan] = {}
        self._executions: dict[PlanKey, Execution] = {}
        self._measuring: dict[int, Measurement] = {}
        self._limits: list[tuple[int, End]] = []  # heap of (cutoff, end); the compulsory age is swept
        self._sweep_ns: int | None = None
        self.correction = SwappingCorrection()
        self.ack = SwappingAck()
        self.fail = SwappingFail(slots)
        self.counters: dict[str, int] = dict.fromkeys(
            ("tried", "succeeded", "failed", "unknown", "cutoffs", "lost_partners"), 0
        )

    def on_events(self) -> Mapping[type, Handler]:
        return {BellMeasured: self._measured}

    def on_messages(self) -> Mapping[type, Handler]:
        return {RoundOver: self._round_over}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._pair_ready,
            EndChanged: self._end_changed,
            EndDied: self._end_died,
            ViewReady: self._view_ready,
            PlanInstalled: self._plan_installed,
            PlanRemoved: self._plan_removed,
            PeerLost: self._peer_lost,
            MemoryLost: self._memory_lost,
            UpdatePair: self._pair_updated,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({UpdatePair, SlotFreed, ViewWanted})

    # ---- plans

    def _plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        plan = notice.plan
        self._plans[plan.request] = plan
        if self._sweep_ns is None:
            self._sweep_ns = step.now_ns + self._sweep_period_ns()
        self._end_executions(step, plan.request, {(part.link, part.tree) for part in plan.links})
        for swap in plan.swaps:
            key = (plan.request, swap.tree)
            execution = Execution(swap, lookup("swapping policy", swap.policy, POLICIES))
            self._executions[key] = execution
            for slot in sorted(self._slots.slots(), key=lambda one: (one.born_ns, one.index)):
                if slot.end is not None and slot.state == "held" and (slot.request, slot.tree) == key:
                    self._register(execution, slot.end, slot)
            self._reconsider(step, key)

    def _plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        self._plans.pop(notice.request, None)
        self._end_executions(step, notice.request, set())

    def _end_executions(self, step: Step, request: RequestId, kept: set[tuple[LinkId, int]]) -> None:
        """The rule for pairs in flight when a plan is replaced or ends: those of links that a tree of the
        request goes on using are used, all others are released, which their far owners learn from the
        ledger."""
        for key in [key for key in self._executions if key[0] == request]:
            del self._executions[key]
        for slot in self._slots.slots():
            if slot.request != request or (slot.link, slot.tree) in kept:
                continue
            if slot.state == "held":
                self._discard(step, slot, "withdrawn")
            elif slot.state == "resting":
                self._wake(step, slot)

    def _register(self, execution: Execution, end: End, slot: SlotView) -> None:
        side = execution.left if slot.link == execution.plan.left_link else execution.right
        side[end] = slot

    # ---- SwappingProtocol: decide and measure

    def _pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        end, request = notice.end, notice.request
        plan = None if request is None else self._plans.get(request)
        if plan is not None and plan.swaps and plan.cutoff_ns is not None:
            heappush(self._limits, (notice.at_ns + plan.cutoff_ns, end))
        if request is None:
            return
        key = (request, notice.tree)
        execution = self._executions.get(key)
        if execution is not None:
            self._register(execution, end, self._slots.slot(notice.slot))
            self._reconsider(step, key)

    def _end_changed(self, step: Step, notice: EndChanged) -> None:
        slot = self._slots.holding(notice.end)
        if slot is None or slot.request is None:
            return
        key = (slot.request, slot.tree)
        execution = self._executions.get(key)
        if execution is None:
            return
        if slot.link == execution.plan.left_link:
            self.correction.count += 1
        else:
            self.ack.count += 1
        if execution.policy.needs_view:
            self._reconsider(step, key)

    def _reconsider(self, step: Step, key: PlanKey) -> None:
        execution = self._executions[key]
        if not execution.left or not execution.right:
            return
        if execution.policy.needs_view:
            step.tell(ViewWanted(purpose=f"swap:{key[1]}", request=key[0]))
        else:
            self._decide(step, key, None)

    def _view_ready(self, step: Step, notice: ViewReady) -> None:
        if notice.request is not None and notice.purpose.startswith("swap:"):
            key = (notice.request, int(notice.purpose[5:]))
            if key in self._executions:
                self._decide(step, key, notice.view)
        elif notice.purpose.startswith("lost:"):
            self._release_shared_with(step, notice.purpose[5:], notice.view)
        elif notice.purpose == "sweep":
            self._sweep(step, notice.view)

    def _decide(self, step: Step, key: PlanKey, view: LedgerView | None) -> None:
        """Let the policy choose until it waits; every choice is measured at once."""
        execution = self._executions[key]
        left, right = execution.left, execution.right
        while left and right:
            slots = self._slots.slots()
            occupancy = sum(slot.end is not None for slot in slots) / len(slots) if view is not None else 0.0
            choice = execution.policy.choose(
                Candidates(tuple(left.values()), tuple(right.values())),
                execution.plan,
                view,
                occupancy,
                step.now_ns,
            )
            if choice is None:
                return
            self._measure(step, key, *choice)

    def _measure(self, step: Step, key: PlanKey, left: SlotView, right: SlotView) -> None:
        left_end, right_end = left.end, right.end
        assert left_end is not None
        assert right_end is not None
        execution = self._executions[key]
        del execution.left[left_end], execution.right[right_end]
        self._slots.measure(left.index)
        self._slots.measure(right.index)
        operation = step.operation()
        self._measuring[operation] = Measurement(key, left, right, left_end, right_end)
        self.counters["tried"] += 1
        step.order(
            MeasureBell(
                operation=operation,
                left_slot=left.index,
                right_slot=right.index,
                within_ns=self._memory.operation_limit_ns,
            )
        )

    def _measured(self, step: Step, event: BellMeasured) -> None:
        """The outcome is a fact about our two ends; everybody else learns it from our stream."""
        measurement = self._measuring.pop(event.operation, None)
        if measurement is None:
            return
        key, left, right, left_end, right_end = measurement
        ok = event.ended == "done" and event.outcome is not None
        # Both qubits decay at the same rates, and decay adds up exactly: one of them waits for both.
        waited_ns = max(0, event.at_ns - left.born_ns) + max(0, event.at_ns - right.born_ns)
        noise = decay(self._bsm, self._memory.rates, waited_ns)
        self.counters["succeeded" if ok else "unknown" if event.ended == "unknown" else "failed"] += 1
        step.tell(
            UpdatePair(
                fact=Swapped(
                    left=left_end,
                    right=right_end,
                    result="ok" if ok else "unknown" if event.ended == "unknown" else "failed",
                    outcome=event.outcome if event.outcome is not None else 0,
                    signs=noise.signs,
                    cost=noise.cost,
                    at_ns=event.at_ns,
                )
            )
        )
        plan = self._plans.get(key[0])
        swaps = () if plan is None else plan.swaps
        swap = next((one for one in swaps if one.tree == key[1]), None)
        if ok and swap is not None and swap.rounds:
            for slot in (left, right):
                self._slots.rest(slot.index)
            return
        for slot in (left, right):
            self._slots.free(slot.index)
            step.tell(SlotFreed(slot=slot.index))
        if swap is not None and swap.rounds:
            for node in (*swap.inner_left, *swap.inner_right):
                step.send(node, RoundOver(request=key[0], tree=key[1]), "outcome")

    # ---- textbook rounds

    def _round_over(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, RoundOver)
        for slot in self._slots.slots():
            if slot.state == "resting" and slot.request == message.request:
                self._wake(step, slot)

    def _wake(self, step: Step, slot: SlotView) -> None:
        self._slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    def _pair_updated(self, step: Step, notice: UpdatePair) -> None:
        """In textbook generation the source's delivery ends the round of every inner node."""
        fact = notice.fact
        if type(fact) is not Released or fact.reason != "delivered":
            return
        for plan in self._plans.values():
            if plan.rounds and plan.role == "source":
                for node in plan.route[1:-1]:
                    step.send(node, RoundOver(request=plan.request, tree=0), "outcome")

    # ---- what others measured

    def _end_died(self, step: Step, notice: EndDied) -> None:
        slot = self._slots.holding(notice.end)
        if slot is not None and slot.state == "held":
            self.fail.count += 1
            self._discard(step, slot, "dead")

    def _discard(self, step: Step, slot: SlotView, reason: ReleaseReason) -> None:
        """End a held qubit: its chain is worth nothing to anybody."""
        if slot.end is not None and slot.request is not None:
            execution = self._executions.get((slot.request, slot.tree))
            if execution is not None:
                execution.left.pop(slot.end, None)
                execution.right.pop(slot.end, None)
        self.fail.discard(step, slot, reason)

    def _peer_lost(self, step: Step, notice: PeerLost) -> None:
        step.tell(ViewWanted(purpose=f"lost:{notice.peer}", request=None))

    def _release_shared_with(self, step: Step, peer: NodeId, view: LedgerView) -> None:
        for slot in self._slots.slots():
            if slot.end is not None and slot.state == "held" and view.far_owner(slot.end) == peer:
                self.counters["lost_partners"] += 1
                self._discard(step, slot, "partner_lost")

    def _memory_lost(self, step: Step, notice: MemoryLost) -> None:
        """The instrument forgot our qubits. Measurements in flight end as unknown by their own event."""
        for slot in self._slots.slots():
            if slot.state == "held" or slot.state == "resting":
                end = slot.end
                if end is not None:
                    step.tell(UpdatePair(fact=Released(end=end, reason="device_lost", at_ns=step.now_ns)))
                    execution = self._executions.get((slot.request or "", slot.tree))
                    if execution is not None:
                        execution.left.pop(end, None)
                        execution.right.pop(end, None)
                self._slots.lose(slot.index)

    # ---- time

    def _sweep_period_ns(self) -> int:
        return self._network.timers.plan_lease_ns // SWEEPS_PER_LEASE

    def deadline_ns(self) -> int | None:
        limit = self._limits[0][0] if self._limits else None
        if self._sweep_ns is None:
            return limit
        return self._sweep_ns if limit is None or self._sweep_ns < limit else limit

    def on_deadline(self, step: Step) -> None:
        now_ns = step.now_ns
        limits = self._limits
        while limits and limits[0][0] <= now_ns:
            _, end = heappop(limits)
            slot = self._slots.holding(end)
            if slot is not None and slot.state == "held":
                self.counters["cutoffs"] += 1
                self._discard(step, slot, "cutoff")
        if self._sweep_ns is not None and self._sweep_ns <= now_ns:
            self._sweep_ns = now_ns + self._sweep_period_ns() if self._plans else None
            step.tell(ViewWanted(purpose="sweep", request=None))

    def _sweep(self, step: Step, view: LedgerView) -> None:
        """Find ends whose death we were never told of, and whatever is older than any pair may be."""
        for slot in self._slots.slots():
            too_old = step.now_ns - slot.born_ns > self._network.timers.age_max_ns
            if slot.end is not None and slot.state == "held":
                chain = view.chain(slot.end)
                if chain is not None and chain.dead:
                    self._discard(step, slot, "dead")
                elif too_old:
                    self.counters["cutoffs"] += 1
                    self._discard(step, slot, "cutoff")
            elif slot.state == "resting" and too_old:
                self._wake(step, slot)
        for key in list(self._executions):
            self._reconsider(step, key)
