"""What becomes of kept qubits at one node: orders, reports, feed-forward, and every way in which they end."""

from typing import Any

import pytest

from bellwire.applications.qubit_uses import QubitUses
from bellwire.core.effects import (
    ApplyPauli,
    MeasureBell,
    MeasureQubit,
    PrepareQubit,
    ReleaseQubit,
    Report,
    Send,
)
from bellwire.core.events import BellMeasured, PauliApplied, QubitMeasured, QubitPrepared, Received
from bellwire.core.machine import Step
from bellwire.core.messages import TeleportOutcome
from bellwire.core.notices import MemoryLost, PlanInstalled, QubitDelivered, SlotFreed
from bellwire.core.own_slots import OwnSlots
from bellwire.core.plans import NodePlan
from bellwire.core.qubit_uses import MeasureUse, QubitUse, TeleportUse, fault_of_use
from bellwire.node.slots import SlotTable
from tests.applications.using import held_slot, own_slot_network

TELEPORT = TeleportUse(states=((0, 0, 0), (0, 64, 0)), bases=("Z", "X"))


class Node:
    """One part with its slots; words go in, what it orders and tells comes out."""

    def __init__(self, node: str, use: QubitUse) -> None:
        self.network = own_slot_network()
        self.slots = SlotTable(self.network, node)
        memory = self.network.nodes[node].memory
        assert memory is not None
        self.part = QubitUses(self.network, node, self.slots, OwnSlots(memory))
        self.now_ns = 0
        self.step = Step(node)
        role = "source" if node == "alice" else "destination"
        plan = NodePlan(
            request="q", version=1, source="alice", destination="bob", role=role, routes=(("alice", "bob"),),
            links=(), swaps=(), cutoff_ns=None, rounds=False, lease_ns=1, use=use,
        )  # fmt: skip
        self.tell(PlanInstalled(plan=plan))

    def tell(self, word: Any) -> list[Any]:
        self.step.effects, before = [], len(self.step.notices)
        self.step.now_ns = self.now_ns
        tables = (self.part.on_events(), self.part.on_notices())
        if isinstance(word, Received):
            self.part.on_messages()[type(word.message)](self.step, word)
        else:
            next(table[type(word)] for table in tables if type(word) in table)(self.step, word)
        return [*self.step.effects, *list(self.step.notices)[before:]]

    def hear(self, number: int, outcome: int | None) -> list[Any]:
        message = TeleportOutcome(request="q", number=number, outcome=outcome)
        return self.tell(Received(source="alice", incarnation=1, message=message))

    def deliver(self, number: int, slot: int, frame: int = 0) -> list[Any]:
        held_slot(self.slots, slot, number)
        return self.tell(QubitDelivered(request="q", number=number, slot=slot, frame=frame))


def used(words: list[Any]) -> list[dict[str, Any]]:
    return [word.fields for word in words if isinstance(word, Report) and word.name == "qubit_used"]


def test_a_measured_qubit_ends_in_one_report_and_its_slot_is_free() -> None:
    node = Node("bob", MeasureUse(settings=(("X", "Y"), ("Z", "Z+45"))))
    (order,) = node.deliver(2, 0, frame=3)
    assert isinstance(order, MeasureQubit)
    assert (order.basis, order.rotation, order.tag) == ("Z", (0, 224, 0), 2)
    told = node.tell(QubitMeasured(operation=order.operation, ended="done", bit=1, at_ns=5))
    assert used(told) == [{"number": 2, "frame": 3, "basis": "Z+45", "bit": 1, "outcome": None}]
    assert SlotFreed(slot=0) in told
    assert node.slots.slot(0).state == "free"


def test_the_source_of_a_teleportation_prepares_projects_and_tells_what_it_found() -> None:
    node = Node("alice", TELEPORT)
    (prepare,) = node.deliver(2, 0)
    assert isinstance(prepare, PrepareQubit)
    assert (prepare.slot, prepare.turns) == (2, (0, 64, 0))
    (project,) = node.tell(QubitPrepared(operation=prepare.operation, ended="done", at_ns=1))
    assert isinstance(project, MeasureBell)
    assert (project.left_slot, project.right_slot) == (2, 0)
    told = node.tell(BellMeasured(operation=project.operation, ended="done", outcome=3, at_ns=2))
    assert [word.message for word in told if isinstance(word, Send)] == [
        TeleportOutcome(request="q", number=2, outcome=3)
    ]
    assert used(told)[0]["outcome"] == 3
    assert node.slots.slot(0).state == "free"


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("frame", "outcome", "pauli"), [(0, 0, 0), (0, 2, 2), (1, 3, 2), (3, 3, 0)])
def test_the_destination_mends_by_frame_and_outcome_whichever_word_comes_first(
    early: bool, frame: int, outcome: int, pauli: int
) -> None:
    node = Node("bob", TELEPORT)
    if early:
        assert node.hear(3, outcome) == []
        words = node.deliver(3, 0, frame)
    else:
        assert node.deliver(3, 0, frame) == []
        words = node.hear(3, outcome)
    (order,) = words
    if pauli:
        assert isinstance(order, ApplyPauli)
        assert order.pauli == pauli
        (order,) = node.tell(PauliApplied(operation=order.operation, ended="done", at_ns=1))
    assert isinstance(order, MeasureQubit)
    assert order.basis == "X"  # number 3 is the first state again, in the second basis
    told = node.tell(QubitMeasured(operation=order.operation, ended="done", bit=0, at_ns=2))
    assert used(told)[0] == {"number": 3, "frame": frame, "basis": "X", "bit": 0, "outcome": outcome}


def test_a_second_state_waits_for_the_slot_of_the_first() -> None:
    node = Node("alice", TELEPORT)
    (prepare,) = node.deliver(1, 0)
    assert node.deliver(2, 1) == []
    (project,) = node.tell(QubitPrepared(operation=prepare.operation, ended="done", at_ns=1))
    told = node.tell(BellMeasured(operation=project.operation, ended="failed", outcome=None, at_ns=2))
    assert [word.turns for word in told if isinstance(word, PrepareQubit)] == [(0, 64, 0)]
    assert [word.message.outcome for word in told if isinstance(word, Send)] == [None]
    assert used(told)[0]["outcome"] is None


@pytest.mark.parametrize("ended", ["failed", "unknown"])
def test_an_order_without_a_result_loses_the_qubit_and_empties_its_slot(ended: Any) -> None:
    node = Node("bob", MeasureUse(settings=(("X", "X"),)))
    (order,) = node.deliver(1, 0)
    told = node.tell(QubitMeasured(operation=order.operation, ended=ended, bit=None, at_ns=1))
    assert used(told)[0]["bit"] is None
    assert ReleaseQubit(slot=0, tag=0) in told
    assert node.slots.slot(0).state == "free"


def test_a_failed_projection_makes_the_destination_let_go() -> None:
    node = Node("bob", TELEPORT)
    node.deliver(1, 0)
    told = node.hear(1, None)
    assert ReleaseQubit(slot=0, tag=0) in told
    assert used(told)[0]["bit"] is None


def test_an_outcome_that_never_comes_is_waited_for_no_longer_than_delivery_is() -> None:
    node = Node("bob", TELEPORT)
    node.deliver(1, 0)
    deadline_ns = node.part.deadline_ns()
    assert deadline_ns == node.network.timers.delivery_ns
    node.step.effects, node.step.now_ns = [], deadline_ns
    node.part.on_deadline(node.step)
    assert ReleaseQubit(slot=0, tag=0) in node.step.effects
    assert node.part.deadline_ns() is None
    assert node.hear(1, 2) == []  # late, and stale


def test_lost_memory_ends_everything_and_late_results_concern_nobody() -> None:
    node = Node("alice", TELEPORT)
    (prepare,) = node.deliver(1, 0)
    told = node.tell(MemoryLost(reason="power"))
    assert len(used(told)) == 1
    assert node.slots.slot(0).state == "lost"
    assert node.tell(QubitPrepared(operation=prepare.operation, ended="done", at_ns=1)) == []
    (again,) = node.deliver(2, 1)
    assert isinstance(again, PrepareQubit)


def test_uses_that_do_not_fit_the_members_are_refused_with_the_reason() -> None:
    assert fault_of_use(TELEPORT, 2) is None
    assert "two members" in str(fault_of_use(TELEPORT, 3))
    assert "there are 3" in str(fault_of_use(MeasureUse(settings=(("X", "X"),)), 3))
    assert "empty" in str(fault_of_use(MeasureUse(settings=()), 2))
