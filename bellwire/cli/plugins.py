"""`bellwire plugins`: what other packages add, and what they could add.

Owns the command and its looks. Refuses the table (labs/plugins.py).
"""

import json

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption


def plugins(as_json: JsonOption = False) -> None:
    """List what installed packages add (drivers, schedulers, policies, planners), and whether it loads."""
    from bellwire.labs.plugins import GROUPS, installed, misspelt

    found = (*installed(), *misspelt())
    if as_json:
        document = {
            "groups": [group._asdict() for group in GROUPS],
            "plugins": [plugin._asdict() for plugin in found],
        }
        typer.echo(json.dumps(document))
    else:
        from bellwire.cli import show

        groups = [[group.name, group.adds, group.entry, group.used_by] for group in GROUPS]
        entries = [
            [one.group, one.name, f"{one.package} {one.version}".strip(), one.place, one.problem or "ready"]
            for one in found
        ]
        show.write(
            show.table("What packages can add", ["entry point group", "adds", "entry", "named by"], groups),
            show.table("Installed", ["entry point group", "name", "package", "place", "state"], entries)
            if entries
            else "no installed package adds anything",
        )
    if any(one.problem is not None for one in found):
        raise typer.Exit(UNSUCCESSFUL)
