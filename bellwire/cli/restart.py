"""`bellwire restart LAB [NODE...]`: agents of a lab that is up, one after the other, without losing requests.

Owns the command. Refuses processes that `bellwire up` did not start: those of systemd are systemd's.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError


def restart(
    lab: LabArgument,
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]...", help="Agents to restart; default: all.")
    ] = None,
    rolling: Annotated[
        bool,
        typer.Option("--rolling/--at-once", help="One after the other, each when the last one is back."),
    ] = True,
    ready_s: Annotated[
        float, typer.Option("--within", metavar="S", min=1.0, max=600.0, help="For each to be back.")
    ] = 30.0,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Restart agents of a lab that is up. Requests under way go on: the next agent is taken only when the
    last one is ready again and its peers have seen its new incarnation."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.rolling import rolling_order
    from bellwire.runtime.supervisor_commands import known

    loaded = load_lab(find_lab(lab), live=True)
    order = rolling_order(loaded, [known(loaded, name) for name in nodes or ()])
    told: list[dict[str, Any]] = []
    for group in [[name] for name in order] if rolling else [order]:
        done = asyncio.run(_restart(lab, state, group, ready_s))
        told += done
        if not as_json:
            for one in done:
                typer.echo(
                    f"{one['node']}: incarnation {one['incarnation']}, back after {one['took_s']:.1f} s"
                )
    if as_json:
        typer.echo(json.dumps({"lab": loaded.name, "rolling": rolling, "restarted": told}))


async def _restart(lab: str, state: Path, nodes: list[str], ready_s: float) -> list[dict[str, Any]]:
    from bellwire.runtime.control import NoAnswer, ask
    from bellwire.runtime.supervisor_commands import SUPERVISOR

    patience_s = ready_s + 30.0  # ending in order, and starting, come on top
    try:
        done: list[dict[str, Any]] = await ask(
            state, SUPERVISOR, "restart", within_s=patience_s, nodes=nodes, ready_s=ready_s
        )
    except NoAnswer as silence:
        raise ConfigError(
            f"no supervisor of this lab answers ({silence.problem}). Agents that systemd keeps "
            f"are restarted by `systemctl restart bellwire-node@{nodes[0]}`, one after the other; "
            f"`bellwire up {lab}` starts a lab",
            where=str(state),
        ) from silence
    return done
