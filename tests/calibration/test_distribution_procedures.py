"""The fast procedures of a link of entangled photons, on labs whose hidden truth nobody told them.

Instruments are reached over sockets and serial lines, the emulators are a process of their own; the truth
comes from the draw. The quick test allows 2.3 times the half-width of a 95 % interval, 4.5 standard errors:
18 intervals, so that one is beyond by chance in 8,000 runs. The slow one asks whether the intervals hold the
truth in 95 % of cases: a binomial test of each procedure at 0.1 % false alarms over all of them.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.calibration.covered import draw, many

WIDE = 2.3
DRAWS = 24
FALSE_ALARM = 1e-3


async def test_every_fast_procedure_finds_what_was_drawn() -> None:
    found = await draw(2)
    assert {one["procedure"] for one in found} == {
        "darks",
        "clock",
        "detector_delays",
        "link_quality",
        "bell_test",
    }
    assert [one for one in found if "truth" not in one] == []
    for one in found:
        low, high, middle = one["low"], one["high"], one["value"]
        assert middle - WIDE * (middle - low) <= one["truth"] <= middle + WIDE * (high - middle), one


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    kept = tmp_path / "coverage.json"
    asyncio.run(many(list(range(1001, 1001 + DRAWS)), 2, kept))
    summary = json.loads(kept.read_text(encoding="utf-8"))["rows"]
    assert all(one["without_result"] == 0 for one in summary), summary
    worst = min(one["p_value_of_95_percent"] for one in summary)
    assert worst > FALSE_ALARM / len(summary), summary
