"""Whom a lane works for: the same at both ends, because it follows from the window alone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.link_messages import Window
from bellwire.link_layer.binding import covering, entry_for
from tests.link_layer.wishes import window


def bound(one: Window, attempt: int, lane: int) -> str | None:
    entry = entry_for(one, attempt, lane)
    return None if entry is None else entry.request


def test_lanes_of_one_attempt_work_for_different_requests_and_move_on_with_the_frames() -> None:
    one = window(10, 99, 1, "a", "b", frame=5)
    assert [bound(one, 10, lane) for lane in range(3)] == ["a", "b", "a"]
    assert [bound(one, 14, lane) for lane in range(3)] == ["a", "b", "a"]
    assert [bound(one, 15, lane) for lane in range(3)] == ["b", "a", "b"]


def test_an_owned_lane_works_for_its_owner_whatever_the_cycle_says() -> None:
    one = window(10, 99, 1, "a", "b", frame=5, owners=("c", "c"))
    assert {bound(one, attempt, lane) for attempt in range(10, 100) for lane in range(2)} == {"c"}
    assert {bound(one, attempt, 2) for attempt in range(10, 100)} == {"a", "b"}


@given(st.integers(0, 500), st.integers(1, 7), st.integers(0, 499), st.integers(0, 3))
@settings(derandomize=True, deadline=None)
def test_frames_of_a_calendar_lie_at_the_same_attempts_in_whatever_window(
    first: int, frame: int, attempt: int, lane: int
) -> None:
    one = window(first, first + 999, 1, "a", "b", "", frame=frame, anchored=True)
    expected = ("a", "b", None)[(first + attempt) // frame % 3]
    assert bound(one, first + attempt, lane) == expected


def test_a_frame_of_nobody_binds_nothing_on_any_lane() -> None:
    one = window(0, 99, 1, "a", "", frame=5)
    assert [bound(one, attempt, 0) for attempt in (0, 5, 10)] == ["a", None, "a"]
    assert [bound(one, attempt, 1) for attempt in (0, 5, 10)] == [None, "a", None]
    assert bound(window(0, 99, 1, "", frame=5), 7, 0) is None
    assert bound(window(0, 99, 1, "a", frame=5, owners=("",)), 7, 0) is None


def test_the_higher_fence_rules_from_its_first_attempt_on() -> None:
    old, new = window(0, 99, 1, "a"), window(50, 149, 2, "b")
    assert covering([old, new], 49) is old
    assert covering([old, new], 50) is new
    assert covering([new, old], 99) is new
    assert covering([old, new], 150) is None
