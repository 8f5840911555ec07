"""What the partners of a swap do with its outcome.

Owns the handlers of Swapped facts at the right partner (SwappingCorrection), the left partner (SwappingAck)
and, on failure, both (SwappingFail), with their counts (stack paper, appendix D). Refuses decisions and
measurements.
"""

from bellwire.core.effects import ReleaseQubit
from bellwire.core.facts import Released, ReleaseReason
from bellwire.core.machine import Step
from bellwire.core.notices import SlotFreed, UpdatePair
from bellwire.core.view import SlotBook, SlotView


class SwappingCorrection:
    """At the right partner: a swap moved the frame. Nothing physical is done: frames stay in software, the
    ledger holds them, and a Pauli is ordered once, by whoever is about to use the qubit. Counts."""

    def __init__(self) -> None:
        self.count = 0


class SwappingAck:
    """At the left partner: a swap established a longer pair. Counts."""

    def __init__(self) -> None:
        self.count = 0


class SwappingFail:
    """At both partners: cleans up the qubits of an unsuccessful swap, and of every other death of a chain."""

    def __init__(self, slots: SlotBook) -> None:
        self._slots = slots
        self.count = 0

    def discard(self, step: Step, slot: SlotView, reason: ReleaseReason) -> None:
        """held -> free: write the fact, tell the device, let the slot attempt again."""
        assert slot.end is not None
        step.tell(UpdatePair(fact=Released(end=slot.end, reason=reason, at_ns=step.now_ns)))
        step.order(ReleaseQubit(slot=slot.index, tag=0))
        self._slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))
