"""A clock kept from block to block: consistency of the filter, outliers, holdover, loss and finding again."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom, chi2

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.block_offset import OffsetMeasurement, measure_block
from bellwire.drivers.clocks.clock_filter import ClockState
from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind, ClockNoise
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.tracking import ClockTracker, Standing, TrackingLimits
from tests.drivers.clocks.streams import SECOND, draw, recover

OVEN = MODELS[ClockKind.OVEN].noise
S = SECOND

FOUND = ClockOffset(
    epoch=1,
    reference_epoch=7,
    at_ps=S,
    offset_ps=1_000_000,
    rate_e15=10_000_000,
    sigma_ps=10,
    sigma_rate_e15=30_000,
    walk_fs=OVEN.walk_fs,
    wander_e15=OVEN.wander_e15,
    fitted_from_ps=0,
    fitted_until_ps=2 * S,
    valid_from_ps=0,
    valid_until_ps=4 * S,
)


def measured(at_ps: int, offset_ps: int, epoch: int = 1, sigma_ps: int = 10) -> OffsetMeasurement:
    return OffsetMeasurement(epoch, at_ps, offset_ps, sigma_ps, 1000, 350)


def on_line(at_ps: int, beside_ps: int = 0) -> OffsetMeasurement:
    return measured(at_ps, 1_000_000 + (at_ps - S) // 10**8 + beside_ps)


def tracked(until_s: int, limits: TrackingLimits | None = None) -> ClockTracker:
    tracker = ClockTracker(FOUND, OVEN, limits)
    for second in range(2, until_s + 1):
        assert tracker.take(on_line(second * S))
    return tracker


# -- the filter ---------------------------------------------------------------------------------------------


def covariance(noise: ClockNoise, t: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Zucca and Tavella (2005) for two states."""
    q1, q2 = noise.offset_ps2_per_s, noise.rate_ps2_per_s3
    return np.array([[q1 * t + q2 * t**3 / 3, q2 * t**2 / 2], [q2 * t**2 / 2, q2 * t]])


@pytest.mark.parametrize("kind", list(ClockKind))
def test_the_squared_error_of_the_states_is_what_the_filter_says(kind: ClockKind) -> None:
    """NEES: 200 drawn clocks, 30 blocks each at uneven times; at the end the sum of the squared errors over
    their covariance is chi2 with 400 degrees of freedom (two-sided, false alarm 2e-4 for each kind).
    """
    noise, chance = MODELS[kind].noise, np.random.default_rng(11)
    total = 0.0
    for _ in range(200):
        truth = np.array([chance.normal(0, 20), chance.normal(0, 50)])
        state = ClockState(0, 5_000_000, 0.0, 0.0, 400.0, 0.0, 2500.0)
        for _ in range(30):
            t = float(chance.uniform(0.2, 2.0))
            moved = np.array([truth[0] + t * truth[1], truth[1]])
            truth = chance.multivariate_normal(moved, covariance(noise, t))
            state = state.later(state.at_ps + round(t * S), noise)
            seen = round(5_000_000 + truth[0] + chance.normal(0, 15))
            state = state.corrected(seen, sqrt(15**2 + 1 / 12))
        error = np.array(
            [state.base_ps - 5_000_000 + state.offset_ps - truth[0], state.rate_ps_per_s - truth[1]]
        )
        p = np.array([[state.p_offset, state.p_cross], [state.p_cross, state.p_rate]])
        total += float(error @ np.linalg.solve(p, error))
    assert chi2.ppf(1e-4, 400) <= total <= chi2.ppf(1 - 1e-4, 400)


def test_the_filter_is_the_textbook_one_in_matrices() -> None:
    """Ten steps against F P F' + Q and the gain of matrices."""
    state = ClockState(0, 0, 3.0, 7.0, 50.0, 4.0, 9.0)
    x, p = np.array([3.0, 7.0]), np.array([[50.0, 4.0], [4.0, 9.0]])
    h = np.array([[1.0, 0.0]])
    for step in range(1, 11):
        f = np.array([[1.0, 0.5], [0.0, 1.0]])
        x, p = f @ x, f @ p @ f.T + covariance(OVEN, 0.5)
        total = (h @ p @ h.T + 400.0)[0, 0]
        gain = (p @ h.T / total)[:, 0]
        x, p = x + gain * (step * 11 - x[0]), p - np.outer(gain, h @ p)
        state = state.later(step * S // 2, OVEN).corrected(step * 11, 20.0)
        assert state.base_ps + state.offset_ps == pytest.approx(x[0])
        assert state.rate_ps_per_s == pytest.approx(x[1])
        found = [state.p_offset, state.p_cross, state.p_rate]
        assert found == pytest.approx([p[0, 0], p[0, 1], p[1, 1]])


def test_an_offset_of_seconds_costs_no_picosecond() -> None:
    state = ClockState(0, 3 * 10**12 + 1, 0.25, 1.0, 1.0, 0.0, 0.0).later(10**16, ClockNoise(0, 0))
    assert state.base_ps + state.offset_ps == 3 * 10**12 + 1 + 10_000.25


def test_going_back_in_time_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="in order"):
        ClockState(5, 0, 0.0, 0.0, 1.0, 0.0, 1.0).later(4, OVEN)


@pytest.mark.parametrize(
    ("kind", "wander"),
    [(ClockKind.QUARTZ, 6.3e-10), (ClockKind.OVEN, 2.8e-11), (ClockKind.RUBIDIUM, 4.4e-15)],
)
def test_the_noise_of_each_kind_is_that_of_its_spectrum(kind: ClockKind, wander: float) -> None:
    """sqrt(2 pi^2 h-2), and the Allan variance at 1 s of the white part: h0 / 2."""
    assert MODELS[kind].noise.wander_e15 / 1e15 == pytest.approx(wander, rel=0.02, abs=1e-15)


# -- tracking -----------------------------------------------------------------------------------------------


def test_measurements_pull_the_sigma_below_that_of_one() -> None:
    tracker = ClockTracker(FOUND, ClockNoise(0.0, 0.0))
    for second in range(2, 40):
        tracker.take(on_line(second * S))
    offset, rate, sigma = tracker.expected(40 * S)
    assert offset == pytest.approx(1_000_000 + 390_000, abs=2)
    assert rate == pytest.approx(10_000_000, abs=200)
    # a line through 39 points of 10 ps at its end: 2 / sqrt(39)
    assert sigma == pytest.approx(2 * 10 / sqrt(39), abs=1)


def test_an_outlier_is_refused_and_changes_nothing() -> None:
    tracker = tracked(10)
    before = tracker.expected(12 * S)
    assert not tracker.take(on_line(11 * S, beside_ps=20_000))
    assert tracker.expected(12 * S) == before
    assert (tracker.rejected, tracker.standing) == (1, Standing.TRACKING)
    assert tracker.take(on_line(12 * S))


def test_the_gate_stands_at_five_sigma() -> None:
    tracker = tracked(10)
    total = sqrt(tracker.window_ps(11 * S) ** 2 / 25 + 10**2)
    offset = tracker.expected(11 * S)[0]
    assert not tracker.take(measured(11 * S, offset + round(5.05 * total)))
    assert tracker.take(measured(11 * S, offset + round(4.9 * total)))


def test_outliers_that_agree_are_a_step_and_the_clock_is_lost() -> None:
    tracker = tracked(10)
    for second in (11, 12, 13):
        assert tracker.standing is Standing.TRACKING
        assert not tracker.take(on_line(second * S, beside_ps=20_000))
    assert tracker.standing is Standing.LOST
    assert "a step" in tracker.changes[-1].reason


def test_an_outlier_between_good_ones_is_no_step() -> None:
    tracker = tracked(10)
    for second in range(11, 31):
        tracker.take(on_line(second * S, beside_ps=20_000 if second % 2 else 0))
    assert tracker.rejected == 10
    assert tracker.standing is Standing.TRACKING


def test_silence_is_holdover_with_the_rate_held_and_a_window_that_widens() -> None:
    """Without measurements the sigma follows P + t^2 P_rate + q1 t + q2 t^3 / 3 and more."""
    tracker = tracked(30)
    assert tracker.look(33 * S) is Standing.TRACKING
    assert tracker.look(33 * S + 1) is Standing.HOLDOVER
    offset, rate, _ = tracker.expected(60 * S)
    assert offset == pytest.approx(1_000_000 + 590_000, abs=5 * 30 * 30)
    assert rate == tracker.expected(40 * S)[1]
    at_40, at_60 = tracker.window_ps(40 * S), tracker.window_ps(60 * S)
    assert at_60 > at_40 > tracker.window_ps(31 * S)
    assert at_60 >= 5 * sqrt(covariance(OVEN, 30.0)[0, 0])


def test_a_measurement_ends_the_holdover() -> None:
    tracker = tracked(10)
    tracker.look(20 * S)
    assert tracker.take(on_line(21 * S))
    assert [change.after for change in tracker.changes] == [Standing.HOLDOVER, Standing.TRACKING]


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (TrackingLimits(holdover_ps=20 * S, window_ps=10**9), "no measurement"),
        (TrackingLimits(holdover_ps=10_000 * S, window_ps=20_000), "window"),
    ],
)
def test_too_long_a_silence_or_too_wide_a_window_loses_the_clock(limits: TrackingLimits, why: str) -> None:
    tracker = tracked(10, limits)
    second = 10
    while tracker.look(second * S) is not Standing.LOST:
        second += 1
        assert second < 200
    assert why in tracker.changes[-1].reason
    assert [change.after for change in tracker.changes] == [Standing.HOLDOVER, Standing.LOST]
    for ask in (tracker.expected, tracker.window_ps, tracker.clock):
        with pytest.raises(LocalMisuse, match="lost"):
            ask(second * S)
    with pytest.raises(LocalMisuse, match="lost"):
        tracker.take(on_line(second * S))


def test_a_lost_clock_says_where_to_search_and_is_found_again() -> None:
    tracker = tracked(10, TrackingLimits(holdover_ps=20 * S))
    with pytest.raises(LocalMisuse, match="nothing to search"):
        tracker.search_again(11 * S)
    with pytest.raises(LocalMisuse, match="only a lost one"):
        tracker.found_again(FOUND)
    tracker.look(40 * S)
    where = tracker.search_again(40 * S)
    assert where is not None
    assert abs(where.offset_ps - (1_000_000 + 390_000)) < where.uncertainty_ps
    assert abs(where.rate_e15 - 10_000_000) <= where.rate_uncertainty_e15
    later = replace(FOUND, at_ps=41 * S, fitted_from_ps=40 * S, fitted_until_ps=42 * S, valid_until_ps=50 * S)
    tracker.found_again(later)
    assert tracker.look(43 * S) is Standing.TRACKING
    assert tracker.expected(41 * S)[0] == FOUND.offset_ps


def test_a_change_of_epoch_loses_the_clock_and_leaves_nothing_to_expect() -> None:
    tracker = tracked(10)
    with pytest.raises(LocalMisuse, match="epoch 2"):
        tracker.take(measured(11 * S, 1_000_000, epoch=2))
    tracker.epoch_changed(11 * S)
    assert tracker.look(12 * S) is Standing.LOST
    assert tracker.search_again(12 * S) is None
    with pytest.raises(LocalMisuse, match="lost"):
        tracker.expected(12 * S)


def test_the_clock_handed_out_has_the_sigma_of_the_prediction() -> None:
    tracker = tracked(30, TrackingLimits(valid_ps=10 * S))
    clock = tracker.clock(31 * S)
    assert (clock.epoch, clock.reference_epoch) == (1, 7)
    for second in (31, 33, 36, 40):
        offset, _, sigma = tracker.expected(second * S)
        assert clock.at(second * S)[0] == pytest.approx(offset, abs=2)
        assert clock.at(second * S)[1] == pytest.approx(sigma, rel=0.02, abs=2)
    with pytest.raises(LocalMisuse, match="track it further"):
        clock.at(41 * S)


@pytest.mark.parametrize(
    "wrong", [{"gate": 0.0}, {"rejected_max": 0}, {"silent_ps": 0}, {"holdover_ps": S}, {"window_ps": 0}]
)
def test_limits_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(LocalMisuse):
        replace(TrackingLimits(), **wrong)


def test_from_tags_to_a_tracked_clock_within_its_sigma() -> None:
    """20 records of 3 s: found in the first second, then ten blocks of 0.2 s; the last prediction is within
    2 sigma of the truth at least 16 times (binomial, 95.4 %: false alarm 2e-3 over all seeds, fixed ones).
    """
    inside = 0
    for seed in range(20):
        pairs = draw(seed, first_hz=2e4, second_hz=2e4, pairs_hz=2000.0, seconds=3.0, offset_ps=10**7)
        first = pairs.stream < S
        start = replace(pairs, stream=pairs.stream[first], reference=pairs.reference[pairs.reference < S])
        found = recover(start, uncertainty_ps=10**8)
        tracker = ClockTracker(found.clock, ClockNoise(0.0, 0.0))
        for k in range(10):
            from_ps, until_ps = S + k * S // 5, S + (k + 1) * S // 5
            stream = pairs.stream[(pairs.stream >= from_ps) & (pairs.stream < until_ps)]
            reference = pairs.reference[(pairs.reference >= from_ps) & (pairs.reference < until_ps)]
            middle = (from_ps + until_ps) // 2
            offset, rate, _ = tracker.expected(middle)
            tracker.take(
                measure_block(
                    reference,
                    stream,
                    epoch=1,
                    at_ps=middle,
                    offset_ps=offset,
                    rate_e15=rate,
                    window_ps=tracker.window_ps(middle),
                    jitter_ps=found.jitter_ps,
                )
            )
        clock = tracker.clock(3 * S)
        inside += abs(pairs.beside_ps(clock, 3 * S)) <= 2 * clock.at(3 * S)[1]
        assert tracker.accepted == 10
    assert inside >= binom.ppf(2e-3, 20, 0.954)
