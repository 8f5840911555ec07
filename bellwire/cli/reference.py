"""`bellwire schema` and `bellwire drivers`: what a lab file may say.

Owns both commands. Refuses the schema itself (labs) and the drivers (drivers).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.places import JsonOption

if TYPE_CHECKING:
    from bellwire.drivers.card import DriverCard

EMULATED_WITH_THE_WORLD = ("herald_fpga", "memory_controller", "tagger_herald")
"""Instruments whose emulators exist inside a whole emulated lab only."""


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


def drivers(
    name: Annotated[
        str | None, typer.Argument(metavar="DRIVER", help="Everything that is known about this one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the instrument drivers: roles, transport, what they have driven, what nobody has verified."""
    from bellwire.core.errors import ConfigError
    from bellwire.core.registry import nearest
    from bellwire.drivers import cards
    from bellwire.simulator_backend.devices.emulators import emulator_names

    known = cards()
    emulated = {*emulator_names(), *EMULATED_WITH_THE_WORLD}
    if name is not None and name not in known:
        raise ConfigError(f'unknown driver "{name}"{nearest(name, known)}')
    chosen = [card for _, card in sorted(known.items()) if name in (None, card.name)]
    if as_json:
        typer.echo(json.dumps([_described(card, card.name in emulated) for card in chosen]))
        return
    from bellwire.cli import show

    if name is not None:
        lines = [
            [key, ", ".join(value) if isinstance(value, list) else str(value)]
            for key, value in _described(chosen[0], name in emulated).items()
        ]
        show.write(show.table(name, ["", ""], lines))
        return
    show.write(
        show.table(
            "Drivers",
            ["driver", "instrument", "roles", "transport", "seen on"],
            [
                [
                    card.name,
                    f"{card.maker} {card.product}",
                    " ".join(card.roles),
                    card.transport,
                    ", ".join(card.seen_on) or ("emulated only" if card.name in emulated else "nothing yet"),
                ]
                for card in chosen
            ],
        )
    )


def _described(card: "DriverCard", emulated: bool) -> dict[str, Any]:
    return {
        "driver": card.name,
        "maker": card.maker,
        "product": card.product,
        "roles": list(card.roles),
        "transport": card.transport,
        "address": card.address,
        "extra": card.extra,
        "emulated": emulated,
        "seen_on": list(card.seen_on),
        "unverified": list(card.unverified),
        "notes": list(card.notes),
    }
