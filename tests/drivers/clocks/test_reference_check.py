"""Which readings forbid to look for a clock at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bellwire.drivers.clocks.reference_check import ReferenceReadings, reference_problems
from bellwire.drivers.roles import ClockStanding

BEFORE = ClockStanding(locked=True, offset_ps=3, round_trip_ps=100_000, updates=500)
NOW = replace(BEFORE, offset_ps=-99, updates=507)
GOOD = ReferenceReadings(
    ten_mhz_locked=True,
    pll_locked=True,
    pps_present=True,
    pps_interval_fs=10**15 + 10**6,
    white_rabbit=(BEFORE, NOW),
)


def test_good_readings_and_those_of_a_node_without_white_rabbit_pass() -> None:
    assert reference_problems(GOOD) == ()
    assert reference_problems(replace(GOOD, white_rabbit=None)) == ()
    assert reference_problems(ReferenceReadings(pps_present=True)) == ()


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (replace(GOOD, ten_mhz_locked=False), "10 MHz"),
        (replace(GOOD, pll_locked=False), "PLL"),
        (replace(GOOD, pps_present=False), "no PPS"),
        (replace(GOOD, pps_interval_fs=10**15 + 10**6 + 1), "off one second"),
        (replace(GOOD, pps_interval_fs=10**15 - 10**6 - 1), "off one second"),
        (replace(GOOD, pps_interval_fs=2 * 10**15), "off one second"),
        (replace(GOOD, white_rabbit=(BEFORE, replace(NOW, locked=False))), "track the phase"),
        (replace(GOOD, white_rabbit=(BEFORE, replace(NOW, updates=500))), "old"),
        (replace(GOOD, white_rabbit=(BEFORE, replace(NOW, updates=499))), "restarted"),
        (replace(GOOD, white_rabbit=(BEFORE, replace(NOW, offset_ps=100))), "100 ps"),
        (replace(GOOD, white_rabbit=(BEFORE, replace(NOW, offset_ps=-100))), "100 ps"),
        (ReferenceReadings(), "no reading"),
    ],
)
def test_each_bad_reading_is_named_alone(wrong: ReferenceReadings, what: str) -> None:
    problems = reference_problems(wrong)
    assert len(problems) == 1
    assert what in problems[0]


def test_the_counter_of_updates_may_wrap() -> None:
    wrapped = (replace(BEFORE, updates=2**32 - 2), replace(NOW, updates=3))
    assert reference_problems(replace(GOOD, white_rabbit=wrapped)) == ()


def test_all_problems_are_told_at_once() -> None:
    bad = ReferenceReadings(ten_mhz_locked=False, pll_locked=False, pps_present=False)
    assert len(reference_problems(bad)) == 3
