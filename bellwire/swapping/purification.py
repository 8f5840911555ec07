"""Purification between the owners of two pairs that join the same two nodes (stack paper, appendix D).

Owns the part of a node that follows purification plans: when the ledger is read, which pairs may go into a
round, and the routing of words to the asking and the answering side. Refuses the maths (core/purification.py)
and link purification, which the link layer does before it hands a pair up.
"""

from collections.abc import Mapping
from typing import Final

from bellwire.core.events import PairPurified, Received
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import PurificationAnswer, PurificationWanted
from bellwire.core.notices import (
    EndChanged,
    EndDied,
    EndUnlocked,
    LinkPairReady,
    MemoryLost,
    PeerRestarted,
    PlanInstalled,
    PlanRemoved,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import PurificationPlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import LedgerView, SlotBook
from bellwire.swapping.purification_answering import PurificationAnswering
from bellwire.swapping.purification_asking import PurificationAsking
from bellwire.swapping.purification_choice import Ready, choose
from bellwire.swapping.purification_ground import PurificationGround

PURPOSE: Final = "purification"


class Purification:
    """Part of every node with a memory."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        self._node = node
        self._slots = slots
        self._ground = PurificationGround(network, node, slots)
        self.asking = PurificationAsking(self._ground)
        self.answering = PurificationAnswering(self._ground)
        self.counters = self._ground.counters
        self._plans: dict[RequestId, tuple[PurificationPlan, ...]] = {}
        self._asked_at_ns: int | None = None  # the ledger was asked for in this moment
        self._look_ns: int | None = None  # a far half is not known yet: its birth wakes nobody

    def on_events(self) -> Mapping[type, Handler]:
        return {PairPurified: self._purified}

    def on_messages(self) -> Mapping[type, Handler]:
        return {PurificationWanted: self._wanted, PurificationAnswer: self._answered}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._pair_ready,
            EndChanged: self._end_changed,
            EndUnlocked: self._end_unlocked,
            EndDied: self._end_died,
            ViewReady: self._view_ready,
            PlanInstalled: self._plan_installed,
            PlanRemoved: self._plan_removed,
            MemoryLost: self._memory_lost,
            PeerRestarted: self._peer_restarted,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({UpdatePair, SlotFreed, ViewWanted, EndUnlocked})

    def idle(self) -> bool:
        return self._look_ns is None and not (self._plans or self.asking.busy() or self.answering.busy())

    def only_when_busy(self) -> frozenset[type]:
        return frozenset({LinkPairReady, EndChanged, EndUnlocked, EndDied, ViewReady})

    # ---- plans

    def _plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        plan = notice.plan
        self._ground.wanted.add(plan.request)
        if plan.purifications:
            self._plans[plan.request] = plan.purifications
            self._look(step)
        else:
            self._plans.pop(plan.request, None)

    def _plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        """Rounds in flight are decided; what they leave is then withdrawn."""
        self._plans.pop(notice.request, None)
        self._ground.wanted.discard(notice.request)

    # ---- when to look

    def _look(self, step: Step) -> None:
        if self._asked_at_ns != step.now_ns:
            self._asked_at_ns = step.now_ns
            step.tell(ViewWanted(purpose=PURPOSE, request=None))

    def _pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        if notice.request in self._plans:
            self._look(step)

    def _end_changed(self, step: Step, notice: EndChanged) -> None:
        if self._plans or self.answering.taken:
            slot = self._slots.holding(notice.end)
            if slot is not None and (slot.request in self._plans or self.answering.waits_for(notice.end)):
                self._look(step)

    def _end_unlocked(self, step: Step, notice: EndUnlocked) -> None:
        slot = self._slots.holding(notice.end)
        if slot is not None and slot.request in self._plans:
            self._look(step)

    def _end_died(self, step: Step, notice: EndDied) -> None:
        self.asking.died(step, notice.end)
        self.answering.died(step, notice.end)

    def _view_ready(self, step: Step, notice: ViewReady) -> None:
        if notice.purpose != PURPOSE:
            return
        self._asked_at_ns = self._look_ns = None
        self.answering.look(step, notice.view)
        for plans in self._plans.values():
            for plan in plans:
                if self._node < plan.partner:
                    self._ask(step, notice.view, plan)

    # ---- rounds

    def _ask(self, step: Step, view: LedgerView, plan: PurificationPlan) -> None:
        """Ask for every round that a plan allows now."""
        ground, asking = self._ground, self.asking
        memories = (ground.memory_of(self._node), ground.memory_of(plan.partner))
        ready = self._ready(step, view, plan)
        while len(ready) > 1:
            in_round = asking.busy_with(plan.request, plan.tree, plan.partner)
            chosen = choose(ready, plan, memories, in_round=in_round)
            if chosen is None:
                if plan.fidelity_min is not None:
                    # The partner may find them poor a little later than this node looked.
                    self._look_again(step.now_ns, ready[-1].slot.born_ns, plan.partner)
                return
            kept, measured = chosen
            ready.remove(measured)
            if kept is None:
                self.counters["poor"] += 1
                ground.slots.lock(measured.slot.index)
                ground.release(step, measured.slot, "cutoff")
            else:
                ready.remove(kept)
                asking.ask(step, plan.request, plan.tree, plan.partner, kept, measured)

    def _ready(self, step: Step, view: LedgerView, plan: PurificationPlan) -> list[Ready]:
        """Complete pairs that this node shares with the partner, the oldest first."""
        found: list[Ready] = []
        for slot in self._slots.slots():
            end = slot.end
            if end is None or slot.state != "held" or (slot.request, slot.tree) != (plan.request, plan.tree):
                continue
            far, chain = view.far_end(end), view.chain(end)
            if far is None or chain is None or end in self.asking.resting:
                continue
            if view.far_owner(end) != plan.partner or chain.dead:
                continue
            if not view.complete(end):
                self._look_again(step.now_ns, slot.born_ns, plan.partner)
            else:
                state = view.state(end, step.now_ns)
                found.append(Ready(slot, end, far, view.rounds(end), state, chain.frame, chain.oldest_ns))
        found.sort(key=lambda pair: (pair.oldest_ns, pair.end))
        return found

    def _look_again(self, now_ns: int, born_ns: int, partner: NodeId) -> None:
        """When facts of the partner may have come that nobody tells of; ever later for one that does not."""
        delay_ns = self._ground.network.delay_ns(partner, self._node)
        look_ns = now_ns + max(delay_ns, (now_ns - born_ns) // 2, 1)
        self._look_ns = look_ns if self._look_ns is None else min(self._look_ns, look_ns)

    def _wanted(self, step: Step, received: Received) -> None:
        wanted = received.message
        assert isinstance(wanted, PurificationWanted)
        self.answering.wanted(step, received.source, received.incarnation, wanted)
        if self.answering.unread:
            self._look(step)

    def _answered(self, step: Step, received: Received) -> None:
        answer = received.message
        assert isinstance(answer, PurificationAnswer)
        self.asking.answered(step, received.source, received.incarnation, answer)

    def _purified(self, step: Step, event: PairPurified) -> None:
        self.asking.purified(step, event)
        self.answering.purified(step, event)

    def _memory_lost(self, step: Step, notice: MemoryLost) -> None:
        self.asking.memory_lost(step)
        self.answering.memory_lost(step)

    def _peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        self.asking.restarted(step, notice.peer, notice.incarnation)
        self.answering.restarted(step, notice.peer, notice.incarnation)

    # ---- time

    def deadline_ns(self) -> int | None:
        due = self._look_ns
        for other in (self.asking.earliest_ns(), self.answering.earliest_ns()):
            if other is not None and (due is None or other < due):
                due = other
        return due

    def on_deadline(self, step: Step) -> None:
        overdue = self._look_ns is not None and self._look_ns <= step.now_ns
        if overdue:
            self._look_ns = None
        if self.asking.on_deadline(step) or overdue:
            self._look(step)
        self.answering.on_deadline(step)
