"""One task of an evaluation from its words to its result: a pure function that any process can call.

Owns preparation of a route, the run of one policy on it in virtual time, and the run of one point of a sweep.
Refuses files, chance of its own and anything that outlives the call.
"""

import hashlib
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, Final, assert_never

import msgspec
import numpy as np

from bellwire.baselines.centre import with_centre
from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_S, ns_from_s, s_from_ns
from bellwire.labs import Lab, lab_from_document
from bellwire.labs.paper_network import chain_lab, draw_routes, paper_lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer, RequestOutcome
from bellwire.study.evaluation_jobs import (
    ChainSetting,
    NetworkSetting,
    Prepared,
    PrepareTask,
    RunTask,
    SweepTask,
    Task,
)
from bellwire.study.experiments_stored import run_series

MIB: Final = 1 << 20


def perform(task: Task) -> dict[str, Any]:
    """The result of a task, ready for JSON. Equal tasks of equal code have equal results but for seconds.

    Raises:
        ConfigError: the task cannot be carried out: no pair of nodes is as far apart as asked, for example.
    """
    match task:
        case PrepareTask():
            prepared: dict[str, Any] = msgspec.to_builtins(prepare(task))
            return prepared
        case RunTask():
            return run(task)
        case SweepTask():
            return run_point(task)
        case _:
            assert_never(task)


# ---- preparation


def prepare(task: PrepareTask) -> Prepared:
    """The route of a task, with what search and calibration found for it."""
    setting = task.setting
    if isinstance(setting, ChainSetting):
        lengths_km = chain_lengths_km(setting, task.seed, task.route_index)
        route = chain_lab(lengths_km).requests[0].route or ()
    else:
        network = setting.network(task.seed, task.route_index)
        topology = network.topology()
        (route,) = draw_routes(network, topology)
        lengths = {frozenset(link.ends): link.length_km for link in topology.links.values()}
        lengths_km = tuple(lengths[frozenset(hop)] for hop in pairwise(route))
    found = Prepared(route=route, lengths_km=lengths_km)
    if len(lengths_km) > 1 and (task.strongest_tree or task.tuning):
        network_of_route = _lab(
            setting, task.seed, task.route_index, route, lengths_km, "swap_asap", 1.0
        ).network
        # Imported late: the compiled model takes a second to load, and most tasks need none.
        from bellwire.study.trees_search import search_tree
        from bellwire.study.tuning import tune_route

        if task.tuning:  # which begins with the search of the strongest tree
            mode, tree = tune_route(network_of_route, route, search_seed(task), task.deliveries)
            found = msgspec.structs.replace(found, strongest_tree=tree, tuned_mode=mode, tuned_tree=tree)
        else:
            tree = search_tree(network_of_route, route, search_seed(task))
            found = msgspec.structs.replace(found, strongest_tree=tree)
    return found


def search_seed(task: PrepareTask) -> int:
    """Chance of search and calibration: in the range of tuning, and never that of a World."""
    name = f"search/{task.seed}/{task.route_index}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") % SEARCH_SEEDS


SEARCH_SEEDS: Final = 1_000_000


def chain_lengths_km(setting: ChainSetting, seed: int, route_index: int) -> tuple[float, ...]:
    """Lengths of the links of a chain, uniform in the range of the setting, whole metres."""
    chance = np.random.default_rng([seed, route_index, setting.hops])
    drawn = chance.uniform(*setting.length_km, size=setting.hops)
    return tuple(round(float(length_km), 3) for length_km in drawn)


def _lab(
    setting: NetworkSetting | ChainSetting,
    seed: int,
    route_index: int,
    route: tuple[NodeId, ...],
    lengths_km: tuple[float, ...],
    mode: str,
    duration_s: float,
) -> Lab:
    if isinstance(setting, ChainSetting):
        return chain_lab(
            lengths_km,
            mode=mode,
            duration_s=duration_s,
            swap_success=setting.swap_success,
            memories=setting.memories,
        )
    return paper_lab(setting.network(seed, route_index), mode=mode, duration_s=duration_s, routes=(route,))


# ---- one policy on one route


def lab_of(task: RunTask) -> Lab:
    """The lab of a run, its one request with the mode and tree of the policy."""
    lab = _lab(
        task.setting, task.seed, task.route_index, task.route, task.lengths_km, task.mode, task.duration_s
    )
    requests = tuple(msgspec.structs.replace(request, tree=task.tree) for request in lab.requests)
    lab = replace(lab, requests=requests)
    return replace(lab, network=with_centre(lab.network)) if task.centralised else lab


def run(task: RunTask) -> dict[str, Any]:
    """One row: the task's numbers and what came of it."""
    cpu_s = time.process_time()
    result = _measure(lab_of(task), task) if task.stock is None else run_series(task)
    row = {
        **_setting_columns(task.setting),
        "seed": task.seed,
        "route_index": task.route_index,
        "policy": task.policy,
        "mode": task.mode,
        "tree": task.tree,
        "stock": task.stock,
        "route": "-".join(task.route),
        "hops": len(task.lengths_km),
        "route_km": sum(task.lengths_km),
        "duration_s": task.duration_s,
        **result,
    }
    return {**row, "cpu_s": time.process_time() - cpu_s, "peak_mib": peak_mib()}


def _setting_columns(setting: NetworkSetting | ChainSetting) -> dict[str, Any]:
    range_km = setting.distance_km if isinstance(setting, NetworkSetting) else setting.length_km
    low_km, high_km = (None, None) if range_km is None else range_km
    return {
        "setting": "network" if isinstance(setting, NetworkSetting) else "chain",
        "nodes": setting.nodes if isinstance(setting, NetworkSetting) else setting.hops + 1,
        "density": setting.density if isinstance(setting, NetworkSetting) else None,
        "swap_success": setting.swap_success,
        "memories": setting.memories,
        "least_km": low_km,
        "greatest_km": high_km,
    }


def _measure(lab: Lab, task: RunTask) -> dict[str, Any]:
    host = VirtualHost(lab, task.world_seed, partial(compute_plan, lab.network))
    observer = Observer(host)
    ages_ns: list[int] = []

    def reported(_now_ns: int, _node: NodeId, report: Report) -> None:
        if report.name == "pair_delivered" and report.fields["role"] == "head":
            ages_ns.append(int(report.fields["age_ns"] or 0))

    host.reports.append(reported)
    host.start()
    host.run(ns_from_s(task.duration_s))
    (outcome,) = observer.outcomes.values()
    return {
        **outcome_columns(outcome, task.duration_s),
        "age_mean_s": None if not ages_ns else sum(ages_ns) / len(ages_ns) / NS_PER_S,
        "events": host.events,
    }


def outcome_columns(outcome: RequestOutcome, duration_s: float) -> dict[str, Any]:
    """What came of one request in so many seconds."""
    delivered = len(outcome.delivered_ns) - outcome.voided
    latencies_s = [s_from_ns(latency_ns) for latency_ns in outcome.latencies_ns]
    return {
        "status": outcome.status,
        "error": outcome.error,
        "delivered": delivered,
        "rate_hz": delivered / duration_s,
        "predicted_rate_hz": outcome.predicted_rate_hz,
        "longest_gap_s": longest_gap_s(outcome.delivered_ns, duration_s),
        "latency_mean_s": _mean(latencies_s),
        "latency_p95_s": float(np.quantile(latencies_s, 0.95)) if latencies_s else None,
        "fidelity_estimated": _mean(outcome.fidelities),
        "fidelity": _mean(outcome.true_fidelities),
        "frame_errors": outcome.frame_errors,
    }


def longest_gap_s(delivered_ns: Sequence[int], duration_s: float) -> float:
    """Longest time without a delivery, that before the first and that after the last one included."""
    times_s = [0.0, *map(s_from_ns, delivered_ns), duration_s]
    return max(later - earlier for earlier, later in pairwise(times_s))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def peak_mib() -> float:
    """Greatest memory of this process so far. Linux counts kibibytes, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


# ---- one point of a sweep


def run_point(task: SweepTask) -> dict[str, Any]:
    """One row for each request of the lab."""
    cpu_s = time.process_time()
    lab = lab_from_document(task.document)
    host = VirtualHost(lab, task.seed, partial(compute_plan, lab.network))
    observer = Observer(host)
    host.start()
    host.run(ns_from_s(task.duration_s))
    shared = {"seed": task.seed, "duration_s": task.duration_s, **dict(task.values)}
    rows = [
        {**shared, "request": name, **outcome_columns(outcome, task.duration_s)}
        for name, outcome in observer.outcomes.items()
    ]
    return {"rows": rows, "events": host.events, "cpu_s": time.process_time() - cpu_s, "peak_mib": peak_mib()}
