"""Procedures of a link whose photons meet, against emulated instruments of worlds drawn by chance.

Emulators run in a process of their own; found values are compared with the hidden truth. Comparisons are at
4 standard errors, some 40 in all (false alarm 6e-5 each, but for the edge of a dead time, see there), the
seed of the world is fixed. Whole scans, and other worlds: test_meeting_worlds.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellwire.calibration.bench import Alignment, AlignmentSource, LinkBench
from bellwire.calibration.estimates.hom import HomDip
from bellwire.calibration.estimates.hom_plan import scan_points
from bellwire.calibration.estimates.pulse_phase import later, pulse_phase
from bellwire.calibration.order import planned
from bellwire.calibration.procedures import hom
from bellwire.calibration.procedures.arm_delay import ArmDelay
from bellwire.calibration.procedures.bsm_patterns import BsmPatterns
from bellwire.calibration.procedures.converter_scan import ConverterScan
from bellwire.calibration.procedures.dead_time import DeadTimes
from bellwire.calibration.procedures.detector_bias import DetectorBias
from bellwire.calibration.procedures.hom import Hom
from bellwire.calibration.procedures.reference_polarisation import ReferencePolarisation
from bellwire.calibration.records import Outcome
from bellwire.calibration.table import procedures
from bellwire.core.errors import ConfigError
from bellwire.labs import load_lab
from tests.calibration.emulated_lab import (
    Calibrated,
    EmulatedProcess,
    calibrated,
    covers,
    emulated_process,
    passed,
    stands_on_the_memories_light,
)
from tests.calibration.worlds import LABS

LABELS = ("left_h", "left_v", "right_h", "right_v")
QUICK_SEED = 3


def bench_of(name: str) -> LinkBench:
    found = load_lab(LABS / f"{name}.yaml").calibration_bench("alice-bob")
    assert found is not None
    return found


MEETING = bench_of("optics_double_click")
DISTRIBUTION = bench_of("entangled_photons")
MINE = (
    DetectorBias(),
    DeadTimes(),
    ReferencePolarisation(),
    ConverterScan(),
    ArmDelay(),
    Hom(),
    BsmPatterns(),
)


# --- what a link must have ----------------------------------------------------------------------------------


def without(bench: LinkBench, **parts: Any) -> LinkBench:
    assert bench.alignment is not None
    return replace(bench, alignment=replace(bench.alignment, **parts))


def test_a_link_whose_photons_meet_can_have_all_of_them() -> None:
    assert [one.name for one in MINE if one.obstacle(MEETING) is not None] == []
    names = {knob.instrument for knob in MEETING.knobs()} | {"middle-tagger"}
    for procedure in MINE:
        assert set(procedure.instruments(MEETING)) <= names


def test_a_distribution_link_has_those_of_detectors_and_is_told_why_it_has_no_others() -> None:
    allowed = {one.name for one in MINE if one.obstacle(DISTRIBUTION) is None}
    assert allowed == {"detector_bias", "dead_time"}
    with pytest.raises(ConfigError, match="hom of alice-bob: photons of a distribution link do not meet"):
        planned(DISTRIBUTION, procedures(), ["hom"])


@pytest.mark.parametrize(
    ("procedure", "bench", "words"),
    [
        (Hom(), replace(MEETING, alignment=None), "no source of alignment light"),
        (Hom(), replace(MEETING, delay=None), "no delay line"),
        (Hom(), replace(MEETING, arms=(replace(MEETING.arms[0], shutter=None),)), "no shutter"),
        (
            ArmDelay(),
            replace(MEETING, receivers=(replace(MEETING.receivers[0], clock="quartz"),)),
            "not locked",
        ),
        (ReferencePolarisation(), without(MEETING, plate=None), "no half-wave plate"),
        (ReferencePolarisation(), without(MEETING, references={}), "no arm has both reference lasers"),
        (ConverterScan(), replace(MEETING, arms=()), "no arm has a converter"),
        (BsmPatterns(), replace(MEETING, alignment=None, attempts=None), "neither alignment light"),
        (DetectorBias(), replace(MEETING, arms=()), "can keep light from the detectors"),
    ],
)
def test_a_link_that_lacks_a_part_is_told_which(procedure: Any, bench: LinkBench, words: str) -> None:
    assert words in procedure.obstacle(bench)


def test_a_detector_of_unknown_switching_current_is_named() -> None:
    (receiver,) = MEETING.receivers
    detectors = (replace(receiver.detectors[0], switching_ua=None), *receiver.detectors[1:])
    bench = replace(MEETING, receivers=(replace(receiver, detectors=detectors),))
    told = DetectorBias().obstacle(bench)
    assert told is not None
    assert "switching current of middle left_h" in told


def test_detectors_that_are_no_analyser_are_named() -> None:
    (receiver,) = MEETING.receivers
    odd = replace(receiver, detectors=receiver.detectors[:3])
    for procedure in (Hom(), BsmPatterns(), ReferencePolarisation()):
        told = procedure.obstacle(replace(MEETING, receivers=(odd,)))
        assert told is not None
        assert "left_h, left_v, right_h, not h and v of two ports" in told


def test_an_alignment_source_without_pulses_has_no_arrival_times() -> None:
    assert MEETING.alignment is not None
    source = MEETING.alignment.source
    assert isinstance(source, AlignmentSource)
    steady = replace(MEETING, alignment=Alignment(source=replace(source, period_ps=None)))
    told = ArmDelay().obstacle(steady)
    assert told is not None
    assert "no pulses" in told
    assert Hom().obstacle(steady) is None


# --- arithmetic of the procedures ---------------------------------------------------------------------------


def test_arrival_times_are_told_across_the_seam_of_the_period() -> None:
    """Pulses of 13 ns, 4e4 clicks each with 30 ps of jitter and 10 % of darks; delays known to 0.2 ps."""
    chance = np.random.default_rng(4)
    period, clicks = 13_000, 40_000

    def seen(at_ps: float) -> Any:
        pulses = chance.integers(0, 10**8, clicks) * period + at_ps + chance.normal(0.0, 30.0, clicks)
        darks = chance.uniform(0.0, 10**8 * period, clicks // 10)
        return pulse_phase(np.sort(np.floor(np.concatenate([pulses, darks]))).astype(np.int64), period)

    for first, second in ((3_000.0, 3_400.0), (12_900.0, 100.0), (50.0, 12_600.0)):
        found = later(seen(second), seen(first))
        wanted = (second - first + period / 2) % period - period / 2
        assert found.sigma < 0.4
        assert covers(found, wanted)


def scanned(drift: float, bunched: float, seed: int) -> HomDip:
    """A scan of a dip of V = 0.96, FWHM 50 ps at 300 ps, whose light drifts by a share over the scan and
    whose singles lose a share in the dip; 20000 coincidences a point outside, far more singles."""
    chance = np.random.default_rng(seed)
    places = hom._in_passes(scan_points(303.0, 50.0, chance, points=31, widths=2.0), 3)
    seen = []
    for index, place in enumerate(places):
        light = 1.0 + drift * (index / 30 - 0.5)
        dip = np.exp(-0.5 * ((place - 300.0) / 21.2) ** 2)
        singles = light * (1.0 - bunched * dip)
        each = (int(chance.poisson(5e5 * singles)), int(chance.poisson(4e5 * singles)))
        crossed = int(chance.poisson(20_000 * light**2 * (1.0 - 0.96 * dip) + 100.0))
        seen.append(hom._Point(float(place), 1.0, crossed, int(chance.poisson(2_000.0)), each))
    return hom._fitted(seen, 50.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("drift", "bunched"), [(0.0, 0.0), (0.3, 0.0), (-0.3, 0.06)])
def test_neither_drift_nor_bunching_is_taken_for_a_deeper_dip(
    drift: float, bunched: float, seed: int
) -> None:
    """The visibility to 0.0015, the place to 0.2 ps."""
    found = scanned(drift, bunched, seed)
    assert found.visibility.sigma < 0.0015
    assert covers(found.visibility, 0.96)
    assert covers(found.centre, 300.0)
    assert found.goodness.check(0.7, 1.5).passed


def test_a_scan_is_shared_among_passes_that_rise() -> None:
    places = np.random.default_rng(1).permutation(np.arange(20.0))
    shares = np.array_split(hom._in_passes(places, 3), 3)
    assert all(np.all(np.diff(share) > 0.0) for share in shares)
    assert sorted(np.concatenate(shares)) == list(range(20))
    assert min(share[-1] - share[0] for share in shares) > 9.0


# --- quick: one world, one emulator -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedProcess]:
    with emulated_process(tmp_path_factory.mktemp("world"), "optics_double_click", QUICK_SEED) as process:
        yield process


@pytest.fixture
async def lab(world: EmulatedProcess, tmp_path: Path) -> AsyncIterator[Calibrated]:
    async with calibrated(world, tmp_path) as found:
        yield found


@pytest.mark.slow
async def test_arms_and_cables_are_as_long_as_arrival_times_say(lab: Calibrated) -> None:
    record = passed(await lab.run(ArmDelay(look_s=0.3)))
    assert covers(record.quantities["place_ps"], lab.truth.of("middle_skew", "position_ps"))
    assert record.quantities["place_ps"].sigma < 0.5
    assert lab.bench.delay is not None
    stands = await lab.value(lab.bench.delay)
    assert stands == pytest.approx(record.quantities["place_ps"].value, abs=0.01)
    latency = [lab.truth.of(f"middle_{k}", "latency_ps") for k in range(1, 5)]
    for label, late in zip(LABELS, latency, strict=True):
        found = record.quantities[f"correction_ps.middle.{label}"]
        assert found.value == pytest.approx(latency[0] - late, abs=4.0 * found.sigma + 1e-9)
        assert found.sigma < 1.0
    await stands_on_the_memories_light(lab)


@pytest.mark.slow
async def test_the_dead_time_of_every_detector_is_found(lab: Calibrated) -> None:
    """The edge is taken for up to a standard deviation too late (the first delay behind it is), so that the
    distance allowed is 5; nothing sets off clicks in this world."""
    record = passed(await lab.run(DeadTimes(windows_max=8)))
    for number, label in enumerate(LABELS, 1):
        found = record.quantities[f"dead_ns.middle.{label}"]
        assert covers(found, lab.truth.of(f"middle_{number}", "dead_ps") / 1000.0, 5.0)
        assert found.sigma < 0.06 * found.value
        assert abs(record.quantities[f"afterpulsing.middle.{label}"].value) < 0.005
    await stands_on_the_memories_light(lab)


async def test_light_for_alignment_that_was_left_on_is_left_as_it_was(lab: Calibrated) -> None:
    """Ways that share an egress let go of it before others take it, on the way back as well."""
    assert lab.bench.alignment is not None
    source = lab.bench.alignment.source
    assert source is not None
    shutters = [arm.shutter for arm in lab.bench.arms if arm.shutter is not None]
    for shutter in shutters:
        await lab.turn(shutter.knob, 0)
    for route in source.routes:
        await lab.turn(route.knob, route.open_value)
    try:
        record = await lab.run(DetectorBias(shares=(0.6, 0.65, 0.7, 0.75, 0.8, 0.95), window_s=0.1))
        assert record.outcome is not Outcome.ABORTED, record.reason
        assert "could not be set back" not in record.reason
        assert [await lab.value(route.knob) for route in source.routes] == [25, 26]
        assert [await lab.value(shutter.knob) for shutter in shutters] == [0, 0]
    finally:
        for route in source.routes:
            await lab.turn(route.knob, 0)
        for shutter in shutters:
            await lab.turn(shutter.knob, shutter.open_value)
