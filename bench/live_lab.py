"""The repeater lab on emulated instruments for half a minute: pairs, frames, fidelity and rate against the
World and the plan.

Usage: python bench/live_lab.py [SECONDS]    writes bench/results/live_lab.json; exits 1 if a check fails
"""

import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bellwire.core.units import ns_from_s  # noqa: E402
from tests.hosts.lab_figures import LabFigures, examine  # noqa: E402
from tests.hosts.live import asked, lab_up, live_lab  # noqa: E402

SECONDS = 30.0
PAIRS_PER_S = 100 / 30
RATE_SHARE_MIN = 0.6
"""The plan knows neither serial lines nor processes that share two cores; less than this share is a fault."""


def frames_tracked(sections: dict[str, Any]) -> None:
    """Frames stay in the record; nothing is corrected physically."""
    sections["correct_frames"] = False


async def measure(folder: Path, seconds: float, *, tracked: bool) -> LabFigures:
    """One run of the lab, examined."""
    lab = live_lab(folder, change=frames_tracked if tracked else None)
    request = asked(lab, "half-minute", duration_ns=ns_from_s(seconds))
    async with lab_up(lab, folder / "state") as live:
        await live.supervisor.submit(request)
        status = await live.ended("half-minute", within_s=seconds + 60)
    figures = examine(
        lab, live.supervisor.run_dir, "half-minute", pairs_min=int(PAIRS_PER_S * seconds), tracked=tracked
    )
    row = figures.row
    figures.hold(status == "completed", f"the request ended as {status}")
    figures.hold(live.supervisor.restarts == {}, f"processes were restarted: {live.supervisor.restarts}")
    figures.hold(
        row["plan (1/s)"] is not None and row["rate (1/s)"] >= RATE_SHARE_MIN * row["plan (1/s)"],
        f"rate {row['rate (1/s)']:.1f} is below {RATE_SHARE_MIN} of the plan's {row['plan (1/s)']}",
    )
    figures.row = {"frames": "tracked" if tracked else "corrected", "duration (s)": seconds} | row
    return figures


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found = []
    for tracked in (False, True):
        with tempfile.TemporaryDirectory(prefix="bellwire-") as folder:
            found.append(asyncio.run(measure(Path(folder), seconds, tracked=tracked)))
    result = {
        "title": "Live: two end nodes and a repeater on emulated instruments",
        "command": "python bench/live_lab.py",
        "rows": [figures.row for figures in found],
        "note": "Five agents on ZeroMQ with CURVE, byte-level emulated instruments, one computer. Every pair "
        "was compared with the World: both ends list the same pairs, and their frame is the true one. "
        "The true fidelity is taken for the moment of the estimate; the rate counts from the first delivery.",
    }
    wrong = [problem for figures in found for problem in figures.wrong]
    print(json.dumps(result, indent=1))
    for problem in wrong:
        print(f"DOES NOT HOLD: {problem}", file=sys.stderr)
    if not wrong and seconds == SECONDS:
        (ROOT / "bench" / "results").mkdir(exist_ok=True)
        text = json.dumps(result, indent=1) + "\n"
        (ROOT / "bench" / "results" / "live_lab.json").write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
