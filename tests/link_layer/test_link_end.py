"""One end alone: births, what is unusable, lost memories, silent stations, and peers that talk nonsense."""

import pytest

from bellwire.core.errors import PeerViolation
from bellwire.core.events import DeviceChanged, QubitHeld
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    HeraldWanted,
    LinkReset,
    WindowOpened,
)
from bellwire.link_layer.lanes import BIRTHS_KEPT
from tests.link_layer.bench import MS, PERIOD_NS
from tests.link_layer.lone import RUN, LoneEnd, report, window


def side_one(*, station: bool = True, requests: tuple[str, ...] = ("r",)) -> LoneEnd:
    """Side 1 of a link, attempting under its first window."""
    end = LoneEnd("b", station=station)
    for request in requests:
        end.want(0, request)
    end.offered(0, window(0, 9_999, 1, *requests))
    end.take()
    return end


def bound(number: int, *, fences: tuple[int, int] = (1, 1), run: int = RUN) -> HeraldBound:
    return HeraldBound(link="a-b", run=run, attempt=100, number=number, fences=fences)


def held(end: LoneEnd, now_ns: int, attempt: int, lane: int = 0) -> None:
    end.tell(now_ns, QubitHeld(slot=lane, link="a-b", run=RUN, attempt=attempt, lane=lane, at_ns=now_ns))


def test_a_report_makes_a_half_that_is_bound_by_the_window() -> None:
    end = side_one(requests=("r", "s"))
    end.hear(MS, "m", report(1, 3, lane=1, code=2))
    ((name, fact),) = end.sink.born.items()
    assert (name.run, name.attempt, name.lane, name.side) == (RUN, 3, 1, 1)
    assert (fact.frame, fact.at_ns, fact.request) == (3, 3 * PERIOD_NS, "s")
    assert end.slots.slot(1).end == name
    assert end.slots.slot(1).born_ns == 3 * PERIOD_NS


def test_a_report_heard_twice_is_one_half() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    end.hear(2 * MS, "m", report(1, 3))
    assert len(end.sink.born) == 1
    assert end.released() == []


def test_a_success_told_under_two_numbers_is_still_born_once() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    end.hear(2 * MS, "m", report(2, 3))
    assert len(end.sink.born) == 1
    assert end.end.counters["duplicates"] == 1


def test_a_success_of_a_slot_that_was_not_attempting_then_is_born_and_released_at_once() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    end.hear(MS, "m", report(2, 4))  # the slot holds attempt 3 already
    assert end.released() == ["unusable"]
    end.freed(5 * MS, 0)
    end.take()
    end.hear(6 * MS, "m", report(3, 49))  # before the slot was armed again, at attempt 50
    assert end.released() == ["unusable", "unusable"]
    assert end.slots.slot(0).state == "attempting"
    assert end.stops() == []
    end.hear(6 * MS, "m", report(4, 50))
    assert end.slots.slot(0).state == "held"


def test_a_success_for_a_request_that_has_gone_is_released_and_the_slot_initialised_again() -> None:
    end = side_one(requests=("r", "s"))
    end.drop(MS, "s")
    end.take()
    end.hear(2 * MS, "m", report(1, 5, lane=1))
    assert end.released() == ["unusable"]
    assert [order.slot for order in end.stops()] == [1]
    assert [order.slot for order in end.starts()] == [1]
    assert end.starts()[0].first == 20


def test_births_remembered_are_bounded() -> None:
    end = side_one()
    for attempt in range(BIRTHS_KEPT + 10):
        end.hear(MS, "m", report(attempt + 1, attempt))
    assert len(end.end.lanes._births) == BIRTHS_KEPT


@pytest.mark.parametrize("word", [report(1, 3, code=9), report(1, 3, lane=3), report(1, 3, lane=-1)])
def test_a_report_of_a_code_or_lane_that_the_link_lacks_is_the_stations_fault_and_changes_nothing(
    word: HeraldReport,
) -> None:
    end = side_one()
    with pytest.raises(PeerViolation, match="m broke the protocol"):
        end.hear(MS, "m", word)
    end.hear(MS, "m", report(1, 3))
    assert len(end.sink.born) == 1


def test_only_the_station_of_the_link_reports_heralds() -> None:
    end = side_one()
    end.hear(MS, "a", report(1, 3))
    end.hear(MS, "a", bound(7))
    end.hear(MS, "a", HeraldUnknown(link="a-b", run=RUN, first=0, last=99, number=9))
    assert end.sink.born == {}
    assert end.take() == []
    direct = side_one(station=False)
    direct.hear(MS, "a", report(1, 3))
    assert direct.sink.born == {}


def test_a_bound_that_counts_more_than_was_heard_asks_for_the_hole_once_an_interval() -> None:
    end = side_one()
    for now_ms in (1, 2, 3):
        end.hear(now_ms * MS, "m", bound(2))
    assert [one.number for one in end.sent(HeraldWanted, "m")] == [1]
    end.hear(60 * MS, "m", bound(2))
    assert [one.number for one in end.sent(HeraldWanted, "m")] == [1, 1]
    end.hear(61 * MS, "m", bound(2, run=RUN - 1))
    assert len(end.sent(HeraldWanted)) == 2


def test_a_bound_that_does_not_know_our_window_makes_us_announce_it_again() -> None:
    end = side_one()
    end.offered(MS, window(5_000, 15_000, 2, "r"))
    end.take()
    end.hear(2 * MS, "m", bound(0, fences=(2, 1)))
    assert [one.window.fence for one in end.sent(WindowOpened, "m")] == [2]
    end.take()
    end.hear(3 * MS, "m", bound(0, fences=(0, 2)))
    assert end.sent(WindowOpened) == []


def test_slots_whose_outcome_is_unknown_are_initialised_again_and_held_ones_are_left_alone() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    end.take()
    end.hear(2 * MS, "m", HeraldUnknown(link="a-b", run=RUN, first=0, last=19, number=1))
    assert [order.slot for order in end.stops()] == [1, 2]
    assert {order.first for order in end.starts()} == {20}
    assert end.slots.slot(0).state == "held"
    assert end.end.counters["unknown"] == 2


def test_attempts_that_began_after_the_unknown_ones_go_on() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    end.freed(5 * MS, 0)  # armed again from attempt 50
    end.take()
    end.hear(6 * MS, "m", HeraldUnknown(link="a-b", run=RUN, first=0, last=49, number=1))
    assert [order.slot for order in end.stops()] == [1, 2]


def test_a_frozen_qubit_without_report_is_given_up_and_not_before() -> None:
    end = side_one()
    held(end, MS, 3)
    end.hear(400 * MS, "m", bound(0))  # the station is alive
    end.take()
    end.wait(MS + 500 * MS - 1)
    assert end.stops() == []
    end.wait(MS + 500 * MS)
    assert [order.slot for order in end.stops()] == [0]
    assert end.end.counters["given_up"] == 1
    assert end.slots.slot(0).state == "attempting"


def test_a_frozen_qubit_whose_report_comes_is_held_and_never_given_up() -> None:
    end = side_one()
    held(end, MS, 3)
    end.hear(2 * MS, "m", report(1, 3))
    held(end, 3 * MS, 3)  # the memory's word may come after the station's
    end.hear(400 * MS, "m", bound(1))
    end.wait(600 * MS)
    assert end.slots.slot(0).state == "held"
    assert end.end.counters["given_up"] == 0


def test_the_lease_of_a_frozen_qubit_is_not_extended() -> None:
    end = side_one()
    held(end, MS, 3)
    end.take()
    end.offered(2 * MS, window(10_000, 19_999, 2, "r"))
    assert [order.lane for order in end.starts()] == [1, 2]
    assert {(order.first, order.last, order.fence) for order in end.starts()} == {(20, 19_999, 2)}


def test_a_silent_station_makes_side_one_ask_for_a_new_run() -> None:
    end = side_one()
    end.wait(1_500 * MS - 1)
    assert end.sent(LinkReset) == []
    end.wait(1_500 * MS)
    assert len(end.sent(LinkReset, "a")) == 1
    assert end.states() == ["free"] * 3


def test_when_the_lease_lapses_everything_stops_by_itself() -> None:
    end = side_one(station=False)
    end.wait(1_600 * MS)
    assert len(end.stops()) == 3
    assert end.states() == ["free"] * 3
    assert end.machine.next_deadline_ns is None


def memory(end: LoneEnd, now_ns: int, *, ready: bool, lost: bool) -> None:
    end.tell(now_ns, DeviceChanged(role="memory", ready=ready, lost_state=lost, reason="reset"))


def test_a_memory_that_forgot_everything_loses_its_attempts_and_attempts_again_when_it_is_back() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    held(end, MS, 5, lane=1)
    end.take()
    memory(end, 2 * MS, ready=False, lost=True)
    assert end.states() == ["held", "lost", "lost"]  # held ones are lost by the layer that uses them
    end.hear(3 * MS, "m", report(2, 5, lane=1))
    assert end.released() == ["unusable"]
    end.offered(4 * MS, window(10_000, 19_999, 2, "r"))
    assert end.starts() == []
    memory(end, 5 * MS, ready=True, lost=False)
    assert end.states() == ["held", "attempting", "attempting"]
    assert {order.first for order in end.starts()} == {50}


def test_a_memory_that_lost_its_state_and_is_back_already_goes_on_at_once() -> None:
    end = side_one()
    memory(end, 2 * MS, ready=True, lost=True)
    assert end.states() == ["attempting"] * 3
    assert {order.first for order in end.starts()} == {20}
    end.hear(3 * MS, "m", report(1, 3))  # of the time before
    assert end.released() == ["unusable"]


def test_a_slot_freed_while_the_memory_is_away_waits_for_it() -> None:
    end = side_one()
    end.hear(MS, "m", report(1, 3))
    memory(end, 2 * MS, ready=False, lost=False)
    end.take()
    end.freed(3 * MS, 0)
    assert end.starts() == []
    memory(end, 4 * MS, ready=True, lost=False)
    assert 0 in [order.slot for order in end.starts()]


def test_another_instrument_of_the_node_does_not_touch_the_memory() -> None:
    end = side_one()
    end.tell(MS, DeviceChanged(role="station", ready=False, lost_state=True, reason="gone"))
    assert end.states() == ["attempting"] * 3
    assert end.end.memory_ready
