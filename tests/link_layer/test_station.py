"""The station alone: what both sides announced under one window is a success, none is lost or doubled."""

from bellwire.core.effects import StartRun
from bellwire.core.events import DeviceChanged, StationLost
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    HeraldWanted,
    LinkReset,
    WindowClosed,
)
from bellwire.link_layer.agreement import WINDOWS_KEPT
from bellwire.link_layer.station import REPORTS_KEPT, UNMATCHED_MAX
from tests.link_layer.bench import MS, PERIOD_NS
from tests.link_layer.lone import RUN, LoneStation, window

ANSWER_NS = 200 * MS


def open_station(last: int = 10_000) -> LoneStation:
    station = LoneStation()
    station.opened(0, window(0, last, 1, "r"))
    station.take()
    return station


def test_the_run_is_started_once_with_what_the_first_end_announced() -> None:
    station = LoneStation()
    station.opened(0, window(0, 99, 1, "r"))
    station.opened(MS, window(100, 199, 2, "r"))
    assert [(order.run, order.lanes, order.period_ns) for order in station.ordered(StartRun)] == [
        (RUN, 3, PERIOD_NS)
    ]


def test_a_success_goes_to_both_ends_under_consecutive_numbers() -> None:
    station = open_station()
    for attempt in (4, 9):
        station.clicked(MS, attempt)
    for end in ("a", "b"):
        assert [(one.number, one.attempt) for one in station.sent(HeraldReport, end)] == [(1, 4), (2, 9)]


def test_a_success_under_different_windows_of_the_two_sides_is_not_reported() -> None:
    station = open_station()
    station.opened(MS, window(50, 10_000, 2, "r", "s"), "a")
    station.clicked(2 * MS, 60)
    assert station.sent(HeraldReport) == []
    assert station.part.counters["queue_mismatch"] == 1
    station.clicked(2 * MS, 49)
    assert len(station.sent(HeraldReport)) == 2


def test_a_success_that_one_side_announced_waits_for_the_other_and_is_then_given_up() -> None:
    station = LoneStation()
    station.opened(0, window(0, 99, 1, "r"), "a")
    station.clicked(MS, 4)
    station.clicked(2 * MS, 5)
    assert station.sent(HeraldReport) == []
    station.wait(MS + ANSWER_NS)
    assert station.part.counters["no_message_other"] == 1
    station.opened(2 * MS + ANSWER_NS - 1, window(0, 99, 1, "r"), "b")
    assert [one.attempt for one in station.sent(HeraldReport, "b")] == [5]


def test_a_late_word_of_the_second_side_that_disagrees_is_a_mismatch() -> None:
    station = LoneStation()
    station.opened(0, window(0, 99, 2, "r"), "a")
    station.clicked(MS, 4)
    station.opened(2 * MS, window(0, 99, 1, "r"), "b")
    assert station.sent(HeraldReport) == []
    assert station.part.counters["queue_mismatch"] == 1


def test_successes_without_the_second_sides_word_are_bounded_and_the_rest_is_counted() -> None:
    station = LoneStation()
    station.opened(0, window(0, 10_000, 1, "r"), "a")
    for attempt in range(UNMATCHED_MAX + 3):
        station.clicked(MS, attempt)
    assert station.part.counters["no_message_other"] == 3
    station.opened(2 * MS, window(0, 10_000, 1, "r"), "b")
    assert len(station.sent(HeraldReport, "b")) == UNMATCHED_MAX


def test_windows_of_an_end_are_bounded_to_the_newest() -> None:
    station = open_station(last=9)
    for fence in range(2, 10):
        station.opened(0, window(10 * fence, 10 * fence + 9, fence, "r"))
    station.clicked(MS, 25)
    assert station.sent(HeraldReport) == []
    station.clicked(MS, 10 * (10 - WINDOWS_KEPT))
    assert len(station.sent(HeraldReport)) == 2


def test_a_higher_run_replaces_the_old_one_and_numbers_start_again() -> None:
    station = open_station()
    station.clicked(MS, 4)
    station.take()
    station.opened(2 * MS, window(0, 99, 1, "r", run=RUN + 1))
    station.opened(2 * MS, window(0, 10_000, 1, "r"))  # a stray copy of the old run
    station.clicked(3 * MS, 7)
    station.clicked(3 * MS, 8, run=RUN + 1)
    assert [(one.run, one.number) for one in station.sent(HeraldReport, "a")] == [(RUN + 1, 1)]


def test_reports_are_repeated_from_the_number_that_is_missing_and_only_to_who_asked() -> None:
    station = open_station()
    for attempt in range(5):
        station.clicked(MS, attempt)
    station.take()
    station.hear(2 * MS, "b", HeraldWanted(link="a-b", run=RUN, number=3))
    assert [one.number for one in station.sent(HeraldReport, "b")] == [3, 4, 5]
    assert station.sent(HeraldReport, "a") == []
    assert station.part.counters["repeated"] == 3
    station.take()
    station.hear(2 * MS, "b", HeraldWanted(link="a-b", run=RUN - 1, number=1))
    assert station.take() == []


def test_all_that_is_forgotten_is_unknown_in_one_word_and_not_one_word_each() -> None:
    station = open_station()
    for attempt in range(REPORTS_KEPT + 50):
        station.clicked(MS, attempt)
    station.take()
    station.hear(2 * MS, "b", HeraldWanted(link="a-b", run=RUN, number=1))
    assert [one.number for one in station.sent(HeraldUnknown)] == [50]
    assert [one.number for one in station.sent(HeraldReport)] == list(range(51, REPORTS_KEPT + 51))
    station.take()
    station.hear(2 * MS, "b", HeraldWanted(link="a-b", run=RUN, number=-(10**12)))
    assert len(station.take()) == REPORTS_KEPT + 1


def test_the_bound_says_what_is_decided_how_many_successes_and_whose_windows_are_known() -> None:
    station = open_station()
    station.opened(0, window(50, 10_000, 2, "r"), "b")
    station.clicked(MS, 4)
    station.decided(MS, 20)
    station.decided(2 * MS, 30)
    station.take()
    station.wait(101 * MS)
    (bound,) = station.sent(HeraldBound, "a")
    assert (bound.attempt, bound.number, bound.fences) == (30, 1, (1, 2))
    assert station.sent(HeraldBound, "b") == [bound]


def test_the_bound_never_passes_a_success_that_still_waits_for_the_second_side() -> None:
    station = LoneStation()
    station.opened(0, window(0, 10_000, 1, "r"), "a")
    station.clicked(MS, 17)
    station.decided(MS, 30)
    station.wait(101 * MS)
    assert [bound.attempt for bound in station.sent(HeraldBound, "a")] == [16]


def test_lost_outcomes_are_told_as_unknown_and_never_as_failed() -> None:
    station = open_station()
    station.tell(MS, StationLost(link="a-b", run=RUN, first=10, last=19))
    for end in ("a", "b"):
        assert [(one.first, one.last) for one in station.sent(HeraldUnknown, end)] == [(10, 19)]
    station.take()
    station.tell(MS, StationLost(link="a-b", run=RUN - 1, first=10, last=19))
    assert station.take() == []


def test_an_analyser_that_forgot_its_run_makes_the_rest_unknown_and_asks_side_zero_for_a_new_run() -> None:
    station = open_station()
    station.decided(MS, 20)
    station.tell(2 * MS, DeviceChanged(role="station", ready=False, lost_state=True, reason="gone"))
    assert station.sent(HeraldUnknown) == []
    station.tell(3 * MS, DeviceChanged(role="station", ready=True, lost_state=True, reason="back"))
    assert [one.first for one in station.sent(HeraldUnknown, "b")] == [21]
    assert len(station.sent(LinkReset, "a")) == 1
    assert station.sent(LinkReset, "b") == []


def test_after_the_close_of_a_run_nothing_more_is_reported() -> None:
    station = open_station()
    station.hear(MS, "a", WindowClosed(link="a-b", run=RUN, fence=1))
    station.clicked(2 * MS, 50)
    assert station.sent(HeraldReport) == []
