"""Admission: nothing is ever granted twice, and the search serves no less than first come first served."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.planner.calendar.admission import (
    Outcome,
    Refusal,
    Route,
    Schedule,
    best_order,
    faults_of,
    fill_rest,
    first_come,
    with_calibrations,
)
from bellwire.planner.calendar.bookings import Booking, Calendar, Claim, Wish
from bellwire.planner.calendar.frames import Frame, LinkNeed, windows_of
from bellwire.planner.calendar.orders import order_of, orders_known
from bellwire.planner.calendar.regions import decide, with_owners
from tests.planner.calendar.made_up import schedules

NEED = LinkNeed("ab", ("a", "b"), (Claim("lanes:ab"),), 1_000, 500, 500, "a")


def chain(slots: int, *names: str, calibrations: dict[str, tuple[int, ...]] | None = None) -> Schedule:
    needs = {name: NEED._replace(link=name, claims=(Claim(f"lanes:{name}"),)) for name in names}
    return Schedule(Frame(10_000, slots), needs, calibrations or {}, "a")


def route(name: str, slots_wanted: float, *links: str, slots: int) -> Route:
    """A request that needs a number of slots: a window loses nothing and a slot brings one pair."""
    return Route(name, slots_wanted / (slots * 10_000e-9), (links,), 1e9 / 10_000, 0)


def slot_by_slot(schedule: Schedule, outcome: Outcome) -> None:
    """All that must hold, from the granted slots alone and without the calendar's own questions."""
    frame = schedule.frame
    holders: dict[tuple[str, int], dict[str, str | None]] = {}
    for one in outcome.admitted:
        for link, slots in one.slots.items():
            assert set(slots).isdisjoint(schedule.calibrations.get(link, ()))
            assert slots, f"{one.request} is admitted without a slot on {link}"
            for slot in slots:
                for claim in schedule.needs[link].claims:
                    held = holders.setdefault((claim.resource, slot), {})
                    held[f"{one.request} on {link}"] = claim.setting
            for window in windows_of(slots):
                assert window.slots * frame.slot_ns >= schedule.needs[link].least_ns
    for link, slots in schedule.calibrations.items():
        for slot in slots:
            for claim in schedule.needs[link].claims:
                holders.setdefault((claim.resource, slot), {})[f"calibration of {link}"] = claim.setting
    for (resource, slot), held in holders.items():
        values = set(held.values())
        assert len(held) == 1 or (len(values) == 1 and None not in values), (resource, slot, held)


def expected_hz(schedule: Schedule, route: Route, granted: dict[str, tuple[int, ...]]) -> float:
    """The rate of granted slots, counted anew."""
    frame = schedule.frame
    if len(route.phases) > 1:
        rounds = min(len(slots) for slots in granted.values())
        return rounds * route.pairs_per_round / (frame.cycle_ns / 1e9)
    assert len(set(granted.values())) == 1, "links of one phase have the same slots"
    slots = next(iter(granted.values()))
    pairs = sum(
        route.pairs_hz * max(0, one.slots * frame.slot_ns - route.lost_ns) / 1e9 for one in windows_of(slots)
    )
    return pairs / (frame.cycle_ns / 1e9)


@given(drawn=schedules())
@settings(max_examples=150, deadline=None)
def test_no_resource_is_granted_twice_no_slot_is_too_short_and_calibrations_are_left_alone(
    drawn: tuple[Schedule, list[Route]],
) -> None:
    schedule, routes = drawn
    for order in (first_come, best_order):
        outcome = order(schedule, routes)
        slot_by_slot(schedule, outcome)
        assert faults_of(schedule, outcome) == []
        by_name = {one.request: one for one in routes}
        for one in outcome.admitted:
            assert one.rate_hz == pytest.approx(expected_hz(schedule, by_name[one.request], dict(one.slots)))
            assert one.rate_hz >= by_name[one.request].rate_hz * (1 - 1e-9)
        assert {one.request for one in (*outcome.admitted, *outcome.refused)} == set(by_name)
        assert len(outcome.admitted) + len(outcome.refused) == len(routes)


@given(drawn=schedules())
@settings(max_examples=100, deadline=None)
def test_the_search_admits_at_least_as_much_as_first_come_first_served_and_is_deterministic(
    drawn: tuple[Schedule, list[Route]],
) -> None:
    schedule, routes = drawn
    greedy, best = first_come(schedule, routes), best_order(schedule, routes)
    assert best.worth >= greedy.worth
    assert len(best.admitted) >= len(greedy.admitted)
    again = best_order(schedule, routes)
    assert (again.admitted, again.refused, tuple(again.calendar)) == (
        best.admitted,
        best.refused,
        tuple(best.calendar),
    )


@given(drawn=schedules(), order=st.sampled_from([first_come, best_order]))
@settings(max_examples=100, deadline=None)
def test_regions_that_decide_for_themselves_never_grant_the_same_resource(
    drawn: tuple[Schedule, list[Route]], order: object
) -> None:
    schedule, routes = drawn
    schedule = schedule._replace(needs=with_owners(schedule.needs, schedule.owner))
    decided = decide(schedule, routes, first_come if order is first_come else best_order)
    slot_by_slot(schedule, decided.outcome)
    assert faults_of(schedule, decided.outcome) == []
    for one in routes:
        owners = {schedule.needs[link].owner for link in one.links}
        assert decided.owners[one.request] == (owners.pop() if len(owners) == 1 else "w")


def test_links_of_two_regions_that_need_one_switch_are_the_named_owners_business() -> None:
    needs = {
        "ab": NEED._replace(claims=(Claim("switch:s", "1"),), owner="north"),
        "cd": NEED._replace(link="cd", claims=(Claim("switch:s", "2"),), owner="south"),
        "ef": NEED._replace(link="ef", claims=(Claim("lanes:ef"),), owner="south"),
    }
    assert {link: need.owner for link, need in with_owners(needs, "town").items()} == {
        "ab": "town",
        "cd": "town",
        "ef": "south",
    }


def test_a_long_request_that_came_first_gives_way_to_two_short_ones() -> None:
    schedule = chain(4, "ab", "bc")
    routes = [
        route("long", 3, "ab", "bc", slots=4),
        route("left", 2, "ab", slots=4),
        route("right", 2, "bc", slots=4),
    ]
    assert [one.request for one in first_come(schedule, routes).admitted] == ["long"]
    assert [one.request for one in best_order(schedule, routes).admitted] == ["left", "right"]


def test_a_refusal_names_the_scarce_link_what_is_left_and_who_has_the_rest() -> None:
    schedule = chain(4, "ab", "bc", calibrations={"bc": (0,)})
    routes = [route("one", 2, "bc", slots=4), route("two", 2, "ab", "bc", slots=4)]
    (refusal,) = first_come(schedule, routes).refused
    assert refusal == Refusal(
        "two",
        "rate 50000/s does not fit beside the others: what is left gives 2.5e+04/s; link bc has 1 of "
        "4 slots free, the others are held by calibration, one",
    )


def test_a_rate_that_all_slots_together_do_not_give_is_refused_with_the_most_there_is() -> None:
    (refusal,) = first_come(chain(4, "ab"), [route("one", 5, "ab", slots=4)]).refused
    assert refusal.reason == "rate 125000/s cannot be reached: all 4 slots of a cycle give 1e+05/s"


def test_a_request_takes_several_windows_where_none_is_long_enough() -> None:
    schedule = chain(5, "ab", calibrations={"ab": (2,)})
    (one,) = first_come(schedule, [route("one", 4, "ab", slots=5)]).admitted
    assert one.slots == {"ab": (0, 1, 3, 4)}


def test_calibrations_that_need_one_resource_at_once_are_misuse() -> None:
    needs = {name: NEED._replace(link=name, claims=(Claim("emitters:hub"),)) for name in ("ab", "bc")}
    schedule = Schedule(Frame(10_000, 4), needs, {"ab": (0,), "bc": (0,)}, "a")
    with pytest.raises(LocalMisuse, match="calibration of bc: emitters:hub is held by calibration"):
        with_calibrations(schedule)


def test_requests_without_a_rate_share_what_is_left_evenly() -> None:
    schedule = chain(7, "ab", calibrations={"ab": (0,)})
    outcome = first_come(schedule, [route("one", 2, "ab", slots=7)])
    rest = fill_rest(schedule, outcome.calendar, [route("x", 0, "ab", slots=7), route("y", 0, "ab", slots=7)])
    assert {one.request: one.slots["ab"] for one in rest} == {"x": (3, 5), "y": (4, 6)}


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish("x", (Claim("lanes:ab"),), 0, 1_500, link="ab"), "ab has 1500 ns for x"),
        (
            Wish("x", (Claim("lanes:bc"),), 10_000, 20_000, link="ab"),
            "x attempts on ab in its calibration slot 1",
        ),
    ],
)
def test_faults_are_found(wish: Wish, says: str) -> None:
    schedule = chain(4, "ab", calibrations={"ab": (1,)})
    calendar = Calendar("a")
    assert isinstance(calendar.book(wish, 0), Booking)
    assert faults_of(schedule, Outcome(calendar, (), ())) == [says]


def test_a_resource_that_two_hold_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    calendar = Calendar("a")
    monkeypatch.setattr(calendar, "in_the_way", lambda wish, now_ns, but=None: None)
    for holder in "xy":
        calendar.book(Wish(holder, (Claim("lanes:ab"),), 0, 10_000, link="ab"), 0)
    assert faults_of(chain(4, "ab"), Outcome(calendar, (), ())) == ["lanes:ab is granted to x and y at once"]


# ---- orders of other packages


PACKAGE = """
from bellwire.planner.calendar.admission import best_order, first_come
from bellwire.planner.calendar.bookings import Calendar, Claim, Wish

def last_come(schedule, routes, beside=()):
    return first_come(schedule, list(reversed(routes)), beside)

def careless(schedule, routes, beside=()):
    calendar = Calendar("nobody")
    calendar.book(Wish("x", (Claim("lanes:ab"),), 0, 1, link="ab"), 0)
    return first_come(schedule, routes, beside)._replace(calendar=calendar)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with two orders, as an installer leaves it."""
    (tmp_path / "acme_orders.py").write_text(PACKAGE, encoding="utf-8")
    record = tmp_path / "acme_orders-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-orders\nVersion: 1.0\n", encoding="utf-8"
    )
    (record / "entry_points.txt").write_text(
        "[bellwire.calendars]\nlast_come = acme_orders:last_come\ncareless = acme_orders:careless\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_orders", raising=False)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_an_order_by_name() -> None:
    assert orders_known() == ["best", "careless", "first_come", "last_come"]
    routes = [route("one", 3, "ab", slots=4), route("two", 2, "ab", slots=4)]
    outcome = order_of("last_come")(chain(4, "ab"), routes, ())
    assert [one.request for one in outcome.admitted] == ["two"]


@pytest.mark.usefixtures("installed")
def test_an_order_of_another_package_that_grants_what_must_not_be_is_refused() -> None:
    with pytest.raises(ConfigError, match='order "careless" of another package: ab has 1 ns for x'):
        order_of("careless")(chain(4, "ab"), [], ())


def test_an_unknown_order_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r'unknown order "first_com" .did you mean "first_come"'):
        order_of("first_com")
