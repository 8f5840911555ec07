"""Numbers of a sequencer that makes only some attempts against those of the network, by counting them all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.attempt_numbers import (
    AttemptNumbers,
    decided_to,
    lost_range,
    made_before,
    network_number,
)

CYCLES = 3


@st.composite
def some_numbers(draw: st.DrawFn) -> AttemptNumbers:
    """Windows that may touch each other and the ends of the cycle, as rows of a slot table may."""
    at, windows = draw(st.integers(0, 5)), []
    for _ in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, 6))
        windows.append((at, count))
        at += count + draw(st.integers(0, 4))
    return AttemptNumbers(max(at, sum(windows[-1])) + draw(st.integers(0, 3)), tuple(windows))


def made_numbers(numbers: AttemptNumbers) -> list[int]:
    """The network's numbers of all that is made in some cycles, one by one."""
    return [
        cycle * numbers.cycle + period
        for cycle in range(CYCLES)
        for period in range(numbers.cycle)
        if any(first <= period < first + count for first, count in numbers.windows)
    ]


@given(numbers=some_numbers())
@settings(max_examples=60, deadline=None)
def test_the_two_ways_are_those_of_counting_every_period(numbers: AttemptNumbers) -> None:
    made = made_numbers(numbers)
    assert [network_number(numbers, index) for index in range(len(made))] == made
    for number in range(CYCLES * numbers.cycle + 1):
        assert made_before(numbers, number) == sum(one < number for one in made)
    assert [made_before(numbers, number) for number in made] == list(range(len(made)))


@given(numbers=some_numbers())
@settings(max_examples=60, deadline=None)
def test_a_bound_covers_all_that_is_decided_the_pause_behind_it_and_no_more(numbers: AttemptNumbers) -> None:
    made = made_numbers(numbers)
    for index in range(-1, len(made) - 1):
        bound = decided_to(numbers, index)
        assert [one for one in made if one <= bound] == made[: index + 1]
        assert bound + 1 in made  # a bound beyond the pause would call an open attempt decided


@given(numbers=some_numbers(), chosen=st.tuples(st.integers(0, 40), st.integers(0, 40)))
@settings(max_examples=60, deadline=None)
def test_a_lost_range_holds_what_was_lost_and_nothing_else_that_was_made(
    numbers: AttemptNumbers, chosen: tuple[int, int]
) -> None:
    made = made_numbers(numbers)
    first, last = sorted(min(one, len(made) - 1) for one in chosen)
    begin, end = lost_range(numbers, first, last)
    assert [one for one in made if begin <= one <= end] == made[first : last + 1]
    assert (begin, end) == (made[first], made[last])


@pytest.mark.parametrize(
    "windows", [(), ((0, 0),), ((-1, 2),), ((0, 3), (2, 1)), ((4, 1), (0, 1)), ((8, 3),)], ids=str
)
def test_windows_that_are_no_windows_are_refused(windows: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(LocalMisuse, match="in a cycle of 10 periods"):
        AttemptNumbers(10, windows)
