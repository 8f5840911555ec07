"""EXPIRE: what one end says about halves that it does not have, and how long it goes on saying it."""

from bellwire.core.events import Heralded
from bellwire.core.facts import Born
from bellwire.core.link_messages import (
    PairsHeld,
    PairsKnown,
    PairsVoid,
    PairsVoidHeard,
    WindowClosed,
    WindowOffer,
)
from bellwire.core.notices import EndDied
from bellwire.link_layer.expiry import USED_REPEATS_MAX, VOID_BATCH_MAX, VOID_MAX, Successes
from tests.link_layer.bench import MS, PERIOD_NS
from tests.link_layer.lone import RUN, LoneEnd, report, window

ANSWER_NS = 200 * MS


def end_b(*, station: bool = True) -> LoneEnd:
    """Side 1 with the first window of a run in force."""
    end = LoneEnd("b", station=station)
    end.want(0, "r")
    end.hear(0, "a", WindowOffer(link="a-b", window=window(0, 1999, 1, "r")))
    end.take()
    return end


def void(*pairs: tuple[int, int], run: int = RUN) -> PairsVoid:
    return PairsVoid(link="a-b", run=run, pairs=pairs)


def deaths(end: LoneEnd) -> list[EndDied]:
    return end.sink.died


def test_an_unusable_half_is_told_to_the_other_end_until_it_answers() -> None:
    end = end_b()
    end.want(0, "s")
    end.drop(1 * MS, "r")  # pairs of the window in force are for a request that is gone
    end.hear(5 * MS, "m", report(1, 40))
    assert end.sent(PairsVoid) == [void((40, 0))]
    end.take()
    end.wait(5 * MS + 2 * ANSWER_NS)
    assert end.sent(PairsVoid) == [void((40, 0))] * 2
    end.take()
    end.hear(500 * MS, "a", PairsVoidHeard(link="a-b", run=RUN, pairs=((40, 0),)))
    end.wait(1000 * MS)
    assert end.sent(PairsVoid) == []


def test_a_half_that_the_other_end_calls_void_is_given_up_and_the_word_is_acknowledged_every_time() -> None:
    end = end_b()
    end.hear(5 * MS, "m", report(1, 40))
    for at_ms in (6, 7):
        end.hear(at_ms * MS, "a", void((40, 0)))
    assert [notice.end.attempt for notice in deaths(end)] == [40]
    assert len(end.sent(PairsVoidHeard, "a")) == 2
    assert end.slots.of_lane("a-b", 0).end is None


def test_a_pair_called_void_before_its_herald_is_never_held_here() -> None:
    end = end_b()
    end.hear(5 * MS, "a", void((40, 0)))
    end.hear(6 * MS, "m", report(1, 40))
    assert end.slots.of_lane("a-b", 0).end is None
    assert [fact.end.attempt for fact in end.sink.born.values()] == [40]
    assert list(end.sink.released.values()) == ["unusable"]
    assert end.sent(PairsVoid) == []  # the other end knows


def test_words_of_others_about_void_pairs_are_ignored() -> None:
    end = end_b()
    end.hear(5 * MS, "m", report(1, 40))
    end.take()
    end.hear(6 * MS, "m", void((40, 0)))
    assert end.effects == []
    assert deaths(end) == []


def test_pairs_held_are_asked_about_when_their_run_is_left_until_there_is_an_answer() -> None:
    end = end_b()
    end.hear(5 * MS, "m", report(1, 40))
    end.take()
    end.hear(6 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    question = PairsHeld(link="a-b", run=RUN, pairs=((40, 0),))
    assert end.sent(PairsHeld, "a") == [question]
    end.take()
    end.wait(6 * MS + ANSWER_NS)
    assert end.sent(PairsHeld, "a") == [question]
    end.take()
    end.hear(300 * MS, "a", PairsKnown(link="a-b", run=RUN, pairs=((40, 0),), void=()))
    end.wait(1000 * MS)
    assert end.sent(PairsHeld) == []
    assert deaths(end) == []


def test_a_pair_that_was_used_here_is_asked_about_too_but_not_for_ever() -> None:
    """`bellwire soak --first 952`: a half was swapped away whose partner never was, and nobody said so."""
    end = end_b()
    end.hear(5 * MS, "m", report(1, 40))
    (slot,) = [one for one in end.slots.slots() if one.end is not None]
    end.slots.free(slot.index)  # somebody has swapped it away
    end.take()
    end.hear(7 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    question = PairsHeld(link="a-b", run=RUN, pairs=(), used=((40, 0),))
    assert end.sent(PairsHeld, "a") == [question]
    for repeat in range(1, USED_REPEATS_MAX + 20):
        end.take()
        end.wait(7 * MS + repeat * ANSWER_NS)
        assert end.sent(PairsHeld, "a") == ([question] if repeat <= USED_REPEATS_MAX else [])


def test_the_ledger_hears_of_a_half_that_never_was_when_its_partner_was_used() -> None:
    end = end_b()
    end.hear(6 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    end.take()
    question = PairsHeld(link="a-b", run=RUN, pairs=(), used=((41, 1),))
    end.hear(8 * MS, "a", question)
    (answer,) = end.sent(PairsKnown, "a")
    assert answer == PairsKnown(link="a-b", run=RUN, pairs=((41, 1),), void=())
    assert [fact.end.attempt for fact in end.sink.born.values()] == [41]
    assert list(end.sink.released.values()) == ["unusable"]
    end.take()
    end.hear(9 * MS, "a", question)
    assert len(end.sink.born) == 1
    end.wait(8 * MS + 2 * ANSWER_NS)
    assert end.sent(PairsVoid) == []  # its owner has nothing to give up


def test_a_held_pair_that_the_other_end_never_had_is_given_up() -> None:
    end = end_b()
    end.hear(5 * MS, "m", report(1, 40))
    end.hear(6 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    end.hear(7 * MS, "a", PairsKnown(link="a-b", run=RUN, pairs=((40, 0),), void=((40, 0),)))
    assert [notice.end.attempt for notice in deaths(end)] == [40]
    assert end.sent(PairsVoidHeard, "a") == [PairsVoidHeard(link="a-b", run=RUN, pairs=((40, 0),))]


def test_a_question_is_answered_only_when_the_run_is_left_here_too() -> None:
    end = end_b()
    end.hear(5 * MS, "a", PairsHeld(link="a-b", run=RUN, pairs=((40, 0), (41, 1))))
    assert end.sent(PairsKnown) == []  # its herald may still come
    end.hear(6 * MS, "m", report(1, 40))
    end.hear(7 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    end.take()
    end.hear(8 * MS, "a", PairsHeld(link="a-b", run=RUN, pairs=((40, 0), (41, 1))))
    (answer,) = end.sent(PairsKnown, "a")
    assert answer.void == ((41, 1),)
    assert [fact.end.attempt for fact in end.sink.born.values()] == [40, 41]  # the ledger learns it too
    assert end.sink.released == {next(one for one in end.sink.born if one.attempt == 41): "unusable"}
    end.take()
    end.hear(9 * MS, "a", PairsHeld(link="a-b", run=RUN, pairs=((40, 0), (41, 1))))
    assert len(end.sink.born) == 2  # once only, however often it is asked
    end.wait(8 * MS + ANSWER_NS)
    assert end.sent(PairsVoid) == [void((41, 1))]  # until it is heard


def test_a_run_of_an_earlier_life_is_answered_without_facts() -> None:
    end = LoneEnd("b", station=True)
    end.hear(5 * MS, "a", PairsHeld(link="a-b", run=RUN, pairs=((40, 0),)))
    (answer,) = end.sent(PairsKnown, "a")
    assert answer.void == ((40, 0),)
    assert end.sink.born == {}


def test_successes_so_old_that_they_may_be_forgotten_are_never_called_void() -> None:
    successes = Successes({(90, 0), (95, 1)}, forgotten_to=80)
    assert successes.had((90, 0))
    assert successes.had((80, 2))
    assert not successes.had((81, 2))


def test_void_pairs_waiting_for_an_answer_are_bounded_told_in_batches_and_counted_when_forgotten() -> None:
    end = LoneEnd("b", station=False)
    end.want(0, "s")
    end.hear(0, "a", WindowOffer(link="a-b", window=window(0, 10**6, 1, "r", "s")))
    end.want(0, "r")
    end.hear(0, "a", WindowOffer(link="a-b", window=window(0, 10**6, 1, "r")))
    end.drop(0, "r")
    for attempt in range(VOID_MAX + 10):
        herald = Heralded(link="a-b", run=RUN, attempt=attempt, lane=0, code=1, at_ns=0, sigma_ns=0)
        end.tell(attempt * PERIOD_NS, herald)
    assert end.end.counters["void_forgotten"] == 10
    end.take()
    end.wait((VOID_MAX + 10) * PERIOD_NS + ANSWER_NS)
    (again, *_) = end.sent(PairsVoid)
    assert len(again.pairs) == VOID_BATCH_MAX
    assert again.pairs[0] == (10, 0)


def test_facts_about_void_halves_are_a_birth_and_its_end() -> None:
    end = end_b()
    end.hear(1 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    end.hear(2 * MS, "a", PairsHeld(link="a-b", run=RUN, pairs=((3, 1),)))
    ((name, fact),) = end.sink.born.items()
    assert isinstance(fact, Born)
    assert (name.attempt, name.lane, name.side) == (3, 1, 1)
    assert end.sink.released[name] == "unusable"
