"""Lanes that work in shifts: who works, for how long, and what becomes of pairs that are left.

Owns the tests of schedulers/shifts.py and, with a node that swaps, of lane_shifts.py in virtual time
(tests/simulation/test_lanes_without_jams.py).
"""

from collections import Counter
from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.link_messages import ScheduleEntry
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.binding import NOBODY
from bellwire.link_layer.schedulers.fair_queueing import WeightedFairQueueing
from bellwire.link_layer.schedulers.paces import paced
from bellwire.link_layer.schedulers.round_robin import StrictPriority, WeightedRoundRobin
from bellwire.link_layer.schedulers.whole_lanes import lanes_for
from bellwire.link_layer.schedulers.words import Demand, Frames, Lanes, Scheduler, Shares


def demand(
    name: str,
    *,
    weight: int = 1,
    lanes: int = 0,
    priority: int = 0,
    waits: bool = True,
    pace: Fraction | None = None,
) -> Demand:
    plan = LinkPlan(
        request=name,
        tree=0,
        link="ab",
        partner="b",
        rate_hz=0.0,
        lanes=lanes,
        weight=weight,
        fidelity_min=None,
        priority=priority,
    )
    return Demand(ScheduleEntry(request=name, tree=0), plan, 10.0, pace=pace, waits=waits)


def names(divided: Lanes | Shares) -> tuple[str, ...]:
    return tuple(entry.request for entry in divided.owners)


@pytest.mark.parametrize("scheduler", [WeightedRoundRobin(), StrictPriority(), WeightedFairQueueing()])
@pytest.mark.parametrize(("requests", "lanes"), [(2, 1), (3, 2), (5, 2), (7, 4)])
def test_in_a_shift_every_lane_has_one_request_and_no_request_two_lanes(
    scheduler: Scheduler, requests: int, lanes: int
) -> None:
    demands = [demand(f"r{number}") for number in range(requests)]
    for shift in range(50):
        divided = scheduler.divide(lanes, demands, {}, Frames(10, 20, shift))
        assert divided.in_shifts
        assert divided.shares.cycle == ()
        assert len(set(names(divided.shares))) == len(divided.shares.owners) == lanes


@pytest.mark.parametrize(("requests", "lanes"), [(1, 1), (1, 3), (2, 2), (2, 3), (3, 8)])
def test_nobody_works_in_shifts_while_all_have_a_lane_of_their_own(requests: int, lanes: int) -> None:
    demands = [demand(f"r{number}") for number in range(requests)]
    scheduler = WeightedRoundRobin()
    always = scheduler.divide(lanes, demands, {}, Frames(10, 20))
    for shift in range(20):
        assert scheduler.divide(lanes, demands, {}, Frames(10, 20, shift)) == always
    assert not always.in_shifts


def test_pairs_that_need_no_partner_go_round_frame_by_frame_as_ever() -> None:
    demands = [demand(f"r{number}", waits=False) for number in range(3)]
    one_waits = [*demands[:2], demand("r2")]
    scheduler = WeightedRoundRobin()
    for asked in (demands, one_waits):
        divided = scheduler.divide(2, asked, {}, Frames(10, 20, 5))
        assert not divided.in_shifts
        assert divided.shares == scheduler.divide(2, asked, {}, Frames(10, 20)).shares


@pytest.mark.parametrize(("requests", "lanes"), [(2, 1), (3, 2), (5, 2)])
def test_equal_requests_work_in_equally_many_shifts(requests: int, lanes: int) -> None:
    """Of 4000 shifts each works in k / n, binomially: 4.5 standard errors, false alarm 7e-6 each."""
    demands = [demand(f"r{number}") for number in range(requests)]
    counts: Counter[str] = Counter()
    for shift in range(4000):
        counts.update(names(lanes_for(lanes, [demands], shift)))
    part = lanes / requests
    for one in demands:
        assert abs(counts[one.entry.request] - 4000 * part) < 4.5 * sqrt(4000 * part * (1 - part))


def test_weights_are_shares_of_the_shifts_of_one_lane() -> None:
    """One lane: the weighted drawing gives a request its part exactly. 4000 shifts, 4.5 standard errors."""
    demands = [demand("one", weight=1), demand("two", weight=2), demand("five", weight=5)]
    counts: Counter[str] = Counter()
    for shift in range(4000):
        counts.update(names(lanes_for(1, [demands], shift)))
    for name, weight in (("one", 1), ("two", 2), ("five", 5)):
        part = weight / 8
        assert abs(counts[name] - 4000 * part) < 4.5 * sqrt(4000 * part * (1 - part))


def test_links_with_the_same_requests_work_for_the_same_ones_and_others_tend_to() -> None:
    """Two of three on one link; on the next a fourth is there: who works for r0 here does so there in more
    than the half of the shifts that independent draws would give (2/3 x 1/2 of all, 4.5 standard errors)."""
    here = [demand(f"r{number}") for number in range(3)]
    there = [*here, demand("r9")]
    both = 0
    for shift in range(2000):
        one = names(lanes_for(2, [here], shift))
        assert one == names(lanes_for(2, [list(reversed(here))], shift))
        both += "r0" in one and "r0" in names(lanes_for(2, [there], shift))
    assert both > 2000 / 3 + 4.5 * sqrt(2000 * 2 / 9)


def test_whoever_works_on_keeps_its_lane_when_another_one_is_relieved() -> None:
    """Three on two lanes. r0 and r1 have lanes of their own; r2 takes that of whoever rests, and moves only
    when that is another one: 5 of 6 of those who work on keep their lanes."""
    demands = [demand(f"r{number}") for number in range(3)]
    kept = moved = 0
    before = names(lanes_for(2, [demands], 0))
    for shift in range(1, 400):
        present = names(lanes_for(2, [demands], shift))
        for name in set(before) & set(present):
            kept += before.index(name) == present.index(name)
            moved += before.index(name) != present.index(name)
        before = present
    assert kept > 3 * moved > 0


def test_reserved_lanes_stay_and_the_rest_is_worked_in_shifts() -> None:
    demands = [demand("kept", lanes=1), *(demand(f"r{number}") for number in range(3))]
    for shift in range(30):
        owners = names(lanes_for(3, [demands], shift))
        assert owners[0] == "kept"
        assert len(set(owners[1:])) == 2


def test_higher_priorities_have_their_shifts_among_themselves() -> None:
    demands = [demand("low"), *(demand(f"r{number}", priority=3) for number in range(3))]
    for shift in range(30):
        divided = StrictPriority().divide(2, demands, {}, Frames(10, 20, shift))
        assert "low" not in names(divided.shares)
        assert len(names(divided.shares)) == 2


def test_those_who_need_no_partner_share_one_lane_in_some_of_the_shifts() -> None:
    """Their part of three lanes of five equal requests is 6/5, so they have one lane or none, and go round
    on it."""
    demands = [
        *(demand(f"r{number}") for number in range(3)),
        *(demand(f"c{number}", waits=False) for number in range(2)),
    ]
    with_lane = 0
    for shift in range(200):
        divided = lanes_for(3, [demands], shift)
        if divided.parts:
            with_lane += 1
            assert [one.entry.request for one, _ in divided.parts] == ["c0", "c1"]
        assert len(divided.owners) == 3 - bool(divided.parts)
    assert 100 < with_lane < 200


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=7),
    st.integers(1, 5),
    st.integers(0, 1 << 40),
)
def test_a_division_by_shifts_is_one_of_all_lanes(
    asked: list[tuple[int, bool]], lanes: int, shift: int
) -> None:
    demands = [
        demand(f"r{number}", weight=weight, waits=waits) for number, (weight, waits) in enumerate(asked)
    ]
    divided = lanes_for(lanes, [demands], shift)
    assert len(divided.owners) <= lanes
    assert bool(divided.parts) == (len(divided.owners) < lanes)
    for entry in set(divided.owners) & divided.working.keys():
        assert 0 < divided.working[entry] < 1


def test_whoever_works_in_half_of_the_shifts_makes_its_pairs_at_twice_the_pace() -> None:
    demands = [demand(f"r{number}", pace=Fraction(1, 5)) for number in range(4)]
    divided = lanes_for(2, [demands], 7)
    shares = paced(2, demands, divided)
    assert shares.owners == ()
    worked = Counter(entry.request for entry in shares.cycle)
    assert len(worked) == 3
    assert worked[NOBODY.request] == len(shares.cycle) * 6 // 10
    assert sorted(worked.values())[:2] == [len(shares.cycle) // 5] * 2
