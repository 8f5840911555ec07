"""Whoever is asked for a round of purification locks its memories only for what the asker may ask."""

from typing import Any

import pytest

from bellwire.core.effects import PurifyPair, Send
from bellwire.core.errors import PeerViolation
from bellwire.core.events import PairPurified
from bellwire.core.facts import Released
from bellwire.core.ids import End
from bellwire.core.machine import Step
from bellwire.core.messages import PurificationAnswer, PurificationWanted
from bellwire.core.notices import UpdatePair
from bellwire.node.slots import SlotTable
from bellwire.swapping.purification_answering import PurificationAnswering
from bellwire.swapping.purification_ground import PurificationGround
from tests.node.networks import MS, chain

KEPT, MEASURED = End("a-r", 1, 4, 0, 0), End("a-r", 1, 9, 1, 0)
LEASE_NS = 4 * 200 * MS + MS


class Answerer:
    """r, which shares two pairs with a that serve a request."""

    def __init__(self, *, trees: tuple[int, int] = (0, 0), request: str = "r") -> None:
        network = chain(station=False)
        self.slots = SlotTable(network, "r")
        for index, end, tree in ((2, KEPT.partner, trees[0]), (3, MEASURED.partner, trees[1])):
            self.slots.attempt(index)
            self.slots.hold(index, end, request, tree, 0)
        ground = PurificationGround(network, "r", self.slots)
        ground.wanted.add("r")
        self.answering = PurificationAnswering(ground)

    def asked(self, now_ns: int, **changes: Any) -> Step:
        step = Step("r")
        step.now_ns = now_ns
        words: dict[str, Any] = {
            "request": "r",
            "tree": 0,
            "number": 1,
            "kept": KEPT,
            "measured": MEASURED,
            "kept_far": KEPT.partner,
            "measured_far": MEASURED.partner,
            "rounds": 1,
            "scheme": "dejmps",
            "lease_ns": LEASE_NS,
        }
        self.answering.wanted(step, "a", PurificationWanted(**(words | changes)))
        return step

    def states(self) -> tuple[str, str]:
        return self.slots.slot(2).state, self.slots.slot(3).state


def answers(step: Step) -> list[PurificationAnswer]:
    return [
        effect.message
        for effect in step.effects
        if isinstance(effect, Send) and isinstance(effect.message, PurificationAnswer)
    ]


@pytest.mark.parametrize("lease_ns", [-1, 0, LEASE_NS + 1, 10**18])
def test_a_lease_that_no_honest_asker_needs_locks_nothing(lease_ns: int) -> None:
    answerer = Answerer()
    with pytest.raises(PeerViolation, match="lease"):
        answerer.asked(5, lease_ns=lease_ns)
    assert answerer.states() == ("held", "held")


@pytest.mark.parametrize(
    "answerer",
    [Answerer(trees=(1, 0)), Answerer(trees=(0, 1)), Answerer(request="another")],
    ids=["kept of another tree", "measured of another tree", "another request"],
)
def test_pairs_of_another_tree_or_request_are_not_purified(answerer: Answerer) -> None:
    step = answerer.asked(5)
    assert [answer.accepted for answer in answers(step)] == [False]
    assert not any(isinstance(effect, PurifyPair) for effect in step.effects)
    assert answerer.states() == ("held", "held")


def test_without_a_verdict_the_kept_end_is_let_go_when_the_longest_lease_is_over() -> None:
    answerer = Answerer()
    asked = answerer.asked(5)
    (order,) = (effect for effect in asked.effects if isinstance(effect, PurifyPair))
    assert answerer.states() == ("locked", "locked")
    step = Step("r")
    step.now_ns = 100
    done = PairPurified(operation=order.operation, ended="done", bit=0, at_ns=100)
    answerer.answering.purified(step, done)
    assert answerer.answering.earliest_ns() == 100 + LEASE_NS
    late = Step("r")
    late.now_ns = 100 + LEASE_NS
    answerer.answering.on_deadline(late)
    assert answerer.states() == ("free", "free")
    released = [
        notice.fact
        for notice in late.notices
        if isinstance(notice, UpdatePair) and isinstance(notice.fact, Released)
    ]
    assert [(fact.end, fact.reason) for fact in released] == [(KEPT.partner, "partner_lost")]
