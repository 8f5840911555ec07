"""States that a calibration has the memory keep: one report each, and their slots come back."""

from typing import Any

import msgspec
import pytest

from bellwire.core.effects import MeasureQubit, PrepareQubit, ReleaseQubit, Report
from bellwire.core.events import QubitMeasured, QubitPrepared, StorageAsked
from bellwire.core.machine import Step
from bellwire.core.notices import MemoryLost, OwnSlotFreed
from bellwire.core.own_slots import OwnSlots
from bellwire.link_layer.stored_states import StoredStates
from tests.applications.using import own_slot_network

MS = 1_000_000


class Node:
    """The part with one slot of its own; words go in, orders and notices come out."""

    def __init__(self) -> None:
        network = own_slot_network()
        memory = network.nodes["alice"].memory
        assert memory is not None
        self.own = OwnSlots(msgspec.structs.replace(memory, own_slots=1))
        self.part = StoredStates(network, "alice", self.own)
        self.step = Step("alice")

    def at(self, now_ns: int) -> None:
        self.step.now_ns = now_ns
        self.step.effects = []

    def tell(self, now_ns: int, word: Any) -> list[Any]:
        self.at(now_ns)
        before = len(self.step.notices)
        tables = (self.part.on_events(), self.part.on_notices())
        next(table[type(word)] for table in tables if type(word) in table)(self.step, word)
        return [*self.step.effects, *list(self.step.notices)[before:]]

    def due(self, now_ns: int) -> list[Any]:
        self.at(now_ns)
        deadline_ns = self.part.deadline_ns()
        assert deadline_ns is not None
        assert deadline_ns <= now_ns
        self.part.on_deadline(self.step)
        return list(self.step.effects)


def asked(number: int = 1, storage_ns: int = 5 * MS, within_ns: int = 100 * MS) -> StorageAsked:
    return StorageAsked(
        number=number, turns=(0, 64, 0), basis="X", storage_ns=storage_ns, within_ns=within_ns
    )


def told(words: list[Any]) -> list[dict[str, Any]]:
    return [word.fields for word in words if isinstance(word, Report) and word.name == "state_stored"]


def test_a_state_is_kept_as_long_as_was_asked_by_the_time_of_the_memory() -> None:
    node = Node()
    (prepare,) = node.tell(0, asked())
    assert isinstance(prepare, PrepareQubit)
    assert (prepare.slot, prepare.turns) == (2, (0, 64, 0))
    # The word of it comes 3 ms after the memory did it: 2 ms are left.
    event = QubitPrepared(operation=prepare.operation, ended="done", at_ns=4 * MS, stamp_ns=1 * MS)
    assert node.tell(4 * MS, event) == []
    assert node.part.deadline_ns() == 6 * MS
    (measure,) = node.due(6 * MS)
    assert isinstance(measure, MeasureQubit)
    assert (measure.slot, measure.basis) == (2, "X")
    event = QubitMeasured(operation=measure.operation, ended="done", bit=1, at_ns=9 * MS, stamp_ns=7 * MS)
    words = node.tell(9 * MS, event)
    assert told(words) == [{"number": 1, "bit": 1, "stored_ns": 6 * MS}]
    assert any(isinstance(word, OwnSlotFreed) for word in words)
    assert node.own.any_free
    assert node.part.deadline_ns() is None


def test_a_memory_that_does_not_tell_its_time_gives_a_bit_without_one() -> None:
    node = Node()
    (prepare,) = node.tell(0, asked(storage_ns=0))
    (measure,) = node.tell(
        2 * MS, QubitPrepared(operation=prepare.operation, ended="done", at_ns=2 * MS, stamp_ns=1 * MS)
    )
    words = node.tell(3 * MS, QubitMeasured(operation=measure.operation, ended="done", bit=0, at_ns=3 * MS))
    assert told(words) == [{"number": 1, "bit": 0, "stored_ns": None}]


@pytest.mark.parametrize("stage", ["preparing", "measuring"])
@pytest.mark.parametrize("ended", ["failed", "unknown"])
def test_what_the_memory_fails_to_do_is_a_state_lost_and_its_slot_is_let_go(stage: str, ended: Any) -> None:
    node = Node()
    (order,) = node.tell(0, asked(storage_ns=0))
    if stage == "preparing":
        words = node.tell(1, QubitPrepared(operation=order.operation, ended=ended, at_ns=1))
    else:
        (order,) = node.tell(1, QubitPrepared(operation=order.operation, ended="done", at_ns=1, stamp_ns=1))
        words = node.tell(2, QubitMeasured(operation=order.operation, ended=ended, bit=None, at_ns=2))
    assert told(words) == [{"number": 1, "bit": None, "stored_ns": None}]
    assert ReleaseQubit(slot=2, tag=0) in words
    assert node.own.any_free


def test_the_next_one_waits_for_the_slot_but_not_for_ever() -> None:
    node = Node()
    (first,) = node.tell(0, asked(1, storage_ns=0))
    assert node.tell(0, asked(2, within_ns=10 * MS)) == []
    assert node.tell(0, asked(3, within_ns=50 * MS)) == []
    assert told(node.due(10 * MS)) == [{"number": 2, "bit": None, "stored_ns": None}]
    node.tell(11 * MS, QubitPrepared(operation=first.operation, ended="failed", at_ns=0))
    (order,) = node.tell(11 * MS, OwnSlotFreed())
    assert isinstance(order, PrepareQubit)
    assert not node.own.any_free


def test_an_application_that_was_quicker_leaves_nothing_to_take() -> None:
    node = Node()
    slot = node.own.take()
    assert node.tell(0, asked()) == []
    assert node.tell(1, OwnSlotFreed()) == []
    node.own.give_back(slot)
    assert len(node.tell(2, OwnSlotFreed())) == 1


def test_a_memory_that_forgets_loses_what_it_stored_and_not_what_still_waits() -> None:
    node = Node()
    (order,) = node.tell(0, asked(1))
    node.tell(0, asked(2))
    node.tell(1, QubitPrepared(operation=order.operation, ended="done", at_ns=1, stamp_ns=1))
    words = node.tell(2, MemoryLost(reason="restarted"))
    assert told(words) == [{"number": 1, "bit": None, "stored_ns": None}]
    (again,) = node.tell(3, OwnSlotFreed())
    assert isinstance(again, PrepareQubit)
    assert node.tell(4, QubitPrepared(operation=order.operation, ended="done", at_ns=4)) == []


def test_a_question_that_comes_twice_is_one() -> None:
    node = Node()
    assert len(node.tell(0, asked(1))) == 1
    assert node.tell(1, asked(1)) == []
