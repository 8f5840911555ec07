"""What tags count, over grids of settings, against closed forms that are written here anew.

Every comparison is at 4 standard errors (false alarm 6e-5 each, about 150 of them: 1 % in all for a free
choice of seed; the seeds are fixed). Sample sizes stand in the tests.
"""

from math import cos, erf, exp, log, pi, radians, sin, sqrt

import numpy as np
import pytest

from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.passive import (
    Analyser,
    Attenuator,
    BeamSplitter,
    DelayLine,
    Fibre,
    PolarisingSplitter,
)
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource
from tests.simulator_backend.photons.counting import S, bench_of, coincidences, of, within
from tests.simulator_backend.photons.fock import fock_patterns

PERIOD_PS = 10_000


def detector(channel, efficiency=0.8, **truth):
    """No dead time and little jitter, unless told: pulses are told apart."""
    return Detector(
        channel=channel, efficiency=efficiency, **({"dead_ps": 0.0, "jitter_fwhm_ps": 20.0} | truth)
    )


def seen(efficiency=0.8, share=0.9):
    """Detector efficiency at that share of the switching current: erf law, knee 0.7, width 0.1."""
    return efficiency * (1.0 + erf((share - 0.7) / 0.1)) / 2.0


def sinc_squared(offset_k, fwhm_k):
    x = 1.3915573782515103 * 2.0 * offset_k / fwhm_k
    return 1.0 if x == 0.0 else (sin(x) / x) ** 2


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


# ---- interference


@pytest.mark.parametrize("offset_ps", [0.0, 10.0, 25.0, 40.0, 200.0])
def test_a_pair_at_a_splitter_gives_coincidences_with_the_published_dip(offset_ps):
    # (1 - V)/2, V = V0 exp(-dt^2/(4 s^2)) with s = 15 ps; 0.5 s of 3e5 pairs per second at each delay.
    parts = {
        "source": PairSource(pump_mw=0.3, coupling=(0.7, 0.7)),
        "line": DelayLine(position_ps=300.0, insertion_loss_db=0.0),
        "bs": BeamSplitter(mode_match=0.97),
        "patch": DelayLine(position_ps=300.0, insertion_loss_db=0.0),
        "c": detector(1),
        "d": detector(2),
    }
    bench = bench_of(
        parts,
        "source.signal > line",
        "line > bs.a",
        "source.idler > patch",
        "patch > bs.b",
        "bs.c > c",
        "bs.d > d",
        seed=24,
    )
    bench.turn("line.position_ps", 300.0 + offset_ps, 0)
    tags = bench.tags(0, S // 2)
    visibility = 0.97 * exp(-(offset_ps**2) / (4.0 * 15.0**2))
    eta = 0.7 * seen()
    singles = 2.0 * 3e5 * eta / 2.0 + 50.0
    true = 3e5 * eta**2 * (1.0 - visibility) / 2.0
    # The window holds both orders of a late photon.
    counted = coincidences(of(tags, 1), of(tags, 2), 1_000)
    within(counted, (true + singles**2 * 1_000e-12) * 0.5)
    within(len(of(tags, 1)), singles * 0.5)


def test_wrong_polarisation_and_colour_fill_the_dip():
    # A half-wave plate turns one photon by 2a: overlap cos^2(2a). An oven off by 0.4 K shifts signal against
    # idler by 2 x 0.05 x 0.4 nm. 0.5 s each.
    def dip(angle_deg, oven_c, seed):
        parts = {
            "source": PairSource(pump_mw=0.3, oven_c=oven_c, oven_fwhm_k=50.0),
            "plate": Analyser(),
            "bs": BeamSplitter(),
            "c": detector(1),
            "d": detector(2),
        }
        wires = ("source.signal > plate", "plate > bs.a", "source.idler > bs.b", "bs.c > c", "bs.d > d")
        bench = bench_of(parts, *wires, seed=seed)
        bench.turn("plate.angle_deg", angle_deg, 0)
        tags = bench.tags(0, S // 2)
        pairs = 3e5 * 0.49 * seen() ** 2 * 0.5 * sinc_squared(oven_c - 40.0, 50.0)
        accidental = len(of(tags, 1)) * len(of(tags, 2)) * 1_000e-12 / 0.5
        return coincidences(of(tags, 1), of(tags, 2), 1_000) - accidental, pairs

    for angle_deg in (10.0, 30.0, 45.0):
        counted, pairs = dip(angle_deg, 40.0, 25)
        within(counted, pairs * (1.0 - cos(radians(2.0 * angle_deg)) ** 2) / 2.0)
    counted, pairs = dip(0.0, 40.4, 26)
    detuning = 2.0 * pi * 299_792.458 * (1.0 / 1549.98 - 1.0 / 1550.02)
    within(counted, pairs * (1.0 - exp(-((detuning * 15.0) ** 2))) / 2.0)


@pytest.mark.parametrize("offset_ps", [0.0, 18.0, 60.0])
def test_photons_heralded_by_two_sources_meet_as_an_explicit_fock_calculation_says(offset_ps):
    # 0.5 s are 5e7 pulses of lambda = 0.02 each; lossless, so that the table of qutip is the truth itself,
    # cut at four pairs (0.02^5 of a pulse is 0.2 pulses).
    clean = {"efficiency": 1.0, "knee": 0.1, "dark_hz": 0.0}
    source = PairSource(period_ps=PERIOD_PS, pump_mw=2.0, coupling=(1.0, 1.0))
    parts = {
        "x": source,
        "y": source,
        "far": Fibre(length_km=4.0, attenuation_db_per_km=0.0),
        "line": DelayLine(position_ps=0.0, insertion_loss_db=0.0),
        "bs": BeamSplitter(),
        **{name: detector(k, **clean) for k, name in enumerate(("hx", "c", "d", "hy"))},
    }
    wires = ("x.idler > hx", "y.idler > hy", "x.signal > far", "far > line", "line > bs.a", "y.signal > bs.b")
    bench = bench_of(parts, *wires, "bs.c > c", "bs.d > d", seed=27)
    bench.turn("line.position_ps", offset_ps, 0)
    tags = bench.tags(0, S // 2)
    # Photons of X need 4 km more: they meet those of Y that are emitted 2000 pulses later.
    delays_ps = np.array([0, 20_000_000, 20_000_000, 20_000_000])
    slots = (tags.time_ps - delays_ps[tags.channel] + PERIOD_PS // 2) // PERIOD_PS
    inside = (slots >= 0) & (slots < 49_990_000)
    clicks = np.zeros(49_990_000, dtype=np.int8)
    np.bitwise_or.at(clicks, slots[inside], (1 << tags.channel[inside]).astype(np.int8))
    counted = np.bincount(clicks, minlength=16)
    overlap = exp(-(offset_ps**2) / (4.0 * 15.0**2))
    expected = fock_patterns(0.02, overlap, 0.5, 5) * len(clicks)
    for pattern in range(1, 16):
        within(counted[pattern], expected[pattern])


# ---- correlations of polarisation


def analysed(source, seed):
    parts = {
        "source": source,
        **{f"plate_{side}": Analyser() for side in "ab"},
        **{f"pbs_{side}": PolarisingSplitter(extinction=0.0) for side in "ab"},
        **{f"{side}{port}": detector(k) for k, (side, port) in enumerate(("ah", "av", "bh", "bv"))},
    }
    wires = ["source.signal > plate_a", "source.idler > plate_b"]
    for side in "ab":
        wires += [f"plate_{side} > pbs_{side}", f"pbs_{side}.h > {side}h", f"pbs_{side}.v > {side}v"]
    return bench_of(parts, *wires, seed=seed)


def correlation(tags, window_ps):
    """E and its number of coincidences."""
    n = {(i, j): coincidences(of(tags, i), of(tags, 2 + j), window_ps) for i in (0, 1) for j in (0, 1)}
    total = sum(n.values())
    return (n[0, 0] + n[1, 1] - n[0, 1] - n[1, 0]) / total, total


@pytest.mark.parametrize(("state", "sign", "error"), [("psi_minus", -1.0, 0.0), ("phi_plus", 1.0, 0.04)])
def test_chsh_of_an_entangled_source_is_2_828_v(state, sign, error):
    # procedures.md section 9. Linear analysers: E = -cos 2(a - b) for Psi-, cos 2(a - b) for Phi+.
    # 0.25 s of 2e5 pairs per second at each of four settings, w = 200 ps (99.999 % of the peak).
    source = PairSource(pump_mw=0.2, entangled=state, intrinsic_error=error)
    bench = analysed(source, 28)
    chsh, variance = 0.0, 0.0
    settings = [(0.0, 22.5, 1), (0.0, 67.5, -1), (45.0, 22.5, 1), (45.0, 67.5, 1)]
    for k, (a_deg, b_deg, weight) in enumerate(settings):
        at_ns = k * 250_000_000
        bench.turn("plate_a.angle_deg", a_deg / 2.0, at_ns)
        bench.turn("plate_b.angle_deg", b_deg / 2.0, at_ns)
        tags = bench.tags(k * S // 4, (k + 1) * S // 4)
        found, total = correlation(tags, 200)
        singles = sum(len(of(tags, c)) for c in (0, 1)) * sum(len(of(tags, c)) for c in (2, 3))
        accidental = singles * 200e-12 / 0.25  # they have no correlation and dilute it
        expected = sign * cos(radians(2.0 * (a_deg - b_deg))) * (1.0 - 2.0 * error)
        expected *= 1.0 - accidental / total
        assert abs(found - expected) < 4.0 * sqrt((1.0 - expected**2) / total)
        chsh += weight * found
        variance += (1.0 - found**2) / total
    assert abs(chsh - sign * 2.0 * sqrt(2.0) * (1.0 - 2.0 * error)) < 4.0 * sqrt(variance) + 0.002


@pytest.mark.parametrize("turned_deg", [0.0, 22.5])
def test_qber_of_a_pulsed_source_grows_with_its_pairs_in_both_bases(turned_deg):
    # 11.4 with loss: E = lam/(1 + 3 lam) for small eta; here 4 % of all photons are seen. 0.4 s, 4e7 pulses.
    lam = 0.05
    source = PairSource(period_ps=PERIOD_PS, pump_mw=10.0, entangled="psi_minus", coupling=(0.05, 0.05))
    bench = analysed(source, 29)
    bench.turn("plate_a.angle_deg", turned_deg, 0)
    bench.turn("plate_b.angle_deg", turned_deg, 0)
    tags = bench.tags(0, 4 * S // 10)
    found, total = correlation(tags, PERIOD_PS // 2)
    qber = (1.0 + found) / 2.0
    expected = lam / (1.0 + 3.0 * lam)
    assert total > 5_000
    # Loss of 96 % leaves a correction of order lam eta = 0.002 of E.
    assert abs(qber - expected) < 4.0 * sqrt(expected * (1.0 - expected) / total) + 0.004 * expected


# ---- photons of memories at a Bell-state analyser


def analyser_bench(seed, emission=0.8, coherence=0.9, offset_ps=0.0, lifetime_ps=1_000.0):
    emitter = Emitter(emission=emission, coherence=coherence, lifetime_ps=lifetime_ps, period_ps=1_000_000)
    parts = {
        "a": emitter,
        "b": emitter,
        "fibre_a": Fibre(length_km=3.0),
        "fibre_b": Fibre(length_km=5.0, attenuation_db_per_km=0.12),
        "line": DelayLine(position_ps=offset_ps, range_ps=1e5, insertion_loss_db=0.0),
        "bs": BeamSplitter(),
        "pbs_c": PolarisingSplitter(extinction=0.0),
        "pbs_d": PolarisingSplitter(extinction=0.0),
        **{name: detector(k, dark_hz=0.0) for k, name in enumerate(("ch", "cv", "dh", "dv"))},
    }
    wires = (
        "a > fibre_a", "fibre_a > line", "line > bs.a", "b > fibre_b", "fibre_b > bs.b",
        "bs.c > pbs_c", "bs.d > pbs_d",
        "pbs_c.h > ch", "pbs_c.v > cv", "pbs_d.h > dh", "pbs_d.v > dv",
    )  # fmt: skip
    return bench_of(parts, *wires, seed=seed)


def slot_patterns(tags, slots, window_ps, arrival_ps):
    """Patterns of clicks per attempt, of those inside the window after arrival."""
    late = tags.time_ps - arrival_ps
    number, inside = late // 1_000_000, late % 1_000_000
    good = (inside < window_ps) & (number >= 0) & (number < slots)
    clicks = np.zeros(slots, dtype=np.int64)
    np.bitwise_or.at(clicks, number[good], 1 << tags.channel[good].astype(np.int64))
    return np.bincount(clicks, minlength=16)


@pytest.mark.parametrize("offset_ps", [0.0, 700.0, 30_000.0])
def test_patterns_of_the_bell_state_analyser_are_those_of_its_table(offset_ps):
    # procedures.md section 8; unpolarised photons: H and V in half of all cases, which gives Psi+ and Psi-
    # alike; the same polarisation leaves by both ports with (1 - V)/2. 1e6 attempts.
    attempts = 1_000_000
    tags = analyser_bench(41, offset_ps=offset_ps).tags(0, S + 100_000_000)
    # Fibres of 3 and 5 km: the photon of the nearer node meets that of an earlier attempt of the other.
    counted = slot_patterns(tags, attempts, 500_000, 25_000_000 - 1_000)
    eta = 0.8 * 10 ** (-0.06) * seen()
    both = attempts * eta**2
    visibility = 0.9 * exp(-offset_ps / 1_000.0)
    one = attempts * 2.0 * eta * (1.0 - eta)
    for pattern in (0b0011, 0b1100, 0b1001, 0b0110):
        within(counted[pattern], both / 8.0)
    for pattern in (0b0101, 0b1010):
        within(counted[pattern], both * (1.0 - visibility) / 8.0)
    for pattern in (1, 2, 4, 8):
        within(counted[pattern], one / 4.0 + both * (1.0 + visibility) / 16.0)
    assert counted[[7, 11, 13, 14, 15]].sum() == 0


def test_a_short_window_at_the_analyser_lets_purer_photons_through():
    # Dephasing g = (1/V - 1)/tau: contrast exp(-g|t1 - t2|); averaged here by a sum over both times.
    window, tau, coherence, attempts = 800.0, 1_000.0, 0.5, 1_000_000
    tags = analyser_bench(42, coherence=coherence, lifetime_ps=tau).tags(0, S + 100_000_000)
    counted = slot_patterns(tags, attempts, window, 25_000_000)
    times = (np.arange(400) + 0.5) * window / 400
    density = np.exp(-times / tau)
    contrast = np.exp(-np.abs(times[:, None] - times) * (1.0 / coherence - 1.0) / tau)
    visibility = density @ contrast @ density / density.sum() ** 2
    eta = 0.8 * 10 ** (-0.06) * seen() * (1.0 - exp(-window / tau))
    assert visibility > coherence + 0.2
    # Jitter of 8.5 ps rms blurs the window's edges: 1e-3 of what is inside.
    forbidden = counted[0b0101] + counted[0b1010]
    within(forbidden, attempts * eta**2 * (1.0 - visibility) / 4.0)


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
