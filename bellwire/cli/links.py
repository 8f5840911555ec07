"""`bellwire links`: the map of a lab's links, as its file says and, on a running lab, as measured.

Owns the command and its document. Refuses tables (link_tables.py) and figures: those of the file are the
planner's, measured ones are told by the side 0 of each link, and a station says what keeps it from heralding.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.core.ids import LinkId, NodeId
    from bellwire.core.settings import LinkSettings, NetworkSettings
    from bellwire.labs import Lab

ANSWER_S = 2.0


def links(
    lab: LabArgument,
    live: Annotated[bool, typer.Option("--live", help="Ask the running lab what it has measured.")] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show the links of a lab: how they work, how fast and how good they are, and who shares them."""
    import asyncio

    from bellwire.cli import link_tables
    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab), live=live)
    described = {name: as_in_file(loaded.network, link) for name, link in loaded.network.links.items()}
    silent: tuple[NodeId, ...] = ()
    if live:
        silent = asyncio.run(add_measured(loaded, state, described))
        asyncio.run(add_obstacles(loaded, state, described))
    document = {"lab": loaded.name, "digest": loaded.digest, "live": live, "links": described}
    if as_json:
        typer.echo(json.dumps(document))
    else:
        link_tables.show_document(document)
    for name in silent:
        typer.echo(f"{name} does not answer: of its links nothing measured is known", err=True)
    if silent:
        raise typer.Exit(UNSUCCESSFUL)


def as_in_file(network: "NetworkSettings", link: "LinkSettings") -> dict[str, Any]:
    """A link as its lab file has it, ready for JSON. Rates are those of all lanes, tests taken off."""
    ahead = link.ahead
    return {
        "nodes": list(link.nodes),
        "station": link.station,
        "architecture": link.architecture,
        "length_km": link.length_km,
        "lanes": link.lanes,
        "attempt_period_us": link.period_ns / 1e3,
        "scheduler": link.scheduler,
        "calendar": list(link.calendar),
        "shared_at": [node for node, shared in zip(link.nodes, link.shared, strict=True) if shared],
        "slots": [len(slots) for slots in link.slots],
        "turn_ms": link.turn_ns / 1e6 if link.turn_ns else None,
        "turns": link.turns,
        "test_share": link.test_share,
        "ahead": None
        if ahead is None
        else {"stock_max": ahead.stock_max, "age_max_s": ahead.age_max_ns / 1e9},
        "reserved_for": link.reserved_for,
        "points": [_point(network, link, index) for index in range(max(1, len(link.points)))],
        "measured": None,
        "obstacles": None,
    }


def _point(network: "NetworkSettings", link: "LinkSettings", index: int) -> dict[str, Any]:
    import msgspec

    from bellwire.planner.lane_times import link_latency_s
    from bellwire.planner.points import as_planned, fidelity_at

    point = link.point(index)
    alone = msgspec.structs.replace(
        link, points=(), success_probability=point.success_probability, heralds=point.heralds
    )
    return {
        "point": index,
        "name": point.name,
        "settings": point.settings,
        "success_probability": point.success_probability,
        "rate_hz": 1.0 / link_latency_s(as_planned(alone, network.nodes)),
        "fidelity": fidelity_at(point),
    }


async def add_measured(
    lab: "Lab", state: Path, described: "dict[LinkId, dict[str, Any]]"
) -> "tuple[NodeId, ...]":
    """Ask side 0 of every link; returns the nodes that do not answer.

    Raises:
        ConfigError: nobody answers at all.
    """
    import asyncio

    from bellwire.runtime.control import ask

    async def told_by(node: "NodeId") -> "tuple[dict[str, Any], list[dict[str, Any]]] | ConfigError":
        try:
            standings = await ask(state, node, "links", within_s=ANSWER_S)
            drifts = await ask(state, node, "reports", within_s=ANSWER_S, only="link_fidelity_drifted")
        except ConfigError as problem:
            return problem
        return standings, drifts

    speakers = list(dict.fromkeys(link.nodes[0] for link in lab.network.links.values()))
    answers = dict(zip(speakers, await asyncio.gather(*map(told_by, speakers)), strict=True))
    problems = {node: answer for node, answer in answers.items() if isinstance(answer, ConfigError)}
    if len(problems) == len(speakers):
        raise problems[speakers[0]]
    for name, link in lab.network.links.items():
        answer = answers[link.nodes[0]]
        if not isinstance(answer, ConfigError):
            standings, drifts = answer
            described[name]["measured"] = as_measured(name, standings, drifts)
    return tuple(problems)


async def add_obstacles(lab: "Lab", state: Path, described: "dict[LinkId, dict[str, Any]]") -> None:
    """Ask every station what keeps its link from heralding: instruments and calibrations, a sentence each;
    None: it does not answer."""
    import asyncio

    from bellwire.runtime.control import ask

    async def told_by(name: "LinkId", station: "NodeId") -> None:
        try:
            answer = await ask(state, station, "status", within_s=ANSWER_S)
        except ConfigError:
            return
        described[name]["obstacles"] = [
            f"{instrument} is {one['condition']}: {one['reason']}"
            for instrument, one in answer["instruments"].items()
            if one["condition"] != "ready"
        ]

    links = lab.network.links.values()
    await asyncio.gather(*(told_by(link.link, link.station) for link in links if link.station is not None))


def as_measured(name: "LinkId", standings: dict[str, Any], drifts: list[dict[str, Any]]) -> dict[str, Any]:
    """What side 0 of a link tells of it, with ages instead of times."""
    now_ns, standing = standings["now_ns"], standings["links"][name]
    return {
        "point": standing["point"],
        "duty": standing["duty"],
        "wanted_by": standing["wanted_by"],
        "figures": [
            {key: value for key, value in figures.items() if key != "at_ns"}
            | {
                "age_s": _age_s(now_ns, figures["at_ns"])
                if figures["measured"] or figures["tested"]
                else None
            }
            for figures in standing["figures"]
        ],
        "drifts": [
            {key: value for key, value in report["fields"].items() if key != "link"}
            | {"age_s": _age_s(now_ns, report["at_ns"])}
            for report in drifts
            if report["fields"]["link"] == name
        ],
        "counters": standing["counters"],
    }


def _age_s(now_ns: int, at_ns: int) -> float:
    return max(0, now_ns - at_ns) / 1e9
