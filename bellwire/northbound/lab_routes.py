"""The lab and its nodes, links and calibrations: what can be seen of them.

Owns these resources. Refuses figures of its own: those of the file are the planner's, measured ones the link
ends', verdicts on links and nodes the command line's (lab_status.py), calibrations the store's, maps the
agents'.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from bellwire import __version__
from bellwire.calibration.store import StoreFault, store_in
from bellwire.cli.calibrations import described, finite
from bellwire.cli.lab_status import LabStatus
from bellwire.cli.links import as_in_file, as_measured
from bellwire.client import words
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.registry import nearest
from bellwire.northbound.access import Service, Viewer, may_answer
from bellwire.northbound.agents import AgentRefusal, AgentSilent
from bellwire.northbound.problems import Problem
from bellwire.northbound.service import Northbound
from bellwire.planner.map_document import joined_maps

router = APIRouter(prefix="/v1", tags=["lab"])


@router.get("/lab", responses=may_answer())
async def read_lab(service: Service, _: Viewer) -> words.Lab:
    """The lab behind this server."""
    lab = service.lab
    return words.Lab(
        name=lab.name,
        description=lab.description,
        digest=lab.digest,
        bellwire=__version__,
        nodes=list(lab.network.nodes),
        links=list(lab.network.links),
        requests_in_file=[request.request_id for request in lab.requests],
    )


@router.get("/nodes", responses=may_answer())
async def list_nodes(service: Service, _: Viewer) -> list[words.Node]:
    """All nodes and heralding stations, as they answer now."""
    status = await look(service)
    return [node_told(service, status, name) for name in service.lab.network.nodes]


@router.get("/nodes/{node}", responses=may_answer("not-found"))
async def read_node(node: words.NodeName, service: Service, _: Viewer) -> words.Node:
    """One node or heralding station, as it answers now."""
    if node not in service.lab.network.nodes:
        raise Problem("not-found", f'no node "{node}"{nearest(node, service.lab.network.nodes)}')
    return node_told(service, await look(service, [node]), node)


@router.get("/links", responses=may_answer())
async def list_links(service: Service, _: Viewer) -> list[words.Link]:
    """All elementary links: figures of the lab file, standing and measured figures."""
    return await _links(service, list(service.lab.network.links))


@router.get("/links/{link}", responses=may_answer("not-found"))
async def read_link(link: words.NodeName, service: Service, _: Viewer) -> words.Link:
    """One elementary link."""
    _check_link(service, link)
    (found,) = await _links(service, [link])
    return found


@router.get("/links/{link}/calibrations", responses=may_answer("not-found"))
def list_calibrations(
    link: words.NodeName, service: Service, _: Viewer, history: bool = False
) -> words.LinkCalibrations:
    """What procedures have found out about a link, and how long it holds; with `history` earlier runs too."""
    _check_link(service, link)
    try:
        found = finite(
            described(service.lab, store_in(service.state_dir), link, None, time.time_ns(), history=history)
        )
    except StoreFault as fault:
        raise Problem("internal-error", f"the store of calibrations: {fault}") from fault
    rows: dict[str, Mapping[str, Any]] = {}
    for procedure in found["procedures"].values():
        for one in (procedure["decides"], procedure["latest"], *procedure.get("history", ())):
            if one is not None:
                rows.setdefault(one["record_id"], one)
    return words.LinkCalibrations(
        link=link,
        ready=found["ready"],
        reasons=found["reasons"],
        due_in_s=found["due_in_s"],
        required=found["required"],
        calibrations=[
            words.Calibration(
                record_id=one["record_id"],
                link=link,
                procedure=one["procedure"],
                state=one["state"],
                age_s=one["age_s"],
                left_s=one["left_s"],
                record={key: value for key, value in one.items() if key not in ("state", "age_s", "left_s")},
            )
            for one in rows.values()
        ],
    )


@router.get("/topology", responses=may_answer())
async def read_topology(service: Service, _: Viewer) -> words.Topology:
    """The map of the network as each agent sees it, and where they disagree."""

    async def told_by(node: NodeId) -> dict[str, Any] | None:
        try:
            return dict(await service.agents.topology(node))
        except (AgentSilent, AgentRefusal):
            return None

    names = list(service.lab.addresses)
    answers = await asyncio.gather(*map(told_by, names))
    maps = {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}
    return words.Topology.model_validate(joined_maps(service.lab.name, names, maps))


# ---- looking


async def look(service: Northbound, nodes: list[NodeId] | None = None) -> LabStatus:
    """The status of nodes (None: of all) as they tell it now, with the verdicts of the command line."""

    async def asked(node: NodeId) -> Mapping[str, Any] | None:
        try:
            return await service.agents.status(node)
        except (AgentSilent, AgentRefusal):
            return None

    names = [name for name in service.lab.addresses if nodes is None or name in nodes]
    answers = dict(zip(names, await asyncio.gather(*map(asked, names)), strict=True))
    status = LabStatus(service.lab)
    status.look(time.monotonic_ns(), answers, started=True)
    return status


def node_told(service: Northbound, status: LabStatus, name: NodeId) -> words.Node:
    """A node with what its agent has answered."""
    answer, verdict = status.counters().get(name), status.node(name)
    told: dict[str, Any] = dict.fromkeys(
        ("incarnation", "peers", "instruments", "slots", "swaps", "fusions", "events")
    )
    if answer is not None:
        slots: dict[str, int] = {}
        for slot in answer["slots"]:
            slots[slot["state"]] = slots.get(slot["state"], 0) + 1
        told |= {
            "incarnation": answer["incarnation"],
            "peers": answer["peers"],
            "instruments": [
                words.Instrument(name=instrument, condition=one["condition"], reason=one["reason"])
                for instrument, one in answer["instruments"].items()
            ],
            "slots": slots,
            "swaps": answer["swaps"],
            "fusions": answer["fusions"],
            "events": answer["health"],
        }
    return words.Node(
        name=name,
        role=service.lab.network.nodes[name].role,
        answers=answer is not None,
        ready=answer is not None and bool(answer["ready"]),
        reason=verdict.reason,
        **told,
    )


async def _links(service: Northbound, names: list[LinkId]) -> list[words.Link]:
    links = {name: service.lab.network.links[name] for name in names}
    members = {node for link in links.values() for node in (*link.nodes, link.station) if node is not None}
    speakers = list(dict.fromkeys(link.nodes[0] for link in links.values()))

    async def told_by(node: NodeId) -> Mapping[str, Any] | None:
        try:
            return await service.agents.links(node)
        except (AgentSilent, AgentRefusal):
            return None

    status, told = await asyncio.gather(look(service, list(members)), asyncio.gather(*map(told_by, speakers)))
    standings = dict(zip(speakers, told, strict=True))
    return [_link(service, status, name, standings[link.nodes[0]]) for name, link in links.items()]


def _link(
    service: Northbound, status: LabStatus, name: LinkId, standings: Mapping[str, Any] | None
) -> words.Link:
    link, verdict = service.lab.network.links[name], status.link(name)
    in_file = as_in_file(service.lab.network, link)
    measured = None if standings is None else as_measured(name, dict(standings), [])
    station = None if link.station is None else status.counters().get(link.station)
    return words.Link(
        name=name,
        **{key: in_file[key] for key in words.Link.model_fields if key in in_file and key != "obstacles"},
        ready=verdict.state == "ready",
        reason=verdict.reason,
        standing=None if measured is None else words.LinkStanding.model_validate(measured),
        obstacles=None
        if station is None
        else [
            f"{instrument} is {one['condition']}: {one['reason']}"
            for instrument, one in station["instruments"].items()
            if one["condition"] != "ready"
        ],
    )


def _check_link(service: Northbound, link: LinkId) -> None:
    if link not in service.lab.network.links:
        raise Problem("not-found", f'no link "{link}"{nearest(link, service.lab.network.links)}')
