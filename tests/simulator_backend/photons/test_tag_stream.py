"""One realisation, taken in pieces; knobs, drift and latching in time.

Stochastic counts are compared at 4 standard errors: false alarm 6e-5 each, seeds fixed.
"""

from math import exp, pi, sin, sqrt

import numpy as np
import pytest
from numpy.random import SeedSequence

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.photons.passive import Attenuator, Fibre
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import Laser, PairSource
from bellwire.simulator_backend.photons.weather import STEP_NS, Wander, Weather
from tests.simulator_backend.photons.counting import S, bench_of, coincidences, of, within

MS = S // 1000


def pair_bench(seed=1, source=None, fibre=None, **detector):
    parts = {
        "source": source or PairSource(pump_mw=1.0, coupling=(0.5, 0.5)),
        "fibre": fibre or Fibre(length_km=1.0),
        "one": Detector(channel=1, **detector),
        "two": Detector(channel=2, **detector),
    }
    return bench_of(parts, "source.signal > one", "source.idler > fibre", "fibre > two", seed=seed)


def test_tags_are_in_order_and_of_the_span_that_was_asked():
    tags = pair_bench().tags(3 * MS, 33 * MS)
    assert tags.time_ps.dtype == np.int64
    assert tags.channel.dtype == np.int16
    assert np.all(np.diff(tags.time_ps) >= 0)
    assert 3 * MS <= tags.time_ps[0] < tags.time_ps[-1] < 33 * MS
    assert set(np.unique(tags.channel)) == {1, 2}


def test_one_seed_and_the_same_calls_give_the_same_tags_and_another_seed_gives_others():
    def run(seed):
        bench = pair_bench(seed, fibre=Fibre(length_km=2.0, wander_rad_per_root_s=0.3))
        first = bench.tags(0, 20 * MS)
        bench.turn("source.pump_mw", 0.5, 25_000_000)
        return first, bench.tags(20 * MS, 50 * MS)

    for one, again in zip(run(7), run(7), strict=True):
        assert np.array_equal(one.time_ps, again.time_ps)
        assert np.array_equal(one.channel, again.channel)
    assert not np.array_equal(run(7)[0].time_ps[:50], run(8)[0].time_ps[:50])


@pytest.mark.parametrize("period_ps", [None, 13_000])
def test_pieces_give_the_counts_and_coincidences_of_one_call(period_ps):
    # 1 km of fibre is 5 us, pieces are 7 us: half of all pairs are cut by a border. 0.05 s each way, two
    # independent realisations: the difference of Poisson counts has the sum of their variances.
    source = PairSource(pump_mw=1.0, coupling=(0.5, 0.5), period_ps=period_ps)
    whole = pair_bench(3, source).tags(0, 50 * MS)
    bench, piece = pair_bench(4, source), 7_000_000
    pieces = [bench.tags(k * piece, (k + 1) * piece) for k in range(50 * MS // piece)]
    times = np.concatenate([tags.time_ps for tags in pieces])
    channels = np.concatenate([tags.channel for tags in pieces])
    assert np.all(np.diff(times) >= 0)
    scale = len(pieces) * piece / (50 * MS)
    for channel in (1, 2):
        n = np.count_nonzero(channels == channel)
        expected = scale * len(of(whole, channel))
        within(n, expected, variance=2.0 * expected)
    joined = coincidences(times[channels == 2], times[channels == 1], 500, 5_000_000)
    alone = coincidences(of(whole, 2), of(whole, 1), 500, 5_000_000)
    assert alone > 5_000
    within(joined, scale * alone, variance=2.0 * alone)


def test_dead_time_holds_between_tags_of_different_pieces():
    # Strong light and pieces about as long as the dead time.
    bench = pair_bench(5, PairSource(pump_mw=20.0), dead_ps=100_000.0, jitter_fwhm_ps=0.0)
    pieces = [bench.tags(k * 150_000, (k + 1) * 150_000) for k in range(2_000)]
    times = np.concatenate([of(tags, 1) for tags in pieces])
    assert len(times) > 1_000
    assert np.diff(times).min() >= 100_000 - 1


def test_light_is_on_its_way_already_when_the_first_tags_are_taken():
    # 100 km: 0.5 ms of flight; the first 0.4 ms must not be dark. 2.5e5 per second expected behind 20 dB.
    bench = pair_bench(6, PairSource(pump_mw=50.0, coupling=(0.5, 1.0)), Fibre(length_km=100.0))
    early = of(bench.tags(0, 2 * MS // 5), 2)
    rate_hz = bench.gauge("two.count_hz", 0)
    within(len(early), rate_hz * 4e-4)


def test_a_knob_acts_on_light_from_its_moment_on():
    bench = pair_bench(9)
    bench.tags(0, 10 * MS)
    at_ps = 237 * MS // 10  # in the middle of a block
    bench.turn("source.pump_mw", 0.0, at_ps // 1000)
    tags = bench.tags(10 * MS, 30 * MS)
    # Signal stops there, idler a fibre of 5 us later; darks of 50 per second go on.
    assert np.count_nonzero(of(tags, 1) > at_ps + 1_000) < 10
    assert of(tags, 1)[of(tags, 1) <= at_ps][-1] > at_ps - 100_000_000
    late = of(tags, 2)
    assert np.count_nonzero((late > at_ps) & (late < at_ps + 5_000_000)) > 0
    assert np.count_nonzero(late > at_ps + 5_001_000) < 10


def test_a_gauge_shows_a_turn_at_once_though_no_tags_were_taken():
    bench = pair_bench(9)
    before = bench.gauge("one.count_hz", 0)
    bench.turn("source.pump_mw", 2.0, 1_000)
    after = bench.gauge("one.count_hz", 1_000)
    assert after > 1.8 * before


def test_times_that_go_back_and_floods_are_refused_and_gaps_are_counted():
    bench = pair_bench(10)
    bench.tags(0, MS)
    with pytest.raises(LocalMisuse, match="taken up to"):
        bench.tags(0, MS)
    bench.tags(5 * MS, 6 * MS)
    assert bench.counters["gaps"] == 1
    with pytest.raises(LocalMisuse, match="shorter pieces"):
        bench.tags(6 * MS, 10_000 * S)
    bench.gauge("one.count_hz", 1_000)
    with pytest.raises(LocalMisuse, match="told already"):
        bench.gauge("one.count_hz", 999)


def test_turns_that_nobody_waits_for_happen_early_and_are_counted():
    bench = pair_bench(11)
    for k in range(10_050):
        bench.turn("source.pump_mw", 1.0 + (k % 2), k)
    assert bench.counters["turns_early"] == 50


# ---- latching


def test_a_latched_detector_is_dark_until_its_bias_is_reset():
    parts = {"laser": Laser(), "dim": Attenuator(), "d": Detector(channel=3, dead_ps=20_000.0)}
    bench = bench_of(parts, "laser > dim", "dim > d")
    bench.turn("laser.power_w", 1e-12, 0)  # 7.8 Mcps before efficiency
    assert len(bench.tags(0, 5 * MS).time_ps) > 20_000
    assert bench.gauge("d.latched", 0) == 0.0
    bench.turn("laser.power_w", 1e-10, 5_000_000)
    bench.tags(5 * MS, 10 * MS)
    assert bench.gauge("d.latched", 10_000_000) == 1.0
    assert bench.gauge("d.count_hz", 10_000_000) == 0.0
    bench.turn("laser.power_w", 1e-13, 10_000_000)
    assert len(bench.tags(11 * MS, 14 * MS).time_ps) == 0
    bench.turn("d.bias_ua", 0.0, 15_000_000)
    bench.turn("d.bias_ua", 18.0, 16_000_000)
    # The tags lag behind: that they still find it latched at 14 ms does not latch it again at 16 ms.
    half = 29 * MS // 2
    assert len(bench.tags(14 * MS, half).time_ps) == 0
    assert bench.gauge("d.latched", 16_000_000) == 0.0
    bench.tags(half, 17 * MS)
    assert bench.gauge("d.latched", 17_000_000) == 0.0
    within(len(bench.tags(17 * MS, 37 * MS).time_ps), bench.gauge("d.count_hz", 17_000_000) * 0.02)


def test_a_detector_latches_above_its_switching_current():
    bench = pair_bench(12)
    bench.turn("one.bias_ua", 21.0, 0)
    assert bench.gauge("one.latched", 0) == 1.0
    bench.turn("one.bias_ua", 18.0, 1_000)
    tags = bench.tags(MS, 3 * MS)
    assert len(of(tags, 1)) == 0
    assert len(of(tags, 2)) > 100


def test_a_detector_that_latches_is_deaf_to_light_that_is_on_its_way():
    # 100 km hold 0.5 ms of light; the bias passes the switching current at 10 ms.
    bench = pair_bench(14, PairSource(pump_mw=50.0, coupling=(0.5, 1.0)), Fibre(length_km=100.0))
    bench.tags(0, 9 * MS)
    bench.turn("two.bias_ua", 21.0, 10_000_000)
    late = of(bench.tags(9 * MS, 20 * MS), 2)
    assert len(late) > 100
    assert late[-1] < 10 * MS + 1_000


def test_light_that_no_detector_follows_blinds_it_without_being_drawn():
    parts = {"laser": Laser(), "d": Detector(channel=3)}
    bench = bench_of(parts, "laser > d")
    bench.turn("laser.power_w", 1e-3, 0)
    assert len(bench.tags(0, S).time_ps) == 0
    assert bench.gauge("d.latched", 0) == 1.0
    bench.turn("laser.power_w", 1e-13, 10**9)
    bench.turn("d.bias_ua", 0.0, 10**9)
    bench.turn("d.bias_ua", 18.0, 10**9)
    expected = bench.gauge("d.count_hz", 10**9) * 0.01
    assert expected > 5_000
    within(len(bench.tags(S + MS, S + 11 * MS).time_ps), expected)
    assert bench.gauge("d.latched", 10**9) == 0.0


# ---- drift


def test_delay_of_a_fibre_follows_its_temperature_in_gauge_and_tags():
    # 10 km, 2 K in a period of 40 s: +-740 ps; at a quarter period the coincidence peak has moved by that.
    fibre = Fibre(length_km=10.0, swing_k=2.0, swing_period_s=40.0)
    source = PairSource(pump_mw=1.0)
    bench = pair_bench(13, source, fibre, jitter_fwhm_ps=20.0)
    for age_s in (0, 5, 10, 30):
        tags = bench.tags(age_s * S, age_s * S + 20 * MS)
        shift = 37.0 * 10.0 * 2.0 * sin(2.0 * pi * age_s / 40.0)
        expected = round(50_000_000 + shift)
        assert bench.gauge("fibre.delay_ps", age_s * 10**9) == pytest.approx(expected, abs=1.0)
        counted = coincidences(of(tags, 2), of(tags, 1), 100, expected)
        assert counted > 5 * coincidences(of(tags, 2), of(tags, 1), 100, expected + 400)


def test_polarisation_wanders_as_a_random_walk_on_the_sphere():
    # Stokes vectors turn by independent small rotations: <s.s0> = (E of one step)^n with E = 1 - step^2 + ...
    # 400 walks of 200 steps; exact factor of one step by averaging the rotation: (1 + 2 E[cos])/3, cos of a
    # Maxwell-distributed angle: E[cos] = (1 - s^2) exp(-s^2/2).
    step, steps, walks = 0.06, 200, 400
    overlaps = []
    for number in range(walks):
        turn = Wander(step, SeedSequence(99, spawn_key=(number,))).at(steps)
        overlaps.append(2.0 * abs(turn[0, 0]) ** 2 - 1.0)
    factor = (1.0 + 2.0 * (1.0 - step**2) * exp(-(step**2) / 2.0)) / 3.0
    assert abs(np.mean(overlaps) - factor**steps) < 4.0 * np.std(overlaps) / sqrt(walks)


def test_two_readers_of_one_weather_see_the_same_whatever_steps_they_take():
    fibres = {"f": Fibre(wander_rad_per_root_s=0.5, swing_k=1.0), "g": Fibre(wander_rad_per_root_s=0.2)}
    often, seldom = Weather(fibres, SeedSequence(5)), Weather(fibres, SeedSequence(5))
    for age_ns in range(0, 30 * STEP_NS, STEP_NS // 3):
        often.drift("f", often.step(age_ns))
        often.drift("g", often.step(age_ns))
    assert np.allclose(often.drift("f", 30).turn, seldom.drift("f", 30).turn)
    assert np.allclose(often.drift("g", 30).turn, seldom.drift("g", 30).turn)
    assert not np.allclose(seldom.drift("f", 30).turn, seldom.drift("g", 30).turn)
    assert np.allclose(seldom.drift("f", 30).turn @ seldom.drift("f", 30).turn.conj().T, np.eye(2))
