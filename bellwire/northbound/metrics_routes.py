"""`GET /metrics`: the whole lab for a Prometheus server.

Owns the resource and how the agents are asked for it. Refuses families and text (runtime/metric_families.py,
runtime/metrics_page.py). It stands outside /v1, where Prometheus looks by itself; a token of a viewer opens
it (`authorization:` of the scrape configuration).
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from bellwire.calibration.store import StoreFault, store_in
from bellwire.cli.calibrations import described
from bellwire.northbound.access import Service, Viewer
from bellwire.northbound.agents import AgentRefusal, AgentSilent
from bellwire.northbound.problems import Problem
from bellwire.northbound.service import Northbound
from bellwire.runtime.metric_families import Expiry, agent_metrics, calibration_metrics
from bellwire.runtime.metrics_page import page

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def read_metrics(service: Service, _: Viewer) -> Response:
    """All metrics of the lab, as its agents tell them now."""

    async def asked(node: str) -> Mapping[str, Any] | None:
        try:
            return await service.agents.readings(node)
        except (AgentSilent, AgentRefusal):
            return None

    names = list(service.lab.addresses)
    readings = dict(zip(names, await asyncio.gather(*map(asked, names)), strict=True))
    try:
        expiries = await run_in_threadpool(lambda: list(_expiries(service)))
    except StoreFault as fault:
        raise Problem("internal-error", f"the store of calibrations: {fault}") from fault
    scoped = service.lab.network.ledgers != "network"
    families = [
        *agent_metrics(readings, scoped=scoped),
        *calibration_metrics(expiries, time.time()),
    ]
    text, kind = page(families)
    return Response(text, media_type=kind)


def _expiries(service: Northbound) -> Iterator[Expiry]:
    store = store_in(service.state_dir)
    for link in service.lab.network.links:
        told = described(service.lab, store, link, None, time.time_ns(), history=False)
        for procedure, one in told["procedures"].items():
            decides = one["decides"]
            left_s = None if decides is None else decides["left_s"]
            usable = decides is not None and decides["state"] == "in force"
            yield Expiry(link, procedure, left_s, usable)
