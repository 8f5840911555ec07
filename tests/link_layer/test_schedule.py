"""Weighted round robin and the binding rule."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.messages import ScheduleEntry, Window
from bellwire.core.plans import PLACES
from bellwire.link_layer.schedule import covering, entry_for, weighted_round_robin


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
    assert len(cycle) <= PLACES + len(weights)


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


def test_the_higher_fence_rules_from_its_first_attempt_on() -> None:
    old, new = window(0, 99, 1, "a"), window(50, 149, 2, "b")
    assert covering([old, new], 49) is old
    assert covering([old, new], 50) is new
    assert covering([new, old], 99) is new
    assert covering([old, new], 150) is None
