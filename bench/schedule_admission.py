"""How many requests a network schedule admits, against first come first served and against reserved lanes.

Usage: python bench/schedule_admission.py [NETWORKS [FIRST_SEED]]. About a minute.

Networks are drawn: eight end nodes that relay, a random tree and two more links, textbook links of equal
lanes; 16 requests between random nodes, for 5 to 40 % of what their route makes alone. Reserved lanes: what
nodes grant without a schedule, one request after the other (docs/adr/0009). Ratios are of sums over networks,
with 95 % intervals of a paired bootstrap.
"""

import json
import sys
from pathlib import Path
from typing import Final

import networkx as nx
import numpy as np

from bellwire.core.plans import Circumstances, LinkRoom
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.planner.calendar.admission import first_come
from bellwire.planner.calendar.regions import decide
from bellwire.planner.plans import choose, choose_route

LANES: Final = (1, 2, 4, 8)
NODES: Final = 8
REQUESTS: Final = 16
RESAMPLES: Final = 4000
RESULTS: Final = Path(__file__).resolve().parent / "results"


def drawn(seed: int, lanes: int, *, scheduled: bool, rates_hz: dict[str, float]) -> Lab:
    """A network of a seed, with or without a schedule; the same requests in both."""
    chance = np.random.default_rng(seed)
    graph = nx.random_labeled_tree(NODES, seed=seed)
    while graph.number_of_edges() < NODES + 1:
        one, other = (int(node) for node in chance.choice(NODES, 2, replace=False))
        graph.add_edge(one, other)
    links = {}
    for one, other in sorted(tuple(sorted(edge)) for edge in graph.edges):
        success = round(float(chance.uniform(0.005, 0.03)), 4)
        attempt = {"period_us": 100.0, "success_probability": success, "fidelity": 0.98}
        nodes = (f"n{one}", f"n{other}")
        links["-".join(nodes)] = {"nodes": nodes, "attempt": attempt, "length_km": 10.0, "lanes": lanes}
    requests = []
    for number in range(REQUESTS):
        source, target = (f"n{node}" for node in chance.choice(NODES, 2, replace=False))
        name = f"r{number}"
        rate = {"rate_min_hz": rates_hz[name]} if name in rates_hz else {}
        requests.append({"id": name, "from": source, "to": target, "duration_s": 10.0, **rate})
    document = {
        "lab": "drawn",
        "nodes": {f"n{node}": {"role": "end", "relays": True} for node in range(NODES)},
        "links": links,
        "requests": tuple(requests),
    }
    if scheduled:
        document["schedule"] = {"slot_ms": 50.0, "slots": 40}
    return build_lab(LabFile.model_validate(document))


def by_lanes(lab: Lab) -> int:
    """Requests that nodes grant lanes to, in the order of the file."""
    left = {name: link.lanes for name, link in lab.network.links.items()}
    admitted = 0
    for request in lab.requests:
        room = tuple(LinkRoom(link=name, lanes=count, weight=0) for name, count in left.items())
        choice = choose(lab.network, request, Circumstances(room=room))
        if isinstance(choice, str):
            continue
        admitted += 1
        for way in choice:
            for link, count in zip(way.route.links, way.lanes, strict=True):
                left[link.link] -= count
    return admitted


def admitted(seed: int, lanes: int) -> dict[str, float]:
    """Requests admitted on one network, by each way, and the sums of the rates that they asked for."""
    chance = np.random.default_rng([seed, 1])
    bare = drawn(seed, lanes, scheduled=False, rates_hz={})
    rates_hz: dict[str, float] = {}
    for request in bare.requests:
        route = choose_route(bare.network, request)
        assert not isinstance(route, str), route
        rates_hz[request.request_id] = float(chance.uniform(0.05, 0.4) / route.outlook.latency_s)
    known = drawn(seed, lanes, scheduled=True, rates_hz=rates_hz).schedule
    assert known is not None
    greedy = decide(known.schedule, known.routes, first_come).outcome
    return {
        "lanes": by_lanes(drawn(seed, lanes, scheduled=False, rates_hz=rates_hz)),
        "first come": len(greedy.admitted),
        "schedule": len(known.outcome.admitted),
    }


def ratio(rows: list[dict[str, float]], over: str) -> str:
    """Admitted by the schedule over another way, with its interval."""
    pairs = np.array([(row["schedule"], row[over]) for row in rows])
    chance = np.random.default_rng(1)
    sums = pairs[chance.integers(len(pairs), size=(RESAMPLES, len(pairs)))].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    mean = pairs.sum(axis=0)
    return f"{mean[0] / mean[1]:.2f} [{low:.2f}, {high:.2f}]"


def main() -> int:
    """Write bench/results/schedule_admission.json, and a line for each number of lanes."""
    words = sys.argv[1:3]
    networks, first = (int(word) for word in (*words, *("30", "1")[len(words) :]))
    table: list[dict[str, object]] = []
    for lanes in LANES:
        rows = [admitted(seed, lanes) for seed in range(first, first + networks)]
        assert all(row["schedule"] >= row["first come"] for row in rows)
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        table.append(
            {
                "lanes of a link": lanes,
                f"admitted of {REQUESTS}": f"{means['schedule']:.1f}",
                "first come": f"{means['first come']:.1f}",
                "reserved lanes": f"{means['lanes']:.1f}",
                "over first come": ratio(rows, "first come"),
                "over reserved lanes": ratio(rows, "lanes"),
            }
        )
        print(*(f"{name}: {value}" for name, value in table[-1].items()), sep="; ", flush=True)
    result = {
        "title": "Requests with a rate that are admitted by a network schedule, and without one",
        "command": " ".join(("python bench/schedule_admission.py", *words)),
        "rows": table,
        "note": f"{networks} networks (seeds from {first}) of {NODES} nodes, {REQUESTS} requests each, 40 "
        "slots of 50 ms; 95 % intervals. On no network does the schedule admit less than first come first "
        "served.",
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / "schedule_admission.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
