"""The way down to the jitter: coverage of offset and rate, the limit that is reached, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.block_offset import OffsetMeasurement, measure_block
from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind, ClockNoise
from bellwire.drivers.clocks.pair_fit import candidates, fit_pairs
from bellwire.drivers.clocks.refine import RefinedOffset
from bellwire.drivers.clocks.refusals import NoTiming
from tests.drivers.clocks.streams import SECOND, Pairs, draw, recover

MS = 10**9
LOW, HIGH = 1e-4, 1 - 1e-4
"""Quantiles of the binomial tests below: false alarm 1e-4 on either side."""


def cheap(seed: int) -> Pairs:
    """5000 tags/s, 10 % pairs, 1 s; offset, rate and jitter differ from seed to seed."""
    chance = np.random.default_rng(10_000 + seed)
    return draw(
        seed,
        first_hz=5e3,
        second_hz=5e3,
        pairs_hz=500.0,
        seconds=1.0,
        offset_ps=int(chance.integers(-4 * MS, 4 * MS)),
        rate=float(chance.uniform(-2.5e-6, 2.5e-6)),
        jitter_ps=float(chance.uniform(300, 800)),
    )


def covered(found: list[tuple[Pairs, RefinedOffset]], sigmas: float) -> tuple[int, int]:
    """How often offset and rate are within so many of their sigmas."""
    offset = rate = 0
    for pairs, refined in found:
        clock = refined.clock
        offset += abs(pairs.beside_ps(clock, clock.at_ps)) <= sigmas * clock.sigma_ps
        rate += abs(clock.rate_e15 - pairs.rate * 1e15) <= sigmas * clock.sigma_rate_e15
    return offset, rate


def recovered(seeds: int, make: Callable[[int], Pairs], pairs_hz: float) -> list[tuple[Pairs, RefinedOffset]]:
    """All seeds; at most as many refusals as 3 sigma of two conditions give (0.54 % each, false alarm
    1e-4).
    """
    found, refused = [], 0
    for seed in range(seeds):
        pairs = make(seed)
        try:
            found.append((pairs, recover(pairs, pairs_hz=pairs_hz)))
        except NoTiming:
            refused += 1
    assert refused <= binom.ppf(HIGH, seeds, 0.0054)
    return found


def test_the_truth_is_within_the_stated_sigma_in_95_percent_of_records() -> None:
    """220 records, binomial: within 1.96 sigma 95 %, within 1 sigma 68.3 % (false alarm 8e-4 in all)."""
    found = recovered(220, cheap, 500.0)
    for sigmas, share in ((1.96, 0.95), (1.0, 0.6827)):
        for inside in covered(found, sigmas):
            assert binom.ppf(LOW, len(found), share) <= inside <= binom.ppf(HIGH, len(found), share)


@pytest.mark.slow
def test_two_ppm_milliseconds_and_1e5_tags_per_second_are_covered_as_well() -> None:
    """200 records of 2 s with 4000 pairs among 2 x 2e5 tags. The sigma of 6 ps is a whole number of ps, so
    that it is right to 8 %: within 1.96 sigma of 93 to 97 %.
    """
    found = recovered(200, draw, 2000.0)
    for inside in covered(found, 1.96):
        assert binom.ppf(LOW, len(found), 0.93) <= inside <= binom.ppf(HIGH, len(found), 0.97)


def test_the_limit_of_the_jitter_is_reached() -> None:
    """sigma_j / sqrt(N) for the offset, and sqrt(12) / T times that for the rate; 4000 pairs of 350 ps."""
    found = recover(draw(1))
    limit_ps = 350 / sqrt(4000)
    assert found.pairs == pytest.approx(4000, abs=4 * sqrt(4000) + 50)
    assert found.jitter_ps == pytest.approx(350, abs=4 * 350 / sqrt(8000))
    assert found.sigma_jitter_ps == pytest.approx(350 / sqrt(8000), abs=1)
    assert found.clock.sigma_ps == pytest.approx(limit_ps, abs=1)
    assert found.clock.sigma_rate_e15 == pytest.approx(sqrt(12) * limit_ps / 2e12 * 1e15, rel=0.1)
    assert (found.clock.epoch, found.clock.reference_epoch) == (1, 7)


def test_tags_in_whole_bins_of_the_tagger_are_found_too() -> None:
    """81 ps bins on both sides: the jitter gains 81^2 / 6 in square, the offset stays within 4 sigma."""
    pairs = draw(2, jitter_ps=50.0)
    coarse = Pairs(
        pairs.reference // 81 * 81, pairs.stream // 81 * 81, *(pairs.offset_ps, pairs.rate), pairs.middle_ps
    )
    found = recover(coarse)
    assert found.jitter_ps == pytest.approx(sqrt(50**2 + 81**2 / 6), abs=3)
    assert abs(pairs.beside_ps(found.clock, found.clock.at_ps)) <= 4 * found.clock.sigma_ps


def test_a_clock_that_drifts_within_the_record_is_refused_and_found_in_a_shorter_stretch() -> None:
    """The rate changes by 2e-8 over 2 s: 10 ns of bend at the ends, 350 ps of jitter."""
    pairs = draw(6, bend=2e-8)
    with pytest.raises(NoTiming, match="shorten the stretch"):
        recover(pairs)
    found = recover(pairs, span_ps=SECOND // 20)
    assert found.clock.fitted_until_ps - found.clock.fitted_from_ps <= SECOND // 20
    assert abs(pairs.beside_ps(found.clock, pairs.middle_ps)) <= 4 * found.clock.sigma_ps + 20


def test_the_noise_of_the_oscillators_is_part_of_the_sigma() -> None:
    """q1 T / 12 + q2 T^3 / 320 at the middle of 2 s, with two clocks of quartz."""
    noise = MODELS[ClockKind.QUARTZ].noise + MODELS[ClockKind.QUARTZ].noise
    pairs = draw(1)
    quiet, noisy = recover(pairs), recover(pairs, noise=noise)
    wander = noise.offset_ps2_per_s * 2 / 12 + noise.rate_ps2_per_s3 * 8 / 320
    assert noisy.clock.sigma_ps == pytest.approx(sqrt(quiet.clock.sigma_ps**2 + wander), abs=2)
    assert noisy.clock.wander_e15 == noise.wander_e15
    ahead = noisy.clock.at(noisy.clock.valid_until_ps - 1)[1]
    assert ahead > 2 * noisy.clock.sigma_ps


def test_the_wander_within_a_fit_is_what_random_walks_leave() -> None:
    """Against drawn walks, 2000 of 200 points, fitted by numpy: variances to 17 %, 5 sigma of
    sqrt(2 / 2000) (false alarm 4e-6).
    """
    chance = np.random.default_rng(3)
    n, span_s = 200, 2.0
    step = span_s / n
    t = (np.arange(n + 1) - n / 2) * step
    for noise, tolerance in ((ClockNoise(1.0, 0.0), 0.17), (ClockNoise(0.0, 1.0), 0.17)):
        rate = np.cumsum(chance.normal(0, sqrt(noise.rate_ps2_per_s3 * step), (2000, n + 1)), axis=1)
        walk = np.cumsum(chance.normal(0, sqrt(noise.offset_ps2_per_s * step), (2000, n + 1)), axis=1)
        offset = walk + np.cumsum(rate, axis=1) * step
        slope, level = np.polyfit(t, offset.T, 1)
        at_middle = level - offset[:, n // 2]
        offset_variance, rate_variance = noise.of_fit(span_s * 1e12)
        assert np.mean(at_middle**2) == pytest.approx(offset_variance, rel=tolerance)
        assert np.mean((slope - rate[:, -1]) ** 2) == pytest.approx(rate_variance, rel=tolerance)
        at_end = level + slope * span_s / 2 - offset[:, -1]
        assert np.mean(at_end**2) == pytest.approx(noise.at_end_of_fit(span_s * 1e12), rel=tolerance)


# -- the fit itself -----------------------------------------------------------------------------------------


def test_the_fit_agrees_with_least_squares_where_there_is_no_background() -> None:
    chance = np.random.default_rng(1)
    stream = np.sort(chance.integers(0, SECOND, 500))
    beside = np.rint(chance.normal(40, 200, 500) + 3e-10 * (stream - SECOND // 2)).astype(np.int64)
    order = np.argsort(stream + beside)
    found = candidates((stream + beside)[order], stream, SECOND // 2, 0, 0, 1500)
    assert found.since_ps.size == 500
    fit = fit_pairs(found, 100.0)
    (slope, level), covariance = np.polyfit(found.since_ps, found.beside_ps, 1, cov=True)
    assert fit.at(0.0)[0] == pytest.approx(level, abs=0.1 * sqrt(covariance[1, 1]))
    assert fit.rate == pytest.approx(slope, abs=0.1 * sqrt(covariance[0, 0]))
    assert fit.sigma_rate == pytest.approx(sqrt(covariance[0, 0]), rel=0.15)
    assert fit.at(0.0)[1] == pytest.approx(sqrt(covariance[1, 1]), rel=0.15)


def test_all_candidates_are_found_and_no_others() -> None:
    chance = np.random.default_rng(2)
    reference, stream = (np.sort(chance.integers(0, 10**7, 200)) for _ in range(2))
    found = candidates(reference, stream, 0, 12_345, 0, 50_000)
    difference = reference[None, :] - stream[:, None] - 12_345
    assert sorted(found.beside_ps.tolist()) == sorted(difference[np.abs(difference) <= 50_000].tolist())


def test_too_many_candidates_are_our_own_mistake() -> None:
    times = np.arange(10_000, dtype=np.int64)
    with pytest.raises(LocalMisuse, match="cut the stretch"):
        candidates(times, times, 0, 0, 0, 10**6)


# -- blocks -------------------------------------------------------------------------------------------------


def block(pairs: Pairs, off_ps: int = 0, window_ps: int = 5000) -> OffsetMeasurement:
    return measure_block(
        pairs.reference,
        pairs.stream,
        epoch=1,
        at_ps=pairs.middle_ps,
        offset_ps=pairs.offset_ps + off_ps,
        rate_e15=round(pairs.rate * 1e15),
        window_ps=window_ps,
        jitter_ps=350,
    )


def test_a_block_gives_the_centroid_to_jitter_over_root_of_pairs() -> None:
    """200 blocks of 0.1 s with 200 pairs, 24 ps: within 1.96 sigma in 95 %, binomial, false alarm 2e-4."""
    inside = 0
    for seed in range(200):
        pairs = draw(seed, seconds=0.1, first_hz=2e4, second_hz=2e4, offset_ps=MS // 100)
        found = block(pairs, 1000)
        truth = pairs.offset_ps + pairs.rate * (found.at_ps - pairs.middle_ps)
        inside += abs(found.offset_ps - truth) <= 1.96 * found.sigma_ps
        assert found.sigma_ps == pytest.approx(350 / sqrt(found.pairs), rel=0.25)
    assert binom.ppf(LOW, 200, 0.95) <= inside <= binom.ppf(HIGH, 200, 0.95)


def test_a_block_without_a_peak_in_its_window_is_refused() -> None:
    """40 blocks of some 100 candidates, false alarm 1e-6 each."""
    for seed in range(40):
        pairs = draw(seed, seconds=0.1, pairs_hz=0.0, offset_ps=0)
        with pytest.raises(NoTiming, match="no peak"):
            block(pairs, 100_000, window_ps=50_000)


def test_a_block_with_a_runaway_clock_is_refused() -> None:
    pairs = draw(1, seconds=0.1, offset_ps=0)
    away = Pairs(pairs.reference, pairs.stream, 0, pairs.rate + 4e-8, pairs.middle_ps)
    with pytest.raises(NoTiming, match=r"wide|no peak"):
        block(away)
