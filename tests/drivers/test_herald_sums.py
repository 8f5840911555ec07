"""Settings checks and the accounts of a run, without any device."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError, PeerViolation
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.herald_counters import HeraldCounters
from bellwire.drivers.herald_settings import (
    GateWindow,
    HeraldSettings,
    polarisation_table,
    settings_for_travel,
)

CLOCK = Clock(8_000_000, 3)


def test_the_polarisation_table_has_exactly_the_four_pairs() -> None:
    table = polarisation_table()
    found = {mask: outcome for mask, outcome in enumerate(table) if outcome}
    assert found == {0b0000_0101: 1, 0b0101_0000: 1, 0b0100_0001: 2, 0b0001_0100: 2}


def test_a_period_that_the_clock_cannot_represent_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a multiple of the tick"):
        HeraldSettings(link_period_ns=1_000_004).registers(CLOCK, 4, 2)


def test_a_decision_before_the_end_of_a_window_is_refused() -> None:
    settings = HeraldSettings(link_period_ns=100_000, windows=(GateWindow(0, 300),), decide_ns=304)
    with pytest.raises(ConfigError, match="decide later"):
        settings.registers(CLOCK, 4, 2)


def test_lanes_that_leave_no_time_for_the_decision_are_refused() -> None:
    with pytest.raises(ConfigError, match="fewer lanes"):
        HeraldSettings(link_period_ns=1000, lanes=5, windows=(GateWindow(0, 8),), decide_ns=160).registers(
            CLOCK, 4, 2
        )


@given(st.integers(0, 10_000_000), st.sampled_from([8_000_000, 4_000_000, 10_000_000, 7_500_000]))
def test_light_of_any_travel_time_falls_into_the_window(travel_ns: int, tick_fs: int) -> None:
    clock = Clock(tick_fs, 3)
    settings = settings_for_travel(1_200_000, 2, travel_ns, clock)
    window = settings.windows[0]
    after_edge_ns = travel_ns - settings.start_delay_ns
    assert window.start_ns <= after_edge_ns < window.start_ns + window.length_ns
    clock.ticks(settings.start_delay_ns, "start_delay_ns")
    assert window.length_ns == 48 or travel_ns < 24
    if tick_fs == 8_000_000:
        settings.registers(clock, 4, 2)


def test_the_accounts_agree_with_a_count_by_hand() -> None:
    chance = random.Random(1)
    for _ in range(200):
        heralded = {a for a in range(100) if chance.random() < 0.1}
        lost_ranges = [(first, first + chance.randrange(8)) for first in chance.sample(range(90), 3)]
        lost = {a for first, last in lost_ranges for a in range(first, last + 1)} - heralded
        counters = HeraldCounters()
        for first, last in lost_ranges:
            counters.lost(first, last)
        told: set[int] = set()
        for bound in sorted(chance.sample(range(100), 5)):
            # A record may come a little before the bound that covers it.
            for attempt in sorted(heralded - told):
                if attempt <= bound + 3:
                    counters.record(attempt)
                    told.add(attempt)
            counters.bound(bound)
            inside = set(range(bound + 1))
            assert counters.succeeded == len(heralded & inside)
            assert counters.unknown == len(lost & inside)
            assert counters.failed == len(inside - heralded - lost)


def test_a_record_behind_its_bound_is_a_violation() -> None:
    counters = HeraldCounters()
    counters.bound(10)
    with pytest.raises(PeerViolation):
        counters.record(10)
