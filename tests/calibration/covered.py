"""Whether stated intervals hold the truth: labs drawn by chance, procedures run on them over their lines.

Owns one draw, the comparison with what was drawn, and the JSON of many. As a program, with the results of
earlier draws kept:  python -m tests.calibration.covered --draws 400 --jobs 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import yaml

from bellwire.calibration.direct import DirectAccess
from bellwire.calibration.order import planned
from bellwire.calibration.procedure import Procedure
from bellwire.calibration.procedures.bell_test import BellTest
from bellwire.calibration.procedures.clock import Clock
from bellwire.calibration.procedures.darks import Darks
from bellwire.calibration.procedures.detector_delays import DetectorDelays
from bellwire.calibration.procedures.link_quality import LinkQualityCheck
from bellwire.calibration.procedures.window import Window
from bellwire.calibration.records import CalibrationRecord
from bellwire.calibration.running import RunTerms
from bellwire.calibration.whole_link import calibrate_link
from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind
from tests.calibration.emulated_lab import calibrated, played
from tests.calibration.worlds import BestPairs, Truth, best, lab_text, misaligned, pairs_at

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "calibration_coverage.json"
LINK = "alice-bob"
ROOM_C = 23.0
"""Where an emulated oven starts."""
FAST: tuple[Procedure, ...] = (
    Darks(window_s=0.5, windows=2),
    replace(Clock(record_s=1.5, looks=2), needs=()),
    DetectorDelays(record_s=1.5, windows=3, window_s=0.5),
    Window(record_s=1.5, windows=2, window_s=0.5),
    replace(LinkQualityCheck(record_s=1.5, windows=3, window_s=0.5), needs=("clock", "window")),
    replace(BellTest(record_s=1.5, windows=3, window_s=0.5), needs=("clock", "window")),
)
Interval = dict[str, Any]
EMPTY: dict[str, Any] = {
    "title": "Stated 95 % intervals that hold the hidden truth of emulated labs",
    "command": "python -m tests.calibration.covered --draws 400",
    "rows": [],
    "note": "p value: two-sided binomial test of 95 %. Without result: a run that ended without one, mostly "
    "because the emulators were kept from the processor for longer than instruments may be silent.",
    "intervals": [],
}


def drawn(seed: int) -> tuple[str, Truth]:
    """A lab with clocks of rubidium, as its file says: their rates stay, so that there is one truth of them,
    and their offsets walk as those of rubidium do. Its crystal is at its best in a room without heating, so
    that nobody waits for an oven."""
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    document = yaml.safe_load(text)
    at_room = {**truth.components["source"], "best_oven_c": ROOM_C}
    truth = replace(truth, components={**truth.components, "source": at_room})
    document["optics"]["components"]["source"]["best_oven_c"] = ROOM_C
    for name in ("alice_clock", "bob_clock"):
        clock = document["optics"]["components"][name]
        clock["wander_ppb_per_root_s"] = 0.0
        clock["walk_ps_per_root_s"] = sqrt(MODELS[ClockKind.RUBIDIUM].noise.offset_ps2_per_s)
    for receiver in document["links"][LINK]["calibration"]["receivers"].values():
        receiver["clock"] = "rubidium"
    document["links"][LINK]["calibration"]["limits"] = {
        "link_quality.qber_in_x": [None, None],
        "link_quality.qber_in_z": [None, None],
    }
    return yaml.safe_dump(document, sort_keys=False), truth


async def draw(seed: int) -> list[Interval]:
    """What the fast procedures found on one lab, beside the truth. Paddles and oven stand at their best, so
    that there is a closed form for the rest."""
    text, truth = drawn(seed)
    optimum = best(text, truth)
    assert isinstance(optimum, BestPairs)
    with tempfile.TemporaryDirectory() as place, played(Path(place), text, truth) as process:
        async with calibrated(process, Path(place)) as lab:
            await lab.warm(round(optimum.knobs["source.oven_c"], 1), 10.0)
            for number, knob in enumerate(lab.bench.arm("bob").paddles, 1):
                await lab.turn(knob, optimum.knobs[f"bob_paddles.angle_{number}_deg"])
            table = {one.name: one for one in FAST}
            ended = await calibrate_link(
                planned(lab.bench, table),
                lab.bench,
                DirectAccess(lab.drivers),
                lab.store,
                table,
                RunTerms(seed=seed),
            )
    for one in ended:
        if not one.passed:
            why = one.left_out if one.record is None else one.record.reason
            sys.stderr.write(f"seed {seed}: {one.step.procedure.name}: {why}\n")
    records = {one.record.procedure: one.record for one in ended if one.record is not None}
    return compared(seed, text, truth, optimum, records)


def compared(
    seed: int, text: str, truth: Truth, optimum: BestPairs, records: dict[str, CalibrationRecord]
) -> list[Interval]:
    """Every interval that has a truth to hold."""
    found: list[Interval] = []

    def take(procedure: str, name: str, true: float) -> None:
        record = records.get(procedure)
        quantity = None if record is None else record.quantities.get(name)
        if record is None or quantity is None:
            why = "left out" if record is None else record.reason
            found.append({"seed": seed, "procedure": procedure, "quantity": name, "why": why})
            return
        low, high = quantity.interval
        found.append(
            {
                "seed": seed,
                "procedure": procedure,
                "quantity": name,
                "value": float(quantity.value),
                "low": float(low),
                "high": float(high),
                "truth": float(true),
                "held": bool(low <= true <= high),
            }
        )

    for node in ("alice", "bob"):
        first = truth.of(f"{node}_h", "latency_ps")
        for label in ("h", "v", "d", "a"):
            part = f"{node}_{label}"
            take("darks", f"dark_hz.{node}.{label}", truth.of(part, "dark_hz"))
            if label != "h":
                late = first - truth.of(part, "latency_ps")
                take("detector_delays", f"correction_ps.{node}.{label}", late)
    rates = [truth.of(f"{node}_clock", "rate_ppb") for node in ("alice", "bob")]
    # What is added to Bob's time: it runs slow where his oscillator is slower than Alice's.
    turned = (1.0 + rates[0] * 1e-9) / (1.0 + rates[1] * 1e-9) - 1.0
    take("clock", "rate_e9", turned * 1e9)
    width = records["window"].quantities.get("width_ps") if "window" in records else None
    if width is not None:
        knobs = dict(optimum.knobs) | {"source.oven_c": round(optimum.knobs["source.oven_c"], 1)}
        expected = pairs_at(text, knobs, window_ps=width.value)
        take("link_quality", "error_z", expected.error_z)
        take("link_quality", "error_x", expected.error_x)
        take("bell_test", "s", expected.chsh)
    return found


async def many(seeds: list[int], jobs: int, kept: Path) -> None:
    """Draw them, so many at a time; each is written when it is done."""
    waiting = iter(seeds)

    async def work() -> None:
        for seed in waiting:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.calibration.covered",
                "--one",
                str(seed),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
            )
            told, _ = await process.communicate()
            if process.returncode:
                sys.stderr.write(f"draw {seed} ended with {process.returncode}\n")
                continue
            _keep(kept, json.loads(told))

    await asyncio.gather(*(work() for _ in range(jobs)))


def _keep(kept: Path, intervals: list[Interval]) -> None:
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else dict(EMPTY)
    results["intervals"] = [*results["intervals"], *intervals]
    results["rows"] = summary(results["intervals"])
    kept.write_text(as_text(results), encoding="utf-8")


def as_text(results: dict[str, Any]) -> str:
    """JSON with an interval a line: there are thousands."""
    head = json.dumps(results | {"intervals": []}, indent=1).removesuffix("[]\n}")
    lines = ",\n".join(f"  {json.dumps(one)}" for one in results["intervals"])
    return f"{head}[\n{lines}\n ]\n}}\n"


def summary(intervals: list[Interval]) -> list[dict[str, Any]]:
    """By procedure: draws, intervals, how many held the truth, and what a binomial test says of 95 %."""
    from scipy.stats import binomtest

    found: list[dict[str, Any]] = []
    for procedure in dict.fromkeys(one["procedure"] for one in intervals):
        own = [one for one in intervals if one["procedure"] == procedure]
        stated = [one for one in own if "held" in one]
        held = sum(one["held"] for one in stated)
        test = binomtest(held, len(stated), 0.95) if stated else None
        found.append(
            {
                "procedure": procedure,
                "draws": len({one["seed"] for one in own}),
                "intervals": len(stated),
                "without_result": len(own) - len(stated),
                "held": held,
                "share": round(held / len(stated), 4) if stated else None,
                "p_value_of_95_percent": None if test is None else round(float(test.pvalue), 4),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one", type=int, default=None, help="only this seed, as JSON on stdout")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        sys.stdout.write(json.dumps(asyncio.run(draw(chosen.one))))
        return
    done: set[int] = set()
    if chosen.results.exists():
        done = {one["seed"] for one in json.loads(chosen.results.read_text())["intervals"]}
    seeds = [seed for seed in range(1, chosen.draws + 1) if seed not in done]
    asyncio.run(many(seeds, chosen.jobs, chosen.results))
    told = json.loads(chosen.results.read_text(encoding="utf-8"))["rows"]
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
