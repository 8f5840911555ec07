"""Graph states joined by worth or as they come: rates, and what the ledger tells beside the true fidelity.

Owns the table. GHZ states on the same links stand beside each graph, made by the same mode.

Usage: python bench/graph_orders.py [SEEDS] [SECONDS]    (default: 3 seeds of 2 simulated seconds)
Prints a table and one JSON line: rates with their standard errors, told and true fidelities.
"""

import json
import math
import statistics
import sys
from typing import Any

from _fusion_lab import noisy_lab

from bellwire.labs.fusion_tree import Edges
from bellwire.simulator_backend.simulation import simulate

CHAIN: Edges = (("a", "b"), ("b", "c"), ("c", "d"))
HUB: Edges = (("a", "h"), ("b", "h"), ("c", "h"), ("d", "h"))
CASES: dict[str, tuple[Edges, Edges]] = {
    "path of 4 on its links": (CHAIN, CHAIN),
    "GHZ_4 on these links": (CHAIN, ()),
    "path of 4 around a hub": (HUB, CHAIN),
    "GHZ_4 around the hub": (HUB, ()),
}
"""Links, and edges of the graph; none: GHZ states."""

MODES = ("score", "swap_asap")


def compared(name: str, mode: str, seeds: int, seconds: float) -> dict[str, Any]:
    """One case over all seeds."""
    links, graph = CASES[name]
    runs: list[dict[str, Any]] = []
    for seed in range(1, seeds + 1):
        lab = noisy_lab(links, ("a", "b", "c", "d"), mode, seconds, graph=graph)
        runs += simulate(lab, seconds, seed)["requests"].values()
    rates = [run["delivered"] / seconds for run in runs]
    return {
        "case": name,
        "mode": mode,
        "rate_hz": statistics.mean(rates),
        "rate_error_hz": math.sqrt(statistics.mean(rates) / (seeds * seconds)),
        "fidelity": statistics.mean(run["fidelity_mean"] for run in runs),
        "fidelity_true": statistics.mean(run["fidelity_true_mean"] for run in runs),
        "frame_errors": sum(run["frame_errors"] for run in runs),
    }


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    rows = [compared(name, mode, seeds, seconds) for name in CASES for mode in MODES]
    for row in rows:
        print(
            f"{row['case']:24} {row['mode']:10} {row['rate_hz']:6.1f} +- {row['rate_error_hz']:.1f} Hz, "
            f"fidelity {row['fidelity']:.4f} told, {row['fidelity_true']:.4f} true, "
            f"{row['frame_errors']} wrong frames"
        )
    print(json.dumps({"seeds": seeds, "seconds": seconds, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
