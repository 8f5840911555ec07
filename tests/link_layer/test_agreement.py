"""How two ends agree on windows: refusals, renewals, changed schedules, and what is in doubt."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.errors import PeerViolation
from bellwire.core.events import Heralded, Started
from bellwire.core.link_messages import (
    LinkReset,
    ScheduleEntry,
    Window,
    WindowAnswer,
    WindowClosed,
    WindowOffer,
)
from bellwire.link_layer.agreement import WINDOWS_KEPT, QueueKeeper, WindowBook, refusal
from bellwire.link_layer.binding import entry_for
from bellwire.link_layer.terms import Terms
from tests.link_layer.bench import MS, PERIOD_NS, Channel, LinkBench, link_network
from tests.link_layer.lone import RUN, LoneEnd, report, window

LINK = link_network(station=False).links["a-b"]
LEASE = LINK.lease_ns // LINK.period_ns
R = Terms((), (ScheduleEntry(request="r", tree=0),))
R_AND_S = Terms((), (*R.cycle, ScheduleEntry(request="s", tree=0)))


def everybody(request: str) -> bool:
    return True


def book_with(*windows: Window) -> WindowBook:
    book = WindowBook(LINK)
    book.begin(RUN, 0)
    for one in windows:
        book.add(one)
    return book


# ---- what side 1 refuses


def test_side_one_takes_the_first_window_of_a_new_run() -> None:
    assert refusal(WindowBook(LINK), window(0, 9, 1, "r"), everybody) == ""
    assert refusal(book_with(window(0, 9, 1, "r")), window(0, 9, 1, "r", run=RUN + 1), everybody) == ""


def test_side_one_refuses_an_old_run() -> None:
    book = book_with(window(0, 9, 1, "r"))
    assert refusal(book, window(0, 9, 1, "r", run=RUN - 1), everybody) == "old run"


def test_side_one_asks_for_a_reset_when_it_has_not_followed_the_run_from_its_first_window() -> None:
    assert refusal(WindowBook(LINK), window(0, 9, 2, "r"), everybody) == "reset"
    book = book_with(window(0, 9, 1, "r"))
    assert refusal(book, window(0, 9, 2, "r", run=RUN + 1), everybody) == "reset"


def test_side_one_refuses_a_fence_below_one_it_has_taken_and_takes_the_same_one_again() -> None:
    book = book_with(window(0, 9, 1, "r"), window(10, 19, 3, "r"))
    assert refusal(book, window(10, 19, 2, "r"), everybody) == "old fence"
    assert refusal(book, window(10, 19, 3, "r"), everybody) == ""


def test_side_one_refuses_a_request_it_does_not_know_by_name() -> None:
    assert refusal(WindowBook(LINK), window(0, 9, 1, "r", "s"), {"r"}.__contains__) == "unknown request s"


def test_an_offer_that_is_heard_twice_is_answered_twice_and_changes_nothing_the_second_time() -> None:
    end = LoneEnd("b", station=False)
    end.want(0, "r")
    for _ in range(2):
        end.offered(MS, window(0, 999, 1, "r"))
        assert [answer.accepted for answer in end.sent(WindowAnswer, "a")] == [True]
        end.take()
    assert [one.fence for one in end.end.book.windows] == [1]
    assert {slot.generation for slot in end.slots.slots()} == {1}


def test_a_stray_copy_of_the_first_offer_does_not_reopen_a_run_that_was_closed() -> None:
    end = LoneEnd("b", station=True)
    end.want(0, "r")
    end.offered(0, window(0, 999, 1, "r"))
    end.hear(MS, "m", report(1, 3))
    assert len(end.sink.born) == 1
    end.hear(2 * MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    end.take()
    end.offered(3 * MS, window(0, 999, 1, "r"))
    assert [answer.accepted for answer in end.sent(WindowAnswer)] == [False]
    end.hear(4 * MS, "m", report(1, 3))  # the sink fails when the same half is born twice
    assert len(end.sink.born) == 1


@pytest.mark.parametrize(
    "one",
    [
        window(0, 9, 1),
        window(0, 9, 1, "r", frame_attempts=0),
        window(9, 0, 1, "r"),
        window(-1, 9, 1, "r"),
        window(0, 9, 0, "r"),
    ],
    ids=["nobody in the schedule", "frame of nothing", "last before first", "before the run", "no fence"],
)
def test_a_window_that_rules_nothing_is_the_peers_fault_and_changes_nothing(one: Window) -> None:
    end = LoneEnd("b", station=False)
    end.want(0, "r")
    with pytest.raises(PeerViolation):
        end.offered(0, one)
    assert end.end.book.run is None
    assert end.take() == []
    assert end.states() == ["free"] * 3


# ---- what side 0 proposes


def keeper_with(*windows: Window) -> QueueKeeper:
    return QueueKeeper(LINK, book_with(*windows))


def test_an_unchanged_schedule_continues_without_a_gap_and_without_overlap() -> None:
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    renewed = keeper.propose(R, 50_000, 100 * MS)
    assert (renewed.first, renewed.last, renewed.fence) == (LEASE, 2 * LEASE - 1, 2)


def test_a_renewal_that_comes_too_late_starts_now_and_not_in_the_past() -> None:
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    assert keeper.propose(R, 50_000, 900 * MS).first == 900 * MS // PERIOD_NS


def test_a_changed_schedule_rules_only_after_both_could_hear_of_it() -> None:
    delay_ns = 3 * MS
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    changed = keeper.propose(R_AND_S, delay_ns, 50 * MS)
    assert changed.first * PERIOD_NS > 50 * MS + 2 * delay_ns
    assert changed.first < LEASE
    assert changed.fence == 2


def test_terms_that_come_back_while_others_were_on_offer_rule_soon_and_leave_little_in_doubt() -> None:
    """Side 1 may follow the offer that was given up. Continued only after the present window, the old terms
    left all of its attempts in doubt: every pair was void for two seconds (paths on a ring, seed 4)."""
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    given_up = keeper.propose(R_AND_S, 50_000, 50 * MS)
    back = keeper.propose(R, 50_000, 51 * MS)
    assert back.fence == given_up.fence + 1
    keeper.agreed()
    doubtful = [attempt for attempt in range(LEASE) if keeper.in_doubt(attempt)]
    assert doubtful == list(range(given_up.first, back.first))
    assert len(doubtful) <= 2 * MS // PERIOD_NS + 1


def test_a_changed_schedule_never_rules_before_a_window_that_has_not_begun() -> None:
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"), window(LEASE, 2 * LEASE - 1, 2, "r"))
    assert keeper.propose(R_AND_S, 50_000, 150 * MS).first == LEASE


def test_changes_of_the_next_window_do_not_push_out_the_one_that_rules_now() -> None:
    """Found by replacing plans in virtual time: after four changes nothing was attempted for a lease."""
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    now_ns = 10 * MS
    for number in range(3 * WINDOWS_KEPT):
        shares = R_AND_S if number % 2 else R
        keeper.book.add(keeper.propose(shares, 50_000, 1100 * MS if number == 0 else now_ns))
        keeper.agreed()
    ruling = keeper.book.ruling(now_ns // PERIOD_NS)
    assert ruling is not None
    assert ruling.fence == 1
    firsts = [one.first for one in keeper.book.windows]
    assert firsts == sorted(set(firsts))


def test_a_window_is_offered_anew_only_when_the_division_of_lanes_has_changed() -> None:
    end = LoneEnd("a", station=False)
    end.want(0, "r")
    (offer,) = end.sent(WindowOffer)
    taken = WindowAnswer(link="a-b", run=offer.window.run, fence=1, accepted=True, reason="")
    end.hear(1 * MS, "b", taken)
    end.take()
    end.want(2 * MS, "r", weight=7)  # alone on the link: the weight changes nothing
    assert end.sent(WindowOffer) == []
    end.want(3 * MS, "s")
    assert len(end.sent(WindowOffer)) == 1


def test_every_offer_has_a_higher_fence_than_every_offer_before_it() -> None:
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    fences = [keeper.propose(R_AND_S, 50_000, now * MS).fence for now in (10, 20, 30)]
    assert fences == [2, 3, 4]


def test_the_first_attempt_of_a_pps_armed_link_lies_on_a_whole_second() -> None:
    fields = {name: getattr(LINK, name) for name in LINK.__struct_fields__}
    fields.update(whole_second=True, start_margin_ns=300 * MS)
    settings = type(LINK)(**fields)
    keeper = QueueKeeper(settings, WindowBook(settings))
    keeper.start_run(7, 4_800 * MS)
    assert keeper.book.epoch_ns == 6_000 * MS
    assert keeper.book.run == 7 * RUN + 1
    keeper.start_run(7, 4_600 * MS)
    assert keeper.book.epoch_ns == 5_000 * MS
    assert keeper.book.run == 7 * RUN + 2


# ---- the window book


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 200), st.integers(1, 80)), max_size=12))
def test_the_book_is_bounded_ordered_by_fence_and_rules_by_the_highest_one(
    shapes: list[tuple[int, int, int]],
) -> None:
    book = book_with()
    for fence, first, length in shapes:
        if fence >= book.fence():
            book.add(window(first, first + length, fence, "r"))
        fences = [one.fence for one in book.windows]
        assert fences == sorted(set(fences))
        assert len(fences) <= WINDOWS_KEPT
    for attempt in range(0, 300, 7):
        covering = [one for one in book.windows if one.first <= attempt <= one.last]
        ruling = book.ruling(attempt)
        assert ruling == max(covering, key=lambda one: one.fence, default=None)
        span = book.span_from(attempt)
        if covering:
            assert span is not None
            assert span[0] == attempt
            assert all(book.ruling(one) is not None for one in range(span[0], span[1] + 1))


def test_the_book_keeps_the_newest_windows_and_forgets_the_oldest() -> None:
    book = book_with(*(window(10 * fence, 10 * fence + 9, fence, "r") for fence in range(1, 30)))
    assert [one.fence for one in book.windows] == list(range(30 - WINDOWS_KEPT, 30))


@given(st.integers(-(10**9), 10**12))
def test_the_next_attempt_starts_now_or_later_and_not_a_period_later(now_ns: int) -> None:
    book = book_with()
    start_ns = book.attempt_at(now_ns) * PERIOD_NS
    assert start_ns >= now_ns
    assert start_ns == 0 or start_ns - now_ns < PERIOD_NS


# ---- side 0 as a whole


def accepted(end: LoneEnd, now_ns: int, one: Window) -> None:
    end.hear(now_ns, "b", WindowAnswer(link="a-b", run=one.run, fence=one.fence, accepted=True, reason=""))


def agreed_side_zero(*, station: bool = False) -> LoneEnd:
    end = LoneEnd("a", station=station)
    end.tell(0, Started(incarnation=1))
    end.want(0, "r")
    accepted(end, 0, end.sent(WindowOffer)[0].window)
    return end


def test_nothing_is_attempted_before_side_one_has_agreed() -> None:
    end = LoneEnd("a", station=False)
    end.tell(0, Started(incarnation=1))
    end.want(0, "r")
    assert end.starts() == []
    accepted(end, MS, end.sent(WindowOffer)[0].window)
    assert [order.lane for order in end.starts()] == [0, 1, 2]
    assert {order.first for order in end.starts()} == {10}


def test_an_unanswered_offer_is_repeated_and_the_answer_to_another_one_is_ignored() -> None:
    end = LoneEnd("a", station=False)
    end.tell(0, Started(incarnation=1))
    end.want(0, "r")
    first = end.sent(WindowOffer)[0].window
    end.hear(1, "b", WindowAnswer(link="a-b", run=first.run, fence=9, accepted=True, reason=""))
    end.hear(1, "b", WindowAnswer(link="a-b", run=first.run + 1, fence=1, accepted=True, reason=""))
    assert end.starts() == []
    end.take()
    assert end.machine.next_deadline_ns == end.network.timers.answer_ns
    end.wait(end.network.timers.answer_ns)
    assert len(end.sent(WindowOffer)) == 1


def test_a_refused_offer_comes_again_soon_and_a_reset_starts_a_new_run() -> None:
    end = LoneEnd("a", station=False)
    end.tell(0, Started(incarnation=1))
    end.want(0, "r")
    first = end.sent(WindowOffer)[0].window
    end.take()
    refused = WindowAnswer(link="a-b", run=first.run, fence=1, accepted=False, reason="unknown request r")
    end.hear(MS, "b", refused)
    assert end.sent(WindowOffer) == []
    end.wait(MS + end.network.timers.answer_ns // 10)
    assert [offer.window.run for offer in end.sent(WindowOffer)] == [first.run]
    again = end.sent(WindowOffer)[0].window
    end.take()
    reset = WindowAnswer(link="a-b", run=again.run, fence=again.fence, accepted=False, reason="reset")
    end.hear(30 * MS, "b", reset)
    assert [offer.window.run for offer in end.sent(WindowOffer)] == [first.run + 1]
    assert [offer.window.fence for offer in end.sent(WindowOffer)] == [1]


def test_side_ones_reset_stops_every_attempt_and_starts_a_new_run() -> None:
    end = agreed_side_zero()
    run = end.end.book.run
    end.take()
    end.hear(5 * MS, "b", LinkReset(link="a-b", reason="restarted"))
    assert len(end.stops()) == 3
    assert end.states() == ["free"] * 3
    assert [offer.window.run for offer in end.sent(WindowOffer)] == [(run or 0) + 1]


def test_words_of_strangers_about_a_link_are_ignored() -> None:
    end = agreed_side_zero()
    end.take()
    end.hear(5 * MS, "c", LinkReset(link="a-b", reason="mischief"))
    end.hear(5 * MS, "b", LinkReset(link="c-d", reason="mischief"))
    assert end.take() == []


def test_when_the_last_request_goes_the_run_is_closed_and_the_slots_are_free() -> None:
    end = agreed_side_zero(station=True)
    end.take()
    end.drop(MS, "r")
    assert len(end.sent(WindowClosed, "b")) == 1
    assert len(end.sent(WindowClosed, "m")) == 1
    assert end.states() == ["free"] * 3
    assert end.machine.next_deadline_ns is None


def heralded(end: LoneEnd, now_ns: int, attempt: int, lane: int) -> None:
    assert end.end.book.run is not None
    end.tell(
        now_ns,
        Heralded(
            link="a-b",
            run=end.end.book.run,
            attempt=attempt,
            lane=lane,
            code=1,
            at_ns=attempt * PERIOD_NS,
            sigma_ns=0,
        ),
    )


def test_while_a_new_schedule_is_in_doubt_its_attempts_bind_to_nobody() -> None:
    end = agreed_side_zero()
    end.take()
    end.want(10 * MS, "s")
    offer = end.sent(WindowOffer)[0].window
    heralded(end, 10 * MS, offer.first - 1, 0)
    heralded(end, 10 * MS, offer.first, 1)
    assert [use[0] for use in end.sink.ready.values()] == ["r"]
    assert end.released() == ["unusable"]


def test_an_attempt_that_a_superseded_offer_may_rule_at_the_other_side_binds_to_nobody() -> None:
    end = agreed_side_zero()
    end.take()
    for request in ("s", "t"):
        end.want(10 * MS if request == "s" else 14 * MS, request)
    early, late = (offer.window for offer in end.sent(WindowOffer))
    assert early.first < late.first
    # Side 1 has taken both: the early one rules there until the late one does, and here never did.
    assert entry_for(early, early.first, 1) != R.cycle[0]
    heralded(end, 14 * MS, early.first, 1)
    accepted(end, 15 * MS, late)
    heralded(end, 15 * MS, early.first + 1, 0)
    heralded(end, 15 * MS, early.first - 1, 2)
    assert [one.attempt for one in end.sink.ready] == [early.first - 1]
    assert end.released() == ["unusable", "unusable"]


def test_runs_that_stay_silent_start_later_and_later_so_that_a_slow_station_can_be_armed() -> None:
    settings = msgspec.structs.replace(link_network(station=True).links["a-b"], start_margin_ns=400 * MS)
    keeper = QueueKeeper(settings, WindowBook(settings))
    margins = []
    for _ in range(7):
        keeper.start_run(1, 0)
        margins.append(keeper.book.epoch_ns // (400 * MS))
        keeper.silent_runs += 1
    assert margins == [1, 2, 4, 8, 16, 16, 16]
    keeper.silent_runs = 0
    keeper.start_run(1, 0)
    assert keeper.book.epoch_ns == 400 * MS


def test_only_a_silent_station_makes_the_next_run_start_later() -> None:
    bench = LinkBench(3, station=True, channel=Channel())
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(1_000 * MS)
    keeper = bench.services["a"].ends["a-b"].keeper
    assert keeper.silent_runs == 0
    bench.silence_station()
    bench.run(6_000 * MS)
    assert keeper.silent_runs >= 2


def test_a_window_that_reaches_back_to_attempts_bound_by_the_one_before_it_is_refused_as_late() -> None:
    """Found by seeds 604, 648, 871 and 955 of the bad channel: side 1 had bound a herald by the window it
    knew, then took a window that ruled the same attempt, and side 0 bound the pair by that one."""
    book = book_with(window(0, 99, 1, "r"))
    book.bound_to = 40
    assert refusal(book, window(41, 99, 2, "s"), everybody) == ""
    assert refusal(book, window(40, 99, 2, "s"), everybody) == "late"
    taken = window(30, 99, 2, "s")
    book.add(taken)
    assert refusal(book, taken, everybody) == ""  # heard again: it is in force already


def test_after_a_late_offer_the_next_one_rules_later_by_twice_the_round_trip_and_never_by_half_a_lease() -> (
    None
):
    keeper = keeper_with(window(0, LEASE - 1, 1, "r"))
    first = keeper.propose(R_AND_S, 50_000, 10 * MS).first
    keeper.was_late(13 * MS)
    second = keeper.propose(R_AND_S, 50_000, 13 * MS).first
    assert (second - first) * PERIOD_NS == 3 * MS + 2 * 3 * MS
    for _ in range(20):
        keeper.was_late(14 * MS)
    assert keeper.lead_ns == LINK.lease_ns // 4


def test_a_herald_that_comes_before_the_offer_makes_the_offer_late_and_the_pair_is_bound_alike() -> None:
    end = LoneEnd("b", station=True)
    end.want(0, "r")
    end.want(0, "s")
    end.hear(0, "a", WindowOffer(link="a-b", window=window(0, 1999, 1, "r")))
    end.hear(5 * MS, "m", report(1, 45))
    end.take()
    end.hear(6 * MS, "a", WindowOffer(link="a-b", window=window(44, 2043, 2, "s")))
    (answer,) = end.sent(WindowAnswer)
    assert (answer.accepted, answer.reason) == (False, "late")
