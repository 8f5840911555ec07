"""Interference and correlations in tags against closed forms that are written here anew.

Every comparison is at 4 standard errors (false alarm 6e-5 each, about 90 of them); the seeds are fixed.
Sample sizes stand in the tests.
"""

from math import cos, exp, pi, radians, sqrt

import numpy as np
import pytest

from bellwire.simulator_backend.photons.passive import (
    Analyser,
    BeamSplitter,
    DelayLine,
    Fibre,
    PolarisingSplitter,
)
from bellwire.simulator_backend.photons.sources import Emitter, PairSource
from tests.simulator_backend.photons.benches import PERIOD_PS, detector, seen, sinc_squared
from tests.simulator_backend.photons.counting import S, bench_of, coincidences, of, within
from tests.simulator_backend.photons.fock import fock_patterns

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
