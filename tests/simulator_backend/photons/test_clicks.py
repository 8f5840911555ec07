"""Dead time, jitter, afterpulses and latching, each against a closed form or a walk click by click.

Stochastic counts are compared at 4 standard errors: false alarm 6e-5 each, seeds fixed.
"""

from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.simulator_backend.photons.clicks import ClickTrain, kept_by_dead_time
from bellwire.simulator_backend.photons.sinks import Detector
from tests.simulator_backend.photons.counting import within


def train(seed=1, **truth):
    defaults = {"jitter_fwhm_ps": 0.0, "dead_ps": 0.0, "latch_rate_hz": 1e9}
    return ClickTrain(Detector(channel=0, **(defaults | truth)), np.random.default_rng(seed))


def steady(rate_hz, length_ps, rng):
    return rng.random(rng.poisson(rate_hz * length_ps * 1e-12)) * length_ps


def taken(one, rate_hz, blocks, length_ps=1e10, seed=2):
    """Tags of Poisson light in blocks, in ps from the first."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [one.take(steady(rate_hz, length_ps, rng), length_ps) + k * length_ps for k in range(blocks)]
    )


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 400), max_size=60),
    st.sampled_from([0, 1, 7, 30]),
    st.sampled_from([-np.inf, -5.0]),
)
def test_dead_time_keeps_what_a_walk_click_by_click_keeps(times, dead_ps, last_ps):
    times = np.sort(np.array(times, dtype=np.float64))
    kept, last = [], last_ps
    for index, time in enumerate(times):
        if time - last >= dead_ps:
            kept.append(index)
            last = time
    assert kept_by_dead_time(times, dead_ps, last_ps).tolist() == kept


@pytest.mark.parametrize("rate_hz", [2e5, 1e6, 1e7])
def test_dead_time_takes_its_share_of_a_steady_rate(rate_hz):
    # R = r/(1 + r t); the variance of a renewal count is R T/(1 + r t)^2. 0.2 s.
    dead_ps, blocks = 100_000.0, 20
    tags = taken(train(dead_ps=dead_ps), rate_hz, blocks)
    blind = rate_hz * dead_ps * 1e-12
    expected = rate_hz / (1.0 + blind) * blocks * 0.01
    within(len(tags), expected, variance=expected / (1.0 + blind) ** 2)
    assert np.diff(tags).min() >= dead_ps - 1e-3


def test_dead_time_holds_across_the_border_of_blocks():
    one = train(dead_ps=50.0)
    assert one.take(np.array([10.0, 90.0]), 100.0).tolist() == [10.0, 90.0]
    # 39 is 49 after the click at 90 of the block before, 41 is 51 after it.
    assert one.take(np.array([39.0, 41.0]), 100.0).tolist() == [41.0]


def test_light_that_arrives_after_a_block_clicks_in_the_next():
    one = train()
    assert one.take(np.array([10.0, 250.0, 130.0]), 100.0).tolist() == [10.0]
    assert one.take(np.empty(0), 100.0).tolist() == [30.0]
    assert one.take(np.array([20.0]), 100.0).tolist() == [20.0, 50.0]


def test_jitter_is_gaussian_of_the_full_width_that_the_detector_has():
    # 2e5 clicks: rms within 4 standard errors sigma/sqrt(2n); share inside the half width 0.761 +- binomial.
    fwhm_ps, n = 80.0, 200_000
    one = train(jitter_fwhm_ps=fwhm_ps)
    clicks = np.arange(n) * 10_000.0 + 5_000.0
    noise = one.take(clicks, n * 10_000.0) - clicks
    sigma = fwhm_ps / (2.0 * sqrt(2.0 * log(2.0)))
    assert abs(noise.std() - sigma) < 4.0 * sigma / sqrt(2.0 * n)
    assert abs(noise.mean()) < 4.0 * sigma / sqrt(n)
    inside = np.count_nonzero(np.abs(noise) < fwhm_ps / 2.0)
    share = 0.7609681085504878  # erf(sqrt(ln 2))
    within(inside, share * n, variance=share * (1 - share) * n)


def test_latency_shifts_every_tag():
    assert train(latency_ps=25.0).take(np.array([1.0, 4.0]), 100.0).tolist() == [26.0, 29.0]


def test_afterpulses_come_in_their_number_and_after_their_time():
    # Lonely clicks, 1 ms apart: a click sets off p others, those p more: p/(1 - p) in all. 4e5 clicks.
    p, n, gap = 0.05, 400_000, 1e9
    one = train(afterpulsing=p, afterpulse_ps=2e6, dead_ps=1e5)
    first = np.arange(n) * gap
    tags = one.take(first, n * gap)
    extra = len(tags) - n
    expected = n * p / (1.0 - p)
    within(extra, expected, variance=n * p / (1.0 - p) ** 3)
    delays = np.sort(tags % gap)[n:]  # of afterpulses, from the click at the start of the gap
    assert delays.min() >= 1e5
    # Of first generation afterpulses the share beyond t is exp(-(t - dead)/tau); later ones add p of it more.
    once = tags % gap
    once = once[once > 0.0]
    early = np.count_nonzero(once < 1e5 + 2e6 * log(2.0))
    assert early / len(once) < 0.5 + 4.0 * sqrt(0.25 / len(once))
    assert early / len(once) > 0.5 * (1.0 - p) - 4.0 * sqrt(0.25 / len(once))


def walk_with_afterpulses(times, p, mean_ps, dead_ps, length_ps, rng):
    """Click by click, as the words say it."""
    waiting, clicks, last = sorted(times), [], -np.inf
    while waiting:
        time = waiting.pop(0)
        if time >= length_ps or time - last < dead_ps:
            continue
        clicks.append(time)
        last = time
        if rng.random() < p:
            waiting.append(time + dead_ps + rng.exponential(mean_ps))
            waiting.sort()
    return clicks


def test_afterpulses_in_dense_light_have_the_counts_of_a_walk_click_by_click():
    # Strong afterpulsing in dense light, where one decides about another: 400 runs each way.
    p, mean_ps, dead_ps, length_ps = 0.4, 3e4, 2e4, 1e6
    rng = np.random.default_rng(5)
    ours, theirs = [], []
    for seed in range(400):
        times = steady(4e7, length_ps, rng)
        one = train(seed=seed, afterpulsing=p, afterpulse_ps=mean_ps, dead_ps=dead_ps)
        ours.append(len(one.take(times, length_ps)))
        theirs.append(len(walk_with_afterpulses(times, p, mean_ps, dead_ps, length_ps, rng)))
    error = sqrt((np.var(ours) + np.var(theirs)) / 400)
    assert abs(np.mean(ours) - np.mean(theirs)) < 4.0 * error


def test_afterpulses_cross_the_border_of_blocks():
    # Blocks shorter than the mean delay: nothing may be lost. 2e4 blocks with a click at each start.
    p, n = 0.3, 20_000
    one = train(afterpulsing=p, afterpulse_ps=500.0, dead_ps=1.0)
    count = len(one.take(np.array([0.0]), 100.0))
    for _ in range(n):
        count += len(one.take(np.array([0.5]), 100.0))
    expected = n / (1.0 - p)
    within(count, expected, variance=n * p / (1.0 - p) ** 3 + 0.02**2 * n)


def test_a_detector_latches_with_the_click_that_makes_the_rate_and_stays_silent():
    # 100 clicks in less than 1 us are 1e8 per second: a comb of 9.9 ns makes them with its 100th click.
    one = train(latch_rate_hz=1e8, latch_window_ps=1e6)
    comb = np.arange(300) * 9_900.0
    assert len(one.take(comb, 1e7)) == 100
    assert one.latched
    assert len(one.take(np.array([5.0]), 1e7)) == 0
    one.reset()
    assert one.take(np.array([5.0]), 1e7).tolist() == [5.0]


def test_a_detector_does_not_latch_just_below_its_rate_though_blocks_end_in_between():
    slow, fast = (train(latch_rate_hz=1e8, latch_window_ps=1e6) for _ in range(2))
    assert sum(len(slow.take(np.arange(30) * 10_200.0, 30 * 10_200.0)) for _ in range(20)) == 600
    assert not slow.latched
    assert sum(len(fast.take(np.arange(30) * 9_900.0, 30 * 9_900.0)) for _ in range(20)) == 100
    assert fast.latched


def test_random_light_latches_by_the_rate_of_clicks_and_not_of_photons():
    # 50 ns of dead time hold the clicks below 2e7 per second whatever comes.
    safe = train(dead_ps=50_000.0, latch_rate_hz=2.1e7, latch_window_ps=1e9)
    assert len(taken(safe, 1e8, 2)) > 3e5
    assert not safe.latched
    bare = train(dead_ps=0.0, latch_rate_hz=2.1e7, latch_window_ps=1e9)
    assert len(taken(bare, 1e8, 2)) == 21_000
    assert bare.latched


def test_the_notch_of_the_autocorrelation_is_the_dead_time():
    # procedures.md section 7: no pair of clicks below the dead time, and exp(-r t) law of gaps beyond it.
    rate_hz, dead_ps = 1e6, 60_000.0
    gaps = np.diff(taken(train(dead_ps=dead_ps), rate_hz, 30))
    beyond = np.count_nonzero(gaps > dead_ps + 1e6)
    share = exp(-rate_hz * 1e-6)
    within(beyond, share * len(gaps), variance=share * (1 - share) * len(gaps))
