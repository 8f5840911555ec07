"""The record of a clock: exact integers, a sigma that grows, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_offset import E15, RATE_MAX_E15, SPAN_MAX_PS, ClockOffset

S = 10**12

CLOCK = ClockOffset(
    epoch=3,
    reference_epoch=8,
    at_ps=5 * S,
    offset_ps=-2_345_678_901,
    rate_e15=2_000_000_000,
    sigma_ps=12,
    sigma_rate_e15=20_000,
    walk_fs=0,
    wander_e15=0,
    fitted_from_ps=4 * S,
    fitted_until_ps=6 * S,
    valid_from_ps=0,
    valid_until_ps=100 * S,
)


def test_the_offset_at_another_time_is_the_line() -> None:
    """2 ppm over 10 s are 20 us."""
    assert CLOCK.at(15 * S) == (-2_345_678_901 + 20_000_000, round(sqrt(12**2 + 200**2)))
    assert CLOCK.to_reference(15 * S) == 15 * S - 2_325_678_901


@given(
    st.integers(-RATE_MAX_E15, RATE_MAX_E15),
    st.integers(-SPAN_MAX_PS, SPAN_MAX_PS),
    st.integers(-(10**17), 10**17),
    st.integers(-(10**17), 10**17),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_an_array_is_converted_to_the_picosecond_like_single_times(
    rate_e15: int, away_ps: int, at_ps: int, offset_ps: int
) -> None:
    clock = replace(
        CLOCK,
        rate_e15=rate_e15,
        at_ps=at_ps,
        offset_ps=offset_ps,
        fitted_from_ps=at_ps,
        fitted_until_ps=at_ps,
        valid_from_ps=at_ps - SPAN_MAX_PS,
        valid_until_ps=at_ps + SPAN_MAX_PS,
    )
    times = [at_ps + max(-SPAN_MAX_PS, min(away_ps + k, SPAN_MAX_PS - 1)) for k in range(5)]
    expected = [time + offset_ps + (rate_e15 * (time - at_ps) * 2 + E15) // (2 * E15) for time in times]
    assert clock.all_to_reference(np.array(times, np.int64)).tolist() == expected
    assert [clock.to_reference(time) for time in times] == expected
    assert expected == sorted(expected)


def test_an_empty_array_stays_empty() -> None:
    assert CLOCK.all_to_reference(np.empty(0, np.int64)).size == 0


@given(st.integers(-49_990_000_000, 49_990_000_000), st.integers(0, 100 * S - 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_there_and_back_is_within_a_picosecond(rate_e15: int, time_ps: int) -> None:
    clock = replace(CLOCK, rate_e15=rate_e15)
    back = clock.inverted()
    there = clock.to_reference(time_ps)
    assert abs(back.to_reference(there, 8) - time_ps) <= 1
    assert (back.epoch, back.reference_epoch) == (8, 3)


def test_sigma_grows_with_the_rate_and_beyond_the_fit_with_the_wander() -> None:
    """Closed forms: sigma_rate t, walk t^(1/2), wander t^(3/2) / 3^(1/2), added in squares."""
    still = replace(CLOCK, sigma_ps=1, sigma_rate_e15=0)
    assert still.at(90 * S)[1] == 1
    assert replace(still, sigma_rate_e15=10**6).at(15 * S)[1] == 10_000
    walking = replace(still, walk_fs=100_000)
    assert walking.at(6 * S)[1] == 1
    assert walking.at(31 * S)[1] == 500
    assert walking.at(0)[1] == 200
    wandering = replace(still, wander_e15=10**6)
    assert wandering.at(9 * S)[1] == 3000
    assert wandering.at(18 * S)[1] == 24_000
    assert CLOCK.sigma_within(0, 99 * S) == CLOCK.at(99 * S)[1]


@pytest.mark.parametrize("time_ps", [-1, 100 * S])
def test_outside_its_validity_it_tells_nothing(time_ps: int) -> None:
    with pytest.raises(LocalMisuse, match="known from"):
        CLOCK.at(time_ps)
    with pytest.raises(LocalMisuse, match="known from"):
        CLOCK.to_reference(time_ps)
    with pytest.raises(LocalMisuse, match="known from"):
        CLOCK.all_to_reference(np.array([5 * S, time_ps], np.int64))


def test_times_of_another_epoch_are_refused() -> None:
    assert CLOCK.at(5 * S, 3)[0] == CLOCK.offset_ps
    for epoch in (2, 4, 8):
        with pytest.raises(LocalMisuse, match="search it again"):
            CLOCK.at(5 * S, epoch)
        with pytest.raises(LocalMisuse, match="search it again"):
            CLOCK.all_to_reference(np.array([5 * S], np.int64), epoch)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"rate_e15": RATE_MAX_E15 + 1}, "50 ppm"),
        ({"sigma_ps": 0}, "better than"),
        ({"wander_e15": -1}, "sigma"),
        ({"at_ps": 7 * S}, "outside what was fitted"),
        ({"valid_until_ps": 5 * S + SPAN_MAX_PS + 1}, "at most"),
        ({"valid_until_ps": 0}, "at most"),
    ],
)
def test_a_clock_that_cannot_be_is_refused(wrong: dict[str, int], why: str) -> None:
    with pytest.raises(LocalMisuse, match=why):
        replace(CLOCK, **wrong)
