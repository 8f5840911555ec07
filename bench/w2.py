"""Work W2: a random network, many requests at once, each with two memory pairs of its own on its links.

Owns the check that every request is served at the rate of a bare loop over as many hops. Exits with 1
when it is not.

Usage: python bench/w2.py [NETWORK.json]    (default: 100 nodes, 273 links, 20 requests, drawn here)
Prints one JSON line: medians over seeds 1, 2, 3.
"""

import json
import math
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _floor import run_floor
from _measure import WARM_NS, measure, peak_memory_mb, surroundings, write_result
from _network import draw_network

from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, lab_from_w2

SEEDS = (1, 2, 3)
SIMULATED_S = 1.5
FLOOR_SIMULATED_S = 60
SIGMAS = 4.0
NETWORK = {"nodes": 100, "edges": 273, "requests": 20, "seed": 7}


def lab_of(path: str | None) -> Lab:
    """The lab of a network file, or of the network that is drawn here."""
    if path is not None:
        return lab_from_w2(path, duration_s=3600.0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "w2_100.json"
        place.write_text(json.dumps(draw_network(**NETWORK)), encoding="utf-8")
        return lab_from_w2(place, duration_s=3600.0)


def main() -> int:
    lab = lab_of(sys.argv[1] if len(sys.argv) > 1 else None)
    hops = {request.request_id: len(request.route or ()) - 1 for request in lab.requests}
    kinds = Counter(hops.values())
    lanes = next(link.lanes for link in lab.network.links.values() if link.reserved_for is not None)
    loops: dict[int, float] = {}
    loop_cpu_s = 0.0
    for count in sorted(kinds):
        cpu_ns = time.process_time_ns()
        floor = run_floor(count + 1, lanes, FLOOR_SIMULATED_S * NS_PER_S, count)
        loop_cpu_s += kinds[count] * (time.process_time_ns() - cpu_ns) / NS_PER_S / FLOOR_SIMULATED_S
        loops[count] = floor.delivered / FLOOR_SIMULATED_S
    runs = [measure(lab, seed, SIMULATED_S) for seed in SEEDS]
    rows: list[dict[str, Any]] = []
    missed: list[int] = []
    for count, number in sorted(kinds.items()):
        delivered = sum(run.delivered[request] for run in runs for request in hops if hops[request] == count)
        watched_s = SIMULATED_S * len(SEEDS) * number
        rate_hz = delivered / watched_s
        spread_hz = SIGMAS * math.sqrt(loops[count] / watched_s + loops[count] / FLOOR_SIMULATED_S)
        if abs(rate_hz - loops[count]) > spread_hz:
            missed.append(count)
        rows.append(
            {
                "hops": count,
                "requests": number,
                "pairs/s a request": rate_hz,
                "bare loop pairs/s": loops[count],
                "tolerance": spread_hz,
            }
        )
    refused = sorted({request for run in runs for request in run.refused})
    served = sum(all(run.delivered[request] for run in runs) for request in hops)
    cpu_per_s = statistics.median(run.cpu_s / run.simulated_s for run in runs)
    pairs = [run.per_pair() for run in runs]
    line = {
        "impl": "bellwire",
        "nodes": len(lab.network.nodes),
        "requests": len(hops),
        "requests_served": served,
        "sim_s": SIMULATED_S,
        "wall_per_sim_s": statistics.median(run.wall_s / run.simulated_s for run in runs),
        "cpu_per_sim_s": cpu_per_s,
        "ev_per_s": statistics.median(run.counts.events / run.wall_s for run in runs),
        "eps": statistics.median(run.counts.delivered / run.simulated_s for run in runs),
        "rss_mb": peak_memory_mb(),
        "cpu_over_bare_loop": cpu_per_s / loop_cpu_s,
        "check_met": not missed and not refused,
    }
    for key in pairs[0]:
        line[f"{key}_per_pair"] = statistics.median(pair[key] for pair in pairs)
    print(json.dumps(line), flush=True)
    note = (
        f"{line['nodes']} nodes, {len(hops)} requests at once, {served} of them served; "
        f"{line['eps']:.0f} pairs/s in all; "
        f"{cpu_per_s:.2f} CPU seconds per simulated second, "
        f"{line['cpu_over_bare_loop']:.0f} times a bare loop "
        "without a protocol; "
        + ", ".join(f"{line[f'{key}_per_pair']:.3g} {key}" for key in pairs[0])
        + f" per delivered pair. Medians over seeds 1, 2, 3, {SIMULATED_S:g} s each "
        f"after {WARM_NS / 1e9:g} s; "
        f"{surroundings()}. Tolerance: 4 standard deviations of both counts."
    )
    command = " ".join(["python bench/w2.py", *sys.argv[1:]])
    write_result("w2", "Random network of 100 nodes, requests served at once", command, rows, note)
    if missed or refused:
        print(f"W2: rates missed for hops {missed}, requests refused {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
