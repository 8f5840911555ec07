"""`bellwire backup`, `restore`: everything durable of a lab in one file, and back.

Owns the two commands. Refuses what they do (runtime/backup.py, restore.py), and never prints a key.
"""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab

ArchiveArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The archive; it holds secret keys: mode 0600, keep it so.")
]


def backup(
    lab: LabArgument,
    file: ArchiveArgument,
    keys: Annotated[
        bool, typer.Option("--keys/--without-keys", help="Secret keys of the nodes go into the archive.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Write records, incarnations, keys, calibrations, configurations and the index of runs into FILE, as
    they are at one moment. Agents may go on working."""
    from bellwire.labs import load_lab
    from bellwire.runtime.backup import back_up
    from bellwire.runtime.backup_manifest import is_secret, is_store

    made = back_up(load_lab(find_lab(lab)), state, file, keys=keys, force=force)
    told = {
        "file": str(file),
        "lab": made.lab,
        "made_ns": made.made_ns,
        "bellwire": made.bellwire,
        "files": len(made.members),
        "stores": sum(is_store(member.name) for member in made.members),
        "keys": sum(is_secret(member.name) for member in made.members),
        "bytes": file.stat().st_size,
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(
        f"{file}: {told['files']} files of {made.lab} ({told['stores']} stores, {told['keys']} secret keys), "
        f"{told['bytes']} bytes"
    )


def restore(
    lab: LabArgument,
    file: ArchiveArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Set aside what lies in the state folder, and replace it.")
    ] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Verify FILE and put the state of the lab back. No agent may run. Incarnations are raised above all that
    peers may have seen, so `bellwire up` goes on from there."""
    from bellwire.labs import load_lab
    from bellwire.runtime.restore import restore as put_back

    done = put_back(load_lab(find_lab(lab)), state, file, force=force)
    if as_json:
        typer.echo(json.dumps(done))
        return
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(str(done["made_ns"])) // 1_000_000_000))
    typer.echo(f"{state}: {done['files']} files of {done['lab']} as of {made} (bellwire {done['bellwire']})")
    if done["set_aside"] is not None:
        typer.echo(f"what lay there is in {done['set_aside']}")
    typer.echo(f"start it again: bellwire up {lab} --state {state}")
