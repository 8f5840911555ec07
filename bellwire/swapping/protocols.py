"""The swapping layer's protocols: measure, and act on what others measured.

Owns the execution of swap plans at a node: SwappingProtocol decides and measures; its outcome is a fact, and
the handlers of that fact at the two partners are SwappingCorrection (right: the frame moves, in software),
SwappingAck (left: the longer pair is established) and SwappingFail (both: discard). Refuses delivery, link
work, and the ends of pairs without a swap (losses.py).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bellwire.core.bell import Walsh, decay
from bellwire.core.effects import MeasureBell
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import BellMeasured
from bellwire.core.facts import Swapped
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import RoundOver
from bellwire.core.modes import is_foreign
from bellwire.core.notices import (
    EndChanged,
    EndDied,
    EndUnlocked,
    LinkPairReady,
    MemoryLost,
    PeerLost,
    PlanInstalled,
    PlanRemoved,
    ShiftOver,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import LedgerView, SlotBook, SlotView
from bellwire.swapping.candidates import Held
from bellwire.swapping.executions import NOBODY, NOTHING, Execution
from bellwire.swapping.losses import Losses
from bellwire.swapping.outcomes import SwappingAck, SwappingCorrection
from bellwire.swapping.policies import policy_of
from bellwire.swapping.rounds import TextbookRounds

SWEEPS_PER_LEASE = 3
"""The ledger is read for every held end this often per plan lease, so that a lost message delays nothing for
long."""

PlanKey = tuple[RequestId, int]


class Measurement(NamedTuple):
    """A Bell-state measurement in flight."""

    execution: PlanKey
    left: SlotView
    right: SlotView
    left_end: End
    right_end: End


def _earliest(executions: Iterable[Execution]) -> int | None:
    return min((one.look_ns for one in executions if one.look_ns is not None), default=None)


def _unread(execution: Execution) -> bool:
    """True when the ledger has news of an own end that nobody has looked at."""
    return any(not held.known for side in (execution.left, execution.right) for held in side.values())


class Swapping:
    """Part of every node with a memory; end nodes have no swap plan and only discard."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory to swap in")
        self._network = network
        self._node = node
        self._slots = slots
        self._memory = memory
        self._bsm = Walsh(memory.bsm_signs, memory.bsm_cost)
        self._plans: dict[RequestId, NodePlan] = {}
        self._executions: dict[PlanKey, Execution] = {}
        self._measuring: dict[int, Measurement] = {}
        self._rounds = TextbookRounds(slots)
        self._sweep_ns: int | None = None
        self.correction = SwappingCorrection()
        self.ack = SwappingAck()
        self.counters: dict[str, int] = dict.fromkeys(
            ("tried", "succeeded", "failed", "unknown", "cutoffs", "idle", "shifts", "lost_partners"), 0
        )
        self._losses = Losses(slots, self._executions, self._rounds, self.counters)
        self.fail = self._losses.fail
        self._look_ns: int | None = None  # the earliest of all executions

    def on_events(self) -> Mapping[type, Handler]:
        return {BellMeasured: self._measured}

    def on_messages(self) -> Mapping[type, Handler]:
        return {RoundOver: self._rounds.over}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._pair_ready,
            EndChanged: self._end_changed,
            EndUnlocked: self._end_unlocked,
            EndDied: self._losses.end_died,
            ShiftOver: self._losses.shift_over,
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
            if is_foreign(swap.policy):
                continue
            key = (plan.request, swap.tree)
            execution = Execution(swap, policy_of(swap.policy))
            execution.purifications = {
                each.partner: each for each in plan.purifications if each.tree == swap.tree
            }
            self._executions[key] = execution
            for slot in sorted(self._slots.slots(), key=lambda one: (one.born_ns, one.index)):
                if slot.end is not None and slot.state == "held" and (slot.request, slot.tree) == key:
                    held = execution.hold(slot, slot.end, step.now_ns)
                    held.far, held.known = -1, False
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
        self._look_ns = _earliest(self._executions.values())
        for slot in self._slots.slots():
            if slot.request != request or (slot.link, slot.tree) in kept:
                continue
            if slot.state == "held":
                self._losses.discard(step, slot, "withdrawn")
            elif slot.state == "resting":
                self._rounds.wake(step, slot)

    # ---- SwappingProtocol: decide and measure

    def _pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        end, request = notice.end, notice.request
        plan = None if request is None else self._plans.get(request)
        if plan is not None and plan.swaps and plan.cutoff_ns is not None:
            self._losses.limit(notice.at_ns + plan.cutoff_ns, end)
        if request is None:
            return
        key = (request, notice.tree)
        execution = self._executions.get(key)
        if execution is not None:
            held = execution.hold(self._slots.slot(notice.slot), end, step.now_ns)
            if execution.policy.adaptive:
                self._wait_for_turn(execution, held, step.now_ns, 1)
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
            held = execution.held(notice.end)
            if held is not None:
                held.known = False
                held.news_ns = step.now_ns
            self._reconsider(step, key)

    def _end_unlocked(self, step: Step, notice: EndUnlocked) -> None:
        """A round of purification has left us this end: its cutoff runs again, and it may be swapped."""
        slot = self._slots.holding(notice.end)
        if slot is None or slot.request is None or slot.state != "held":
            return
        plan = self._plans.get(slot.request)
        if plan is not None and plan.swaps and plan.cutoff_ns is not None:
            self._losses.limit(slot.born_ns + plan.cutoff_ns, notice.end)
        key = (slot.request, slot.tree)
        execution = self._executions.get(key)
        if execution is None:
            return
        held = execution.held(notice.end) or execution.hold(slot, notice.end, step.now_ns)
        held.known = False
        held.far = -1  # a new pair, though with the same partner
        held.news_ns = step.now_ns
        self._reconsider(step, key)

    def _wait_for_turn(self, execution: Execution, held: Held, now_ns: int, ways: int) -> None:
        """The other end is let go first for as long as word of its swap would take. It has heard of this pair
        when we have (ways = 1) or up to one way later (ways = 2)."""
        far = execution.plan.route[held.far]
        delay_ns = self._network.delay_ns(self._node, far)
        execution.wait_for_turn(held, now_ns + self._memory.bsm_duration_ns + ways * delay_ns + 1)

    def _reconsider(self, step: Step, key: PlanKey) -> None:
        execution = self._executions[key]
        nothing_to_swap = not (execution.left and execution.right)
        if nothing_to_swap and not (execution.policy.adaptive and _unread(execution)):
            self._look_later(execution, step.now_ns)
            return
        if execution.policy.needs_view:
            step.tell(ViewWanted(purpose=f"swap:{key[1]}", request=key[0]))
        else:
            self._decide(step, key, None)

    def _view_ready(self, step: Step, notice: ViewReady) -> None:
        if notice.request is not None and notice.purpose.startswith("swap:"):
            key = (notice.request, int(notice.purpose[5:]))
            if key in self._executions:
                self._decide(step, key, notice.view, notice.suspects)
        elif notice.purpose.startswith("lost:"):
            self._losses.partner_lost(step, notice.purpose[5:], notice.view)
        elif notice.purpose == "sweep":
            self._sweep(step, notice.view)

    def _decide(
        self, step: Step, key: PlanKey, view: LedgerView | None, suspects: frozenset[NodeId] = NOBODY
    ) -> None:
        """Let the policy choose until it waits; every choice is measured at once."""
        execution = self._executions[key]
        policy = execution.policy
        now_ns = step.now_ns
        if view is not None:
            renewed = execution.read(view, now_ns)
            if policy.adaptive:
                for held in renewed:
                    if held.far >= 0:
                        self._wait_for_turn(execution, held, held.since_ns, 2)
                for held, why in execution.given_up(now_ns):
                    self._losses.give_up(step, held.slot, why)
            policy = execution.policy_for(suspects)
        waiting = False
        present = execution.present(view, now_ns) if view is not None and policy.looks_far else NOTHING
        while execution.left and execution.right:
            seen = execution.situation(0.0 if view is None else self._occupancy(), now_ns, present)
            choice = policy.choose(seen)
            if choice is None:
                waiting = bool(seen.left and seen.right)
                break
            self._measure(step, key, *choice)
        if policy.adaptive or execution.policy.adaptive:
            execution.plan_look(now_ns, waiting=waiting)
            self._look_ns = _earliest(self._executions.values())

    def _look_later(self, execution: Execution, now_ns: int) -> None:
        """Nothing to swap: ends that wait too long are given up in time. All of them have been read: a swap
        elsewhere may have made one older than its limit."""
        if execution.policy.adaptive:
            execution.plan_look(now_ns, waiting=False)
            self._look_ns = _earliest(self._executions.values())

    def _occupancy(self) -> float:
        slots = self._slots.slots()
        return sum(slot.state != "free" for slot in slots) / len(slots)

    def _measure(self, step: Step, key: PlanKey, left: Held, right: Held) -> None:
        execution = self._executions[key]
        del execution.left[left.end], execution.right[right.end]
        self._slots.measure(left.slot.index)
        self._slots.measure(right.slot.index)
        operation = step.operation()
        self._measuring[operation] = Measurement(key, left.slot, right.slot, left.end, right.end)
        self.counters["tried"] += 1
        step.order(
            MeasureBell(
                operation=operation,
                left_slot=left.slot.index,
                right_slot=right.slot.index,
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
        self._rounds.measured(step, swap, (left, right), ok=ok)

    def _pair_updated(self, step: Step, notice: UpdatePair) -> None:
        self._rounds.pair_updated(step, notice, self._plans.values())

    # ---- losses

    def _peer_lost(self, step: Step, notice: PeerLost) -> None:
        step.tell(ViewWanted(purpose=f"lost:{notice.peer}", request=None))

    def _memory_lost(self, step: Step, notice: MemoryLost) -> None:
        self._losses.memory_lost(step)

    # ---- time

    def _sweep_period_ns(self) -> int:
        return self._network.timers.plan_lease_ns // SWEEPS_PER_LEASE

    def deadline_ns(self) -> int | None:
        limits = self._losses.limits
        limit = limits[0][0] if limits else None
        look = self._look_ns
        if look is not None and (limit is None or look < limit):
            limit = look
        if self._sweep_ns is None:
            return limit
        return self._sweep_ns if limit is None or self._sweep_ns < limit else limit

    def on_deadline(self, step: Step) -> None:
        now_ns = step.now_ns
        self._losses.expire(step)
        if self._look_ns is not None and self._look_ns <= now_ns:
            for key, execution in self._executions.items():
                if execution.look_ns is not None and execution.look_ns <= now_ns:
                    execution.look_ns = None
                    step.tell(ViewWanted(purpose=f"swap:{key[1]}", request=key[0]))
            self._look_ns = _earliest(self._executions.values())
        if self._sweep_ns is not None and self._sweep_ns <= now_ns:
            self._sweep_ns = now_ns + self._sweep_period_ns() if self._plans else None
            step.tell(ViewWanted(purpose="sweep", request=None))

    def _sweep(self, step: Step, view: LedgerView) -> None:
        self._losses.sweep(step, view, self._network.timers.age_max_ns)
        for key in list(self._executions):
            self._reconsider(step, key)
