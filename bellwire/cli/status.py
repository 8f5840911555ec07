"""`bellwire status LAB`: who runs, since which incarnation, which software, and what it waits for.

Owns the command. Refuses remedies beyond those that agents name themselves (`bellwire doctor`).
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab


def status(
    lab: LabArgument,
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]...", help="Only these; default: all.")
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show every agent of a lab: state, incarnation, software and bus schema, and what it waits for. Exit
    code 1 unless all are ready."""
    import asyncio

    from bellwire.cli.lab_status import ask_all
    from bellwire.labs import load_lab
    from bellwire.runtime.rolling import why_not_ready
    from bellwire.runtime.supervisor_commands import known

    loaded = load_lab(find_lab(lab), live=True)
    chosen = [known(loaded, name) for name in nodes or loaded.addresses]
    answers = asyncio.run(ask_all(loaded, state))
    rows: list[dict[str, Any]] = []
    for name in chosen:
        answer = answers[name]
        if answer is None:
            rows.append({"node": name, "state": "silent", "reason": "no process of that name answers here"})
            continue
        ready = bool(answer["ready"])
        rows.append(
            {
                "node": name,
                "state": "ready" if ready else "degraded",
                "reason": "" if ready else why_not_ready(answer),
                "incarnation": answer["incarnation"],
                "software": answer["software"],
                "schema": answer["schema"],
                "peers": answer["peer_versions"],
                "health": answer["health"],
            }
        )
    if as_json:
        typer.echo(json.dumps({"lab": loaded.name, "agents": rows}))
    else:
        _show(loaded.name, rows, state)
    if any(row["state"] != "ready" for row in rows):
        raise typer.Exit(UNSUCCESSFUL)


def _show(lab: str, rows: list[dict[str, Any]], state: Path) -> None:
    from bellwire.cli import show

    columns = ["node", "state", "incarnation", "software", "schema", "reason"]
    versions = {row["software"] for row in rows if "software" in row}
    remark = f"different software: {', '.join(sorted(versions))}" if len(versions) > 1 else ""
    show.write(
        show.table(
            f"Agents of {lab} in {state}",
            columns,
            [[row.get(column) if row.get(column) != "" else None for column in columns] for row in rows],
        ),
        *([remark] if remark else []),
    )
