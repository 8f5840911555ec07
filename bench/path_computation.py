"""Proactive, reactive, virtual and opportunistic paths on the real machines in virtual time, side by side.

Usage: python bench/path_computation.py [SEEDS [SECONDS]] [--only NETWORK]. About ten minutes on one core.

Four networks, with one request and with three at once. The ways differ in the stores that they are given:
none for proactive, super-links chosen for the demand for virtual, every link for opportunistic and reactive.
Two questions:

* steady: requests that go on for ever. Pairs per second, true fidelity of each, latency of the first pair.
* visits: a request for one pair at a time, of a network that was idle for a while: time to the pair.

Pairs made and not delivered are counted by the links that they took: births of link pairs, less the links
that each delivered pair needs on the shortest route. Messages are all that nodes sent each other, facts left
out, which every node hears in each case. Intervals: 95 %, bootstrap over seeds.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import networkx as nx
import numpy as np
import yaml

from bellwire.core.effects import Report
from bellwire.core.events import RequestSubmitted
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer

ROOT: Final = Path(__file__).resolve().parent
RESULTS: Final = ROOT / "results" / "path_computation.json"
RESAMPLES: Final = 2000
AGE_MAX_S: Final = 0.5
VISITS: Final = 5
VISIT_EVERY_S: Final = 1.0

WAYS: Final[Mapping[str, dict[str, Any]]] = {
    "proactive": {},
    "virtual": {"mode": "continuous", "stock": 2, "age_max_s": AGE_MAX_S},
    "opportunistic": {"mode": "continuous", "every_link": True, "stock": 2, "age_max_s": AGE_MAX_S},
    "reactive": {"mode": "continuous", "every_link": True, "stock": 2, "age_max_s": AGE_MAX_S},
}

Ends = tuple[str, str]


def textbook(edges: list[Ends], ends: list[Ends]) -> dict[str, Any]:
    """A document of equal links: 4 lanes of 30 pairs a second each, 10 km, fidelity 0.97; T2 one second."""
    outer = {name for pair in ends for name in pair}
    memory = {"t1_s": None, "t2_s": 1.0, "bsm_success_probability": 0.9}
    names = sorted({name for edge in edges for name in edge})
    attempt = {"period_us": 1000.0, "success_probability": 0.03, "fidelity": 0.97}
    return {
        "lab": "paths",
        "nodes": {
            name: {"role": "end" if name in outer else "repeater", "relays": True, "memory": memory}
            for name in names
        },
        "links": {
            f"{a}-{b}": {"nodes": (a, b), "lanes": 4, "attempt": attempt, "length_km": 10.0} for a, b in edges
        },
    }


def network(name: str) -> tuple[dict[str, Any], list[Ends]]:
    """A document without requests, and the ends of up to three of them."""
    if name == "chain":
        ends = [("a", "f"), ("b", "e"), ("f", "a")]
        return textbook(list(pairwise("abcdef")), ends), ends
    if name == "ring":
        ends = [("a", "e"), ("c", "g"), ("b", "f")]
        return textbook([*pairwise("abcdefgh"), ("h", "a")], ends), ends
    if name == "grid":
        ends = [("00", "22"), ("02", "20"), ("01", "21")]
        edges = [
            (f"{i}{j}", f"{k}{m}") for i in range(3) for j in range(3) for k, m in ((i + 1, j), (i, j + 1))
        ]
        return textbook([edge for edge in edges if "3" not in edge[1]], ends), ends
    text = (ROOT.parent / "lab_configs" / "scy_qnet.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text), [
        ("stony_brook", "yale"),
        ("brookhaven", "columbia"),
        ("stony_brook", "brookhaven"),
    ]


NETWORKS: Final = ("chain", "ring", "grid", "scy_qnet")


def lab_of(name: str, way: str, requests: int, **terms: Any) -> Lab:
    """A network with its requests, whose paths are computed in one way."""
    document, ends = network(name)
    asked = tuple(
        {"id": f"r{number}", "from": one, "to": other, "paths": way} | terms
        for number, (one, other) in enumerate(ends[:requests])
    )
    stores = WAYS[way]
    more: dict[str, Any] = {"requests": asked}
    if stores:
        more["predistribution"] = stores
    return build_lab(LabFile.model_validate_json(json.dumps(document | more)))


def counting(host: VirtualHost) -> list[int]:
    """How many messages nodes have sent each other, in a list of one."""
    sent, send = [0], host.post.send

    def counted(source: str, incarnation: int, to: str, message: Any) -> None:
        sent[0] += source != to
        send(source, incarnation, to, message)

    host.post.send = counted  # type: ignore[method-assign]  # a meter in the line
    return sent


def births(host: VirtualHost) -> int:
    """Link pairs that were heralded."""
    halves = sum(
        end.counters["heralds"]
        for machine in host.machines.values()
        if isinstance(machine, QuantumNode)
        for end in machine.links.ends.values()
    )
    return halves // 2


def steady(name: str, way: str, requests: int, seed: int, seconds: float) -> dict[str, float]:
    """All requests at once, for so long."""
    lab = lab_of(name, way, requests, duration_s=seconds)
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
    observer = Observer(host)
    sent = counting(host)
    host.start()
    host.run(ns_from_s(seconds + 0.5))
    outcomes = list(observer.outcomes.values())
    delivered = sum(len(one.delivered_ns) - one.voided for one in outcomes)
    first = [
        (one.delivered_ns[0] - one.submitted_ns) / NS_PER_S if one.delivered_ns else seconds
        for one in outcomes
    ]
    truths = [value for one in outcomes for value in one.true_fidelities]
    graph = nx.Graph(link.nodes for link in lab.network.links.values())
    needed = sum(
        (len(one.delivered_ns) - one.voided) * nx.shortest_path_length(graph, one.members[0], one.members[-1])
        for one in outcomes
    )
    return {
        "rate_hz": delivered / seconds,
        "first_s": float(np.mean(first)),
        "fidelity": float(np.mean(truths)) if truths else float("nan"),
        "wasted_per_pair": (births(host) - needed) / max(1, delivered),
        "messages_per_pair": sent[0] / max(1, delivered),
        "least_share": min(len(one.delivered_ns) for one in outcomes) / max(1, delivered) * requests,
    }


def visits(name: str, way: str, seed: int) -> float:
    """Mean seconds to one pair, asked for every VISIT_EVERY_S seconds of an otherwise idle network."""
    lab = lab_of(name, way, 1, count=1)
    (asked,) = lab.requests
    host = VirtualHost(replace(lab, requests=()), seed, partial(compute_plan, lab.network))
    delivered: dict[str, int] = {}

    def reported(now_ns: int, node: str, report: Report) -> None:
        if report.name == "pair_delivered" and node == asked.target_nodes[0] and report.request is not None:
            delivered.setdefault(report.request, now_ns)

    host.reports.append(reported)
    host.start()
    begun: dict[str, int] = {}
    for number in range(1, VISITS + 1):
        request = msgspec.structs.replace(asked, request_id=f"visit{number}")
        begun[request.request_id] = at_ns = ns_from_s(number * VISIT_EVERY_S)
        host.tell_at(at_ns, request.target_nodes[0], RequestSubmitted(request=request))
    host.run(ns_from_s((VISITS + 2) * VISIT_EVERY_S))
    late_ns = host.clock.now_ns
    return float(
        np.mean([(delivered.get(name, late_ns) - at_ns) / NS_PER_S for name, at_ns in begun.items()])
    )


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean and its 95 % interval."""
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan")}
    drawn = known[np.random.default_rng(1).integers(len(known), size=(RESAMPLES, len(known)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"mean": float(known.mean()), "low": float(low), "high": float(high)}


def told(one: Mapping[str, float], digits: int) -> str:
    """A mean with its interval."""
    return f"{one['mean']:.{digits}f} [{one['low']:.{digits}f}, {one['high']:.{digits}f}]"


COLUMNS: Final = (
    ("pairs per second", "rate_hz", 1),
    ("first pair (s)", "first_s", 3),
    ("fidelity", "fidelity", 3),
    ("link pairs wasted per pair", "wasted_per_pair", 1),
    ("messages per pair", "messages_per_pair", 0),
)


def rows_of(
    name: str, requests: int, seeds: int, seconds: float
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Lines of the table, and what they were made of."""
    table: list[dict[str, object]] = []
    measured: list[dict[str, object]] = []
    for way in WAYS:
        runs = [steady(name, way, requests, seed, seconds) for seed in range(1, seeds + 1)]
        figures = {key: interval([run[key] for run in runs]) for _, key, _ in COLUMNS}
        row: dict[str, object] = {"network": name, "requests": requests, "paths": way}
        row |= {title: told(figures[key], digits) for title, key, digits in COLUMNS}
        if requests == 1:
            waits = [visits(name, way, seed) for seed in range(1, seeds + 1)]
            row["a pair out of rest (ms)"] = told(interval([1000.0 * wait for wait in waits]), 0)
        else:
            row["a pair out of rest (ms)"] = ""
        table.append(row)
        measured.append({"network": name, "requests": requests, "paths": way, "runs": runs})
        print(row, flush=True)
    return table, measured


def main() -> int:
    """Write bench/results/path_computation.json."""
    words = sys.argv[1:]
    only = words[words.index("--only") + 1] if "--only" in words else None
    numbers = [word for word in words if word.replace(".", "").isdigit()]
    seeds = int(numbers[0]) if numbers else 4
    seconds = float(numbers[1]) if len(numbers) > 1 else 3.0
    table: list[dict[str, object]] = []
    measured: list[dict[str, object]] = []
    for name in NETWORKS if only is None else (only,):
        for requests in (1, 3):
            rows, runs = rows_of(name, requests, seeds, seconds)
            table += rows
            measured += runs
    result = {
        "title": "Proactive, virtual, opportunistic and reactive paths, the same machines in virtual time",
        "command": " ".join(("python bench/path_computation.py", *words)),
        "rows": table,
        "note": f"{seeds} seeds of {seconds:g} s each, means with 95 % intervals (bootstrap over seeds).",
        "measured": measured,
    }
    if only is None:
        RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
