"""Efficiency and jitter of detectors against what is hidden, by each of the ways in which they are told.

An analyser with light of measured power and pulses, over sockets and terminals; pairs between two receivers,
on tags of the hidden light of several worlds. Comparisons are at 4.5 standard errors (7e-6 each, some 80 of
them), an efficiency in light of measured power at as many of the errors that its standard states. The seeds
of worlds are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA
from bellwire.calibration.estimates.jitter_network import jitter_shares
from bellwire.calibration.procedures.darks import Darks
from bellwire.calibration.procedures.detector_efficiency import DetectorEfficiency
from bellwire.calibration.procedures.detector_jitter import DetectorJitter, peaks_of, variance_of
from bellwire.calibration.records import Outcome
from bellwire.labs import load_lab
from bellwire.simulator_backend.photons.optics import Optics
from tests.calibration.bright_worlds import BENCH, LABELS, SIDES, looks_of, rms_ps
from tests.calibration.emulated_lab import (
    EmulatedProcess,
    calibrated,
    covers,
    emulated_process,
    passed,
    played,
    stands_on_the_memories_light,
)
from tests.calibration.worlds import LABS, description_of, lab_text, misaligned

SEED = 3
SIGMAS = 4.5
PORTS = ("left_h", "left_v", "right_h", "right_v")
QUICK_DARKS = Darks(window_s=0.5, windows=2)
BY_POWER = DetectorEfficiency(windows=2, window_s=0.5, readings=5, needs=("darks",))
BY_PULSES = DetectorJitter(windows=3, window_s=0.5)


def bench_of(name: str) -> LinkBench:
    found = load_lab(LABS / f"{name}.yaml").calibration_bench("alice-bob")
    assert found is not None
    return found


MEETING, DISTRIBUTION = bench_of("optics_double_click"), bench_of("entangled_photons")


# --- what a link must have ----------------------------------------------------------------------------------


@pytest.mark.parametrize("procedure", [DetectorEfficiency(), DetectorJitter()])
@pytest.mark.parametrize("bench", [MEETING, DISTRIBUTION], ids=["meeting", "distribution"])
def test_both_kinds_of_links_can_have_both(procedure: Any, bench: LinkBench) -> None:
    assert procedure.obstacle(bench) is None
    known = {knob.instrument for knob in bench.knobs()} | {one.tagger for one in bench.receivers}
    assert set(procedure.instruments(bench)) <= known


def test_a_link_that_lacks_a_part_is_told_which() -> None:
    assert MEETING.alignment is not None
    without = replace(MEETING, alignment=replace(MEETING.alignment, standard=None))
    assert DetectorEfficiency().obstacle(without) == "no light of measured power is named"
    dark = replace(MEETING, alignment=replace(MEETING.alignment, source=None))
    assert DetectorJitter().obstacle(dark) == "no source of alignment light is named"
    one = replace(DISTRIBUTION, receivers=DISTRIBUTION.receivers[:1])
    assert "this link has 1" in (DetectorJitter().obstacle(one) or "")


# --- an analyser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def analyser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedProcess]:
    with emulated_process(tmp_path_factory.mktemp("analyser"), "optics_double_click", SEED) as process:
        yield process


def efficiency_of(text: str, label: str) -> float:
    """At its bias, which is not quite on the plateau."""
    optics = Optics(description_of(text).layout, np.random.SeedSequence(0))
    return optics.efficiency(f"middle_{PORTS.index(label) + 1}")


async def test_light_of_measured_power_tells_the_efficiency_of_every_detector(
    analyser: EmulatedProcess, tmp_path: Path
) -> None:
    """The meter shows a few per cent too much or too little, the attenuator is off by a tenth of a dB: nobody
    knows how much, and the error says so. What detectors are to each other is known to parts in a thousand.
    """
    true = {label: efficiency_of(analyser.text, label) for label in PORTS}
    mean = sum(true.values()) / len(true)
    async with calibrated(analyser, tmp_path) as lab:
        passed(await lab.run(QUICK_DARKS))
        record = passed(await lab.run(BY_POWER))
        await stands_on_the_memories_light(lab)
        assert lab.bench.alignment is not None
        assert lab.bench.alignment.standard is not None
        for route in lab.bench.alignment.standard.routes:
            assert await lab.value(route.knob) == 0
    for label in PORTS:
        found = record.quantities[f"efficiency.middle.{label}"]
        assert covers(found, true[label], SIGMAS)
        assert 0.03 < found.sigma / found.value < 0.05
        over = record.quantities[f"over_mean.middle.{label}"]
        assert covers(over, true[label] / mean, SIGMAS)
        assert over.sigma < 0.01
    assert covers(record.quantities["second_way_db"], 0.0, SIGMAS)


async def test_pulses_tell_the_jitter_of_every_detector(analyser: EmulatedProcess, tmp_path: Path) -> None:
    async with calibrated(analyser, tmp_path) as lab:
        record = passed(await lab.run(replace(BY_PULSES, needs=())))
        await stands_on_the_memories_light(lab)
        strict = await lab.run(replace(BY_PULSES, needs=(), fwhm_max_ps=20.0))
    for number, label in enumerate(PORTS, 1):
        found = record.quantities[f"fwhm_ps.middle.{label}"]
        assert covers(found, float(analyser.truth.of(f"middle_{number}", "jitter_fwhm_ps")), SIGMAS)
        assert found.sigma < 2.0
    assert strict.outcome is Outcome.FAILED
    assert "jitter FWHM of left_h" in strict.reason


async def test_a_way_that_loses_what_nobody_stated_is_refused(tmp_path: Path) -> None:
    """A dirty connector of 2 dB in front of one input of the splitter."""
    text, truth = misaligned(lab_text("optics_double_click"), SEED)
    document = yaml.safe_load(text)
    document["optics"]["components"]["middle_delay"]["insertion_loss_db"] = 3.0
    with played(tmp_path, yaml.safe_dump(document, sort_keys=False), truth) as process:
        async with calibrated(process, tmp_path) as lab:
            passed(await lab.run(QUICK_DARKS))
            record = await lab.run(BY_POWER)
    assert record.outcome is Outcome.FAILED
    assert "second way against what is stated" in record.reason


# --- pairs between two receivers ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pairs_tell_how_jitters_of_a_receiver_differ_and_bound_each(seed: int) -> None:
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    knobs = {"source.oven_c": float(truth.of("source", "best_oven_c")), "source.pump_mw": 20.0}
    looks = looks_of(text, truth, knobs, 2, seed)
    first, second = BENCH.receivers
    joint = {pair: variance_of(peak) for pair, peak in peaks_of(looks, first, second, 50.0).items()}
    names = [[f"{side}.{label}" for label in LABELS] for side in SIDES]
    found = jitter_shares(joint, *names)
    assert found.misfit_z < 4.5
    for side in SIDES:
        variances = {label: rms_ps(truth, f"{side}_{label}") ** 2 for label in LABELS}
        mean = sum(variances.values()) / len(variances)
        for label, variance in variances.items():
            assert covers(found.above_mean[f"{side}.{label}"], variance - mean, SIGMAS)
            fwhm = found.fwhm[f"{side}.{label}"]
            low, high = fwhm.interval
            assert low <= FWHM_PER_SIGMA * variance**0.5 <= high
            assert 0.0 <= low < fwhm.value < high < 250.0
