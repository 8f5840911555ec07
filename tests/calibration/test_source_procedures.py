"""What is told of a source of entangled photons in worlds drawn by chance: pairs, heralding, statistics.

The same counting and estimating as in the procedures, on tags of the hidden light, over several worlds whose
detectors, splitters and fibres differ; and the procedures themselves against emulated instruments, once.

False alarms: of intervals that hold the truth or not, a binomial test at 0.1 %; single comparisons are at 4.5
standard errors (7e-6 each, some 60 of them). Seeds of worlds and tags are fixed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA
from bellwire.calibration.estimates.pair_rate import pair_rate
from bellwire.calibration.estimates.photon_statistics import heralded_statistics
from bellwire.calibration.estimates.source_point import Detection, PumpPoint
from bellwire.calibration.estimates.source_sweep import source_sweep
from bellwire.calibration.pair_counts import OFF_PEAK_WINDOWS, CoincidenceWindow
from bellwire.calibration.pairing import Together
from bellwire.calibration.procedure import Procedure
from bellwire.calibration.procedures.detector_efficiency import DetectorEfficiency
from bellwire.calibration.procedures.detector_jitter import DetectorJitter
from bellwire.calibration.procedures.photon_statistics import (
    WIDTHS,
    PhotonStatistics,
    all_widths,
    unheralded,
)
from bellwire.calibration.procedures.source_power import SourcePower
from bellwire.calibration.records import Quantity
from bellwire.calibration.resolved_counts import cannot_resolve, outcome_sets, pair_clicks
from bellwire.calibration.table import procedures
from tests.calibration.bright_worlds import (
    BENCH,
    LABELS,
    SIDES,
    Light,
    captured,
    light_of,
    looks_of,
    rms_ps,
    work_of,
)
from tests.calibration.covered import ROOM_C, drawn
from tests.calibration.emulated_lab import EmulatedProcess, calibrated, passed, played
from tests.calibration.made_records import made
from tests.calibration.worlds import Truth, lab_text, misaligned

SEED = 2
SIGMAS = 4.5
FALSE_ALARM = 1e-3
WORLDS = 3
MORE_WORLDS = 24
WIDTH_PS = 300.0


def at_its_best(truth: Truth, pump_mw: float) -> dict[str, float]:
    """The oven where the crystal is matched; paddles wherever they stand, which must not matter."""
    return {"source.oven_c": float(truth.of("source", "best_oven_c")), "source.pump_mw": pump_mw}


Records = dict[str, dict[str, Quantity]]


def measured_before(truth: Truth, light: Light) -> Records:
    """Darks, dead times, delays, the clock's jitter and the window, as other procedures find them."""
    chance = np.random.default_rng(truth.seed)
    names = [(f"{side}.{label}", f"{side}_{label}") for side in SIDES for label in LABELS]
    jitter = Quantity(float(np.mean([rms_ps(truth, part) for _, part in names]) * np.sqrt(2.0)), 1.0, "ps")
    late = {part: float(truth.of(part, "latency_ps")) for _, part in names}
    return {
        "darks": {
            f"dark_hz.{name}": poisson_rate(int(chance.poisson(4.0 * light.dark_hz[part])), 4.0)
            for name, part in names
        },
        "dead_time": {
            f"dead_ns.{name}": Quantity(1e-3 * float(truth.of(part, "dead_ps")), 0.5, "ns")
            for name, part in names
        },
        "clock": {"jitter_ps": jitter},
        "detector_delays": {
            f"correction_ps.{name}": Quantity(late[f"{part[:-1]}h"] - late[part], 1.0, "ps")
            for name, part in names
        },
        "window": {"jitter_ps": jitter, "width_ps": Quantity(WIDTH_PS, 0.0, "ps")},
    }


Compared = list[tuple[str, Quantity, float]]


def sweep_of(seed: int, seconds: int) -> Compared:
    """Brightness over four powers, heralding and arm efficiencies at the highest, beside the truth."""
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    points: list[PumpPoint] = []
    window = CoincidenceWindow(0.0, WIDTH_PS)
    for index, power in enumerate((2.5, 4.0, 6.5, 10.0)):
        knobs = at_its_best(truth, power)
        light = light_of(text, knobs)
        work = work_of(measured_before(truth, light))
        looks = looks_of(text, truth, knobs, seconds, 10 * seed + index)
        points.append(
            PumpPoint(
                power=power,
                duration_s=float(seconds),
                singles_signal=sum(one.size for look in looks for one in look.first.values()),
                singles_idler=sum(one.size for look in looks for one in look.second.values()),
                coincidences=sum(window.all_inside(look) for look in looks),
                off_peak=sum(window.all_beside(look) for look in looks),
                off_peak_windows=OFF_PEAK_WINDOWS,
                resolved=pair_clicks(work, looks),
            )
        )
    dark = Quantity(sum(light.dark_hz[f"alice_{label}"] for label in LABELS), 5.0, "1/s")
    swept = source_sweep(points, Detection(dark, dark, 0.0, 0.0, WIDTH_PS * 1e-12))
    best = points[-1].resolved
    assert best is not None
    told = pair_rate(best)
    found: Compared = [
        ("brightness", swept.brightness, float(truth.of("source", "brightness_hz_per_mw"))),
        ("pair rate", told.rate, light.pairs_hz),
        ("heralding of alice", swept.points[-1].heralding_signal, light.heralding("alice")),
        ("heralding of bob", swept.points[-1].heralding_idler, light.heralding("bob")),
    ]
    for side, arms in zip(SIDES, (told.first, told.second), strict=True):
        for label, one in zip(LABELS, arms, strict=True):
            found.append((f"arm of {side} {label}", one, light.arm_efficiency(f"{side}_{label}")))
    return found


def assert_held(compared: Compared) -> None:
    """As many 95 % intervals hold the truth as should, and none is far from it."""
    held = [one.interval[0] <= true <= one.interval[1] for _, one, true in compared]
    far = [(name, one, true) for name, one, true in compared if abs(one.value - true) > SIGMAS * one.sigma]
    assert far == []
    assert binomtest(sum(held), len(held), 0.95).pvalue > FALSE_ALARM, f"{sum(held)} of {len(held)}"


@pytest.mark.parametrize("seed", range(1, 1 + WORLDS))
def test_brightness_and_heralding_are_those_of_the_world(seed: int) -> None:
    assert_held(sweep_of(seed, 1))


@pytest.mark.slow
def test_brightness_and_heralding_hold_in_many_worlds() -> None:
    compared = [sweep_of(seed, 1) for seed in range(101, 101 + MORE_WORLDS)]
    for index, name in enumerate(name for name, _, _ in compared[0]):
        mine = [one[index] for one in compared]
        pulls = np.array([(one.value - true) / one.sigma for _, one, true in mine])
        assert abs(pulls.mean()) < 4.0 / np.sqrt(len(pulls)), (name, pulls.mean())
    assert_held([one for each in compared for one in each])


# --- photons one at a time ----------------------------------------------------------------------------------


def expected_g2(truth: Truth, light: Light, heralded: str, width_ps: float) -> float:
    """Of pairs that follow each other by chance; a photon takes one port of the choice."""
    w = width_ps * 1e-12
    true_hz = light.both_hz * captured(truth, width_ps)
    if heralded == "alice":
        true_hz = true_hz.T
    herald = next(side for side in SIDES if side != heralded)
    heralds_hz = sum(light.singles_hz[f"{herald}_{label}"] for label in LABELS)
    ports = [sum(light.singles_hz[f"{heralded}_{label}"] for label in pair) * w for pair in ("hv", "da")]
    twins = [float(true_hz[:, columns].sum()) / heralds_hz for columns in (slice(0, 2), slice(2, 4))]
    both = twins[0] * ports[1] + twins[1] * ports[0] + ports[0] * ports[1]
    return both / ((twins[0] + ports[0]) * (twins[1] + ports[1]))


def statistics_of(seed: int, pump_mw: float, seconds: int) -> tuple[Truth, Light, list[Together]]:
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    knobs = at_its_best(truth, pump_mw)
    return truth, light_of(text, knobs), looks_of(text, truth, knobs, seconds, 1000 + seed)


@pytest.mark.parametrize("seed", range(1, 1 + WORLDS))
def test_heralded_photons_come_one_at_a_time_but_for_other_pairs(seed: int) -> None:
    """At a pump of 40 mW, four times the usual one, some 20 triples even in the narrowest window."""
    truth, light, looks = statistics_of(seed, 40.0, 3)
    for heralded in SIDES:
        mine, others = [one.first for one in looks], [one.second for one in looks]
        if heralded == "bob":
            mine, others = others, mine
        counts = all_widths(looks, others, mine, WIDTH_PS)
        for width, one in zip(WIDTHS, counts, strict=True):
            found = heralded_statistics(one)
            true = expected_g2(truth, light, heralded, one.window_s * 1e12)
            low, high = found.g2.interval
            middle = found.g2.value
            assert middle - SIGMAS / 1.96 * (middle - low) <= true <= middle + SIGMAS / 1.96 * (high - middle)
            assert found.by_pairs.value == pytest.approx(true, rel=0.02)
            assert abs(found.excess_z) < SIGMAS, (heralded, width)
        assert heralded_statistics(counts[0]).g2.interval[1] < 0.01
        alone = unheralded(looks, mine, WIDTH_PS)
        assert alone is not None
        assert abs(alone[0].value - 1.0) < SIGMAS * alone[0].sigma < 0.2


# --- over sockets -------------------------------------------------------------------------------------------

QUICK: tuple[Procedure, ...] = (
    DetectorEfficiency(windows=2, window_s=0.5, record_s=1.0),
    DetectorJitter(windows=3, window_s=0.5, record_s=1.0),
    PhotonStatistics(windows=3, window_s=0.5, record_s=1.0),
    SourcePower(record_s=1.0),
)


@pytest.fixture(scope="module")
def pairs_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedProcess]:
    text, truth = drawn(SEED)
    with played(tmp_path_factory.mktemp("pairs"), text, truth) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("procedure", QUICK, ids=lambda one: str(one.name))
async def test_each_finds_what_is_hidden_in_a_lab(
    procedure: Procedure, pairs_lab: EmulatedProcess, tmp_path: Path
) -> None:
    """Of the records that it needs, those of the truth: finding them is told elsewhere."""
    text, truth = pairs_lab.text, pairs_lab.truth
    light = light_of(text, {"source.oven_c": ROOM_C, "source.pump_mw": 10.0})
    async with calibrated(pairs_lab, tmp_path) as lab:
        now_ns = time.time_ns()
        for name, quantities in measured_before(truth, light).items():
            lab.store.put(made(f"before.{name}", procedure=name, quantities=quantities, ended_ns=now_ns))
        lab.table.update(procedures())
        await lab.light_up(10.0)
        record = passed(await lab.run(procedure))
    found = record.quantities
    for name, true in hidden_in(truth, light)[procedure.name].items():
        low, high = found[name].interval
        middle, wide = found[name].value, SIGMAS / 1.96
        assert middle - wide * (middle - low) <= true <= middle + wide * (high - middle), name


def hidden_in(truth: Truth, light: Light) -> Mapping[str, Mapping[str, float]]:
    """By procedure and quantity."""
    parts = {f"{side}.{label}": f"{side}_{label}" for side in SIDES for label in LABELS}
    variances = {name: rms_ps(truth, part) ** 2 for name, part in parts.items()}
    means = {side: float(np.mean([variances[f"{side}.{label}"] for label in LABELS])) for side in SIDES}
    w_ps, wide_ps = (2.0 * round(width * WIDTH_PS / 2) + 1.0 for width in (WIDTHS[0], WIDTHS[-1]))
    return {
        "detector_efficiency": {
            "pair_rate_hz": light.pairs_hz,
            **{f"arm_efficiency.{name}": light.arm_efficiency(part) for name, part in parts.items()},
            **{
                f"over_basis.{side}.{one}": light.arm_efficiency(f"{side}_{one}")
                / light.arm_efficiency(f"{side}_{other}")
                for side in SIDES
                for one, other in ("hv", "da")
            },
        },
        "detector_jitter": {
            **{f"above_mean_ps2.{name}": one - means[name[:-2]] for name, one in variances.items()},
            **{f"fwhm_ps.{name}": FWHM_PER_SIGMA * one**0.5 for name, one in variances.items()},
        },
        "photon_statistics": {
            **{f"g2_heralded.{side}": expected_g2(truth, light, side, w_ps) for side in SIDES},
            **{f"g2_heralded_wide.{side}": expected_g2(truth, light, side, wide_ps) for side in SIDES},
            **{f"g2_unheralded.{side}": 1.0 for side in SIDES},
        },
        "source_power": {
            "brightness": float(truth.of("source", "brightness_hz_per_mw")),
            "heralding_first": light.heralding("alice"),
            "heralding_second": light.heralding("bob"),
        },
    }


# --- what a link must have ----------------------------------------------------------------------------------


def test_detectors_are_told_apart_by_the_measurement_whose_outcomes_they_are() -> None:
    alice, bob = BENCH.receivers
    assert outcome_sets(alice) == ((0, 1), (2, 3))
    assert outcome_sets(replace(alice, detectors=alice.detectors[:1])) == ((0,),)
    odd = replace(alice, detectors=alice.detectors[:3])
    assert outcome_sets(odd) is None
    assert cannot_resolve(BENCH) is None
    told = cannot_resolve(replace(BENCH, receivers=(odd, bob)))
    assert told is not None
    assert "h, v, d, neither one alone nor both outcomes" in told
