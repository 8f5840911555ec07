"""Figures of correlation of Poisson streams against closed forms.

Each comparison is at 4.5 standard deviations: one seed in 150,000 would fail. The errors themselves are
compared with the scatter of repeated draws.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.coincidences import Coincidences, StreamedCoincidences
from bellwire.drivers.tags.corrections import Estimate, accidentals_of_singles
from bellwire.drivers.tags.correlation_figures import (
    coincidence_to_accidental_ratio,
    g2_by_delay,
    g2_of_pulses,
    heralded_g2,
)
from bellwire.drivers.tags.histograms import Bins, StreamedCorrelation, StreamedStartStop
from bellwire.drivers.time_tags import TagBlock

SIGMAS = 4.5
SPAN_PS = 10**12


def stream(times: dict[int, NDArray[np.int64]], span_ps: int = SPAN_PS) -> TagBlock:
    every = np.concatenate(list(times.values()))
    channel = np.repeat(np.array(list(times), np.int16), [len(part) for part in times.values()])
    inside = (every >= 0) & (every < span_ps)
    order = np.argsort(every[inside], kind="stable")
    return TagBlock(0, 0, span_ps, every[inside][order], channel[inside][order])


def agree(found: Estimate, expected: float) -> bool:
    return abs(found.value - expected) < SIGMAS * found.sigma


def test_unrelated_light_has_g2_of_one_at_every_delay() -> None:
    """300,000 tags a channel in 1 s, 40 bins of 50 ns: 4,500 pairs a bin."""
    chance = np.random.default_rng(21)
    block = stream({c: chance.integers(0, SPAN_PS, chance.poisson(300_000)) for c in (1, 2)})
    for stop in (2, 1):
        counter = StreamedCorrelation(1, stop, Bins(-1_000_000, 50_000, 40))
        counter.take(block)
        value, sigma = g2_by_delay(counter.result())
        # 40 bins: one seed in 3,700 would fail; those of one channel are 20 pairs of equal ones
        assert (np.abs(value - 1.0) < SIGMAS * sigma).all()
        assert (sigma < 0.02).all()


def test_first_stops_of_unrelated_light_decay_with_the_rate_of_the_stops() -> None:
    """200,000 starts, stops at 1 MHz: a share exp(-r t0) - exp(-r t1) of the starts in each of 30 bins."""
    chance = np.random.default_rng(22)
    block = stream({1: chance.integers(0, SPAN_PS, 200_000), 2: chance.integers(0, SPAN_PS, 1_000_000)})
    counter = StreamedStartStop(1, 2, Bins(0, 100_000, 30))
    counter.take(block)
    found = counter.result()
    share = -np.diff(np.exp(-found.bins.edges_ps / 1e6))
    sigma = np.sqrt(found.starts * share * (1 - share))
    assert (np.abs(found.counts - found.starts * share) < SIGMAS * sigma).all()


def heralded_stream(seed: int, span_ps: int) -> Coincidences:
    """Pair source: 2e6 pairs/s, herald 20 %, the partners split to 2 and 3 with 15 % each; jitter 100 ps."""
    chance = np.random.default_rng(seed)
    pairs = chance.integers(0, span_ps, chance.poisson(2e-6 * span_ps))
    heralds = pairs[chance.random(len(pairs)) < 0.2]
    way = chance.random(len(pairs))

    def jitter(times: NDArray[np.int64]) -> NDArray[np.int64]:
        return times + chance.normal(0, 100, len(times)).astype(np.int64)

    block = stream({1: heralds, 2: jitter(pairs[way < 0.15]), 3: jitter(pairs[way > 0.85])}, span_ps)
    counter = StreamedCoincidences([(1, 2), (1, 3), (1, 2, 3)], 40_000)
    counter.take(block)
    return counter.result()


def heralded(found: Coincidences) -> Estimate:
    counts = found.coincidences
    return heralded_g2(found.singles[1], counts[1, 2], counts[1, 3], counts[1, 2, 3])


def test_heralded_g2_of_a_poissonian_pair_source_is_what_its_accidentals_make_it() -> None:
    """2 s of 400,000 heralds/s. An arm clicks by the partner or by an unrelated photon within the window."""
    found = heralded_stream(23, 2 * SPAN_PS)
    # Own partner in one arm (never in both) with 0.15; a chance photon with q = 1 - exp(-0.3e6 w).
    q = -math.expm1(-0.15 * 2e-6 * found.width_ps)
    one = 0.15 + 0.85 * q
    both = 2 * 0.15 * q + 0.7 * q * q
    estimate = heralded(found)
    assert agree(estimate, both / one**2)
    assert estimate.sigma < 0.02 * estimate.value


def test_the_error_of_heralded_g2_is_its_scatter() -> None:
    """60 runs of 20 ms: the spread of 60 values has a standard error of 9 %; the band is 4.5 of it."""
    runs = [heralded(heralded_stream(seed, SPAN_PS // 50)) for seed in range(60)]
    scatter = np.std([run.value for run in runs], ddof=1)
    stated = np.mean([run.sigma for run in runs])
    assert 0.6 < scatter / stated < 1.4


def test_heralded_g2_in_numbers() -> None:
    """N1 = 1000, N12 = N13 = 100, N123 = 1: g2 = 0.1, and its error is that of the one count."""
    found = heralded_g2(1000, 100, 100, 1)
    assert found.value == pytest.approx(0.1)
    parts = [(0.1 + 1e-4 - 2e-3, 1), (1e-4 - 1e-3, 99), (1e-4 - 1e-3, 99), (1e-4, 801)]
    assert found.sigma == pytest.approx(math.sqrt(sum(slope**2 * count for slope, count in parts)))
    none = heralded_g2(1000, 100, 100, 0)
    assert none.value == 0.0
    assert none.sigma == pytest.approx(0.1)


def test_pulsed_light_bunches_by_its_side_peaks() -> None:
    """Thermal light of one mode, 2e6 pulses, mean 0.2 in each of two arms: g2(0) = 2, and 1 of the others."""
    chance = np.random.default_rng(24)
    period_ps, pulses = 10_000, 2_000_000
    mean = 0.2 * chance.exponential(1.0, pulses)
    times = {channel: np.repeat(np.arange(pulses) * period_ps, chance.poisson(mean)) for channel in (1, 2)}
    counter = StreamedCorrelation(1, 2, Bins(-5 * period_ps - period_ps // 2, period_ps, 11))
    counter.take(stream(times, pulses * period_ps))
    counts = counter.result().counts.tolist()
    side = counts[:5] + counts[6:]
    assert agree(g2_of_pulses(counts[5], side), 2.0)
    # Pairs of one pulse share its energy, so that the scatter is a little above Poisson: 2 % suffice here.
    assert g2_of_pulses(side[0], side[1:]).value == pytest.approx(1.0, abs=0.02)


def test_car_of_a_pair_source_is_pairs_over_accidentals() -> None:
    """1 s of 500,000 pairs/s, 20 % and 25 %: C - A = 25,000 and A = S_a S_b w in the window of 10.001 ns.

    Off-peak windows and singles give the same accidentals.
    """
    chance = np.random.default_rng(25)
    pairs = chance.integers(0, SPAN_PS, chance.poisson(500_000))
    block = stream(
        {1: pairs[chance.random(len(pairs)) < 0.2], 2: pairs[chance.random(len(pairs)) < 0.25] + 40}
    )
    width_ps = 10_001
    counter = StreamedCorrelation(1, 2, Bins(-5000 - 20 * width_ps, width_ps, 41))
    counter.take(block)
    found = counter.result()
    counts = found.counts.tolist()
    off_peak = counts[:20] + counts[21:]
    accidentals = 1e5 * 1.25e5 * width_ps / SPAN_PS
    expected = 25_000 / accidentals
    ratio = coincidence_to_accidental_ratio(counts[20], off_peak)
    assert agree(ratio, expected)
    assert ratio.sigma < 0.05 * expected
    by_singles = accidentals_of_singles(found.starts, found.stops, width_ps, found.live_ps)
    assert agree(coincidence_to_accidental_ratio(counts[20], by_singles), expected)


def test_the_error_of_car_is_its_scatter() -> None:
    """20,000 draws of C ~ 500 and eight windows of 20: the spread has a standard error of 0.5 %. The second
    order of the delta method adds 1 % or so; a band of 5 % holds both.
    """
    chance = np.random.default_rng(26)
    drawn = [
        coincidence_to_accidental_ratio(int(c), [int(one) for one in off])
        for c, off in zip(chance.poisson(500, 20_000), chance.poisson(20, (20_000, 8)), strict=True)
    ]
    assert np.std([one.value for one in drawn]) == pytest.approx(
        np.mean([one.sigma for one in drawn]), rel=0.05
    )
    assert np.mean([one.value for one in drawn]) == pytest.approx(24.0, rel=0.02)


def test_figures_without_counts_are_refused() -> None:
    with pytest.raises(LocalMisuse, match="more off-peak"):
        coincidence_to_accidental_ratio(5, [0, 0])
    with pytest.raises(LocalMisuse, match="no off-peak"):
        coincidence_to_accidental_ratio(5, [])
    with pytest.raises(LocalMisuse, match="side peaks"):
        g2_of_pulses(3, [0, 0])
    with pytest.raises(LocalMisuse, match="measure longer"):
        heralded_g2(100, 0, 5, 0)
    for counts in ((100, 10, 10, 11), (10, 9, 9, 1)):
        with pytest.raises(LocalMisuse, match="cannot have"):
            heralded_g2(*counts)
    empty = StreamedCorrelation(1, 2, Bins(0, 1, 1))
    with pytest.raises(LocalMisuse, match="0 starts"):
        g2_by_delay(empty.result())
