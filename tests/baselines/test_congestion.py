"""Control of a source against the numbers of the published protocol (algorithms.md 6.1)."""

import pytest

from bellwire.baselines.congestion import Rate, RoundTrips, Unlimited, Window
from bellwire.baselines.marking import Marker, MarkingDesign
from bellwire.core.errors import LocalMisuse

MS = 1_000_000


def test_a_window_doubles_each_round_until_the_threshold_and_then_grows_by_one_a_round() -> None:
    window, trips = Window(), RoundTrips(3)
    for _ in range(7):
        window.acknowledged(trips, 0)
    assert window.size == 8.0
    window.congested(trips, 0)
    assert (window.threshold, window.size) == (4.0, 1.0)
    for _ in range(3):
        window.acknowledged(trips, 0)
    assert window.size == 4.0
    for _ in range(4):
        window.acknowledged(trips, 0)
    assert 4.8 < window.size < 5.0
    assert window.allows(3, 0)
    assert not window.allows(4, 0)


def test_the_threshold_is_never_below_one_and_a_bound_holds_the_window() -> None:
    window, trips = Window(2), RoundTrips(3)
    window.congested(trips, 0)
    assert window.threshold == 1.0
    for _ in range(20):
        window.acknowledged(trips, 0)
    assert window.size == 2.0


def test_round_trips_start_at_three_milliseconds_a_hop_and_are_smoothed_as_published() -> None:
    trips = RoundTrips(4)
    assert (trips.mean_ns, trips.timeout_ns) == (12 * MS, 12 * MS)
    trips.saw(20 * MS)
    assert trips.mean_ns == 0.875 * 12 * MS + 0.125 * 20 * MS
    assert trips.deviation_ns == 0.25 * 8 * MS
    assert trips.timeout_ns == 13 * MS + 4 * 2 * MS


def test_a_rate_shrinks_its_gap_by_a_tenth_each_round_trip_and_then_grows_linearly() -> None:
    rate, trips = Rate(), RoundTrips(1)
    rate.acknowledged(trips, 0)
    rate.acknowledged(trips, 1)
    assert rate.gap_ns == 48 * MS
    rate.acknowledged(trips, 3 * MS)
    assert rate.gap_ns == pytest.approx(48 * MS / 1.1)
    now_ns = 3 * MS
    while rate.gap_ns > rate.threshold_ns:
        now_ns += 3 * MS
        rate.acknowledged(trips, now_ns)
    before_hz = 1e9 / rate.gap_ns
    rate.acknowledged(trips, now_ns + 3 * MS)
    scale_s = 4000 * 0.003
    assert 1e9 / rate.gap_ns == pytest.approx(before_hz + 1.0 / scale_s)


def test_a_rate_backs_off_at_most_once_in_three_round_trips() -> None:
    rate, trips = Rate(), RoundTrips(1)
    rate.congested(trips, 0)
    assert (rate.threshold_ns, rate.gap_ns) == (192 * MS, 768 * MS)
    rate.congested(trips, 9 * MS - 1)
    assert rate.gap_ns == 768 * MS
    rate.congested(trips, 9 * MS)
    assert (rate.threshold_ns, rate.gap_ns) == (1024 * MS, 4096 * MS)


def test_a_rate_lets_one_datagram_leave_in_each_gap() -> None:
    rate = Rate()
    assert rate.allows(99, 0)
    rate.sent(0)
    assert not rate.allows(0, 48 * MS - 1)
    assert rate.ready_ns() == 48 * MS
    assert rate.allows(0, 48 * MS)


def test_without_control_memory_or_a_constant_window_is_the_only_limit() -> None:
    assert Unlimited().allows(10**6, 0)
    assert Unlimited(2).allows(1, 0)
    assert not Unlimited(2).allows(2, 0)


def test_the_marker_has_the_worked_numbers_of_its_defaults() -> None:
    design = MarkingDesign()
    assert design.radians_hz == pytest.approx(0.8)
    assert design.sample_ns == 12_500_000
    assert design.gain_now == pytest.approx(8.0064e-4, rel=1e-5)
    assert design.gain_before == pytest.approx(7.9263e-4, rel=1e-5)


def test_a_loop_that_crosses_over_too_late_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="less than 1/s"):
        MarkingDesign(capacity_hz=3000.0)


def test_the_marking_probability_integrates_a_long_queue_and_stays_within_zero_and_one() -> None:
    marker = Marker(MarkingDesign())
    marker.look(0)
    assert marker.probability == 0.0
    marker.look(15)
    design = marker.design
    first = design.gain_now * 10 + design.gain_before * 5
    assert marker.probability == pytest.approx(first)
    marker.look(15)
    assert marker.probability == pytest.approx(first + (design.gain_now - design.gain_before) * 10)
    for _ in range(100):
        marker.look(10_000)
    assert marker.probability == 1.0
