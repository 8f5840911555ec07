"""The lab of entangled photons through its emulated instruments: two receivers on clocks of their own.

Tags come over sockets; what the clocks hide is found by correlation, but for the difference of their rates,
which is taken from the World. Every comparison is at 4 standard errors of its counts (16 of them: one is
beyond by chance in 1000 runs); which stretch of the light a window meets is not fixed.
"""

from __future__ import annotations

import asyncio
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.calibration.worlds import lab_text, pairs_at
from tests.simulator_backend.lab_benches import LitBench, lit_bench, stretch

EQUIPMENT = (
    "source-pump",
    "source-oven",
    "alice-tagger",
    "bob-tagger",
    "alice-plate",
    "bob-plate",
    "alice-detectors",
    "bob-detectors",
    "alice-paddles",
    "bob-paddles",
)
WINDOW_PS = 500
LIVE_S = 0.5
"""One sub-acquisition of each tagger; they do not begin together."""
COARSE_PS, COARSE_BINS = 1_000_000, 1 << 21
"""Bins of the coarse search; the difference of the rates is known to 0.1 ppm, which is 0.05 us in 0.5 s."""


async def matched(bench: LitBench) -> tuple[NDArray[np.int64], float]:
    """Coincidences by Alice's and Bob's channels, shape (4, 4), and the time in s that both listened."""
    (mine, my_channel), (theirs, their_channel) = await asyncio.gather(
        stretch(bench["alice-tagger"]), stretch(bench["bob-tagger"])
    )
    clocks = bench.light.bench.clocks
    rates = [clocks[name].rate_ppb(10**12) * 1e-9 for name in ("alice_clock", "bob_clock")]
    theirs = np.rint(theirs * ((1.0 + rates[0]) / (1.0 + rates[1]))).astype(np.int64)
    spectra = [
        np.fft.rfft(np.bincount(one // COARSE_PS % COARSE_BINS, minlength=COARSE_BINS))
        for one in (mine, theirs)
    ]
    shift = int(np.argmax(np.fft.irfft(spectra[0] * spectra[1].conj())))
    shift_ps = (shift if shift < COARSE_BINS // 2 else shift - COARSE_BINS) * COARSE_PS
    theirs = theirs + shift_ps
    low = np.searchsorted(theirs, mine - 2 * COARSE_PS)
    high = np.searchsorted(theirs, mine + 2 * COARSE_PS)
    one = np.repeat(np.arange(len(mine)), high - low)
    other = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
    apart = mine[one] - theirs[other]
    for width in (2_000, 100):  # the peak, and its centroid
        counts, edges = np.histogram(apart, np.arange(apart.min(), apart.max() + 2 * width, width))
        middle = edges[counts.argmax()] + width / 2.0
        apart, one, other = (each[np.abs(apart - middle) < 2.0 * width] for each in (apart, one, other))
    close = np.abs(apart - np.mean(apart)) < WINDOW_PS / 2.0
    counts = np.zeros((4, 4), np.int64)
    np.add.at(counts, (my_channel[one[close]] - 1, their_channel[other[close]] - 1), 1)
    return counts, LIVE_S - abs(shift_ps) * 1e-12


def wrong(counts: NDArray[np.int64], alice: int, bob: int) -> tuple[float, int]:
    block = counts[2 * alice : 2 * alice + 2, 2 * bob : 2 * bob + 2]
    return float((block[0, 1] + block[1, 0]) / block.sum()), int(block.sum())


def near(share: float, expected: float, count: int) -> bool:
    return abs(share - expected) < 4.0 * sqrt(expected * (1.0 - expected) / count)


async def test_both_bases_and_chsh_show_the_entanglement_that_the_source_makes(tmp_path: Path) -> None:
    text = lab_text("entangled_photons")
    expected = pairs_at(text, {}, window_ps=WINDOW_PS)
    async with lit_bench(tmp_path, text, EQUIPMENT) as bench:
        await bench.light_up("source-pump", "source-oven", 10.0, 40.0)
        made_hz = [bench.light.gauge("source.pair_rate_hz", 0)]
        counts, both_s = await matched(bench)
        made_hz.append(bench.light.gauge("source.pair_rate_hz", 0))
        for basis, error in ((0, expected.error_z), (1, expected.error_x)):
            share, count = wrong(counts, basis, basis)
            assert near(share, error, count), (basis, share, error, count)
            assert 0.008 < share < 0.02  # the source's own 1 %, the splitters' 0.1 %, chance
        for basis in (0, 1):  # unlike bases know nothing of each other
            share, count = wrong(counts, basis, 1 - basis)
            assert near(share, 0.5, count)
        # The oven still swings by some tenths of a kelvin; chance coincidences are a part in a thousand.
        rate_hz, pairs_hz = counts.sum() / both_s, expected.coincidences_hz * np.mean(made_hz) / 2e5
        assert abs(rate_hz / pairs_hz - 1.0) < 4.0 / sqrt(counts.sum()) + abs(np.ptp(made_hz)) / 2e5 + 0.005
        assert 20_000.0 < rate_hz < 35_000.0

        await bench["bob-plate"].set_angle_deg(2, 11.25)
        await asyncio.sleep(0.3)
        counts, _ = await matched(bench)
        found = [[wrong(counts, a, b) for b in (0, 1)] for a in (0, 1)]
        e = np.array([[1.0 - 2.0 * share for share, _ in row] for row in found])
        chsh = max(abs(e.sum() - 2.0 * e[a, b]) for a in (0, 1) for b in (0, 1))
        error = sqrt(sum((1.0 - e[a, b] ** 2) / found[a][b][1] for a in (0, 1) for b in (0, 1)))
        assert abs(chsh - expected.chsh) < 4.0 * error, (chsh, expected.chsh, error)
        assert chsh > 2.0 + 10.0 * error
        assert abs(expected.chsh - 2.0 * sqrt(2.0) * expected.visibility) < 0.003

        await bench["bob-plate"].set_angle_deg(2, 0.0)
        await bench["bob-paddles"].set_angle_deg(2, 30.0)  # a misaligned fibre shows
        await asyncio.sleep(0.3)
        counts, _ = await matched(bench)
        turned = pairs_at(text, {"bob_paddles.angle_2_deg": 30.0}, window_ps=WINDOW_PS)
        assert near(wrong(counts, 0, 0)[0], turned.error_z, wrong(counts, 0, 0)[1])
        assert turned.error_z > 0.5
