"""Textbook rounds: memories that rest after a successful swap until the round of their request is over.

Owns resting and waking, and who is told. Refuses measurements, and requests that generate without rounds: of
those every memory is free as soon as it is measured.
"""

from collections.abc import Iterable

from bellwire.core.events import Received
from bellwire.core.facts import Released
from bellwire.core.machine import Step
from bellwire.core.messages import RoundOver
from bellwire.core.notices import SlotFreed, UpdatePair
from bellwire.core.plans import NodePlan, SwapPlan
from bellwire.core.view import SlotBook, SlotView


class TextbookRounds:
    """Of one node. Its owner is the swapping part, which hands it what it hears."""

    def __init__(self, slots: SlotBook) -> None:
        self._slots = slots

    def measured(self, step: Step, swap: SwapPlan | None, slots: Iterable[SlotView], *, ok: bool) -> None:
        """Two memories were measured by a swap; None: of a plan that is no more. They are free, or rest. A
        failed swap ends the round of all nodes below it."""
        if ok and swap is not None and swap.rounds:
            for slot in slots:
                self._slots.rest(slot.index)
            return
        for slot in slots:
            self.wake(step, slot)
        if swap is not None and swap.rounds:
            for node in (*swap.inner_left, *swap.inner_right):
                step.send(node, RoundOver(request=swap.request, tree=swap.tree), "outcome")

    def over(self, step: Step, received: Received) -> None:
        """The round of a request is over: its resting memories are free."""
        message = received.message
        assert isinstance(message, RoundOver)
        for slot in self._slots.slots():
            if slot.state == "resting" and slot.request == message.request:
                self.wake(step, slot)

    def wake(self, step: Step, slot: SlotView) -> None:
        """A memory is free."""
        self._slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    def pair_updated(self, step: Step, notice: UpdatePair, plans: Iterable[NodePlan]) -> None:
        """The source's delivery ends the round of every inner node."""
        fact = notice.fact
        if type(fact) is not Released or fact.reason != "delivered":
            return
        for plan in plans:
            if plan.rounds and plan.role == "source":
                for node in plan.route[1:-1]:
                    step.send(node, RoundOver(request=plan.request, tree=0), "outcome")
