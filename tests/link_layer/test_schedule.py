"""Weighted round robin and the binding rule."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.messages import ScheduleEntry, Window
from bellwire.core.plans import WEIGHTS_MAX, LinkPlan
from bellwire.link_layer.schedule import covering, entry_for, shares_of, weighted_round_robin


def entry(name: str) -> ScheduleEntry:
    return ScheduleEntry(request=name, tree=0)


def window(first: int, last: int, fence: int, *names: str, frame: int = 1) -> Window:
    return Window(
        run=1,
        epoch_ns=0,
        fence=fence,
        first=first,
        last=last,
        frame_attempts=frame,
        schedule=tuple(entry(name) for name in names),
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_every_request_gets_its_share_of_the_cycle(weights: list[int]) -> None:
    cycle = weighted_round_robin([(entry(str(index)), weight) for index, weight in enumerate(weights)])
    counts = Counter(one.request for one in cycle)
    for index, weight in enumerate(weights):
        assert counts[str(index)] * sum(weights) == weight * len(cycle)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=20))
def test_huge_weights_never_starve_anybody_nor_make_a_huge_cycle(weights: list[int]) -> None:
    cycle = weighted_round_robin([(entry(str(index)), weight) for index, weight in enumerate(weights)])
    assert {one.request for one in cycle} == {str(index) for index in range(len(weights))}
    assert len(cycle) <= WEIGHTS_MAX + len(weights)


def test_places_of_a_request_are_spread_and_not_bunched() -> None:
    cycle = weighted_round_robin([(entry("a"), 3), (entry("b"), 3), (entry("c"), 1)])
    names = [one.request for one in cycle]
    assert len(names) == 7
    assert all(names[index] != names[index + 1] for index in range(6))


def test_lanes_of_one_attempt_work_for_different_requests_and_move_on_with_the_frames() -> None:
    one = window(10, 99, 1, "a", "b", frame=5)
    assert [entry_for(one, 10, lane).request for lane in range(3)] == ["a", "b", "a"]
    assert [entry_for(one, 14, lane).request for lane in range(3)] == ["a", "b", "a"]
    assert [entry_for(one, 15, lane).request for lane in range(3)] == ["b", "a", "b"]


def plan(name: str, lanes: int, weight: int = 1) -> LinkPlan:
    return LinkPlan(
        request=name,
        tree=0,
        link="l",
        partner="b",
        rate_hz=1.0,
        lanes=lanes,
        weight=weight,
        fidelity_min=None,
    )


def divided(lanes: int, *plans: LinkPlan) -> tuple[str, str]:
    """Owners and cycle by the names of their requests."""
    shares = shares_of(lanes, {(each.request, each.tree): each for each in plans})
    owners, cycle = (("".join(one.request for one in part)) for part in shares)
    return owners, cycle


def test_lanes_are_owned_as_reserved_then_by_weight_and_only_the_rest_goes_round() -> None:
    assert divided(4, plan("a", 0)) == ("", "a")
    assert divided(4, plan("a", 0), plan("b", 0)) == ("aabb", "")
    assert divided(5, plan("a", 0), plan("b", 0)) == ("aabb", "ab")
    assert divided(8, plan("a", 3), plan("b", 0)) == ("aaaaabb", "ab")
    assert divided(8, plan("a", 3), plan("b", 0, weight=4)) == ("aaaabbbb", "")
    assert divided(4, plan("a", 2), plan("b", 2)) == ("aabb", "")
    assert divided(1, plan("a", 0, weight=2), plan("b", 0)) == ("", "aba")
    assert divided(3, plan("a", 2), plan("b", 2)) == ("aab", "")  # more than there is: no node accepts it


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 4), st.integers(1, 20)), min_size=1, max_size=6))
def test_nobody_has_fewer_lanes_than_reserved_and_the_rest_follows_the_weights(
    lanes: int, wanted: list[tuple[int, int]]
) -> None:
    plans = [plan(str(index), *each) for index, each in enumerate(wanted)]
    if sum(each.lanes for each in plans) > lanes:
        return
    shares = shares_of(lanes, {(each.request, 0): each for each in plans})
    owned = Counter(one.request for one in shares.owners)
    turns = Counter(one.request for one in shares.cycle)
    rest = lanes - sum(each.lanes for each in plans)
    total = sum(each.weight for each in plans)
    for each in plans:
        assert len(plans) == 1 or owned[each.request] >= each.lanes
        going_round = (lanes - len(shares.owners)) * turns[each.request] / max(1, len(shares.cycle))
        fair = each.lanes + rest * each.weight / total
        # Weights of a long cycle are rounded to its places: one place of WEIGHTS_MAX, times the lanes.
        assert owned[each.request] + going_round == pytest.approx(fair, abs=lanes * 6 / WEIGHTS_MAX)
    one = window(0, 99, 1, frame=5)
    one = msgspec.structs.replace(one, owners=shares.owners, schedule=shares.cycle)
    for lane in range(len(shares.owners)):
        assert {entry_for(one, attempt, lane) for attempt in (0, 7, 93)} == {shares.owners[lane]}


def test_the_higher_fence_rules_from_its_first_attempt_on() -> None:
    old, new = window(0, 99, 1, "a"), window(50, 149, 2, "b")
    assert covering([old, new], 49) is old
    assert covering([old, new], 50) is new
    assert covering([new, old], 99) is new
    assert covering([old, new], 150) is None
