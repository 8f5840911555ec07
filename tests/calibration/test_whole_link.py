"""A link that starts misaligned in everything, brought into order without any hint from the World.

Oven off by degrees, polarisation of both fibres random, electrical delays of hundreds of ps, clocks apart by
ppm and milliseconds, losses and darks as drawn. Procedures reach instruments over their lines; afterwards the
World is asked what this setting is worth, and what the best one would be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.calibration.direct import DirectAccess
from bellwire.calibration.order import planned
from bellwire.calibration.running import RunTerms
from bellwire.calibration.table import procedures
from bellwire.calibration.whole_link import calibrate_link
from tests.calibration.covered import ROOT
from tests.calibration.emulated_lab import calibrated, played
from tests.calibration.worlds import BestPairs, best, lab_text, misaligned, pairs_at

LINK = "alice-bob"
WINDOW_PS = 500.0
WANTED = 0.97
STEPS = (
    "darks",
    "oven_scan",
    "clock",
    "detector_delays",
    "window",
    "source_power",
    "polarisation",
    "link_quality",
    "bell_test",
)
RESULTS = ROOT / "bench" / "results" / "whole_link.json"


def as_an_operator_limits_it(text: str) -> str:
    """Sources of these worlds err in some per cent by themselves: that cannot be turned away."""
    document = yaml.safe_load(text)
    document["links"][LINK]["calibration"]["limits"] = {
        "polarisation.error_in_z": [None, 0.06],
        "polarisation.error_in_x": [None, 0.06],
    }
    return yaml.safe_dump(document, sort_keys=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_misaligned_link_is_brought_to_nearly_the_best_that_its_world_allows(
    tmp_path: Path, seed: int
) -> None:
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    text = as_an_operator_limits_it(text)
    optimum = best(text, truth, window_ps=WINDOW_PS)
    assert isinstance(optimum, BestPairs)
    table = {name: one for name, one in procedures().items() if name in STEPS}
    with played(tmp_path, text, truth) as process:
        async with calibrated(process, tmp_path) as lab:
            await lab.light_up(10.0)
            ended = await calibrate_link(
                planned(lab.bench, table),
                lab.bench,
                DirectAccess(lab.drivers),
                lab.store,
                table,
                RunTerms(seed=seed),
            )
            assert [(one.step.procedure.name, one.record) for one in ended if not one.passed] == []
            source = lab.bench.source
            assert source is not None
            assert source.oven is not None
            knobs: dict[str, float] = {
                "source.oven_c": await lab.number(source.oven.setpoint),
                "source.pump_mw": await lab.number(source.pump.value),
            }
            for number, knob in enumerate(lab.bench.arm("bob").paddles, 1):
                knobs[f"bob_paddles.angle_{number}_deg"] = await lab.number(knob)
    found = pairs_at(text, knobs, window_ps=WINDOW_PS)
    # The best is stated at the file's 10 mW; pairs go with the power.
    rate = found.coincidences_hz / knobs["source.pump_mw"] / (optimum.coincidences_hz / 10.0)
    _keep(seed, found.visibility / optimum.visibility, rate, found.chsh, optimum.chsh)
    assert found.visibility >= WANTED * optimum.visibility
    assert rate >= WANTED


def _keep(seed: int, visibility: float, rate: float, chsh: float, chsh_best: float) -> None:
    told: dict[str, Any] = {
        "title": "Misaligned links after all procedures, against the best that their worlds allow",
        "command": "pytest -m slow tests/calibration/test_whole_link.py",
        "rows": json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else [],
    }
    row = {
        "seed": seed,
        "visibility_over_best": round(visibility, 4),
        "rate_over_best": round(rate, 4),
        "chsh": round(chsh, 4),
        "chsh_best": round(chsh_best, 4),
    }
    rows = [one for one in told["rows"] if one["seed"] != seed]
    told["rows"] = sorted([*rows, row], key=lambda one: one["seed"])
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
