"""`bellwire topology`, `leave`: the map of a running lab as agents see it, and a node that leaves in order.

Owns the two commands. Refuses the map (planner/network_map.py) and the comparison of maps (map_document.py).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.labs import Lab

ANSWER_S = 2.0
LEAVE_S = 10.0
WATCH_S = 1.0


def topology(
    lab: LabArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show the map of a running lab as its agents see it, and where they disagree."""
    import asyncio
    import time

    from bellwire.cli.topology_tables import show_maps
    from bellwire.labs import load_lab

    if watch and as_json:
        raise ConfigError("--json prints one document; leave out --watch, or ask again")
    loaded = load_lab(find_lab(lab), live=True)
    document = asyncio.run(maps_of(loaded, state))
    if as_json:
        typer.echo(json.dumps(document))
    else:
        show_maps(document)
    while watch:
        time.sleep(WATCH_S)
        again = asyncio.run(maps_of(loaded, state))
        if _essence(again) != _essence(document):
            typer.echo()
            show_maps(again)
        document = again
    if document["disagreements"] or document["silent"]:
        raise typer.Exit(UNSUCCESSFUL)


def leave(
    lab: LabArgument,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Node or station that is to leave.")],
    reason: Annotated[str, typer.Option("--reason", help="What the others are told.")] = "maintenance",
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Have a node leave a running lab in order; `bellwire node LAB NODE` brings it back."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.control import ask

    loaded = load_lab(find_lab(lab), live=True)
    if node not in loaded.network.nodes:
        raise ConfigError(f'unknown node "{node}"{nearest(node, loaded.network.nodes)}', where=lab)
    told: dict[str, Any] = asyncio.run(ask(state, node, "leave", reason=reason, within_s=LEAVE_S))
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"{node} has left: {reason}")
    if told["untold"]:
        typer.echo(f"not everything had reached {', '.join(told['untold'])} by then", err=True)
        raise typer.Exit(UNSUCCESSFUL)


async def maps_of(lab: "Lab", state: Path) -> dict[str, Any]:
    """The maps of all agents that answer, as one document.

    Raises:
        ConfigError: nobody answers at all, or nobody keeps a map.
    """
    import asyncio

    from bellwire.planner.map_document import joined_maps
    from bellwire.runtime.control import ask

    async def told_by(node: str) -> dict[str, Any] | ConfigError:
        try:
            found: dict[str, Any] = await ask(state, node, "topology", within_s=ANSWER_S)
        except ConfigError as problem:
            return problem
        return found

    names = list(lab.addresses)
    answers = dict(zip(names, await asyncio.gather(*map(told_by, names)), strict=True))
    maps = {name: answer for name, answer in answers.items() if not isinstance(answer, ConfigError)}
    problems = [answer for answer in answers.values() if isinstance(answer, ConfigError)]
    if not maps and problems:
        raise problems[0]
    return joined_maps(lab.name, names, maps)


def _essence(document: dict[str, Any]) -> tuple[Any, ...]:
    """What --watch shows anew when it changes: states and versions, without ages."""
    states = {
        observer: {
            kind: {name: (row["state"], row["reason"]) for name, row in one[kind].items()}
            for kind in ("nodes", "links")
        }
        for observer, one in document["maps"].items()
    }
    return document["digests"], document["disagreements"], document["silent"], states
