"""The part of `bellwire check` that connects to instruments, and its table.

Owns where the instruments are looked for: at their agents while these run, else at their addresses; an
emulated lab whose emulation does not run is emulated for the length of the look, in a folder of its own.
"""

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL

if TYPE_CHECKING:
    from bellwire.labs import Lab
    from bellwire.runtime.connect_check import Look


@dataclass(frozen=True, slots=True)
class _PairMaker:
    """An entry of `instruments`, named as equipment is."""

    full_name: str
    driver: str
    address: str
    serial_number: str | None
    emulated: bool


def connect_all(lab: "Lab", state: Path, as_json: bool) -> None:
    """Look at every instrument and say what is wrong and what to do; exit code 1 unless all are well."""
    import asyncio

    looks, owned = asyncio.run(_look(lab, state))
    if as_json:
        typer.echo(
            json.dumps({"lab": lab.name, "instruments": [told(look) for look in looks], "owned": owned})
        )
    else:
        _draw(lab, looks, owned)
    if not all(look.well for look in looks) or any(
        state["condition"] != "ready" for states in owned.values() for state in states.values()
    ):
        raise typer.Exit(UNSUCCESSFUL)


async def _look(lab: "Lab", state: Path) -> "tuple[list[Look], dict[str, dict[str, Any]]]":
    from bellwire.runtime.connect_check import look_at_all

    owned: dict[str, dict[str, Any]] = {}
    for name in lab.addresses:
        if (status := await _status(state, name)) is not None:
            owned[name] = status["instruments"]
    entries: list[Any] = [
        _PairMaker(f"{one.owner}-{one.role}", one.driver, one.address, one.serial_number, one.emulated)
        for one in lab.instruments
        if one.owner not in owned and one.inputs is None  # those of a tagger stand with the equipment
    ]
    entries += [one for one in lab.equipment if one.owner not in owned]
    emulated = any(entry.emulated for entry in entries) and not owned
    async with _emulated(lab, state) if emulated else _as_it_is(state) as device_dir:
        return await look_at_all(entries, device_dir), owned


@contextlib.asynccontextmanager
async def _as_it_is(state: Path) -> AsyncIterator[Path]:
    yield state / "devices"


@contextlib.asynccontextmanager
async def _emulated(lab: "Lab", state: Path) -> AsyncIterator[Path]:
    from bellwire.simulator_backend.lab_emulation import LabEmulation

    if await _status(state, "emulator") is not None:
        yield state / "devices"
        return
    with tempfile.TemporaryDirectory(prefix="bellwire-check-") as folder:
        place = Path(folder)
        async with LabEmulation(lab, place):
            yield place


async def _status(state: Path, name: str) -> dict[str, Any] | None:
    """Of the process of that name, None where none runs; a dead one may have left its socket behind."""
    from bellwire.core.errors import ConfigError
    from bellwire.runtime.control import ask, socket_path

    if not socket_path(state, name).exists():
        return None
    try:
        status: dict[str, Any] = await ask(state, name, "status")
    except ConfigError:
        return None
    return status


def told(look: "Look") -> dict[str, Any]:
    """A look as JSON."""
    return {
        "name": look.name,
        "driver": look.driver,
        "address": look.address,
        "emulated": look.emulated,
        "well": look.well,
        "model": look.model,
        "serial_number": look.serial_number,
        "firmware": look.firmware,
        "problem": look.problem,
        "advice": look.advice,
        "took_s": round(look.took_s, 3),
        "readings": {
            reading.parameter: {
                "value": None if reading.value != reading.value else reading.value,  # NaN: it does not know
                "unit": reading.unit,
                "quality": reading.quality.value,
            }
            for reading in look.readings
        },
    }


def _draw(lab: "Lab", looks: "list[Look]", owned: dict[str, dict[str, Any]]) -> None:
    from bellwire.cli import show

    rows: list[list[show.Cell]] = [
        [
            look.name,
            look.driver,
            "emulated" if look.emulated else look.address,
            "well" if look.well else "NOT WELL",
            " ".join(part for part in (look.model, look.serial_number, look.firmware) if part) or "-",
        ]
        for look in looks
    ]
    rows += [
        [
            instrument,
            "",
            f"held by the agent of {owner}",
            "well" if state["condition"] == "ready" else "NOT WELL",
            state["reason"],
        ]
        for owner, states in owned.items()
        for instrument, state in states.items()
    ]
    bad = [f"{look.name}: {look.problem}\n    {look.advice}" for look in looks if not look.well]
    show.write(
        show.table(
            f"Instruments of {lab.name}", ["instrument", "driver", "where", "state", "identity"], rows
        ),
        *bad,
    )
