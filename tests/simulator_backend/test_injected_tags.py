"""What a station's detectors show: heralds of the World, a PPS, darks beside the windows and none within.

Counts of darks: mean 20 000, 4 standard errors, one false alarm in 16 000 runs; the seed is fixed.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.simulator_backend.devices.surroundings import Alone
from bellwire.simulator_backend.injected_tags import JITTER_PS, PPS, InjectedTags, TaggedInput, TaggedLink
from bellwire.simulator_backend.world_words import Click, PlannedClick

NOW_NS = 1_800_000_000_250_000_000
PERIOD_NS, LANES, WINDOW_NS = 100_000, 4, 400
DELAY_PS = 12_500


def link(dark_rate_hz: float | None = 0.0) -> TaggedLink:
    return TaggedLink(
        architecture="double_click",
        period_ns=PERIOD_NS,
        lanes=LANES,
        window_ns=WINDOW_NS,
        inputs=tuple(
            TaggedInput(
                channel=f"mid.{number}",
                number=number,
                delay_ps=DELAY_PS if number == 1 else 0,
                dark_rate_hz=dark_rate_hz,
            )
            for number in range(4)
        ),
        seed=3,
    )


CHANNELS = [f"mid.{number}" for number in range(4)]


def click(at_ns: int, *, code: int = 1, attempt: int = 0, lane: int = 0) -> Click:
    return Click("a-b", lane, 1, attempt, code, at_ns, (0, 0), (True, True))


def injected(
    dark_rate_hz: float | None = 0.0, beneath: Alone | None = None, due: Sequence[Click] = ()
) -> InjectedTags:
    """`due`: clicks that happen when somebody looks."""
    waiting = list(due)

    def realise() -> None:
        while waiting:
            made.click(waiting.pop(0))

    made = InjectedTags(beneath or Alone(), {"a-b": link(dark_rate_hz)}, realise)
    return made


def tags_of(made: InjectedTags, start_ns: int, stop_ns: int) -> list[NDArray[np.int64]]:
    times, numbers = made.tags(CHANNELS, start_ns, stop_ns)
    assert (np.diff(times) >= 0).all()
    return [times[numbers == number] for number in range(4)]


@pytest.mark.parametrize(
    ("code", "attempt", "fired"), [(1, 0, {0, 1}), (1, 1, {2, 3}), (2, 0, {0, 3}), (2, 1, {1, 2})]
)
def test_a_success_clicks_at_the_detectors_of_its_code(code: int, attempt: int, fired: set[int]) -> None:
    made = injected(due=[click(NOW_NS, code=code, attempt=attempt)])
    found = tags_of(made, NOW_NS - 100, NOW_NS + 100)
    assert {number for number, times in enumerate(found) if len(times)} == fired
    assert made.clicks_tagged == 2


def test_a_click_is_tagged_after_its_light_by_delay_jitter_and_lane() -> None:
    """500 clicks: 3 standard deviations late in the mean, within 4 standard errors."""
    made = injected(due=[click(NOW_NS + n * PERIOD_NS, attempt=2 * n, lane=3) for n in range(500)])
    left, late, *_ = tags_of(made, NOW_NS, NOW_NS + 500 * PERIOD_NS)
    light_ps = (np.arange(500) * PERIOD_NS + 3 * PERIOD_NS // LANES) * 1000
    for times, delay_ps in ((left, 0), (late, DELAY_PS)):
        spread_ps = times - light_ps - delay_ps
        assert spread_ps.min() >= 0
        assert abs(spread_ps.mean() - 3 * JITTER_PS) <= 4 * JITTER_PS / sqrt(500)
        assert 0.8 * JITTER_PS < spread_ps.std() < 1.2 * JITTER_PS


def test_who_asks_twice_or_in_pieces_sees_the_same() -> None:
    made = injected(1e5, due=[click(NOW_NS + 5_000)])
    whole, numbers = made.tags(CHANNELS, NOW_NS, NOW_NS + 1_000_000)
    again, _ = made.tags(CHANNELS, NOW_NS, NOW_NS + 1_000_000)
    first, _ = made.tags(CHANNELS, NOW_NS, NOW_NS + 5_001)
    rest, _ = made.tags(CHANNELS, NOW_NS + 5_001, NOW_NS + 1_000_000)
    assert (whole == again).all()
    assert (np.concatenate([first, rest + 5_001_000]) == whole).all()
    assert set(numbers.tolist()) == {0, 1, 2, 3}


def test_darks_fill_the_time_beside_the_windows_and_none_of_the_windows() -> None:
    """1e6 Hz and 20 ms: windows are 16 permille of the time, or 1.6 % of 20 000 darks."""
    made = injected(1e6)
    start_ns, stop_ns = NOW_NS, NOW_NS + 20_000_000
    middle_ns = 77_777
    made.plan(PlannedClick("a-b", 0, 1, 9, NOW_NS + middle_ns, 1), NOW_NS)
    spacing_ps = PERIOD_NS * 1000 // LANES
    for number, times in enumerate(tags_of(made, start_ns, stop_ns)):
        late_ps = DELAY_PS if number == 1 else 0
        distance_ps = (times - late_ps - middle_ns * 1000 + spacing_ps // 2) % spacing_ps - spacing_ps // 2
        assert np.abs(distance_ps).min() > WINDOW_NS * 500
        assert np.abs(distance_ps).min() < WINDOW_NS * 500 + 12_000
        expected = 20_000 * (1 - (WINDOW_NS + 2) / (PERIOD_NS / LANES))
        assert abs(len(times) - expected) <= 4 * sqrt(expected)


def test_a_new_grid_of_attempts_holds_from_its_plan_on() -> None:
    made = injected(1e6)
    made.plan(PlannedClick("a-b", 0, 1, 9, NOW_NS, 1), NOW_NS)
    before = tags_of(made, NOW_NS, NOW_NS + 1_000_000)
    made.plan(PlannedClick("a-b", 0, 2, 9, NOW_NS + 1_012_000, 1), NOW_NS + 1_000_000)
    after = tags_of(made, NOW_NS, NOW_NS + 1_000_000)
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
    later = tags_of(made, NOW_NS + 1_000_000, NOW_NS + 2_000_000)[0]
    distance_ps = np.abs((later - 12_000_000 + 12_500_000) % 25_000_000 - 12_500_000)
    assert distance_ps.min() > WINDOW_NS * 500


def test_the_light_beneath_is_kept_out_of_the_windows_too() -> None:
    beneath = Alone(rates_hz={"mid.0": 1e6}, seed=1)
    made = injected(None, beneath)
    dark = len(tags_of(made, NOW_NS, NOW_NS + 10_000_000)[0])
    made.plan(PlannedClick("a-b", 0, 1, 9, NOW_NS, 1), NOW_NS)
    assert len(tags_of(made, NOW_NS, NOW_NS + 10_000_000)[0]) < dark


def test_every_whole_second_has_an_edge_unless_the_cable_is_loose() -> None:
    made = injected()
    times, numbers = made.tags(["mid.0", PPS], NOW_NS, NOW_NS + 2_000_000_000)
    assert times.tolist() == [750_000_000_000, 1_750_000_000_000]
    assert numbers.tolist() == [1, 1]
    made.pps_connected = False
    assert len(made.tags([PPS], NOW_NS, NOW_NS + 2_000_000_000)[0]) == 0


def test_what_is_none_of_a_stations_belongs_to_the_light_beneath() -> None:
    beneath = Alone(rates_hz={"elsewhere": 1e5}, seed=1)
    made = injected(beneath=beneath)
    made.turn("pump_mw", 3.0, NOW_NS)
    assert made.gauge("pump_mw", NOW_NS) == 3.0
    expected, _ = beneath.tags(["elsewhere"], NOW_NS, NOW_NS + 1_000_000)
    found, numbers = made.tags(["mid.0", "elsewhere"], NOW_NS, NOW_NS + 1_000_000)
    assert (found == expected).all()
    assert set(numbers.tolist()) == {1}
