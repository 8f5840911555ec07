"""Single pairs asked for one after the other, with link pairs in store or without (paper, figures 7 and 8).

Owns the series of requests and their latencies. Refuses stored pairs over several links: the software keeps
pairs of single links only, and says so in the report.

A full store met by one request (`fresh`) is what the first request after a one-time batch finds, an empty one
(`none`) what requests find when the batch is used up: the paper's one-time model lies between the two.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, Final

import msgspec

from bellwire.core.effects import Report
from bellwire.core.events import RequestSubmitted
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.units import ns_from_s, s_from_ns
from bellwire.labs import Lab, lab_from_document
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.study.evaluation_jobs import RunTask

STOCK_PAIRS: Final = 2
"""Pairs kept on each link of the route: an inner node then holds four of its five memories for them."""

STOCK_AGE_S: Final = 10.0
"""Older pairs are given up: a tenth of the time in which a memory depolarises."""

FILLING_S: Final = 2.0
"""Before the first request, for the store to be filled: hundreds of times a link's mean time for a pair."""

FRESH_INTERVALS: Final = 4
"""On a store that must be full again, requests come so many times farther apart."""


def run_series(lab: Lab, task: RunTask) -> dict[str, Any]:
    """Latencies of requests for one pair each, in seconds from submission to delivery at the source.

    A request that is not served by the end, or within its deadline, counts with the time that it waited: its
    latency is then a lower bound, and `unserved` says how many there are.
    """
    template = lab.requests[0]
    if task.stock != "none":
        lab = stocked(lab, task.route)
    lab = replace(lab, requests=())
    interval_s = task.interval_s * (FRESH_INTERVALS if task.stock == "fresh" else 1)
    count = int(task.duration_s / interval_s)
    host = VirtualHost(lab, task.world_seed, partial(compute_plan, lab.network))
    delivered_ns: dict[RequestId, int] = {}
    fidelities: list[float] = []

    def reported(now_ns: int, _node: NodeId, report: Report) -> None:
        if report.name == "pair_delivered" and report.fields["role"] == "head" and report.request is not None:
            if report.request not in delivered_ns:
                fidelities.append(float(report.fields["fidelity"] or 0.0))
            delivered_ns.setdefault(report.request, now_ns)

    host.reports.append(reported)
    submitted_ns: dict[RequestId, int] = {}
    for number in range(count):
        request = msgspec.structs.replace(
            template,
            request_id=f"{template.request_id}.{number}",
            count=1,
            duration_ns=None,
            deadline_ns=ns_from_s(task.duration_s),
        )
        at_ns = ns_from_s(FILLING_S + number * interval_s)
        submitted_ns[request.request_id] = at_ns
        host.tell_at(at_ns, request.target_nodes[0], RequestSubmitted(request=request))
    end_s = FILLING_S + task.duration_s
    host.start()
    host.run(ns_from_s(end_s))
    return {**_columns(submitted_ns, delivered_ns, end_s), "fidelity_estimated": _mean(fidelities)}


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


def stocked(lab: Lab, route: tuple[NodeId, ...]) -> Lab:
    """The lab with a store on every link of a route."""
    hops = {frozenset(hop) for hop in pairwise(route)}
    links = {
        name: {**link, "ahead": {"stock": STOCK_PAIRS, "age_max_s": STOCK_AGE_S}}
        if frozenset(link["nodes"]) in hops
        else link
        for name, link in lab.document["links"].items()
    }
    return lab_from_document({**lab.document, "links": links})
