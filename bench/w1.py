"""Work W1: a homogeneous repeater chain, five memory pairs a link. Cost, and the check value of its rate.

Owns the work that is common to all simulators that were compared: attempts of 50 us with p = 0.01, a swap
succeeds half of the time, 50 us a hop, nothing decoheres. Exits with 1 when the rate misses the check
value.

Usage: python bench/w1.py [NODES ...]    (default 5; check values are known for 3, 5 and 9)
Prints one JSON line for each number of nodes: medians over seeds 1, 2, 3.
"""

import itertools
import json
import math
import statistics
import sys
import time
from typing import Any

from _floor import HOP_NS, PERIOD_NS, SUCCESS_PROBABILITY, SWAP_PROBABILITY, run_floor
from _measure import Measured, measure, peak_memory_mb, surroundings, write_result

from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile

SEEDS = (1, 2, 3)
LANES = 5
CHECK_HZ = {3: 412.0, 5: 130.0, 9: 26.0}
CHECK_ROUNDING_HZ = {3: 0.5, 5: 0.5, 9: 0.5}
SIMULATED_S = {3: 6.0, 5: 6.0, 9: 6.0}
FLOOR_SIMULATED_S = 20
SIGMAS = 4.0
"""Deliveries are taken as a Poisson process (they come more evenly: five lanes wait at once), so this
many standard deviations give a false alarm with probability below 6e-5."""


def chain(nodes: int) -> Lab:
    """The lab of W1 with this many nodes."""
    memory = {
        "t1_s": None,
        "t2_s": None,
        "gate_fidelity": 1.0,
        "single_gate_fidelity": 1.0,
        "readout_fidelity": 1.0,
        "bsm_success_probability": SWAP_PROBABILITY,
        "bsm_duration_us": 0.0,
    }
    names = [f"n{index}" for index in range(nodes)]
    attempt = {
        "period_us": PERIOD_NS / 1e3,
        "success_probability": SUCCESS_PROBABILITY,
        "fidelity": 0.99,
    }
    links = {
        f"{one}-{two}": {"nodes": (one, two), "lanes": LANES, "attempt": attempt}
        for one, two in itertools.pairwise(names)
    }
    document: dict[str, Any] = {
        "lab": f"w1_chain_{nodes}",
        "nodes": {
            name: {"role": "end" if name in (names[0], names[-1]) else "repeater", "memory": memory}
            for name in names
        },
        "links": links,
        "classical": {"delay_us": dict.fromkeys(links, HOP_NS / 1e3)},
        "requests": (
            {
                "id": "chain",
                "from": names[0],
                "to": names[-1],
                "duration_s": 3600.0,
                "mode": "swap_asap",
                "consumption": "measure",
            },
        ),
    }
    return build_lab(LabFile.model_validate(document))


def tolerance_hz(nodes: int, simulated_s: float) -> float:
    """How far the mean rate of all seeds may lie from the check value, by counting statistics."""
    counting = SIGMAS * math.sqrt(CHECK_HZ[nodes] / (simulated_s * len(SEEDS)))
    return counting + CHECK_ROUNDING_HZ[nodes]


def bare_loop(nodes: int, seed: int) -> dict[str, float]:
    """The same work without a protocol, per simulated second."""
    cpu_ns = time.process_time_ns()
    floor = run_floor(nodes, LANES, FLOOR_SIMULATED_S * NS_PER_S, seed)
    cpu_s = (time.process_time_ns() - cpu_ns) / NS_PER_S
    return {
        "events": floor.events / FLOOR_SIMULATED_S,
        "delivered": floor.delivered / FLOOR_SIMULATED_S,
        "cpu_s": cpu_s / FLOOR_SIMULATED_S,
    }


def row_of(label: str, runs: list[Measured]) -> dict[str, Any]:
    """One line of the table: medians over the runs."""
    pairs = [run.per_pair() for run in runs]

    def median(key: str) -> float:
        return statistics.median(pair[key] for pair in pairs)

    return {
        "work": label,
        "pairs/s": statistics.median(run.counts.delivered / run.simulated_s for run in runs),
        "CPU s per simulated s": statistics.median(run.cpu_s / run.simulated_s for run in runs),
        "events per pair": median("events"),
        "facts per pair": median("facts"),
        "fold applications per pair": median("fold_applications"),
        "CPU ms per pair": median("cpu_ms"),
    }


def run_chain(nodes: int) -> tuple[list[dict[str, Any]], dict[str, Any], bool]:
    """Measure one number of nodes: rows for the table, the line for stdout, whether the check value is
    met."""
    lab = chain(nodes)
    simulated_s = SIMULATED_S.get(nodes, 4.0)
    runs: list[Measured] = []
    floors: list[dict[str, float]] = []
    for seed in SEEDS:  # interleaved, so that both see the same machine
        runs.append(measure(lab, seed, simulated_s))
        floors.append(bare_loop(nodes, seed))
    rate_hz = sum(run.counts.delivered for run in runs) / (simulated_s * len(SEEDS))
    loop = {key: statistics.median(floor[key] for floor in floors) for key in floors[0]}
    row = row_of(f"chain of {nodes}", runs)
    bare = {
        "work": f"chain of {nodes}, bare loop",
        "pairs/s": loop["delivered"],
        "CPU s per simulated s": loop["cpu_s"],
        "events per pair": loop["events"] / loop["delivered"],
        "CPU ms per pair": 1e3 * loop["cpu_s"] / loop["delivered"],
    }
    heralds = sum(run.counts.heralds for run in runs)
    line = {
        "impl": "bellwire",
        "N": nodes,
        "sim_s": simulated_s,
        "wall_per_sim_s": statistics.median(run.wall_s / run.simulated_s for run in runs),
        "cpu_per_sim_s": row["CPU s per simulated s"],
        "ev_per_s": statistics.median(run.counts.events / run.wall_s for run in runs),
        "attempts_per_s": heralds
        / SUCCESS_PROBABILITY
        / sum(run.wall_s for run in runs),  # implied by heralds
        "eps": rate_hz,
        "rss_mb": peak_memory_mb(),
        "cpu_over_bare_loop": row["CPU s per simulated s"] / loop["cpu_s"],
        "swaps_per_pair": sum(run.counts.swaps for run in runs) / sum(run.counts.delivered for run in runs),
    }
    met = True
    if nodes in CHECK_HZ:
        allowed_hz = tolerance_hz(nodes, simulated_s)
        met = abs(rate_hz - CHECK_HZ[nodes]) <= allowed_hz
        line |= {"check_eps": CHECK_HZ[nodes], "check_tolerance": allowed_hz, "check_met": met}
    return [row, bare], line, met


def main() -> int:
    sizes = [int(word) for word in sys.argv[1:]] or [5]
    rows: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    missed: list[int] = []
    for nodes in sizes:
        some, line, met = run_chain(nodes)
        rows += some
        lines.append(line)
        if not met:
            missed.append(nodes)
        print(json.dumps(line), flush=True)
    checks = "; ".join(
        f"chain of {line['N']}: {line['eps']:.1f} pairs/s, check value {line['check_eps']:g} "
        f"+- {line['check_tolerance']:.1f}, CPU {line['cpu_over_bare_loop']:.0f} times the bare loop"
        for line in lines
        if "check_eps" in line
    )
    command = " ".join(["python bench/w1.py", *sys.argv[1:]])
    note = (
        f"Medians over seeds 1, 2, 3; {surroundings()}. {checks}. "
        "The bare loop has no ledger, no messages and no protocol. "
        "Tolerance: 4 standard deviations of the count and the rounding of the check value."
    )
    write_result(
        "w1", "Repeater chain, five memory pairs a link, swap as soon as possible", command, rows, note
    )
    for nodes in missed:
        print(f"W1 with {nodes} nodes missed its check value", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
