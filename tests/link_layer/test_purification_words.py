"""One end of link purification alone, word by word: repetitions, leases, refusals, lost partners."""

import msgspec
import pytest

from bellwire.core.bell import Cost, Walsh, decay_rates, fidelity_of
from bellwire.core.effects import PurifyPair
from bellwire.core.errors import PeerViolation
from bellwire.core.events import DeviceChanged, Ended, PairPurified, PeerChanged
from bellwire.core.ids import End
from bellwire.core.link_messages import (
    PairsVoid,
    PurifyAnswer,
    PurifyHeard,
    PurifyVerdict,
    PurifyWanted,
    WindowAnswer,
    WindowOffer,
)
from bellwire.core.notices import LinkRequested
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.purification_pool import LEASE_ANSWERS, REPEAT_SHARE
from tests.link_layer.bench import MS, PERIOD_NS
from tests.link_layer.lone import RUN, LoneEnd, report, window

KEPT = End("a-b", RUN, 3, 0, 0)
MEASURED = End("a-b", RUN, 4, 1, 0)


def want_rounds(end: LoneEnd, rounds: int, cutoff_ns: int | None = None) -> None:
    plan = LinkPlan(
        request="r",
        tree=0,
        link="a-b",
        partner=end.end.peer,
        rate_hz=1.0,
        lanes=0,
        weight=1,
        fidelity_min=None,
        rounds=rounds,
        cutoff_ns=cutoff_ns,
    )
    end._notice(0, LinkRequested(plan=plan))


def lease_ns(end: LoneEnd) -> int:
    memory = end.network.nodes[end.node].memory
    assert memory is not None
    return LEASE_ANSWERS * end.network.timers.answer_ns + memory.operation_limit_ns


def repeat_ns(end: LoneEnd) -> int:
    return end.network.timers.answer_ns // REPEAT_SHARE


def void(end: LoneEnd) -> set[tuple[int, int]]:
    """Pairs that the other end was told are none."""
    return {pair for message in end.sent(PairsVoid) for pair in message.pairs}


def held_back(end: LoneEnd) -> set[tuple[int, int]]:
    return {(one.attempt, one.lane) for one in end.end.purification.pool.pairs}


def ended(end: LoneEnd, now_ns: int, bit: int | None, turned_ns: int | None = None) -> None:
    """The latest device order ends."""
    operation = end.ordered(PurifyPair)[-1].operation
    how: Ended = "unknown" if bit is None else "done"
    event = PairPurified(operation=operation, ended=how, bit=bit, at_ns=now_ns, turned_ns=turned_ns)
    end.tell(now_ns, event)


# ---- side 1


def side_one(rounds: int = 1) -> LoneEnd:
    """Side 1 with both halves of a round: attempt 3 of lane 0 (Psi+) and attempt 4 of lane 1 (Psi-)."""
    end = LoneEnd("b", station=True)
    want_rounds(end, rounds)
    end.offered(0, window(0, 9_999, 1, "r"))
    end.hear(PERIOD_NS * 5, "m", report(1, 3, lane=0, code=1))
    end.hear(PERIOD_NS * 5, "m", report(2, 4, lane=1, code=2))
    end.take()
    return end


def wanted(end: LoneEnd, number: int = 1, *, kept: End = KEPT, measured: End = MEASURED) -> PurifyWanted:
    return PurifyWanted(
        link="a-b",
        number=number,
        kept=kept,
        measured=measured,
        scheme="dejmps",
        rounds=1,
        lease_ns=lease_ns(end),
    )


def verdict(number: int = 1, *, passed: bool = True, complete: bool = True) -> PurifyVerdict:
    return PurifyVerdict(
        link="a-b", number=number, kept=KEPT, passed=passed, complete=complete, cost=(5, 6, 7)
    )


def measured_side_one(rounds: int = 1) -> LoneEnd:
    end = side_one(rounds)
    end.hear(MS, "a", wanted(end))
    ended(end, MS + 7, 1)
    return end


def test_a_kept_back_pair_is_locked_and_no_fact() -> None:
    end = side_one()
    assert end.states()[:2] == ["locked", "locked"]
    assert not end.sink.born
    assert not end.sink.ready


def test_side_one_measures_brings_the_frames_to_phi_plus_and_answers_with_its_bit() -> None:
    end = measured_side_one()
    (order,) = end.ordered(PurifyPair)
    assert (order.kept_slot, order.measured_slot, order.side) == (0, 1, 1)
    assert (order.kept_pauli, order.measured_pauli) == (2, 3)
    (answer,) = end.sent(PurifyAnswer, "a")
    assert (answer.number, answer.accepted, answer.bit, answer.at_ns) == (1, True, 1, MS + 7)
    assert end.states()[0] == "locked"
    assert end.states()[1] in ("free", "attempting")


def test_a_wish_heard_again_is_answered_again_and_measured_once() -> None:
    end = measured_side_one()
    end.hear(2 * MS, "a", wanted(end))
    assert len(end.ordered(PurifyPair)) == 1
    first, second = end.sent(PurifyAnswer)
    assert first == second


def test_a_wish_waits_for_the_own_herald_report() -> None:
    end = LoneEnd("b", station=True)
    want_rounds(end, 1)
    end.offered(0, window(0, 9_999, 1, "r"))
    end.hear(PERIOD_NS * 5, "m", report(1, 3, lane=0, code=1))
    end.hear(MS, "a", wanted(end))
    assert not end.ordered(PurifyPair)
    end.hear(2 * MS, "m", report(2, 4, lane=1, code=2))
    assert len(end.ordered(PurifyPair)) == 1


def test_a_wish_whose_half_never_comes_is_refused_with_its_name_and_stays_refused() -> None:
    end = side_one()
    stranger = End("a-b", RUN, 9, 2, 0)
    end.hear(MS, "a", wanted(end, measured=stranger))
    end.wait(MS + end.network.timers.answer_ns)
    (answer,) = end.sent(PurifyAnswer)
    assert (answer.accepted, answer.bit, answer.missing) == (False, None, (stranger,))
    end.hear(300 * MS, "m", report(3, 9, lane=2))  # it comes after all
    end.hear(301 * MS, "a", wanted(end, measured=stranger))
    assert end.sent(PurifyAnswer) == [answer, answer]
    assert not end.ordered(PurifyPair)


def test_a_pair_in_a_round_takes_part_in_no_other_before_the_verdict() -> None:
    end = measured_side_one(rounds=2)
    end.hear(2 * MS, "m", report(3, 9, lane=2))
    more = msgspec.structs.replace(wanted(end, 2, measured=End("a-b", RUN, 9, 2, 0)), rounds=2)
    end.hear(3 * MS, "a", more)
    assert len(end.ordered(PurifyPair)) == 1
    end.hear(4 * MS, "a", verdict(complete=False))
    first, second = end.ordered(PurifyPair)
    assert second.kept_slot == first.kept_slot
    assert (second.kept_pauli, second.measured_pauli) == (0, 2)  # the purified pair is in Phi+ already


def test_a_verdict_that_passed_hands_up_with_its_state_and_is_confirmed_each_time() -> None:
    end = measured_side_one()
    for now_ns in (2 * MS, 3 * MS):
        end.hear(now_ns, "a", verdict())
    assert len(end.sent(PurifyHeard, "a")) == 2
    ((name, fact),) = end.sink.born.items()
    assert name == KEPT.partner
    assert (fact.frame, fact.cost, fact.at_ns) == (0, (5, 6, 7), MS + 7)
    assert fact.since_ns == 3 * PERIOD_NS
    assert end.slots.slot(0).born_ns == MS + 7  # swaps count the decay of the qubit from there
    assert end.states()[0] == "held"
    assert void(end) == set()


def test_a_verdict_that_failed_lets_go_without_a_word() -> None:
    end = measured_side_one()
    end.hear(2 * MS, "a", verdict(passed=False, complete=False))
    assert not end.sink.born
    assert held_back(end) == set()
    assert void(end) == set()


def test_without_a_verdict_side_one_lets_go_at_the_end_of_the_lease_and_says_so() -> None:
    end = measured_side_one()
    end.wait(MS + 7 + lease_ns(end) - 1)
    assert held_back(end) == {(3, 0)}
    end.wait(MS + 7 + lease_ns(end))
    assert held_back(end) == set()
    assert void(end) == {(3, 0)}
    assert end.end.counters["purification_lapsed"] == 1
    end.hear(1_000 * MS, "a", verdict())  # late
    assert not end.sink.born
    assert len(end.sent(PurifyHeard)) == 1


def test_a_repeated_wish_extends_the_lease() -> None:
    end = measured_side_one()
    end.hear(500 * MS, "a", wanted(end))
    end.wait(500 * MS + lease_ns(end) - 1)
    assert held_back(end) == {(3, 0)}


def test_a_verdict_on_a_round_that_nobody_knows_takes_the_pair_from_the_other_end() -> None:
    end = LoneEnd("b", station=True)
    want_rounds(end, 1)
    end.hear(MS, "a", verdict())
    assert len(end.sent(PurifyHeard)) == 1
    assert void(end) == {(3, 0)}
    end.take()
    end.hear(2 * MS, "a", verdict(2, passed=False, complete=False))
    assert void(end) == set()


def test_a_memory_that_forgot_tells_the_other_end_of_every_pair() -> None:
    end = side_one()
    end.tell(MS, DeviceChanged(role="memory", ready=True, lost_state=True, reason="power"))
    assert void(end) == {(3, 0), (4, 1)}
    assert held_back(end) == set()
    end.hear(2 * MS, "a", wanted(end))
    assert not end.ordered(PurifyPair)


@pytest.mark.parametrize(
    "change",
    [
        {"kept": KEPT.partner},
        {"measured": End("b-c", RUN, 4, 1, 0)},
        {"measured": KEPT},
        {"scheme": "bbpssw"},
    ],
)
def test_a_wish_that_no_honest_side_zero_has_is_a_violation(change: dict[str, object]) -> None:
    end = side_one()
    with pytest.raises(PeerViolation):
        end.hear(MS, "a", msgspec.structs.replace(wanted(end), **change))


def test_a_verdict_before_the_own_bit_is_a_violation() -> None:
    end = side_one()
    end.hear(MS, "a", wanted(end))
    with pytest.raises(PeerViolation, match="without our bit"):
        end.hear(2 * MS, "a", verdict())


def test_side_one_gives_an_old_pair_up_a_lease_later_than_side_zero_would() -> None:
    """Side 0 may just be asking for it."""
    end = LoneEnd("b", station=True)
    want_rounds(end, 1, cutoff_ns=30 * MS)
    end.offered(0, window(0, 9_999, 1, "r"))
    end.hear(PERIOD_NS * 5, "m", report(1, 3))
    limit_ns = 3 * PERIOD_NS + 30 * MS + lease_ns(end)
    end.wait(limit_ns - 1)
    assert held_back(end) == {(3, 0)}
    end.wait(limit_ns)
    assert held_back(end) == set()
    assert void(end) == {(3, 0)}


# ---- side 0


def side_zero(rounds: int = 1, rates: Cost = (0, 0, 0)) -> tuple[LoneEnd, PurifyWanted]:
    """Side 0 with two halves, and what it asked side 1. rates: decay of both memories."""
    end = LoneEnd("a", station=True, rates=rates)
    want_rounds(end, rounds)
    (offer,) = end.sent(WindowOffer)
    run, fence = offer.window.run, offer.window.fence
    end.hear(0, "b", WindowAnswer(link="a-b", run=run, fence=fence, accepted=True, reason=""))
    end.hear(PERIOD_NS * 5, "m", report(1, 3, lane=0, run=run))
    end.hear(PERIOD_NS * 5, "m", report(2, 4, lane=1, run=run))
    (asked,) = end.sent(PurifyWanted, "b")
    end.take()
    return end, asked


def answered(
    asked: PurifyWanted, *, bit: int | None = 1, accepted: bool = True, missing: tuple[End, ...] = ()
) -> PurifyAnswer:
    return PurifyAnswer(
        link="a-b",
        number=asked.number,
        kept=asked.kept,
        measured=asked.measured,
        accepted=accepted,
        bit=bit,
        at_ns=None if bit is None else MS,
        missing=missing,
    )


def test_side_zero_asks_for_the_older_pair_to_be_kept_and_measures_only_after_the_answer() -> None:
    end, asked = side_zero()
    assert (asked.kept.attempt, asked.measured.attempt, asked.rounds) == (3, 4, 1)
    assert not end.ordered(PurifyPair)
    for now_ns in (2 * MS, 3 * MS):  # one answer and a stray copy
        end.hear(now_ns, "b", answered(asked))
    (order,) = end.ordered(PurifyPair)
    assert (order.kept_pauli, order.measured_pauli, order.side) == (0, 0, 0)


@pytest.mark.parametrize(("bit", "passed"), [(1, True), (0, False), (None, False)])
def test_the_verdict_is_that_the_bits_agree(bit: int | None, passed: bool) -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked))
    ended(end, 3 * MS, bit)
    (told,) = end.sent(PurifyVerdict, "b")
    assert (told.number, told.kept, told.passed, told.complete) == (asked.number, asked.kept, passed, passed)
    assert (len(end.sink.ready) == 1) is passed
    assert held_back(end) == set()
    assert void(end) == set()


def test_side_one_says_when_it_turned_its_qubits() -> None:
    end = side_one()
    end.hear(MS, "a", wanted(end))
    ended(end, 2 * MS, 1, turned_ns=2 * MS - 9)
    (answer,) = end.sent(PurifyAnswer, "a")
    assert (answer.at_ns, answer.turned_ns) == (2 * MS, 2 * MS - 9)


def worth(there_ns: int | None, here_ns: int | None) -> float:
    """Fidelity by the verdict of a round measured at 1 ms by side 1 and at 3 ms by side 0, which turned their
    qubits at these times."""
    end, asked = side_zero(rates=decay_rates(None, 100 * MS, None))
    end.hear(2 * MS, "b", msgspec.structs.replace(answered(asked), turned_ns=there_ns))
    ended(end, 3 * MS, 1, here_ns)
    (told,) = end.sent(PurifyVerdict, "b")
    return fidelity_of(Walsh(told.signs, told.cost))


def test_phases_gathered_after_the_turns_of_either_side_lower_what_the_pair_is_worth() -> None:
    """Both pairs lose 1/2 (1 - exp(-lapse/T2)) each to phases that no bit tells, less what they would have
    lost to flips that one of the bits tells."""
    at_once = worth(None, None)
    assert worth(MS, 3 * MS) == at_once
    assert worth(MS // 2, None) < at_once
    assert worth(None, 2 * MS) < at_once
    assert worth(MS // 2, 2 * MS) < min(worth(MS // 2, None), worth(None, 2 * MS))
    assert worth(5 * MS, None) == at_once, "nobody turns after the measurement"


def test_a_verdict_is_repeated_until_it_is_heard() -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked))
    ended(end, 3 * MS, 1)
    end.wait(3 * MS + 3 * repeat_ns(end))
    assert len(end.sent(PurifyVerdict)) == 4
    end.hear(4 * MS + 3 * repeat_ns(end), "b", PurifyHeard(link="a-b", number=asked.number, kept=asked.kept))
    end.wait(3 * MS + 9 * repeat_ns(end))
    assert len(end.sent(PurifyVerdict)) == 4


def test_a_verdict_that_nobody_confirms_is_given_up_with_the_lease() -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked))
    ended(end, 3 * MS, 1)
    end.wait(4_000 * MS)
    assert len(end.sent(PurifyVerdict)) <= LEASE_ANSWERS * REPEAT_SHARE + 1
    assert end.end.counters["purification_lapsed"] == 1


def test_a_wish_that_nobody_answers_is_repeated_and_given_up_at_both_ends() -> None:
    end, asked = side_zero()
    end.wait(PERIOD_NS * 5 + lease_ns(end) - 1)
    assert len(end.sent(PurifyWanted)) == LEASE_ANSWERS * REPEAT_SHARE
    assert held_back(end) == {(3, 0), (4, 1)}
    end.wait(PERIOD_NS * 5 + lease_ns(end) + repeat_ns(end))
    assert held_back(end) == set()
    assert void(end) == {(3, 0), (4, 1)}
    end.hear(2_000 * MS, "b", answered(asked))  # far too late
    assert not end.ordered(PurifyPair)


def test_a_refusal_costs_the_missing_pair_and_keeps_the_other() -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked, accepted=False, bit=None, missing=(asked.kept,)))
    assert held_back(end) == {(4, 1)}
    assert void(end) == {(3, 0)}
    assert not end.ordered(PurifyPair)


def test_a_refusal_without_a_missing_pair_is_asked_again_a_little_later() -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked, accepted=False, bit=None))
    end.wait(2 * MS + repeat_ns(end) - 1)
    assert not end.sent(PurifyWanted)
    end.wait(2 * MS + repeat_ns(end))
    (again,) = end.sent(PurifyWanted)
    assert (again.kept, again.measured) == (asked.kept, asked.measured)
    assert again.number != asked.number


def test_an_answer_without_a_bit_fails_the_round_before_the_own_half_is_measured() -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked, bit=None))
    assert not end.ordered(PurifyPair)
    (told,) = end.sent(PurifyVerdict)
    assert not told.passed
    assert held_back(end) == set()


def test_a_partner_that_restarted_has_no_halves_any_more() -> None:
    end, _ = side_zero()
    end.tell(MS, PeerChanged(peer="b", state="up", incarnation=2))
    assert held_back(end) == set()
    assert "locked" not in end.states()
    assert end.end.purification.deadline_ns() is None


def test_a_request_withdrawn_while_the_own_half_is_measured_ends_with_the_order() -> None:
    end, asked = side_zero()
    end.hear(2 * MS, "b", answered(asked))
    end.drop(3 * MS, "r")
    assert held_back(end) == {(3, 0), (4, 1)}  # the memory is at work on both
    ended(end, 4 * MS, 1)
    assert held_back(end) == set()
    assert void(end) == {(3, 0)}
    assert not end.sent(PurifyVerdict)
    assert not end.sink.born
    assert set(end.states()) == {"free"}
