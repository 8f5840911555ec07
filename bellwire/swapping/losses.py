"""Held ends that are lost: whose time is over, whose chain, partner or shift is gone, or that were forgotten.

Owns the limits on age of held ends, and who is told that an end is given up. Refuses choice (policies.py),
measurements (protocols.py), and ends that another part has locked.
"""

from collections.abc import Mapping
from heapq import heappop, heappush

from bellwire.core.facts import Released, ReleaseReason
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.notices import EndDied, ShiftOver, UpdatePair
from bellwire.core.view import LedgerView, SlotBook, SlotView
from bellwire.swapping.executions import Execution
from bellwire.swapping.outcomes import SwappingFail
from bellwire.swapping.rounds import TextbookRounds


class Losses:
    """Of one node. Its owner is the swapping part, which hands it what it hears; books and counters are the
    owner's."""

    def __init__(
        self,
        slots: SlotBook,
        executions: Mapping[tuple[RequestId, int], Execution],
        rounds: TextbookRounds,
        counters: dict[str, int],
    ) -> None:
        self._slots = slots
        self._executions = executions
        self._rounds = rounds
        self._counters = counters
        self.fail = SwappingFail(slots)
        self.limits: list[tuple[int, End]] = []  # heap of (cutoff, end); the compulsory age is swept

    # ---- time

    def limit(self, at_ns: int, end: End) -> None:
        """Give the end up at that time, if it is still held."""
        heappush(self.limits, (at_ns, end))

    def expire(self, step: Step) -> None:
        """Give up what is held at its limit."""
        limits = self.limits
        while limits and limits[0][0] <= step.now_ns:
            _, end = heappop(limits)
            slot = self._slots.holding(end)
            if slot is not None and slot.state == "held":
                self.give_up(step, slot, "cutoffs")

    def sweep(self, step: Step, view: LedgerView, age_max_ns: int) -> None:
        """Find ends whose death we were never told of, and whatever is older than any pair may be."""
        for slot in self._slots.slots():
            too_old = step.now_ns - slot.born_ns > age_max_ns
            if slot.end is not None and slot.state == "held":
                chain = view.chain(slot.end)
                if chain is not None and chain.dead:
                    self.discard(step, slot, "dead")
                elif too_old:
                    self.give_up(step, slot, "cutoffs")
            elif slot.state == "resting" and too_old:
                self._rounds.wake(step, slot)

    # ---- what others did

    def end_died(self, step: Step, notice: EndDied) -> None:
        """The chain of an end is dead."""
        slot = self._slots.holding(notice.end)
        if slot is not None and slot.state == "held":
            self.fail.count += 1
            self.discard(step, slot, "dead")

    def shift_over(self, step: Step, notice: ShiftOver) -> None:
        """Others work on the lane now, and no partner comes in this shift: whoever would swap the end gives
        it up. Ends of whole pairs stay with the end nodes."""
        slot = self._slots.holding(notice.end)
        if slot is not None and slot.state == "held" and (slot.request, slot.tree) in self._executions:
            self.give_up(step, slot, "shifts")

    def partner_lost(self, step: Step, peer: NodeId, view: LedgerView) -> None:
        """A node is gone: whatever is shared with it is worth nothing."""
        for slot in self._slots.slots():
            if slot.end is not None and slot.state == "held" and view.far_owner(slot.end) == peer:
                self._counters["lost_partners"] += 1
                self.discard(step, slot, "partner_lost")

    def memory_lost(self, step: Step) -> None:
        """The instrument forgot our qubits. Measurements in flight end as unknown by their own event."""
        for slot in self._slots.slots():
            if slot.state == "held" or slot.state == "resting":
                if slot.end is not None:
                    fact = Released(end=slot.end, reason="device_lost", at_ns=step.now_ns)
                    step.tell(UpdatePair(fact=fact))
                    self._drop(slot, slot.end)
                self._slots.lose(slot.index)

    # ---- how

    def give_up(self, step: Step, slot: SlotView, counter: str) -> None:
        """Discard an end that lives but is not worth its memory any more."""
        self._counters[counter] += 1
        self.discard(step, slot, "cutoff")

    def discard(self, step: Step, slot: SlotView, reason: ReleaseReason) -> None:
        """End a held qubit: its chain is worth nothing to anybody."""
        if slot.end is not None:
            self._drop(slot, slot.end)
        self.fail.discard(step, slot, reason)

    def _drop(self, slot: SlotView, end: End) -> None:
        if slot.request is not None:
            execution = self._executions.get((slot.request, slot.tree))
            if execution is not None:
                execution.drop(end)
