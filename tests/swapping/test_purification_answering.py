"""Whoever is asked for a round of purification locks its memories only for what the asker may ask, and for
pairs that its own ledger has between the two."""

from collections.abc import Callable
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
from tests.swapping.bench import FakeChain

KEPT, MEASURED = End("a-r", 1, 4, 0, 0), End("a-r", 1, 9, 1, 0)
LEASE_NS = 4 * 200 * MS + MS


class TwoPairs:
    """The ledger of r: its two ends are joined to those of a, and no verdict is known."""

    def __init__(self) -> None:
        self.far: dict[End, End] = {KEPT.partner: KEPT, MEASURED.partner: MEASURED}
        self.dead: set[End] = set()
        self.verdicts: dict[tuple[End, End], int] = {}

    def far_end(self, end: End) -> End | None:
        return self.far.get(end)

    def chain(self, end: End) -> FakeChain | None:
        if end not in self.far:
            return None
        found = FakeChain()
        found.dead = end in self.dead
        return found

    def judged(self, end: End, far: End) -> int:
        return self.verdicts.get((end, far), 0)


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
        self.counters = ground.counters
        self.answering = PurificationAnswering(ground)
        self.ledger = TwoPairs()

    def step(self, now_ns: int) -> Step:
        step = Step("r")
        step.now_ns = now_ns
        return step

    def look(self, now_ns: int) -> Step:
        step = self.step(now_ns)
        view: Any = self.ledger
        self.answering.look(step, view)
        return step

    def measured(self, now_ns: int, asked: Step) -> Step:
        (order,) = (effect for effect in asked.effects if isinstance(effect, PurifyPair))
        step = self.step(now_ns)
        done = PairPurified(operation=order.operation, ended="done", bit=0, at_ns=now_ns)
        self.answering.purified(step, done)
        return step

    def asked(self, now_ns: int, *, incarnation: int = 1, **changes: Any) -> Step:
        """A word of a, and the ledger read as the node does within the same step."""
        step = self.step(now_ns)
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
        self.answering.wanted(step, "a", incarnation, PurificationWanted(**(words | changes)))
        view: Any = self.ledger
        self.answering.look(step, view)
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
    assert answerer.states() == ("locked", "locked")
    answerer.measured(100, asked)
    assert answerer.answering.earliest_ns() == 100 + LEASE_NS
    late = answerer.step(100 + LEASE_NS)
    answerer.answering.on_deadline(late)
    assert answerer.states() == ("free", "free")
    assert released(late) == [(KEPT.partner, "partner_lost")]


def released(step: Step) -> list[tuple[End, str]]:
    facts = [notice.fact for notice in step.notices if isinstance(notice, UpdatePair)]
    return [(fact.end, fact.reason) for fact in facts if isinstance(fact, Released)]


def swapped_away(ledger: TwoPairs, end: End) -> None:
    ledger.far[end] = End("a-r", 1, 77, 0, 0)


def forgotten(ledger: TwoPairs, end: End) -> None:
    del ledger.far[end]


def killed(ledger: TwoPairs, end: End) -> None:
    ledger.dead.add(end)


@pytest.mark.parametrize("own", [KEPT.partner, MEASURED.partner], ids=["kept", "measured"])
@pytest.mark.parametrize("change", [swapped_away, forgotten, killed])
def test_a_pair_that_the_own_ledger_does_not_have_between_the_two_is_not_purified(
    change: Callable[[TwoPairs, End], None], own: End
) -> None:
    answerer = Answerer()
    change(answerer.ledger, own)
    step = answerer.asked(5)
    assert [answer.accepted for answer in answers(step)] == [False]
    assert answerer.states() == ("held", "held")


def test_a_round_of_which_there_is_a_verdict_already_is_not_begun_again() -> None:
    answerer = Answerer()
    answerer.ledger.verdicts[KEPT, KEPT.partner] = 1
    assert [answer.accepted for answer in answers(answerer.asked(5))] == [False]
    assert answerer.states() == ("held", "held")
    again = Answerer()
    again.ledger.verdicts[KEPT, KEPT.partner] = 1
    again.asked(5, rounds=2)
    assert again.states() == ("locked", "locked")


def test_a_verdict_about_the_end_s_former_pair_does_not_end_a_round() -> None:
    """Seen with rounds at two levels: the kept end had passed a round of its link before the swap."""
    answerer = Answerer()
    answerer.ledger.verdicts[KEPT, End("a-r", 1, 4, 0, 0)] = 1
    answerer.measured(100, answerer.asked(5))
    answerer.look(110)
    assert answerer.states() == ("locked", "free")
    answerer.ledger.verdicts[KEPT, KEPT.partner] = 1
    answerer.look(120)
    assert answerer.states() == ("held", "free")


def test_an_asker_that_restarts_gets_back_at_once_what_waits_for_its_verdict() -> None:
    answerer = Answerer()
    answerer.measured(100, answerer.asked(5))
    step = answerer.step(120)
    answerer.answering.restarted(step, "a", 2)
    assert released(step) == [(KEPT.partner, "partner_lost")]
    assert answerer.states() == ("free", "free")
    assert answerer.counters["restarted"] == 1
    assert answerer.answering.earliest_ns() is None


def test_a_qubit_that_is_being_measured_when_the_asker_restarts_goes_afterwards() -> None:
    answerer = Answerer()
    asked = answerer.asked(5)
    step = answerer.step(50)
    answerer.answering.restarted(step, "a", 2)
    assert released(step) == []
    assert answerer.states() == ("locked", "locked")
    after = answerer.measured(100, asked)
    assert released(after) == [(KEPT.partner, "dead")]
    assert answerer.states() == ("free", "free")


def test_words_from_before_a_restart_lock_nothing_and_rounds_after_it_go_on() -> None:
    answerer = Answerer()
    answerer.answering.restarted(answerer.step(1), "a", 2)
    assert answers(answerer.asked(5)) == []
    assert answerer.states() == ("held", "held")
    assert answerer.counters["void"] == 1
    answerer.asked(6, incarnation=2)
    answerer.answering.restarted(answerer.step(7), "a", 2)
    assert answerer.states() == ("locked", "locked")
