"""Whoever asks for a round of purification lets both pairs go as soon as nothing can come of it."""

from typing import Any

from bellwire.core.bell import PERFECT
from bellwire.core.effects import PurifyPair, Send
from bellwire.core.events import PairPurified
from bellwire.core.facts import Released, Verdict
from bellwire.core.ids import End
from bellwire.core.machine import Step
from bellwire.core.messages import PurificationAnswer, PurificationWanted
from bellwire.core.notices import UpdatePair
from bellwire.node.slots import SlotTable
from bellwire.swapping.purification_asking import PurificationAsking
from bellwire.swapping.purification_choice import Ready
from bellwire.swapping.purification_ground import PurificationGround
from tests.node.networks import chain

KEPT, MEASURED = End("a-r", 0, 4, 0, 0), End("a-r", 0, 9, 1, 0)


class Asker:
    """a, which has asked r for a round on two pairs."""

    def __init__(self) -> None:
        network = chain(station=False)
        self.slots = SlotTable(network, "a")
        ground = PurificationGround(network, "a", self.slots)
        ground.wanted.add("r")
        self.counters = ground.counters
        self.asking = PurificationAsking(ground)
        pairs: list[Ready] = []
        for index, end in enumerate((KEPT, MEASURED)):
            self.slots.attempt(index)
            self.slots.hold(index, end, "r", 0, 0)
            pairs.append(Ready(self.slots.slot(index), end, end.partner, 0, PERFECT, 0, 0))
        step = self.step(5)
        self.asking.ask(step, "r", 0, "r", *pairs)
        (self.wanted,) = (
            effect.message
            for effect in step.effects
            if isinstance(effect, Send) and isinstance(effect.message, PurificationWanted)
        )

    def step(self, now_ns: int) -> Step:
        step = Step("a")
        step.now_ns = now_ns
        return step

    def answered(self, now_ns: int, incarnation: int = 1, **changes: Any) -> Step:
        words: dict[str, Any] = {
            "number": self.wanted.number,
            "kept": KEPT,
            "accepted": True,
            "bit": 0,
            "at_ns": now_ns,
            "turned_ns": None,
        }
        step = self.step(now_ns)
        self.asking.answered(step, "r", incarnation, PurificationAnswer(**(words | changes)))
        return step

    def measured(self, now_ns: int, answered: Step) -> Step:
        (order,) = (effect for effect in answered.effects if isinstance(effect, PurifyPair))
        step = self.step(now_ns)
        done = PairPurified(operation=order.operation, ended="done", bit=0, at_ns=now_ns)
        self.asking.purified(step, done)
        return step

    def states(self) -> tuple[str, str]:
        return self.slots.slot(0).state, self.slots.slot(1).state


def released(step: Step) -> list[tuple[End, str]]:
    facts = [notice.fact for notice in step.notices if isinstance(notice, UpdatePair)]
    return [(fact.end, fact.reason) for fact in facts if isinstance(fact, Released)]


def verdicts(step: Step) -> list[bool]:
    facts = [notice.fact for notice in step.notices if isinstance(notice, UpdatePair)]
    return [fact.passed for fact in facts if isinstance(fact, Verdict)]


def test_a_partner_that_restarts_costs_no_lease() -> None:
    asker = Asker()
    assert asker.states() == ("locked", "locked")
    step = asker.step(50)
    asker.asking.restarted(step, "r", 2)
    assert released(step) == [(KEPT, "partner_lost"), (MEASURED, "partner_lost")]
    assert asker.states() == ("free", "free")
    assert asker.counters["restarted"] == 1
    assert asker.asking.earliest_ns() is None


def test_the_restart_of_another_node_changes_nothing() -> None:
    asker = Asker()
    asker.asking.restarted(asker.step(50), "b", 2)
    assert asker.states() == ("locked", "locked")


def test_a_round_that_a_partner_answered_before_it_restarted_does_not_pass() -> None:
    asker = Asker()
    answered = asker.answered(40)
    asker.asking.restarted(asker.step(50), "r", 2)
    assert asker.states() == ("locked", "locked")  # the own half is being measured
    after = asker.measured(60, answered)
    assert verdicts(after) == [False]
    assert released(after) == [(KEPT, "dead")]


def test_a_round_that_a_partner_answered_after_it_restarted_goes_on() -> None:
    """The answer of the new life overtook the host's word of the restart."""
    asker = Asker()
    answered = asker.answered(40, incarnation=2)
    asker.asking.restarted(asker.step(50), "r", 2)
    after = asker.measured(60, answered)
    assert verdicts(after) == [True]
    assert asker.states() == ("held", "free")


def test_one_dead_pair_may_mean_that_the_partner_has_measured_and_two_that_nothing_is_left() -> None:
    asker = Asker()
    asker.asking.died(asker.step(40), MEASURED)
    assert asker.states() == ("locked", "locked")
    step = asker.step(50)
    asker.asking.died(step, KEPT)
    assert released(step) == [(KEPT, "dead"), (MEASURED, "dead")]
    assert asker.counters["unknown"] == 1
    late = asker.answered(60)
    assert late.effects == []
