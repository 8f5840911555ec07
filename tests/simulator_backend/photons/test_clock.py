"""A tagger's clock against exact arithmetic and the laws of its chance.

Comparisons by chance are at 4 standard errors (false alarm 6e-5 each, 5 of them) at fixed seeds.
"""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import pytest
from numpy.random import SeedSequence
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.devices.own_clock import ByOwnClock
from bellwire.simulator_backend.devices.surroundings import Alone
from bellwire.simulator_backend.photons.clock import Clock, PulsePerSecond, RunningClock
from bellwire.simulator_backend.photons.layout import BenchLayout, Part
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import Laser

EPOCH_NS = 1_700_000_000_123_456_789
S = 10**12


def running(seed: int = 1, **truth: Any) -> RunningClock:
    return RunningClock(Clock(**truth), EPOCH_NS, SeedSequence(seed))


def ages(count: int = 1000, until_s: float = 100.0, seed: int = 3) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.sort(np.random.default_rng(seed).integers(0, int(until_s * S), count))
    return found


@pytest.mark.parametrize(("offset_ps", "rate_ppb"), [(0, 0), (1_500_000_000_007, 2000), (-3_000_001, -750)])
def test_a_steady_clock_shows_true_time_times_its_rate_plus_its_offset(offset_ps: int, rate_ppb: int) -> None:
    clock = running(offset_ps=offset_ps, rate_ppb=rate_ppb)
    times = ages()
    shown = clock.shown_ps(times)
    assert shown.dtype == np.int64
    for age, found in zip(times.tolist(), shown.tolist(), strict=True):
        exact = age + offset_ps + Fraction(age) * rate_ppb / 10**9
        assert abs(found - exact) <= Fraction(1, 2) + Fraction(1, 1000)  # to the nearest ps
    assert np.all(np.diff(shown) >= 0)


def test_a_clock_without_error_shows_unix_time() -> None:
    clock = running()
    assert clock.shown_ns(EPOCH_NS + 12_345) == EPOCH_NS + 12_345
    assert np.array_equal(clock.tagged_ps(ages(), "one"), ages())


def test_true_time_is_found_again() -> None:
    clock = running(offset_ps=2 * S, rate_ppb=2000.0, wander_ppb_per_root_s=5.0)
    for age in ages(50).tolist():
        assert abs(clock.true_ps(clock.moment_ps(age)) - age) <= 2


def test_the_rate_walks_as_far_as_its_wander_says() -> None:
    """400 clocks. Variance of the rate after t: w^2 t; of the lead by it: w^2 t^3/3, less by the steps."""
    wander, seconds = 3.0, 10
    rates, leads = [], []
    for seed in range(400):
        clock = running(seed, wander_ppb_per_root_s=wander)
        rates.append(clock.rate_ppb(seconds * S))
        leads.append(float(clock.lead_ps(np.array([seconds * S]))[0]))
    error = 4.0 * sqrt(2.0 / 400)
    assert np.var(rates) == pytest.approx(wander**2 * seconds, rel=error)
    steps = 10 * seconds
    summed = sum(k * k for k in range(steps)) / steps**3  # of a walk of that many steps, 1/3 in the limit
    assert np.var(leads) == pytest.approx((wander * 1e3) ** 2 * seconds**3 * summed, rel=error)


def test_white_noise_of_frequency_moves_the_offset_and_leaves_the_rate() -> None:
    """400 clocks, two variances within 4 standard errors. The first step of 0.1 s has none of it."""
    walk, rates, leads = 10.0, [], []
    for seed in range(400):
        clock = running(seed, walk_ps_per_root_s=walk, rate_ppb=100.0)
        near, far = clock.lead_ps(np.array([5 * S, 45 * S])).tolist()
        leads.append(near - 5 * 1e5)
        rates.append((far - near) / 40.0 / 1e3)
    error = 4.0 * sqrt(2.0 / 400)
    assert np.var(leads) == pytest.approx(walk**2 * 4.9, rel=error)
    assert np.var(rates) == pytest.approx((walk / 1e3) ** 2 / 40.0, rel=error)
    assert np.mean(rates) == pytest.approx(100.0, abs=4.0 * walk / 1e3 / sqrt(40.0 * 400))


def test_who_asks_and_how_often_does_not_change_the_walk() -> None:
    noise = {"wander_ppb_per_root_s": 2.0, "walk_ps_per_root_s": 50.0}
    once, often = (running(9, **noise, rate_ppb=50.0) for _ in range(2))
    for age in ages(200, 900.0).tolist():
        often.moment_ps(age)
    assert np.array_equal(once.shown_ps(ages(300, 900.0)), often.shown_ps(ages(300, 900.0)))
    other = running(10, wander_ppb_per_root_s=2.0, rate_ppb=50.0)
    assert not np.array_equal(once.shown_ps(ages(300, 900.0)), other.shown_ps(ages(300, 900.0)))


def test_jitter_is_gaussian_and_the_same_at_each_look() -> None:
    """40,000 tags a microsecond apart, so that none changes places. Mean, variance and fourth moment."""
    clock = running(4, jitter_ps=40.0)
    times = np.arange(40_000) * 1_000_000
    late = clock.tagged_ps(times, "one") - times
    n = len(late)
    assert abs(late.mean()) < 4.0 * 40.0 / sqrt(n)
    assert late.var() == pytest.approx(1600.0, rel=4.0 * sqrt(2.0 / n))
    assert np.mean((late / 40.0) ** 4) == pytest.approx(3.0, abs=4.0 * sqrt(96.0 / n))
    assert np.array_equal(clock.tagged_ps(times[100:200], "one"), (times + late)[100:200])
    assert not np.array_equal(clock.tagged_ps(times, "two"), times + late)


def test_tags_by_a_clock_are_those_of_true_time_mapped_and_pieces_join() -> None:
    light = Alone(rates_hz={"one": 200_000.0, "two": 50_000.0}, seed=2)
    own = running(5, offset_ps=-S // 3, rate_ppb=2000.0, wander_ppb_per_root_s=1.0, jitter_ps=2e6)
    around = ByOwnClock(light, own)
    begin_ns = EPOCH_NS + 700_000_000
    whole, which = around.tags(["one", "two"], begin_ns, begin_ns + 40_000_000)
    assert np.all(np.diff(whole) >= 0)
    pieces = []
    for k in range(40):
        start_ns = begin_ns + k * 1_000_000
        times, _ = around.tags(["two"], start_ns, start_ns + 1_000_000)
        pieces.append(times + k * 1_000_000_000)
    assert np.array_equal(np.concatenate(pieces), whole[which == 1])
    from_ns = own.true_ns(begin_ns) - 20_000
    true_ps, _ = light.tags(["two"], from_ns, own.true_ns(begin_ns + 40_000_000) + 20_000)
    expected = own.tagged_ps(true_ps + (from_ns - EPOCH_NS) * 1000, "two") - (begin_ns - EPOCH_NS) * 1000
    expected = expected[(expected >= 0) & (expected < 40_000_000_000)]
    assert np.array_equal(expected, whole[which == 1])
    assert len(expected) > 1_500


def test_knobs_and_gauges_are_turned_and_read_in_true_time() -> None:
    class Heard(Alone):
        def turn(self, knob: str, value: float, now_ns: int) -> None:
            self.values[knob] = now_ns

        def gauge(self, name: str, now_ns: int) -> float:
            return float(now_ns - EPOCH_NS)

    heard = Heard()
    own = running(offset_ps=3 * S, rate_ppb=1000.0)
    around = ByOwnClock(heard, own)
    now_ns = EPOCH_NS + 5_000_000_000
    around.turn("knob", 1.0, own.shown_ns(now_ns))
    assert abs(heard.values["knob"] - now_ns) <= 2
    assert abs(around.gauge("any", own.shown_ns(now_ns)) - 5e9) <= 2


def test_a_pulse_comes_at_each_unix_second_and_is_late_by_its_offset() -> None:
    pulse = PulsePerSecond(offset_ps=-70_000)
    edges = pulse.edges(EPOCH_NS, 0, 10 * S, key=1)
    assert len(edges) == 10
    assert set((edges + EPOCH_NS * 1000 % S) % S) == {S - 70_000}
    noisy = PulsePerSecond(offset_ps=500, jitter_ps=2_000.0)
    many = noisy.edges(EPOCH_NS, 0, 2_000 * S, key=1)
    late = (many + EPOCH_NS * 1000 % S + S // 2) % S - S // 2 - 500
    assert abs(late.mean()) < 4.0 * 2_000.0 / sqrt(2_000)
    assert late.std() == pytest.approx(2_000.0, rel=4.0 / sqrt(2 * 2_000))
    middle = int(many[7])
    parts = [noisy.edges(EPOCH_NS, 0, middle, key=1), noisy.edges(EPOCH_NS, middle, 2_000 * S, key=1)]
    assert np.array_equal(np.concatenate(parts), many)


def test_clocks_change_no_tag_of_the_light() -> None:
    parts: dict[str, Part] = {"lamp": Laser(power_w=1e-14), "one": Detector(channel=1)}
    plain = OpticalBench(BenchLayout(parts, (("lamp", "one"),)), 5)
    clocked = OpticalBench(
        BenchLayout({**parts, "clock": Clock(rate_ppb=5.0), "pps": PulsePerSecond()}, (("lamp", "one"),)), 5
    )
    assert np.array_equal(plain.tags(0, S // 10).time_ps, clocked.tags(0, S // 10).time_ps)
    assert clocked.gauge("clock.lead_ps", 2_000_000_000) == pytest.approx(5e-9 * 2 * S)
    assert clocked.gauge("clock.rate_ppb", 2_000_000_000) == 5.0
    assert clocked.seconds("one", 0, S) is None


@pytest.mark.parametrize("wrong", [{"rate_ppb": 2e6}, {"offset_ps": 10**16}, {"jitter_ps": -1.0}])
def test_a_clock_that_no_laboratory_has_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="clock"):
        running(**wrong)
