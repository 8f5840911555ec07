"""One measured run of a lab in virtual time, and what the benches of the virtual host have in common.

Owns the counters that are compared and the form of a result file. Refuses to judge rates: each bench
states its check.
"""

import json
import platform
import resource
import time
from pathlib import Path
from typing import Any, NamedTuple

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

RESULTS = Path(__file__).resolve().parent / "results"

WARM_NS = 250_000_000
"""Planning, the first windows and the filling of the chains; not measured."""


class Counts(NamedTuple):
    """Counters of a host at one moment."""

    events: int
    facts: int
    folds: int
    heralds: int
    swaps: int
    delivered: int


class Measured(NamedTuple):
    """What one run cost."""

    seed: int
    simulated_s: float
    wall_s: float
    cpu_s: float
    counts: Counts
    delivered: dict[RequestId, int]
    refused: dict[RequestId, str]

    def per_pair(self) -> dict[str, float]:
        """Counts and CPU time for each delivered pair."""
        pairs = self.counts.delivered
        return {
            "events": self.counts.events / pairs,
            "fold_applications": self.counts.folds / pairs,
            "facts": self.counts.facts / pairs,
            "cpu_ms": 1e3 * self.cpu_s / pairs,
        }


def measure(lab: Lab, seed: int, simulated_s: float) -> Measured:
    """Run a lab: warm up, then measure `simulated_s` of virtual time."""
    network = lab.network
    host = VirtualHost(
        lab, seed, lambda request, version, avoid: compute_plan(network, request, version, avoid)
    )
    delivered: dict[RequestId, int] = {request.request_id: 0 for request in lab.requests}
    refused: dict[RequestId, str] = {}

    def listen(now_ns: int, node: NodeId, report: Report) -> None:
        request = report.request
        if request is None:
            return
        if report.name == "pair_delivered" and report.fields["role"] == "head":
            delivered[request] += 1
        elif report.name == "request_status" and report.fields["status"] == "failed":
            refused[request] = str(report.fields["error_message"])

    host.reports.append(listen)
    host.start()
    host.run(WARM_NS)
    before, earlier = counts(host, delivered), dict(delivered)
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    host.run(WARM_NS + round(simulated_s * NS_PER_S))
    wall_s = (time.perf_counter_ns() - wall_ns) / NS_PER_S
    cpu_s = (time.process_time_ns() - cpu_ns) / NS_PER_S
    after = counts(host, delivered)
    return Measured(
        seed,
        simulated_s,
        wall_s,
        cpu_s,
        Counts(*(late - early for late, early in zip(after, before, strict=True))),
        {request: delivered[request] - earlier[request] for request in delivered},
        refused,
    )


def counts(host: VirtualHost, delivered: dict[RequestId, int]) -> Counts:
    """The counters of a host now."""
    machines = [machine for machine in host.machines.values() if isinstance(machine, QuantumNode)]
    return Counts(
        events=host.events,
        facts=host.logs.facts,
        folds=sum(machine.replica.applied for machine in machines),
        heralds=sum(
            machine.links.ends[link].counters["heralds"]
            for machine in machines
            for link in machine.links.ends
            if host.network.links[link].nodes[0] == machine.node
        ),
        swaps=sum(machine.swapping.counters["tried"] for machine in machines),
        delivered=sum(delivered.values()),
    )


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def surroundings() -> str:
    """What the figures were measured on, for the note of a result."""
    return f"Python {platform.python_version()}, {platform.machine()}"


def write_result(
    name: str,
    title: str,
    command: str,
    rows: list[dict[str, Any]],
    note: str,
    **records: list[dict[str, Any]],
) -> None:
    """Write bench/results/NAME.json in the form of scripts/render_figures.py. records: shown in no table."""
    RESULTS.mkdir(exist_ok=True)
    table = {"title": title, "command": command, "rows": rows, "note": note, **records}
    (RESULTS / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
