"""What tags count, over grids of settings, against closed forms that are written here anew.

Every comparison is at 4 standard errors (false alarm 6e-5 each, about 70 of them); the seeds are fixed.
Sample sizes stand in the tests.
"""

from math import exp, log, pi, sin, sqrt

import numpy as np
import pytest

from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.passive import (
    Attenuator,
    BeamSplitter,
    Fibre,
)
from bellwire.simulator_backend.photons.sources import Laser, PairSource
from tests.simulator_backend.photons.benches import PERIOD_PS, detector, seen, sinc_squared
from tests.simulator_backend.photons.counting import S, bench_of, coincidences, of, within

# ---- pairs


@pytest.mark.parametrize("schmidt", [1.0, 3.0])
@pytest.mark.parametrize(
    ("pump_mw", "oven_c", "loss_db"),
    [(1.0, 40.0, 0.0), (5.0, 40.0, 3.0), (5.0, 40.7, 10.0), (15.0, 41.2, 0.0)],
)
def test_singles_coincidences_and_car_of_pulsed_pairs_are_those_of_thermal_light(
    pump_mw, oven_c, loss_db, schmidt
):
    # 0.1 s are 1e7 pulses. Thermal statistics in K modes: silence is (1 + eta mu/K)^-K.
    parts = {
        "source": PairSource(period_ps=PERIOD_PS, schmidt_number=schmidt, coupling=(0.6, 0.5)),
        "loss": Attenuator(),
        "fibre": Fibre(length_km=2.0, attenuation_db_per_km=0.3),
        "s": detector(1),
        "i": detector(2, 0.7),
    }
    bench = bench_of(parts, "source.signal > loss", "loss > s", "source.idler > fibre", "fibre > i", seed=21)
    for knob, value in (("source.pump_mw", pump_mw), ("source.oven_c", oven_c), ("loss.loss_db", loss_db)):
        bench.turn(knob, value, 0)
    tags = bench.tags(0, S // 10)
    signal, idler = of(tags, 1), of(tags, 2)
    pulses = 1e7
    mu = 1e6 * pump_mw * sinc_squared(oven_c - 40.0, 2.0) * PERIOD_PS * 1e-12
    eta_s, eta_i = 0.6 * 10 ** (-loss_db / 10.0) * seen(), 0.5 * 10 ** (-0.06) * seen(0.7)
    dark = 50.0 * 0.1

    def silent(eta):
        return (1.0 + eta * mu / schmidt) ** -schmidt

    p_s, p_i = 1.0 - silent(eta_s), 1.0 - silent(eta_i)
    p_both = p_s + p_i - 1.0 + silent(eta_s + eta_i - eta_s * eta_i)
    within(len(signal), pulses * p_s + dark)
    within(len(idler), pulses * p_i + dark)
    # Half a period of window holds all of one pulse; 2 km are 1000 periods exactly. Darks are accidental.
    delay_ps, window_ps = 10_000_000, PERIOD_PS // 2
    accidental_dark = dark * pulses * (p_s + p_i) * window_ps / (0.1 * S)
    peak = coincidences(idler, signal, window_ps, delay_ps)
    beside = coincidences(idler, signal, window_ps, delay_ps + 7 * PERIOD_PS)
    within(peak, pulses * p_both + accidental_dark)
    within(beside, pulses * p_s * p_i + accidental_dark)
    car = (peak - beside) / beside
    expected = p_both / (p_s * p_i) - 1.0
    relative = sqrt(1.0 / peak + 1.0 / beside)
    assert abs(car - expected) < 4.0 * (expected + 1.0) * relative + 0.01 * expected  # darks: below 1 %


@pytest.mark.parametrize("pump_mw", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("oven_c", [40.0, 39.2])
def test_singles_coincidences_and_car_under_a_continuous_pump(pump_mw, oven_c):
    # procedures.md section 4: S = eta R + d, C = eta eta R + S S w, CAR = (C - A)/A. 0.5 s, w = 400 ps.
    parts = {
        "source": PairSource(coupling=(0.5, 0.4), pump_mw=pump_mw),
        "s": detector(1, dark_hz=2_000.0),
        "i": detector(2, dark_hz=500.0),
    }
    bench = bench_of(parts, "source.signal > s", "source.idler > i", seed=22)
    bench.turn("source.oven_c", oven_c, 0)
    tags = bench.tags(0, S // 2)
    rate, time, window = 1e6 * pump_mw * sinc_squared(oven_c - 40.0, 2.0), 0.5, 400e-12
    single_s, single_i = 0.5 * seen() * rate + 2_000.0, 0.4 * seen() * rate + 500.0
    within(len(of(tags, 1)), single_s * time)
    within(len(of(tags, 2)), single_i * time)
    true = 0.5 * 0.4 * seen() ** 2 * rate
    accidental = single_s * single_i * window
    within(coincidences(of(tags, 1), of(tags, 2), 400), (true + accidental) * time)
    # A hundred windows beside the peak: 40 ns.
    within(coincidences(of(tags, 1), of(tags, 2), 40_000, 500_000), 100.0 * accidental * time)
    assert bench.gauge("s.count_hz", 0) == pytest.approx(single_s)


def test_unheralded_light_has_the_bunching_of_its_schmidt_number():
    # g2 = 1 + 1/K from a balanced splitter behind one arm: 0.3 s, 3e7 pulses.
    for schmidt, seed in ((1.0, 31), (2.5, 32)):
        parts = {
            "source": PairSource(period_ps=PERIOD_PS, schmidt_number=schmidt, pump_mw=8.0),
            "half": BeamSplitter(),
            "c": detector(1),
            "d": detector(2),
        }
        bench = bench_of(parts, "source.signal > half.a", "half.c > c", "half.d > d", seed=seed)
        tags = bench.tags(0, 3 * S // 10)
        both = coincidences(of(tags, 1), of(tags, 2), PERIOD_PS // 2)
        product = len(of(tags, 1)) * len(of(tags, 2)) / 3e7
        # (1 + x)^-K expanded to the second order of x = eta mu/K: corrections of x, which is 0.022/K.
        mean = 0.08 * 0.7 * seen() / 2.0
        x = mean / schmidt
        silent = (1.0 + x) ** -schmidt
        exact = (1.0 - 2.0 * silent + (1.0 + 2.0 * x) ** -schmidt) / (1.0 - silent) ** 2
        assert exact == pytest.approx(1.0 + 1.0 / schmidt, rel=0.05)
        assert abs(both / product - exact) < 4.0 * exact / sqrt(both)


def test_afterpulses_and_dead_time_show_in_the_gauge_as_in_the_tags():
    # 1 s per point; an InGaAs detector with light of a laser, and one SNSPD in pulses that it cannot follow.
    parts = {
        "laser": Laser(power_w=2e-15),
        "ingaas": detector(1, 0.2, dead_ps=1e7, afterpulsing=0.05, afterpulse_ps=1e6, dark_hz=1_000.0),
        "source": PairSource(period_ps=PERIOD_PS, pump_mw=20.0),
        "snspd": detector(2, dead_ps=45_000.0),
    }
    bench = bench_of(parts, "laser > ingaas", "source.signal > snspd", seed=23)
    tags = bench.tags(0, S)
    photons = 2e-15 * 1550e-9 / (6.62607015e-34 * 299792458.0)
    raw = photons * seen(0.2) + 1_000.0
    # An afterpulse is lost when a photon clicks in its place (raw x tau = 0.4 %): below the count's error.
    within(len(of(tags, 1)), raw / (0.95 + raw * 1e-5), variance=raw * 1.1)
    p = 1.0 - 1.0 / (1.0 + 0.7 * seen() * 0.2)
    rate = p / (1.0 + 4.0 * p) / (PERIOD_PS * 1e-12) + 50.0
    within(len(of(tags, 2)), rate, variance=rate)
    assert bench.gauge("ingaas.count_hz", 0) == pytest.approx(raw / (0.95 + raw * 1e-5))
    assert bench.gauge("snspd.count_hz", 0) == pytest.approx(rate, rel=1e-4)


# ---- converter, laser


@pytest.mark.parametrize(("pump_mw", "oven_c"), [(0.0, 50.0), (60.0, 50.0), (250.0, 50.5), (500.0, 50.0)])
def test_a_converter_passes_and_adds_photons_as_its_curve_says(pump_mw, oven_c):
    # 1 s. eta = eta_max sin^2(pi/2 sqrt(P/Pmax)) sinc^2, n = d + a P (procedures.md section 6).
    parts = {
        "laser": Laser(power_w=5e-14, wavelength_nm=580.0),
        "qfc": Converter(noise_hz=300.0, noise_hz_per_mw=40.0),
        "d": detector(1),
    }
    bench = bench_of(parts, "laser > qfc", "qfc > d", seed=43)
    bench.turn("qfc.pump_mw", pump_mw, 0)
    bench.turn("qfc.oven_c", oven_c, 0)
    photons = 5e-14 * 580e-9 / (6.62607015e-34 * 299792458.0)
    efficiency = 0.67 * 0.69 * sin(pi / 2.0 * sqrt(pump_mw / 250.0)) ** 2 * sinc_squared(oven_c - 50.0, 1.5)
    expected = (photons * efficiency + 300.0 + 40.0 * pump_mw) * seen() + 50.0
    within(len(bench.tags(0, S).time_ps), expected)
    assert bench.gauge("d.count_hz", 0) == pytest.approx(expected)


def test_a_pulsed_laser_shows_the_jitter_and_poisson_clicks():
    # procedures.md section 7.4. 0.2 s at 10 MHz: P(click) = 1 - exp(-mean); FWHM from the rms.
    parts = {
        "laser": Laser(period_ps=100_000),
        "dim": Attenuator(loss_db=20.0),
        "d": detector(1, jitter_fwhm_ps=70.0),
    }
    bench = bench_of(parts, "laser > dim", "dim > d", seed=44)
    bench.turn("laser.power_w", 2e-10, 0)
    times = bench.tags(0, S // 5).time_ps
    mean = 2e-12 * 1550e-9 / (6.62607015e-34 * 299792458.0) * 1e-7 * seen()
    p = 1.0 - exp(-mean)
    within(len(times), 2e6 * p + 10.0, variance=2e6 * p * (1.0 - p))
    late = (times + 50_000) % 100_000 - 50_000
    late = late[np.abs(late) < 1_000]  # without darks
    sigma = 70.0 / (2.0 * sqrt(2.0 * log(2.0)))
    # Whole ps add 1/12 to the variance.
    assert abs(late.std() - sqrt(sigma**2 + 1.0 / 12.0)) < 4.0 * sigma / sqrt(2.0 * len(late))
