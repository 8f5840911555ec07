"""The planner beside a straightforward pure-Python reference, and beside the LP solver's own time.

Owns the measurement: exact trees and plans from one source to all destinations, the balanced heuristic, and
the level-based linear programme for ten requests, on random networks (algorithms.md 0.3). Everything is CPU
time of this process on one core, the median of several runs, all within one call. Refuses to judge answers
other than that reference and planner agree on every latency; a miss of a limit of time ends with 1.

"Trees" are what the recurrences give: the fastest tree of a pair and its latency. "Plans" are those trees
throttled, with ages, state, fidelity, success probability and the use of every node and link, held against
the limits and against what is left of the network. The reference makes trees.

Usage: python bench/planner.py [--quick]    (--quick: networks up to 100 nodes, nothing is written)
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import _one_core
from _measure import surroundings, write_result
from _planner_growth import LINES, draw
from _planner_reference import Network, balanced_from, exact_all

from bellwire.planner.batch.optimum import plan_levels
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single import balanced, exact
from bellwire.planner.sources.waxman import draw_pairs, waxman
from bellwire.planner.topology import Topology

PLOT: Final = Path(__file__).resolve().parent.parent / "docs" / "benchmarks" / "planner_growth.svg"

SEED: Final = 1
DENSITY: Final = 0.05
RUNS: Final = 5
REFERENCE_RUNS: Final = 1
"""Runs of the plain Python exact programme; it takes long enough to be steady."""

SIZES: Final = (50, 100, 200, 500)
BALANCED_SIZES: Final = (*SIZES, 1000)
REFERENCE_MAX: Final = 200
"""Largest network of the plain Python exact programme: 500 nodes would take minutes."""

LEVELS_SIZES: Final = (20, 50, 100)
LEVELS_DENSITY: Final = 0.1
REQUESTS: Final = 10

EXACT_MAX_S: Final = 1.0  # all destinations from one source on 200 nodes
BALANCED_MAX_S: Final = 1.0  # the same on 1,000 nodes
AGREEMENT: Final = 1e-9
"""Relative difference of two latencies that counts as rounding."""

Row = dict[str, Any]
Series = dict[str, list[tuple[int, float]]]
T = TypeVar("T")


class Missed(Exception):
    """A check of this bench failed."""


def cpu_s(act: Callable[[Residual], T], topology: Topology, runs: int) -> tuple[float, T]:
    """Median CPU time of an act on a network that nobody has looked at, and what it returned last."""
    took_s: list[float] = []
    while True:
        untouched = Residual(Topology(topology.nodes, topology.links, topology.delays_s))
        begin_ns = time.process_time_ns()
        found = act(untouched)
        took_s.append((time.process_time_ns() - begin_ns) / 1e9)
        if len(took_s) >= runs:
            return statistics.median(took_s), found


def plainly(topology: Topology) -> Network:
    """The network as the reference wants it."""
    places_km = {name: node.position_km for name, node in topology.nodes.items()}
    return Network(
        {name: place for name, place in places_km.items() if place is not None},
        {pair: link.length_km for pair, link in topology.links.items()},
    )


def reference_s(act: Callable[[Network], T], topology: Topology, runs: int) -> tuple[float, T]:
    """Median CPU time of the reference and what it returned."""
    network = plainly(topology)
    return cpu_s(lambda _: act(network), topology, runs)


def check_agreement(what: str, ours: dict[Any, float], reference: dict[Any, float]) -> float:
    """Largest relative difference of two tables of latencies. Raises Missed when it is more than rounding."""
    if set(ours) != set(reference):
        raise Missed(f"{what}: reference and planner reach different nodes")
    worst = max(abs(ours[key] - value) / value for key, value in reference.items())
    if worst > AGREEMENT:
        raise Missed(f"{what}: reference and planner differ by {worst:.3g}, limit {AGREEMENT:g}")
    return worst


def exact_rows(nodes: int, series: Series) -> list[Row]:
    """The exact programme of all pairs, and the plans from one source, on one network."""
    topology = waxman(nodes=nodes, density=DENSITY, seed=SEED)
    source = next(iter(topology.nodes))
    trees_s, trees = cpu_s(exact.all_trees, topology, RUNS)
    plans_s, plans = cpu_s(lambda residual: exact.plans_from(residual, source), topology, RUNS)
    series["exact"].append((nodes, trees_s))
    row: Row = {
        "work": "exact trees, all pairs",
        "nodes": nodes,
        "links": len(topology.links),
        "CPU s": trees_s,
    }
    if nodes <= REFERENCE_MAX:
        plain_s, plain = reference_s(exact_all, topology, REFERENCE_RUNS)
        names = trees.names
        ours = {
            (a, b): float(trees.latency_s[i, j])
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if trees.latency_s[i, j] < float("inf")
        }
        check_agreement(f"exact trees on {nodes} nodes", ours, plain)
        from_source = {name: plan.latency_s for name, plan in plans.items()}
        check_agreement(
            f"exact plans on {nodes} nodes", from_source, {b: t for (a, b), t in plain.items() if a == source}
        )
        row |= {"plain Python s": plain_s, "times faster": plain_s / trees_s}
        series["exact, reference"].append((nodes, plain_s))
    more: Row = {"work": "exact plans, one source to all", "nodes": nodes, "CPU s": plans_s}
    if nodes == 200:
        row["limit s"] = more["limit s"] = EXACT_MAX_S
    return [row, more]


def balanced_rows(nodes: int, series: Series) -> list[Row]:
    """The balanced heuristic from one source, trees and plans, on one network."""
    topology = waxman(nodes=nodes, density=DENSITY, seed=SEED)
    source = next(iter(topology.nodes))

    def trees(residual: Residual) -> dict[str, float]:
        options = Options()
        labels = balanced.labels_from(residual, source, options)
        return {
            name: balanced.halved(residual, balanced.route_to(labels, name), options).latency_s
            for name, label in labels.items()
            if label.hops > 0
        }

    trees_s, ours = cpu_s(trees, topology, RUNS)
    plans_s, plans = cpu_s(lambda residual: balanced.plans_from(residual, source), topology, RUNS)
    plain_s, plain = reference_s(lambda network: balanced_from(network, source), topology, RUNS)
    check_agreement(f"balanced trees on {nodes} nodes", ours, plain)
    check_agreement(
        f"balanced plans on {nodes} nodes", {name: plan.latency_s for name, plan in plans.items()}, plain
    )
    series["balanced"].append((nodes, trees_s))
    series["balanced, reference"].append((nodes, plain_s))
    row: Row = {
        "work": "balanced trees, one source to all",
        "nodes": nodes,
        "links": len(topology.links),
        "CPU s": trees_s,
        "plain Python s": plain_s,
        "times faster": plain_s / trees_s,
    }
    more: Row = {"work": "balanced plans, one source to all", "nodes": nodes, "CPU s": plans_s}
    if nodes == 1000:
        row["limit s"] = more["limit s"] = BALANCED_MAX_S
    return [row, more]


def levels_rows(nodes: int, runs: int, series: Series) -> list[Row]:
    """The level-based programme for ten requests: building it, and the solver's own time."""
    topology = waxman(nodes=nodes, density=LEVELS_DENSITY, seed=SEED)
    requests = [
        PairRequest(request=f"r{index}", source=source, destination=destination)
        for index, (source, destination) in enumerate(draw_pairs(topology, REQUESTS, SEED))
    ]
    parts: list[dict[str, float]] = []

    def act(residual: Residual) -> None:
        marks: list[tuple[str, int]] = []
        plan_levels(
            residual,
            requests,
            told=lambda part: marks.append((part, time.process_time_ns())),
            allow_unserved=True,
        )
        marks.append(("end", time.process_time_ns()))
        took = dict.fromkeys(("building", "solver", "trees"), 0.0)
        for (part, begin_ns), (_, end_ns) in pairwise(marks):
            key = "building" if part in ("graph", "model") else "solver" if part == "solver" else "trees"
            took[key] += (end_ns - begin_ns) / 1e9
        parts.append(took)

    cpu_s(act, topology, runs)
    median = {key: statistics.median(part[key] for part in parts) for key in parts[0]}
    series["levels, building"].append((nodes, median["building"]))
    series["levels, solver"].append((nodes, median["solver"]))
    name = f"level programme, {REQUESTS} requests"
    built: Row = {"work": f"{name}: building", "nodes": nodes, "links": len(topology.links)}
    built |= {"CPU s": median["building"]}
    if nodes == 50:
        built["limit s"] = median["solver"]  # building may take no longer than solving
    return [
        built,
        {"work": f"{name}: HiGHS", "nodes": nodes, "CPU s": median["solver"]},
        {"work": f"{name}: answer and trees", "nodes": nodes, "CPU s": median["trees"]},
    ]


def missed(rows: Iterable[Row]) -> list[str]:
    """Rows that took longer than they may, as sentences."""
    return [
        f"{row['work']} on {row['nodes']} nodes took {row['CPU s']:.3g} s, limit {row['limit s']:.3g} s"
        for row in rows
        if row["CPU s"] > row.get("limit s", float("inf"))
    ]


def shown(rows: list[Row]) -> list[Row]:
    """The same rows, after they were printed: one JSON object a line."""
    for row in rows:
        print(json.dumps(row), flush=True)
    return rows


def main() -> int:
    quick = "--quick" in sys.argv[1:]
    most = 100 if quick else max(BALANCED_SIZES)
    series: Series = {name: [] for name in LINES}
    rows: list[Row] = []
    try:
        for nodes in (size for size in SIZES if size <= most):
            rows += shown(exact_rows(nodes, series))
        for nodes in (size for size in BALANCED_SIZES if size <= most):
            rows += shown(balanced_rows(nodes, series))
        for nodes in LEVELS_SIZES[:2] if quick else LEVELS_SIZES:
            rows += shown(levels_rows(nodes, 1 if nodes > 50 else 3, series))
    except Missed as reason:
        print(reason, file=sys.stderr)
        return 1
    late = missed(rows)
    if not quick:
        note = (
            f"CPU time of one process, {_one_core.THREADS} thread a library, medians of {RUNS} runs "
            f"(plain Python exact {REFERENCE_RUNS}, level programme 3, beyond 50 nodes 1); {surroundings()}. "
            f"Random networks of density {DENSITY:g} (level programme {LEVELS_DENSITY:g}), seed {SEED}. "
            "Trees: latencies by the recurrences; plans: throttled, with all promises. "
            f"Reference and planner agreed on every latency to {AGREEMENT:g}. "
            "Growth: docs/benchmarks/planner_growth.svg."
        )
        write_result("planner", "Planning time, and its growth", "python bench/planner.py", rows, note)
        draw(series, PLOT)
    for sentence in late:
        print(sentence, file=sys.stderr)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
