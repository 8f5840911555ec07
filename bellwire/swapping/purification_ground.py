"""What both sides of a purification between distant nodes share: locked slots, orders and how a qubit ends.

Owns the changes of slots and the device order of half a round. Refuses messages (purification_asking.py and
purification_answering.py) and choice (purification_choice.py).
"""

from typing import Final

from bellwire.core.effects import PurifyPair, ReleaseQubit
from bellwire.core.errors import LocalMisuse
from bellwire.core.facts import Released, ReleaseReason, Sacrificed
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.notices import EndUnlocked, SlotFreed, UpdatePair
from bellwire.core.purification import SCHEME
from bellwire.core.settings import MemorySettings, NetworkSettings
from bellwire.core.view import SlotBook, SlotView

LEASE_ANSWERS: Final = 4
"""A round is given up after this many answer times (and the longest device order) without a word."""

REPEAT_SHARE: Final = 4
"""An unanswered word of a round is repeated after answer_ns / this: four memories wait for it."""

COUNTS: Final = (
    "asked",
    "taken",
    "refused",
    "passed",
    "failed",
    "unknown",
    "lapsed",
    "restarted",
    "poor",
    "dropped",
    "void",
)
"""Rounds asked for and taken part in, refusals heard, how rounds ended at the asker, rounds given up for want
of a word and because the other side came back, pairs that made room for better ones, remembered or waiting
words that were dropped, and words from before a restart."""


class PurificationGround:
    """One node's slots as purification uses them."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory to purify in")
        self.network = network
        self.node = node
        self.slots = slots
        self.limit_ns = memory.operation_limit_ns
        self.lease_ns = self.lease_of(node)
        self.repeat_ns = max(1, network.timers.answer_ns // REPEAT_SHARE)
        self.counters: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.wanted: set[RequestId] = set()  # requests with a plan at this node

    def memory_of(self, node: NodeId) -> MemorySettings:
        """What is believed of the memory of a node that shares a pair with this one."""
        memory = self.network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory, yet shares a pair with {self.node}")
        return memory

    def lease_of(self, node: NodeId) -> int:
        """For how long an asker may keep both memories of its partner, in ns: some answers and its longest
        device order."""
        return LEASE_ANSWERS * self.network.timers.answer_ns + self.memory_of(node).operation_limit_ns

    def measure(self, step: Step, kept: SlotView, measured: SlotView, side: int) -> int:
        """Order half a round; its operation. Frames stay in software, so no Pauli is applied."""
        operation = step.operation()
        step.order(
            PurifyPair(
                operation=operation,
                kept_slot=kept.index,
                measured_slot=measured.index,
                kept_pauli=0,
                measured_pauli=0,
                scheme=SCHEME,
                side=side,
                within_ns=self.limit_ns,
            )
        )
        return operation

    def sacrifice(self, step: Step, slot: SlotView, kept: End, bit: int | None, at_ns: int) -> None:
        """The measured qubit of a round has ended."""
        assert slot.end is not None
        step.tell(UpdatePair(fact=Sacrificed(end=slot.end, kept=kept, bit=bit, at_ns=at_ns)))
        self.slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    def give_back(self, step: Step, slot: SlotView) -> None:
        """locked -> held: whoever holds the end may decide about it again; withdrawn without its plan."""
        assert slot.end is not None
        if slot.request not in self.wanted:
            self.release(step, slot, "withdrawn")
            return
        self.slots.unlock(slot.index, slot.born_ns)
        step.tell(EndUnlocked(end=slot.end))

    def release(self, step: Step, slot: SlotView, reason: ReleaseReason) -> None:
        """An own qubit ends here."""
        assert slot.end is not None
        step.tell(UpdatePair(fact=Released(end=slot.end, reason=reason, at_ns=step.now_ns)))
        step.order(ReleaseQubit(slot=slot.index, tag=0))
        self.slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    def lose(self, step: Step, slot: SlotView) -> None:
        """The instrument forgot a qubit that a round had locked."""
        assert slot.end is not None
        step.tell(UpdatePair(fact=Released(end=slot.end, reason="device_lost", at_ns=step.now_ns)))
        self.slots.lose(slot.index)
