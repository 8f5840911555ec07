"""`bellwire schema` and `bellwire drivers`: what a lab file may say.

Owns both commands. Refuses the schema itself (labs) and the drivers (drivers).
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from bellwire.cli.places import JsonOption


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
) -> None:
    """Print the JSON Schema of lab files, for completion in editors."""
    from bellwire.labs import lab_schema

    text = json.dumps(lab_schema(), indent=2)
    if output is None:
        typer.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")


def drivers(as_json: JsonOption = False) -> None:
    """List the instrument drivers and the roles that they can play in a lab file."""
    from bellwire.drivers import DESCRIPTIONS
    from bellwire.labs.crosscheck import DRIVERS_BY_ROLE

    rows = [
        {
            "driver": name,
            "roles": [role for role, known in DRIVERS_BY_ROLE.items() if name in known],
            "description": description,
        }
        for name, description in sorted(DESCRIPTIONS.items())
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from bellwire.cli import show

    show.write(
        show.table(
            "Drivers",
            ["driver", "role", "description"],
            [[str(row["driver"]), " ".join(row["roles"]), str(row["description"])] for row in rows],
        )
    )
