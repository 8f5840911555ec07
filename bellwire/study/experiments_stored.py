"""Single pairs asked for one after the other, with pairs in store or without (paper, figures 7 and 8).

Owns the demand, the series of requests and their latencies. Refuses the choice of stores, which is the lab's
own (labs/stores.py): what is measured is what a lab file with a section `predistribution` does.

The paper leaves open how many pairs of nodes ask, how often, and how much is kept. Here DEMANDS random pairs
of nodes of a network ask in turn, super-links are chosen for them within BUDGET_ATTEMPTS, no two of which
share a node, and each keeps STOCK_PAIRS. A one-time batch is made before the first request; later requests
find what is left of it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from bellwire.baselines.centre import with_centre
from bellwire.core.effects import Report
from bellwire.core.errors import ConfigError
from bellwire.core.events import RequestSubmitted
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.units import ns_from_s, s_from_ns
from bellwire.labs import Lab, lab_from_document
from bellwire.labs.paper_network import paper_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.capacity import Residual
from bellwire.planner.plans import compute_plan
from bellwire.planner.single.exact import all_trees
from bellwire.planner.sources.waxman import draw_pairs
from bellwire.planner.structures import route_of
from bellwire.simulator_backend.host import VirtualHost
from bellwire.study.evaluation_jobs import NetworkSetting, RunTask, Stock

DEMANDS: Final = 6
"""Pairs of nodes of a network that ask for pairs."""

BUDGET_ATTEMPTS: Final = 10_000.0
"""Link attempts for one pair of every super-link together, the planner's default. With a fifth of it
super-links are single links, and bring nothing that could be told from chance."""

STOCK_PAIRS: Final = 2
"""Pairs kept by each super-link: a node then has three of its five memories for requests."""

STOCK_AGE_S: Final = 10.0
"""Older pairs are given up: a tenth of the time in which a memory depolarises."""

FILLING_S: Final = 2.0
"""Before the first request, for stores to be filled: several times the mean time for a pair of a route."""

MODES: Final = {"fixed_tree": "fixed_tree(links=full)"}
"""For single pairs links are not slowed to the pace of a tree: no further pair needs them to match."""

SECTIONS: Final[Mapping[Stock, str]] = {"none": "none", "one_time": "one_time", "continuous": "continuous"}


def run_series(task: RunTask) -> dict[str, Any]:
    """Latencies of requests for one pair each, in seconds from submission to delivery at the source.

    A request that is not served by the end, or within its deadline, counts with the time that it waited: its
    latency is then a lower bound, and `unserved` says how many there are.

    Raises:
        ConfigError: the task is about a chain, which has one pair of ends only.
    """
    lab = stored_lab(task)
    templates = lab.requests
    network = with_centre(lab.network) if task.centralised else lab.network
    lab = replace(lab, requests=(), network=network)
    host = VirtualHost(lab, task.world_seed, partial(compute_plan, network))
    delivered_ns: dict[RequestId, int] = {}
    fidelities: list[float] = []

    def reported(now_ns: int, _node: NodeId, report: Report) -> None:
        if report.name == "pair_delivered" and report.fields["role"] == "head" and report.request is not None:
            if report.request not in delivered_ns:
                fidelities.append(float(report.fields["fidelity"] or 0.0))
            delivered_ns.setdefault(report.request, now_ns)

    host.reports.append(reported)
    submitted_ns: dict[RequestId, int] = {}
    turns = np.random.default_rng([task.seed, task.route_index]).integers(
        len(templates), size=int(task.duration_s / task.interval_s)
    )
    for number, turn in enumerate(map(int, turns)):
        request = msgspec.structs.replace(
            templates[turn],
            request_id=f"{templates[turn].request_id}.{number}",
            generation_mode=MODES.get(task.mode, task.mode),
            count=1,
            duration_ns=None,
            deadline_ns=ns_from_s(task.duration_s),
        )
        at_ns = ns_from_s(FILLING_S + number * task.interval_s)
        submitted_ns[request.request_id] = at_ns
        host.tell_at(at_ns, request.target_nodes[0], RequestSubmitted(request=request))
    end_s = FILLING_S + task.duration_s
    host.start()
    host.run(ns_from_s(end_s))
    return {
        **_columns(submitted_ns, delivered_ns, end_s),
        **_use_of_stores(host),
        "fidelity_estimated": _mean(fidelities),
    }


def stored_lab(task: RunTask) -> Lab:
    """The network of a task with its demands as requests, and the stores that its stock asks for.

    Requests name no route: the planner chooses with what it was told of stores. All nodes relay, those that
    ask among them, as in the paper.
    """
    setting = task.setting
    if not isinstance(setting, NetworkSetting):
        raise ConfigError("stores are studied on networks: a chain has one pair of ends only")
    drawn = setting.network(task.seed, task.route_index)
    topology = drawn.topology()
    trees = all_trees(Residual(topology))
    routes: list[tuple[NodeId, ...]] = []
    for source, destination in draw_pairs(
        topology, DEMANDS, drawn.pairs_seed or drawn.seed, drawn.distance_km
    ):
        tree = trees.tree(source, destination)
        assert tree is not None  # networks are connected
        routes.append(route_of(tree))
    document = paper_lab(drawn, mode=task.mode, topology=topology, routes=routes).document
    return lab_from_document(
        {
            **document,
            "nodes": {name: {**node, "relays": True} for name, node in document["nodes"].items()},
            "requests": [{**request, "route": None} for request in document["requests"]],
            "predistribution": {
                "mode": "none" if task.stock is None else SECTIONS[task.stock],
                "budget_attempts": BUDGET_ATTEMPTS,
                "stock": STOCK_PAIRS,
                "age_max_s": STOCK_AGE_S,
            },
        }
    )


def _use_of_stores(host: VirtualHost) -> dict[str, Any]:
    parts = [
        machine.predistribution
        for machine in host.machines.values()
        if isinstance(machine, QuantumNode) and machine.predistribution is not None
    ]
    stores = host.network.stores
    return {
        "super_links": 0 if stores is None else len(stores.super_links),
        "stored": sum(part.counters["stored"] for part in parts),
        "claimed": sum(part.counters["claimed"] for part in parts),
    }


def _columns(
    submitted_ns: Mapping[RequestId, int], delivered_ns: Mapping[RequestId, int], end_s: float
) -> dict[str, Any]:
    waited_s = [
        (s_from_ns(delivered_ns[name]) if name in delivered_ns else end_s) - s_from_ns(at_ns)
        for name, at_ns in submitted_ns.items()
    ]
    return {
        "requests": len(submitted_ns),
        "delivered": len(delivered_ns),
        "unserved": len(submitted_ns) - len(delivered_ns),
        "latency_mean_s": _mean(waited_s),
        "latency_median_s": sorted(waited_s)[len(waited_s) // 2] if waited_s else None,
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
