"""The bright light for alignment of the lab optics_double_click, through its emulated instruments.

Closed forms are written out here; comparisons are at 4 standard errors of their counts (12 of them: one is
beyond by chance in 1300 runs).
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from bellwire.labs import load_lab
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from tests.calibration.worlds import LABS, lab_text
from tests.simulator_backend.lab_benches import lit_bench

WINDOW_S = 0.4
SEEN = 0.85 * (1 + math.erf((0.9 - 0.7) / 0.1)) / 2
EACH = 0.7 * 10 ** (-0.1 * 1.0) * SEEN
"""Of one photon of the alignment source: coupling, switch, detector; the delay line takes 1 dB more."""
PERIOD_S, RMS_PS, SKEW_PS = 13e-9, 15.0, 20.0


@pytest.mark.slow
async def test_the_dip_shows_in_the_tagger_within_a_second_for_each_place_of_the_line(tmp_path: Path) -> None:
    names = ("middle-alignment", "middle-switch", "middle-tagger", "middle-delay", "middle-detectors")
    async with lit_bench(tmp_path, lab_text("optics_double_click"), names) as bench:
        for ingress, egress in ((1, 0), (2, 0), (3, 25), (4, 26)):
            await bench["middle-switch"].set_egress(ingress, egress)
        await bench["middle-alignment"].set_power_mw(10.0)
        await bench["middle-alignment"].set_emission(True)
        await bench["middle-tagger"].set_window_ns(2.0)
        await bench["middle-delay"].home()
        for delay_ps in (SKEW_PS, 45.0, 150.0):
            await bench["middle-delay"].set_delay_ps(delay_ps)
            await asyncio.sleep(0.1)
            apart_ps = await bench["middle-delay"].read_delay_ps() - SKEW_PS
            overlap = math.exp(-(apart_ps**2) / (4 * RMS_PS**2))
            both = await bench["middle-tagger"].count_coincidences(WINDOW_S)
            crossed = both[1, 3] + both[1, 4] + both[2, 3] + both[2, 4]
            pairs_hz = 2e4 * await bench["middle-alignment"].read_power_mw()
            lost = EACH * EACH * 10 ** (-0.1 * 1.0)
            expected = pairs_hz * lost * (1 - overlap) / 2 * WINDOW_S
            two_pairs = (pairs_hz * PERIOD_S) * pairs_hz * WINDOW_S * lost
            error = 4 * math.sqrt(expected + two_pairs + 1)
            assert expected * 0.99 - error < crossed < expected + 2 * two_pairs + error, (
                delay_ps,
                crossed,
                expected,
            )
            if delay_ps == 150.0:
                assert crossed > 4_000  # statistics of 1.6 % in 0.4 s


@pytest.mark.parametrize("side", ["alice", "bob"])
async def test_a_reference_laser_shows_how_polarisation_arrives(side: str, tmp_path: Path) -> None:
    names = (
        f"{side}-reference",
        "middle-switch",
        "middle-tagger",
        f"middle-{side}",
        "middle-plate",
        "middle-detectors",
    )
    async with lit_bench(tmp_path, lab_text("optics_double_click"), names) as bench:
        tagger, plate, paddles = (bench[name] for name in ("middle-tagger", "middle-plate", f"middle-{side}"))
        dark = (await tagger.count(WINDOW_S)).singles
        assert all(count < 1_000 * WINDOW_S for count in dark.values())

        await bench[f"{side}-reference"].set_egress(1, 25)  # H
        await asyncio.sleep(0.1)
        singles = (await tagger.count(WINDOW_S)).singles
        photons_hz = 1e-12 * 1541e-9 / (6.62607015e-34 * 299_792_458)
        decibels = 1.0 + 1.0 + 0.05 + 1.0 + (1.0 if side == "bob" else 0.0)  # switches, fibre, paddles, line
        expected = photons_hz * 0.01 * 10 ** (-0.1 * decibels) / 2 * SEEN * WINDOW_S
        for h, v in ((1, 2), (3, 4)):
            assert abs(singles[h] - expected - dark[h]) < 4 * math.sqrt(2 * expected) + 0.002 * expected
            assert singles[v] < dark[v] + 0.001 * expected + 4 * math.sqrt(2 * dark[v] + 1) + 20

        await paddles.set_angle_deg(2, 20.0)  # a half-wave plate at 20 degrees turns H by 40
        await asyncio.sleep(0.2)
        turned = (await tagger.count(WINDOW_S)).singles
        angle = math.radians(40.0 + (await paddles.read_angle_deg(2) - 20.0) * 2)
        share = (turned[4] - dark[4]) / (turned[3] + turned[4] - dark[3] - dark[4])
        assert abs(share - math.sin(angle) ** 2) < 4 * math.sqrt(0.25 / turned[3]) + 0.002

        await paddles.set_angle_deg(2, 0.0)
        await bench[f"{side}-reference"].set_egress(1, 0)
        await bench[f"{side}-reference"].set_egress(2, 25)  # D, which the plate turns to H at the left port
        await plate.set_angle_deg(2, 22.5)
        await asyncio.sleep(0.2)
        diagonal = (await tagger.count(WINDOW_S)).singles
        assert diagonal[2] < 0.01 * diagonal[1]
        assert abs(diagonal[3] - diagonal[4]) < 4 * math.sqrt(diagonal[3] + diagonal[4])


def test_light_for_alignment_is_dark_and_changes_no_herald_in_operation() -> None:
    lab = load_lab(LABS / "optics_double_click.yaml")
    description = lab.optics()
    assert description is not None
    bench = OpticalBench(description.layout, 1)
    link = description.links["alice-bob"]
    before = bench.heralds(link, 0)
    bench.turn("middle_alignment.pump_mw", 10.0, 0)  # its inputs of the switch are dark
    after = bench.heralds(link, 0)
    assert after == before
    assert before.fidelity > 0.98
    assert before.success_probability == pytest.approx(
        lab.network.links["alice-bob"].success_probability, rel=0.03
    )
