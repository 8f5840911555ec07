"""The sequence check: in any channel each success is taken at most once and no hole is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from bellwire.link_layer.heralds import REPORTS_AHEAD_MAX, HeraldSequence
from tests.link_layer.lone import RUN, report

REPEAT_NS = 100


def sequence() -> HeraldSequence:
    one = HeraldSequence()
    one.begin(RUN, 0)
    return one


arrivals = st.lists(st.integers(1, 25), max_size=80)
"""Numbers in the order in which they arrive: with gaps, copies and in any order."""


@given(arrivals)
def test_each_number_is_taken_the_first_time_it_comes_and_never_again(numbers: list[int]) -> None:
    one = sequence()
    taken: set[int] = set()
    for number in numbers:
        assert one.take(report(number, number), 0) == (number not in taken)
        taken.add(number)
    missing = next(number for number in range(1, 27) if number not in taken)
    assert one.expected == missing
    assert one.ahead == {number for number in taken if number > missing}


@given(arrivals, st.integers(1, 25))
def test_what_was_given_up_is_never_taken_and_what_follows_still_is(numbers: list[int], cut: int) -> None:
    one = sequence()
    for number in numbers:
        one.take(report(number, number), 0)
    one.skip_to(cut)
    assert one.expected > cut
    assert all(number > one.expected for number in one.ahead)
    for number in range(1, cut + 1):
        assert not one.take(report(number, number), 0)
    for number in range(cut + 1, 27):
        assert one.take(report(number, number), 0) == (number not in numbers)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 25), st.booleans()), max_size=80))
def test_a_hole_is_asked_for_at_most_once_an_interval(steps: list[tuple[int, int, bool]]) -> None:
    one = sequence()
    now_ns, asked = 0, dict[int, int]()
    for later_ns, number, arrives in steps:
        now_ns += later_ns
        if arrives:
            one.take(report(number, number), now_ns)
        wanted = one.hole(number, now_ns, REPEAT_NS)
        if wanted is not None:
            assert wanted == one.expected <= number
            assert now_ns - asked.get(wanted, -REPEAT_NS) >= REPEAT_NS
            asked[wanted] = now_ns


def test_a_hole_is_asked_for_at_once_and_again_when_the_interval_is_over() -> None:
    one = sequence()
    one.take(report(2, 9), 0)
    assert one.hole(2, 0, REPEAT_NS) == 1
    assert one.hole(2, REPEAT_NS - 1, REPEAT_NS) is None
    assert one.hole(2, REPEAT_NS, REPEAT_NS) == 1


def test_a_new_hole_does_not_wait_for_the_interval_of_one_that_was_filled() -> None:
    one = sequence()
    one.take(report(2, 9), 0)
    assert one.hole(2, 0, REPEAT_NS) == 1
    one.take(report(1, 8), 1)
    one.take(report(4, 12), 2)
    assert one.hole(4, 2, REPEAT_NS) == 3


def test_nothing_is_asked_for_while_nothing_is_missing() -> None:
    one = sequence()
    assert one.hole(0, 0, REPEAT_NS) is None
    one.take(report(1, 8), 0)
    assert one.hole(1, 10**9, REPEAT_NS) is None


def test_a_bound_beyond_the_last_report_shows_a_lost_tail() -> None:
    assert sequence().hole(3, 0, REPEAT_NS) == 1


def test_reports_of_another_run_are_not_taken_and_a_new_run_counts_from_one() -> None:
    one = sequence()
    assert not one.take(report(1, 5, run=RUN + 1), 0)
    assert one.take(report(1, 5), 0)
    one.begin(RUN + 1, 7)
    assert one.heard_ns == 7
    assert not one.take(report(2, 6), 8)
    assert one.take(report(1, 5, run=RUN + 1), 8)


def test_reports_beyond_a_hole_are_bounded_and_those_dropped_are_counted_and_come_again() -> None:
    one = sequence()
    last = REPORTS_AHEAD_MAX + 6
    for number in range(2, last + 1):
        one.take(report(number, number), 0)
    assert len(one.ahead) == REPORTS_AHEAD_MAX
    assert one.dropped == 5
    assert one.take(report(1, 1), 0)
    assert one.expected == last - 4
    assert one.take(report(last - 4, last - 4), 0)
