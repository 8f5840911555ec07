"""The paper's default network under five requests at once: CPU time, memory, and cost per event by size.

Owns the work: 100 nodes, density 0.1, 100 simulated seconds, facts replicated to every node of the routes,
policies swap_asap and score; and the growth from 50 to 200 nodes. Exits with 1 when a limit is missed.

Limits: 20 s of CPU for the whole work, planning included (or five times what a bare event loop takes for as
many events, whichever is larger), 300 MB, and a cost per event that varies by less than 1.5 between sizes.

Usage: python bench/paper_workload.py [--quick]    --quick: a tenth of the time, writes no result
Prints one JSON line for each work; each runs in a process of its own, so that memory is its own.
"""

import json
import subprocess
import sys
import time
from typing import Any

import _one_core  # before anything that loads numpy
from _growth_picture import draw_growth
from _measure import RESULTS, counts, peak_memory_mb, surroundings, write_result

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_S
from bellwire.labs.paper_network import PaperNetwork, paper_lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.clock import MESSAGE, VirtualClock
from bellwire.simulator_backend.host import VirtualHost

SIMULATED_S = 100.0
GROWTH_SIMULATED_S = 10.0
REQUESTS = 5
SIZES = (50, 100, 150, 200)
GROWTH_SEEDS = (1, 2, 3)
CPU_MAX_S = 20.0
LOOPS_MAX = 5.0
MEMORY_MAX_MB = 300.0
FLATNESS_MAX = 1.5


def run_once(nodes: int, mode: str, simulated_s: float, seed: int) -> dict[str, Any]:
    """One run in this process: planning, all of its simulated time, and what it cost."""
    lab = paper_lab(PaperNetwork(nodes=nodes, requests=REQUESTS, seed=seed), mode=mode)
    network = lab.network
    begun_ns = time.process_time_ns()
    host = VirtualHost(
        lab, seed, lambda request, version, avoid: compute_plan(network, request, version, avoid)
    )
    delivered = {request.request_id: 0 for request in lab.requests}
    failed: list[str] = []

    def listen(now_ns: int, node: NodeId, report: Report) -> None:
        if report.name == "pair_delivered" and report.fields["role"] == "head":
            assert report.request is not None
            delivered[report.request] += 1
        elif report.name == "request_status" and report.fields["status"] == "failed":
            failed.append(f"{report.request}: {report.fields['error_message']}")

    host.reports.append(listen)
    host.start()
    host.run(NS_PER_S // 4)
    planned_s = (time.process_time_ns() - begun_ns) / NS_PER_S
    before = host.events
    host.run(round(simulated_s * NS_PER_S))
    cpu_s = (time.process_time_ns() - begun_ns) / NS_PER_S
    total = counts(host, delivered)
    return {
        "nodes": nodes,
        "links": len(network.links),
        "mode": mode,
        "seed": seed,
        "sim_s": simulated_s,
        "cpu_s": cpu_s,
        "events": total.events,
        "us_per_event": 1e6 * (cpu_s - planned_s) / (total.events - before),
        "delivered": total.delivered,
        "served": sum(count > 0 for count in delivered.values()),
        "failed": failed,
        "events_per_pair": total.events / total.delivered,
        "folds_per_pair": total.folds / total.delivered,
        "facts_per_pair": total.facts / total.delivered,
        "memory_mb": peak_memory_mb(),
        "bare_loop_s": bare_loop_s(total.events),
    }


def bare_loop_s(events: int) -> float:
    """CPU seconds of the same clock for as many appointments that only make the next one, 500 at a time."""
    clock = VirtualClock()
    left = events

    def again(step_ns: int) -> None:
        nonlocal left
        left -= 1
        if left >= 500:
            clock.at(clock.now_ns + step_ns, MESSAGE, again, step_ns)

    for index in range(500):
        clock.at(index, MESSAGE, again, 1000 + index)
    begun_ns = time.process_time_ns()
    clock.run(1 << 62)
    return (time.process_time_ns() - begun_ns) / NS_PER_S


def apart(nodes: int, mode: str, simulated_s: float, seed: int) -> dict[str, Any]:
    """The same in a process of its own; prints its line. Raises CalledProcessError when it fails."""
    words = [sys.executable, __file__, "--one", str(nodes), mode, str(simulated_s), str(seed)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    line: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps(line), flush=True)
    return line


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        nodes, mode, simulated_s, seed = sys.argv[2:6]
        print(json.dumps(run_once(int(nodes), mode, float(simulated_s), int(seed))))
        return 0
    quick = "--quick" in sys.argv[1:]
    share = 0.1 if quick else 1.0
    missed: list[str] = []
    rows: list[dict[str, Any]] = []
    works = [apart(100, mode, share * SIMULATED_S, 1) for mode in ("swap_asap", "score")]
    for work in works:
        allowed_s = max(CPU_MAX_S * share, LOOPS_MAX * work["bare_loop_s"])
        if work["cpu_s"] > allowed_s or work["memory_mb"] > MEMORY_MAX_MB or work["failed"]:
            missed.append(f"{work['mode']}: {work['cpu_s']:.1f} s of {allowed_s:.1f} s, {work['failed']}")
        rows.append(row_of(work))
    growth = [
        apart(nodes, "swap_asap", share * GROWTH_SIMULATED_S, seed)
        for seed in GROWTH_SEEDS
        for nodes in SIZES
    ]
    mean_us = {
        nodes: sum(run["us_per_event"] for run in growth if run["nodes"] == nodes) / len(GROWTH_SEEDS)
        for nodes in SIZES
    }
    flatness = max(mean_us.values()) / min(mean_us.values())
    if flatness > FLATNESS_MAX:
        missed.append(f"cost per event varies by {flatness:.2f}, limit {FLATNESS_MAX}")
    rows += [row_of(run) for run in growth if run["seed"] == GROWTH_SEEDS[0]]
    if not quick:
        draw_growth(growth, RESULTS.parent.parent / "docs" / "benchmarks" / "virtual_host_growth.svg")
        write_result(
            "paper_workload",
            "The paper's default network, five requests at once",
            "python bench/paper_workload.py",
            rows,
            f"Density 0.1, five memories a node in one bank; {surroundings()}, "
            f"{_one_core.THREADS} thread. "
            "CPU of one core, planning included; "
            f"limit {CPU_MAX_S:g} s or {LOOPS_MAX:g} times a bare event loop, {MEMORY_MAX_MB:g} MB. "
            f"Cost per event by nodes, mean of seeds {GROWTH_SEEDS}: "
            + ", ".join(f"{nodes}: {cost:.1f} us" for nodes, cost in mean_us.items())
            + f"; greatest over least {flatness:.2f}, limit {FLATNESS_MAX:g}.",
            growth=growth,
        )
    for one in missed:
        print(f"paper workload: {one}", file=sys.stderr)
    return 1 if missed else 0


def row_of(run: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    return {
        "work": f"{run['nodes']} nodes, {run['links']} links, {run['mode']}",
        "simulated s": run["sim_s"],
        "CPU s": run["cpu_s"],
        "events": run["events"],
        "us per event": run["us_per_event"],
        "pairs": run["delivered"],
        "events per pair": run["events_per_pair"],
        "fold applications per pair": run["folds_per_pair"],
        "memory MB": run["memory_mb"],
        "bare loop s": run["bare_loop_s"],
    }


if __name__ == "__main__":
    sys.exit(main())
