"""Turns of a network schedule as the frame of a station's FPGA: rows, what does not fit, numbers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.core.settings import LinkSettings
from bellwire.drivers.attempt_numbers import network_number
from bellwire.drivers.herald_frames import ATTEMPTS_MAX, TICKS_MAX, Frame, FrameSlot
from bellwire.drivers.herald_settings import NOMINAL_CLOCK, HeraldSettings
from bellwire.runtime.slot_frames import attempt_numbers, with_slots
from tests.planner.calendar.made_up import LINK_SETTINGS

MS = 1_000_000


def link_of(granted: tuple[int, ...] | None, **changes: Any) -> LinkSettings:
    figures: dict[str, Any] = {"period_ns": MS, "lanes": 2, "turn_ns": 10 * MS, "turns": 8}
    figures |= {"station": "mid", "click_delay_ns": 50_000, "herald_delay_ns": (0, 0)}
    return LINK_SETTINGS(turns_granted=granted, **{**figures, **changes})


def settings_of(link: LinkSettings) -> HeraldSettings:
    plain = HeraldSettings(link_period_ns=link.period_ns, lanes=link.lanes, start_delay_ns=800)
    return with_slots(plain, link)


def test_a_row_of_the_device_is_a_window_with_an_attempt_for_every_lane() -> None:
    found = settings_of(link_of((2, 3, 6)))
    assert found.start_delay_ns == 800 + 20 * MS
    assert found.frame == Frame(
        length_ns=80 * MS,
        slots=(
            FrameSlot(link=0, attempts=2 * 20, gap_ns=20 * MS),
            FrameSlot(link=0, attempts=2 * 10, gap_ns=30 * MS),
        ),
    )
    assert found.registers(NOMINAL_CLOCK, 4, 2)["FRAME_LEN", 0] == 10 * MS


@pytest.mark.parametrize("granted", [None, (), tuple(range(8))], ids=["no schedule", "nothing", "everything"])
def test_links_without_a_schedule_with_nothing_or_with_everything_have_no_table(
    granted: tuple[int, ...] | None,
) -> None:
    link = link_of(granted)
    assert settings_of(link).frame is None
    assert settings_of(link).start_delay_ns == 800
    assert attempt_numbers(link) is None


def test_a_window_of_more_attempts_than_a_row_holds_has_several_rows_without_a_pause_between() -> None:
    link = link_of((0, 1), period_ns=10_000, lanes=5, turn_ns=200 * MS, turns=3)
    frame = settings_of(link).frame
    assert frame is not None
    assert [slot.attempts for slot in frame.slots] == [65_535] * 3 + [5 * 39_996 - 3 * 65_535]
    assert [slot.gap_ns for slot in frame.slots] == [0, 0, 0, 200 * MS + 4 * 10_000]


@given(
    granted=st.sets(st.integers(0, 7), min_size=1, max_size=7),
    lanes=st.sampled_from([1, 2, 3, 5, 20]),
    periods=st.integers(1, 20_000),
)
@settings(max_examples=60, deadline=None)
def test_rows_follow_each_other_to_the_end_of_the_cycle_and_begin_attempts_where_the_network_numbers_them(
    granted: set[int], lanes: int, periods: int
) -> None:
    period_ns = lanes * 800
    link = link_of(
        tuple(sorted(granted)),
        lanes=lanes,
        period_ns=period_ns,
        turn_ns=periods * period_ns,
        click_delay_ns=1,
    )
    found, numbers = settings_of(link), attempt_numbers(link)
    assert found.frame is not None
    assert numbers is not None
    slots = found.frame.slots
    assert sum(one.attempts * 800 + one.gap_ns for one in slots) == found.frame.length_ns
    assert all(1 <= one.attempts <= ATTEMPTS_MAX for one in slots)
    assert sum(one.attempts for one in slots) == lanes * numbers.made_in_cycle
    for made in {0, 1, numbers.made_in_cycle - 1, numbers.made_in_cycle, 3 * numbers.made_in_cycle + 1}:
        for lane in (0, lanes - 1):
            edge_ns = found.start_delay_ns - 800 + found.frame.edge_ns(made * lanes + lane, 800)
            assert edge_ns == network_number(numbers, made) * period_ns + lane * 800


def test_more_windows_than_the_device_has_rows_are_refused_with_both_numbers() -> None:
    granted = tuple(range(0, 130, 2))
    with pytest.raises(ConfigError, match=r"the 65 windows of link ab .* need 65 rows.*station mid has 64"):
        settings_of(link_of(granted, turns=256))
    assert settings_of(link_of(granted[:-1], turns=256)).frame is not None


def test_attempts_that_are_decided_as_they_begin_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"attempts of link ab are decided as they begin.*clock_sigma_us"):
        settings_of(link_of((1, 3), click_delay_ns=0))


def test_a_cycle_and_a_start_longer_than_the_device_counts_are_refused() -> None:
    link = link_of((1, 3), turn_ns=10_000 * MS, turns=4, period_ns=100 * MS)
    with pytest.raises(ConfigError, match=rf"a frame of 5000000000 ticks, the device counts {TICKS_MAX}"):
        settings_of(link).registers(NOMINAL_CLOCK, 4, 2)
    late = HeraldSettings(link_period_ns=MS, start_delay_ns=8 * (TICKS_MAX + 1))
    with pytest.raises(ConfigError, match=f"start_delay_ns is {TICKS_MAX + 1} ticks, outside 0"):
        late.registers(NOMINAL_CLOCK, 4, 2)
