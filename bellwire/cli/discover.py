"""`bellwire discover`: what instruments are plugged in, or listen at the hosts that are named.

Owns the command and its table.
"""

import json
from typing import Annotated

import typer

from bellwire.cli.places import JsonOption


def discover(
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="[HOST]...", help="Hosts whose instrument ports are asked.")
    ] = None,
    call: Annotated[
        str | None,
        typer.Option(
            "--call", metavar="ADDRESS", help="Broadcast address at which Toptica devices are called by UDP."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find instruments: serial lines and USB of this computer, and what listens at the given hosts."""
    import asyncio

    from bellwire.drivers.discovery import discover as look

    found = asyncio.run(look(tuple(hosts or ()), calling=call))
    if as_json:
        typer.echo(
            json.dumps([{"address": one.address, "said": one.said, "driver": one.driver} for one in found])
        )
        return
    from bellwire.cli import show

    if not found:
        typer.echo("nothing found: no serial line, no USB instrument, and no answer from a named host")
        return
    show.write(
        show.table(
            "Instruments",
            ["address", "driver (a guess)", "it says"],
            [[one.address, one.driver or "-", one.said] for one in found],
        )
    )
