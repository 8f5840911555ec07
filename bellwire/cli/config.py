"""`bellwire config snapshot|list|diff|apply|rollback`: configurations kept, compared, put in force, taken
back.

Owns the commands. Refuses what they rest on: snapshots and differences are the labs', carrying out is the
supervisor's (runtime/reconfiguring.py).
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.cli.config_sides import Side
    from bellwire.labs.changes import Taken

app = typer.Typer(
    name="config",
    help="Configurations of a lab: keep, list, compare, apply, roll back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why this snapshot is kept.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what changes and what it takes; no more.")]
WithinOption = Annotated[
    float, typer.Option("--within", metavar="S", min=1.0, max=600.0, help="For each agent to be back.")
]


@app.command()
def snapshot(
    lab: LabArgument, note: NoteOption = "", state: StateOption = STATE, as_json: JsonOption = False
) -> None:
    """Keep what is in force (of a lab that is not up: what the file says), what all instruments answer, and
    the calibrations in force."""
    from bellwire.cli.config_sides import in_force_or_file, keep

    kept = keep(in_force_or_file(lab, state), state, note)
    told = _told(kept)
    typer.echo(
        json.dumps(told)
        if as_json
        else f"snapshot {kept.number} of {kept.configuration.lab}: configuration {told['digest'][:12]}, "
        f"{len(kept.equipment)} instruments, {told['calibrations']} calibrations in force"
    )


@app.command("list")
def list_snapshots(lab: LabArgument, state: StateOption = STATE, as_json: JsonOption = False) -> None:
    """List the snapshots of a lab, the latest last."""
    from bellwire.labs import load_lab
    from bellwire.labs.snapshots import all_of

    name = load_lab(find_lab(lab)).name
    rows = [_told(one) for one in all_of(state) if one.configuration.lab == name]
    if as_json:
        typer.echo(json.dumps({"lab": name, "snapshots": rows}))
        return
    from bellwire.cli import show

    columns = ["number", "taken", "configuration", "bellwire", "calibrations", "note"]
    show.write(
        show.table(
            f"Configurations of {name} in {state}",
            columns,
            [
                [
                    row["number"],
                    time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row["at_ns"] // 1_000_000_000)),
                    row["digest"][:12],
                    row["bellwire"],
                    row["calibrations"],
                    row["note"] or None,
                ]
                for row in rows
            ],
        )
    )


@app.command()
def diff(
    lab: LabArgument,
    before: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="Snapshot; default: what is in force.")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="Snapshot; default: the lab file as it is now.")
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show where two configurations differ, with file and line, and what the change takes."""
    from bellwire.cli.config_sides import in_force_or_snapshot, of_file, of_snapshot

    old = in_force_or_snapshot(lab, state) if before is None else of_snapshot(state, before)
    new = of_file(lab, old) if after is None else of_snapshot(state, after)
    _tell_plan(*_planned(old, new), as_json=as_json)


@app.command()
def apply(
    lab: LabArgument,
    dry_run: DryRunOption = False,
    within_s: WithinOption = 30.0,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Put the lab file as it is now in force in a lab that is up. What was in force is kept as a snapshot; it
    is taken back by itself when an agent refuses the new one or does not become ready."""
    from bellwire.cli.config_sides import of_file, running

    old = running(lab, state)
    _apply(old, of_file(lab, old), state, dry_run, within_s, as_json, why="before an apply")


@app.command()
def rollback(
    lab: LabArgument,
    number: Annotated[
        int | None,
        typer.Argument(metavar="[NUMBER]", help="Snapshot; default: the latest that is not in force."),
    ] = None,
    dry_run: DryRunOption = False,
    within_s: WithinOption = 30.0,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Put an earlier configuration in force in a lab that is up. The lab file is left as it is."""
    from bellwire.cli.config_sides import latest_other, of_snapshot, running

    old = running(lab, state)
    new = of_snapshot(state, latest_other(state, old) if number is None else number)
    if new.lab.name != old.lab.name:
        raise ConfigError(f'snapshot {number} is one of the lab "{new.lab.name}"', where=str(state))
    _apply(old, new, state, dry_run, within_s, as_json, why="before a roll-back")


def _planned(old: "Side", new: "Side") -> "tuple[list[dict[str, Any]], Taken]":
    from bellwire.labs.changes import differences, taken

    found = differences(old.lab.document, new.lab.document, old.text, new.text)
    return [asdict(one) for one in found], taken(old.lab, new.lab)


def _apply(
    old: "Side", new: "Side", state: Path, dry_run: bool, within_s: float, as_json: bool, *, why: str
) -> None:
    import asyncio

    from bellwire.cli.config_sides import carry_out, keep

    changes, takes = _planned(old, new)
    if dry_run or not changes:
        _tell_plan(changes, takes, as_json=as_json)
        return
    if takes.whole:
        raise ConfigError(
            f"this takes {takes.in_words()}; requests are kept", where=new.frozen.path or str(state)
        )
    if not as_json:
        _tell_plan(changes, takes, as_json=False)
    kept = keep(old, state, why)
    done = asyncio.run(carry_out(new, takes, state, within_s)) | {"before": kept.number}
    if as_json:
        typer.echo(json.dumps({"changes": changes, "takes": takes.in_words()} | done))
    elif done["applied"]:
        typer.echo(f"in force; what was before is snapshot {kept.number} (bellwire config rollback)")
    else:
        typer.echo(f"not in force: {done['reason']}", err=True)
        back = "the configuration before is in force again" if done["rolled_back"] else done["rollback"]
        typer.echo(back, err=True)
    if not done["applied"]:
        raise typer.Exit(UNSUCCESSFUL)


def _tell_plan(changes: list[dict[str, Any]], takes: "Taken", *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "changes": changes,
                    "takes": takes.in_words(),
                    "agents": list(takes.agents),
                    "together": takes.together,
                    "emulator": takes.emulator,
                    "settings": len(takes.settings),
                    "stop": takes.whole,
                }
            )
        )
        return
    if not changes:
        typer.echo("no difference")
        return
    for one in changes:
        place = f"{one['where']} " if one["where"] else ""
        typer.echo(f"{place}({one['path']}): {_value(one['before'])} -> {_value(one['after'])}")
    typer.echo(f"this takes {takes.in_words()}")


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(one: Any) -> dict[str, Any]:
    from bellwire.labs.changes import configuration_digest

    return {
        "number": one.number,
        "at_ns": one.at_ns,
        "note": one.note,
        "lab": one.configuration.lab,
        "digest": configuration_digest(one.configuration.document),
        "bellwire": one.versions["bellwire"],
        "instruments": len(one.equipment),
        "calibrations": sum(map(len, one.calibrations.values())),
    }
