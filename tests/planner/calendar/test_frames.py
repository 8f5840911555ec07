"""Frames: the guard of clocks, the shortest slot, windows, and the slot table of the hardware."""

from itertools import pairwise
from math import erfc, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.core.link_messages import Window as AttemptWindow
from bellwire.link_layer.turns import span_in_turns
from bellwire.planner.calendar.bookings import Claim
from bellwire.planner.calendar.frames import (
    GUARD_SIGMAS,
    Frame,
    LinkNeed,
    SlotRow,
    SlotTable,
    check_frame,
    guard_ns,
    slot_table,
    windows_of,
)
from tests.planner.calendar.made_up import LINK_SETTINGS

NEED = LinkNeed("ab", ("a", "b"), (Claim("lanes:ab"),), 1_000, 700, 300, "a")


def test_a_guard_is_four_times_the_sum_of_the_two_worst_clocks() -> None:
    assert guard_ns([100.0, 300.0, 200.0]) == 2000
    assert guard_ns([250.0]) == 1000
    assert guard_ns([]) == 0


def test_clocks_with_equal_normal_errors_collide_rarer_than_once_in_31_000_hand_overs() -> None:
    """The tail of the normal distribution: the error of a difference is sqrt(2) of one clock's, and the guard
    twice GUARD_SIGMAS of it."""
    beyond = erfc(2 * GUARD_SIGMAS / sqrt(2) / sqrt(2)) / 2
    assert beyond < erfc(GUARD_SIGMAS / sqrt(2)) / 2 < 1 / 31_000


def test_slots_shorter_than_an_attempt_with_its_herald_and_guard_are_refused_with_the_length_needed() -> None:
    check_frame(Frame(2_000, 8), {"ab": NEED})
    with pytest.raises(ConfigError, match=r"slots of 0\.001999 ms are too short for link ab.*need 0\.002 ms"):
        check_frame(Frame(1_999, 8), {"ab": NEED})


def test_lanes_that_take_turns_at_an_emitter_need_a_period_each() -> None:
    assert NEED._replace(rounds=3).least_ns == NEED.least_ns + 2 * NEED.period_ns


@pytest.mark.parametrize("slots", [0, 257])
def test_frames_of_no_slots_or_far_too_many_are_refused(slots: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 256 slots, not {slots}"):
        check_frame(Frame(10_000, slots), {"ab": NEED})


@given(granted=st.sets(st.integers(0, 15)))
def test_windows_are_the_slots_without_gaps_and_without_touching_each_other(granted: set[int]) -> None:
    windows = windows_of(granted)
    assert {slot for one in windows for slot in range(one.first, one.first + one.slots)} == granted
    assert all(one.first + one.slots < other.first for one, other in pairwise(windows))


@given(
    granted=st.sets(st.integers(0, 7), min_size=1),
    periods=st.integers(3, 9),
    decided_ns=st.integers(0, 1_500),
    guard=st.integers(0, 400),
)
@settings(max_examples=60, deadline=None)
def test_the_slot_table_makes_the_attempts_that_both_ends_of_the_link_agree_on(
    granted: set[int], periods: int, decided_ns: int, guard: int
) -> None:
    """Against the arithmetic of the link layer, attempt by attempt over the second of three cycles."""
    frame = Frame(periods * 1_000, 8)
    need = NEED._replace(decided_ns=decided_ns, guard_ns=guard)
    link = LINK_SETTINGS(
        turn_ns=frame.slot_ns,
        turns=frame.slots,
        turn_guard_ns=guard,
        period_ns=1_000,
        click_delay_ns=decided_ns,
        herald_delay_ns=(0, 0),
    )
    agreed = AttemptWindow(
        run=1, epoch_ns=0, fence=1, first=0, last=10_000, frame_attempts=periods, schedule=(), owners=(),
        granted=tuple(sorted(granted)),
    )  # fmt: skip
    table = slot_table(frame, need, sorted(granted))
    ordered: set[int] = set()
    for cycle in range(3):
        at_ns = begun_ns = cycle * frame.cycle_ns + table.starts_ns
        for row in table.rows:
            ordered |= {at_ns // 1_000 + number for number in range(row.attempts)}
            at_ns += row.attempts * 1_000 + row.gap_ns
        assert at_ns - begun_ns == frame.cycle_ns
    made: set[int] = set()
    attempt, end = 0, 3 * 8 * periods
    while (span := span_in_turns(link, (agreed,), 0, attempt)) and span[0] < end:
        made |= set(range(span[0], min(span[1] + 1, end)))
        attempt = span[1] + 1
    second = range(8 * periods, 2 * 8 * periods)
    assert ordered.intersection(second) == made.intersection(second)


def test_a_table_goes_on_over_the_end_of_a_cycle_where_the_link_does() -> None:
    """Slot 3 of 4 and slot 0 of the next cycle are one stretch, with one guard at the end of slot 0."""
    frame = Frame(4_000, 4)
    assert slot_table(frame, NEED, (0, 3)) == SlotTable(0, (SlotRow(4, 8_000), SlotRow(4, 0)))
    assert slot_table(frame, NEED, (3,)) == SlotTable(12_000, (SlotRow(4, 12_000),))
    assert slot_table(frame, NEED, (0, 1, 2, 3)) == SlotTable(0, (SlotRow(16, 0),))
    assert slot_table(frame, NEED, ()) == SlotTable(0, ())
