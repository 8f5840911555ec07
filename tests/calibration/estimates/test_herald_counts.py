"""Heralds of made-up clicks told one by one, and of hidden worlds against what their optics herald.

Comparisons of chance are at 4 standard errors: one in 16 000 is beyond.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.calibration.estimates.bsm import DETECTORS
from bellwire.calibration.estimates.herald_counts import (
    HeraldCounts,
    herald_counts,
    summed,
    window_opening,
)
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.core.errors import LocalMisuse
from bellwire.labs import load_lab
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from tests.calibration.worlds import BestMeeting, best, lab_text, misaligned

PERIOD_PS, WINDOW_PS = 125_000_000, 10_000


def clicks(found: Mapping[str, list[int]]) -> dict[str, NDArray[np.int64]]:
    return {name: np.array(found.get(name, []), np.int64) for name in DETECTORS}


def attempt(number: int, late_ps: int = 0) -> int:
    return number * PERIOD_PS + 7_000 + late_ps


@pytest.mark.parametrize(
    ("one", "other", "counts"),
    [
        ("cH", "cV", (1, 0, 0)),
        ("dH", "dV", (1, 0, 0)),
        ("cH", "dV", (0, 1, 0)),
        ("cV", "dH", (0, 1, 0)),
        ("cH", "dH", (0, 0, 1)),
        ("cV", "dV", (0, 0, 1)),
    ],
)
def test_two_clicks_of_one_attempt_herald_what_their_detectors_say(
    one: str, other: str, counts: tuple[int, int, int]
) -> None:
    seen = clicks({one: [attempt(5, 100)], other: [attempt(5, 9_000)]})
    found = herald_counts(seen, 1.0, PERIOD_PS, WINDOW_PS, 7_000)
    assert (found.psi_plus, found.psi_minus, found.discarded) == counts
    assert found.attempts == 8_000


def test_clicks_of_two_attempts_or_outside_the_window_herald_nothing() -> None:
    apart = clicks({"cH": [attempt(5)], "cV": [attempt(6)]})
    early = clicks({"cH": [attempt(5, -1)], "cV": [attempt(5)]})
    late = clicks({"cH": [attempt(5)], "cV": [attempt(5, WINDOW_PS)]})
    nothing = clicks({})
    for seen in (apart, early, late, nothing):
        assert herald_counts(seen, 1.0, PERIOD_PS, WINDOW_PS, 7_000) == HeraldCounts(8_000, 0, 0, 0)


def test_a_third_click_spoils_a_herald() -> None:
    seen = clicks({"cH": [attempt(5)], "cV": [attempt(5, 50)], "dH": [attempt(5, 70)]})
    assert herald_counts(seen, 1.0, PERIOD_PS, WINDOW_PS, 7_000) == HeraldCounts(8_000, 0, 0, 1)


def test_stretches_of_time_add_up_and_their_error_is_binomial() -> None:
    found = summed([HeraldCounts(8_000, 20, 25, 3), HeraldCounts(8_000, 30, 15, 1)])
    assert found == HeraldCounts(16_000, 50, 40, 4)
    p = 90 / 16_000
    assert found.success_probability.value == p
    assert found.success_probability.sigma == pytest.approx(np.sqrt(p * (1 - p) / 16_000), rel=0.01)


def test_detectors_of_no_analyser_are_refused() -> None:
    with pytest.raises(LocalMisuse, match="an analyser has"):
        herald_counts({"cH": np.zeros(0, np.int64)}, 1.0, PERIOD_PS, WINDOW_PS, 0)


@pytest.mark.parametrize("edge_ps", [40_000, 1_000, PERIOD_PS - 2_000])
def test_windows_open_where_packets_begin_even_across_the_end_of_a_period(edge_ps: int) -> None:
    """Packets of 2 ns behind a jitter of 30 ps, darks of 400/s for 10 s: the opening within 150 ps."""
    chance = np.random.default_rng(5)
    photons = chance.integers(0, 80_000, 8_000) * PERIOD_PS + edge_ps
    photons = photons + chance.exponential(2_000.0, 8_000) + chance.normal(0.0, 30.0, 8_000)
    darks = chance.uniform(0.0, 80_000.0 * PERIOD_PS, 4_000)
    times = np.sort(np.concatenate([photons, darks])).astype(np.int64)
    opening = window_opening(times, PERIOD_PS, WINDOW_PS)
    beside = (opening - edge_ps + PERIOD_PS // 2) % PERIOD_PS - PERIOD_PS // 2
    assert -150 <= beside <= 20


def test_darks_alone_have_no_opening() -> None:
    darks = np.sort(np.random.default_rng(6).integers(0, 80_000 * PERIOD_PS, 20_000))
    with pytest.raises(NoEstimate, match="not photons of attempts"):
        window_opening(darks, PERIOD_PS, WINDOW_PS)


@pytest.mark.parametrize("seed", [3, 5, 8, 13])
def test_what_a_hidden_world_heralds_lies_within_four_errors(seed: int, tmp_path: Path) -> None:
    """20 s of tags of a misaligned lab at its best: some 300 heralds among 160 000 attempts."""
    text, truth = misaligned(lab_text("optics_double_click"), seed)
    wanted = best(text, truth)
    assert isinstance(wanted, BestMeeting)
    (tmp_path / "lab.yaml").write_text(text, encoding="utf-8")
    description = load_lab(tmp_path / "lab.yaml").optics()
    assert description is not None
    bench = OpticalBench(description.layout, seed)
    for knob, value in wanted.knobs.items():
        bench.turn(knob, value, 0)
    pieces = []
    for second in range(0, 20, 2):
        tags = bench.tags(second * 10**12, (second + 2) * 10**12)
        late = {number: truth.of(f"middle_{number}", "latency_ps") for number in (1, 2, 3, 4)}
        seen = {
            name: tags.time_ps[tags.channel == number] - round(late[number])
            for number, name in enumerate(DETECTORS, 1)
        }
        opening = window_opening(np.concatenate(list(seen.values())), PERIOD_PS, WINDOW_PS)
        pieces.append(herald_counts(seen, 2.0, PERIOD_PS, WINDOW_PS, opening))
    found = summed(pieces).success_probability
    assert found.sigma < 0.08 * found.value
    assert abs(found.value - wanted.success_probability) < 4.0 * found.sigma
