"""Clocks that are off, drift and are set: own time never decreases, and true time is its first moment."""

from hypothesis import given
from hypothesis import strategies as st

from bellwire.soak.faults import ClockSkew, ClockStep
from bellwire.soak.local_clocks import LocalClock

SECOND = 1_000_000_000
skews = st.builds(
    ClockSkew,
    node=st.just("a"),
    offset_ns=st.integers(-SECOND, SECOND),
    rate_ppb=st.integers(-(10**6), 10**6),
)
steps = st.lists(
    st.builds(
        ClockStep, node=st.just("a"), at_ns=st.integers(0, 10 * SECOND), by_ns=st.integers(-SECOND, SECOND)
    ),
    max_size=4,
    unique_by=lambda step: step.at_ns,
)
times = st.integers(0, 12 * SECOND)


@given(skews, steps, times, times)
def test_own_time_never_decreases(skew: ClockSkew, set_by: list[ClockStep], one: int, other: int) -> None:
    clock = LocalClock(skew, set_by)
    early, late = sorted((one, other))
    assert clock.own(early) <= clock.own(late)


@given(skews, steps, times)
def test_true_time_is_the_first_moment_at_which_the_clock_shows_it(
    skew: ClockSkew, set_by: list[ClockStep], at_ns: int
) -> None:
    clock = LocalClock(skew, set_by)
    own_ns = clock.own(at_ns)
    first_ns = clock.true(own_ns)
    assert first_ns <= at_ns
    assert clock.own(first_ns) >= own_ns
    assert first_ns == 0 or clock.own(first_ns - 1) < own_ns


def test_a_right_clock_shows_true_time() -> None:
    clock = LocalClock(None, [])
    assert clock.right
    assert clock.own(123_456_789) == clock.true(123_456_789) == 123_456_789


def test_a_clock_that_is_set_back_stands_still_until_it_has_caught_up() -> None:
    clock = LocalClock(None, [ClockStep(at_ns=SECOND, node="a", by_ns=-SECOND // 2)])
    assert clock.own(SECOND - 1) == SECOND - 1
    assert clock.own(SECOND) == clock.own(SECOND + SECOND // 2) == SECOND
    assert clock.true(SECOND + 1) == SECOND + SECOND // 2 + 1
