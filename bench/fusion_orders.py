"""GHZ states joined by worth, or as they come, against the fixed order of the plan, on the same links.

Owns the comparison. Every tree of links is run in all modes with the same chance, and rates are compared
seed by seed.

Usage: python bench/fusion_orders.py [SEEDS] [SECONDS]    (default: 5 seeds of 4 simulated seconds)
Prints a table and one JSON line: rates, true fidelities, and the mean ratio with its 95 % interval.
"""

import json
import math
import statistics
import sys
from typing import Any

from _fusion_lab import noisy_lab

from bellwire.labs.fusion_tree import Edges
from bellwire.simulator_backend.simulation import simulate

CASES: dict[str, tuple[Edges, tuple[str, ...]]] = {
    "GHZ_3, star with a relay": ((("a", "r"), ("b", "r"), ("c", "r")), ("a", "b", "c")),
    "GHZ_3, chain with two relays": (
        (("a", "r"), ("r", "b"), ("b", "s"), ("s", "c")),
        ("a", "b", "c"),
    ),
    "GHZ_4, chain of members": ((("a", "b"), ("b", "c"), ("c", "d")), ("a", "b", "c", "d")),
    "GHZ_4, two relays": (
        (("a", "r"), ("b", "r"), ("r", "s"), ("s", "c"), ("s", "d")),
        ("a", "b", "c", "d"),
    ),
    "GHZ_5, chain of members": (
        (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")),
        ("a", "b", "c", "d", "e"),
    ),
}

T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""Student's t for a 95 % interval by the number of seeds."""


def one_run(
    edges: Edges, members: tuple[str, ...], mode: str, seed: int, seconds: float
) -> tuple[float, float]:
    """States per second, and their true fidelity."""
    told = simulate(noisy_lab(edges, members, mode, seconds), seconds, seed)["requests"]["ghz"]
    return told["delivered"] / seconds, told["fidelity_true_mean"] or 0.0


MODES = ("score", "swap_asap", "fixed_tree")


def compared(name: str, seeds: int, seconds: float) -> dict[str, Any]:
    """All modes over all seeds, and the rates of the first two as shares of that of the fixed order."""
    edges, members = CASES[name]
    runs = {
        mode: [one_run(edges, members, mode, seed, seconds) for seed in range(1, seeds + 1)] for mode in MODES
    }
    row: dict[str, Any] = {"case": name}
    for mode, seen in runs.items():
        row[f"{mode}_hz"] = statistics.mean(rate for rate, _ in seen)
        row[f"{mode}_fidelity"] = statistics.mean(fidelity for _, fidelity in seen)
        if mode != "fixed_tree":
            ratios = [one[0] / other[0] for one, other in zip(seen, runs["fixed_tree"], strict=True)]
            row[f"{mode}_ratio"] = statistics.mean(ratios)
            row[f"{mode}_ratio_95"] = statistics.stdev(ratios) / math.sqrt(seeds) * T95[seeds]
    return row


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 4.0
    if seeds not in T95:
        print(f"{seeds} seeds: give one of {', '.join(map(str, T95))}", file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    for name in CASES:
        row = compared(name, seeds, seconds)
        rows.append(row)
        print(
            f"{name:30} fixed {row['fixed_tree_hz']:6.1f} Hz, fidelity {row['fixed_tree_fidelity']:.4f}",
            *(
                f"{mode} x {row[f'{mode}_ratio']:.3f} +- {row[f'{mode}_ratio_95']:.3f}, "
                f"{row[f'{mode}_fidelity']:.4f}"
                for mode in MODES[:2]
            ),
            sep="; ",
        )
    print(json.dumps({"seeds": seeds, "seconds": seconds, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
