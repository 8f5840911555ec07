"""The link layer against closed forms: what algorithms.md 10 and 11 promise, measured in virtual time.

Owns the order of the parts, the table and the verdict. Every part is one file beside this one; scenarios and
closed forms are those of the tests, with more samples and seeds of their own. Refuses time on the wall:
bench/w1.py and bench/w2.py measure what it costs. Exits 1 when a row does not hold.

Usage: python bench/link_layer.py [--quick] [PART ...]    all parts write bench/results/link_layer.json and
the picture; some parts, or a tenth of the samples (--quick), print their rows and write nothing
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import _one_core  # noqa: E402
from _link_creates import story_rows, time_rows  # noqa: E402
from _link_estimation import (  # noqa: E402
    Delay,
    coverage_rows,
    delay_rows,
    fallen_rows,
    false_alarm_rows,
    measure_delays,
)
from _link_physics import Point, defaults_rows, grid_rows, measure_grid  # noqa: E402
from _link_picture import draw  # noqa: E402
from _link_purification import purification_rows  # noqa: E402
from _link_rows import SIGMAS, Row  # noqa: E402
from _link_sharing import emitter_rows, fairness_rows, priority_rows  # noqa: E402
from _measure import surroundings, write_result  # noqa: E402

PICTURE: Final = ROOT / "docs" / "benchmarks" / "link_layer.svg"


class Bench:
    """What the parts measured so far."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.points: list[Point] = []
        self.curve: list[Delay] = []

    def architectures(self) -> list[Row]:
        """Rates and fidelities of four architectures over a grid."""
        self.points = measure_grid(self.quick)
        return grid_rows(self.points)

    def defaults(self) -> list[Row]:
        """Rates at the paper's defaults."""
        return defaults_rows(self.quick)

    def fairness(self) -> list[Row]:
        """Rivals on one link."""
        return fairness_rows(self.quick) + priority_rows(self.quick)

    def emitter(self) -> list[Row]:
        """Three links of one emitter."""
        return emitter_rows(self.quick)

    def estimation(self) -> list[Row]:
        """Intervals and drift."""
        self.curve = measure_delays(self.quick)
        rows = coverage_rows(self.quick) + delay_rows(self.curve, self.quick) + false_alarm_rows(self.quick)
        return rows if self.quick else rows + fallen_rows()

    def creates(self) -> list[Row]:
        """CREATEs on a good link and on a bad one."""
        return time_rows(self.quick) + story_rows(self.quick)

    def purification(self) -> list[Row]:
        """Rounds on each pair of a link."""
        return purification_rows(self.quick)

    @property
    def parts(self) -> dict[str, Callable[[], list[Row]]]:
        """In the order of the table."""
        return {
            "architectures": self.architectures,
            "defaults": self.defaults,
            "fairness": self.fairness,
            "emitter": self.emitter,
            "estimation": self.estimation,
            "creates": self.creates,
            "purification": self.purification,
        }


def main() -> int:
    wanted = [argument for argument in sys.argv[1:] if argument != "--quick"]
    bench = Bench(quick="--quick" in sys.argv[1:])
    unknown = [name for name in wanted if name not in bench.parts]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are: {', '.join(bench.parts)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name, measure in bench.parts.items():
        if wanted and name not in wanted:
            continue
        begin_ns = time.process_time_ns()
        found = measure()
        for row in found:
            print(json.dumps(row, ensure_ascii=False), flush=True)
        print(f"--- {name}: {(time.process_time_ns() - begin_ns) / 1e9:.0f} s of CPU time", flush=True)
        rows += found
    if not wanted and not bench.quick:
        note = (
            f"All in virtual time with all machines, but for the tests until a fall is noticed and the false "
            f"alarms (the drift watch alone) and the stories (two ends on the bench of the tests). "
            f"A row that has a standard error holds within {SIGMAS:g} of them, unless its limit says "
            f"otherwise. Seeds are fixed; {_one_core.THREADS} thread a library, {surroundings()}. "
            f"Every point of the grid, and how to read this: docs/benchmarks/link_layer.md."
        )
        write_result(
            "link_layer",
            "The link layer against its closed forms",
            "python bench/link_layer.py",
            rows,
            note,
            grid=[point.row() for point in bench.points],
            delays=[one.row() for one in bench.curve],
        )
        draw(bench.points, bench.curve, PICTURE)
    failed = [row for row in rows if row["held"] != "yes"]
    for row in failed:
        print(f"does not hold: {row['part']}: {row['what']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
