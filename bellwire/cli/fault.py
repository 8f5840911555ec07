"""`bellwire fault LAB NAME FAULT`: break an emulated instrument of a running emulation, and mend it.

Owns the command. Refuses real instruments: the emulation knows only those that it plays.
"""

import json
from typing import Annotated, Any

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

POWER = ("power_cycle", "power_off", "power_on")


def fault(
    lab: LabArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Emulated instrument, OWNER-NAME.")],
    what: Annotated[
        str, typer.Argument(metavar="FAULT", help="A fault; clear; power_cycle, power_off or power_on.")
    ],
    rate: Annotated[float, typer.Option("--rate", help="Share of occasions.", min=0.0, max=1.0)] = 1.0,
    times: Annotated[int | None, typer.Option("--times", help="Strike at most so often.", min=1)] = None,
    delay: Annotated[
        float, typer.Option("--delay", metavar="S", help="Of late replies, hangs, power cycles.", min=0.0)
    ] = 0.5,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Make an emulated instrument go wrong, or right again; the emulation must be running."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.control import ask
    from bellwire.simulator_backend.devices.faults import Fault

    path = find_lab(lab)
    load_lab(path, live=True)
    known = [*(one.value for one in Fault), "clear", *POWER]
    if what not in known:
        raise ConfigError(f'unknown fault "{what}"{nearest(what, known)}; known: {", ".join(known)}')
    fields: dict[str, Any] = {"device": name}
    if what == "power_cycle":
        do, fields = what, fields | {"off_s": delay, "within_s": delay + 10.0}
    elif what in POWER:
        do = what
    elif what == "clear":
        do = "clear_fault"
    else:
        do = "set_fault"
        fields |= {"fault": what, "rate": rate, "times": times, "delay_s": delay}
    asyncio.run(ask(state, "emulator", do, **fields))
    typer.echo(json.dumps({"device": name, "done": what}) if as_json else f"{name}: {what}")
