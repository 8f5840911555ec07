"""`bellwire device LAB NAME [get|set|watch|safe]`: read and move one instrument of a lab.

Owns the command. Where an agent owns the instrument, the agent is asked, so that there is one owner and one
lease; else the instrument is connected for the length of the command.
"""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bellwire.drivers.equipment import Equipment
    from bellwire.labs.equipment import EquipmentSettings

Action = Literal["show", "get", "set", "watch", "safe"]
HOLDER = "bellwire device"
LEASE_S = 10.0


def device(
    lab: LabArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Equipment of the lab, OWNER-NAME or just NAME.")
    ],
    action: Annotated[
        Action, typer.Argument(metavar="[get|set|watch|safe]", help="Default: everything it tells.")
    ] = "show",
    parameter: Annotated[
        str | None, typer.Argument(metavar="[PARAMETER]", help="As the table of `bellwire device` names it.")
    ] = None,
    value: Annotated[str | None, typer.Argument(metavar="[VALUE]", help="For set.")] = None,
    every: Annotated[float, typer.Option("--every", metavar="S", help="For watch.", min=0.05)] = 1.0,
    times: Annotated[
        int | None, typer.Option("--times", metavar="N", help="For watch: stop after so many.", min=1)
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show, read, set or watch the parameters of one instrument."""
    import asyncio

    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab), live=True)
    entry = _entry(loaded.equipment, name)
    needs_parameter = action in ("get", "set", "watch")
    if needs_parameter and parameter is None:
        raise ConfigError(f"{action} needs a PARAMETER; `bellwire device {lab} {name}` lists them")
    if (action == "set") != (value is not None):
        raise ConfigError("set needs a VALUE, and nothing else takes one")
    asyncio.run(_run(entry, action, parameter or "", value, every, times, state, as_json))


async def _run(
    entry: "EquipmentSettings",
    action: Action,
    parameter: str,
    value: str | None,
    every: float,
    times: int | None,
    state: Path,
    as_json: bool,
) -> None:
    import asyncio

    async with _access(entry, state) as access:
        match action:
            case "show":
                described = await access.show()
                typer.echo(json.dumps(described)) if as_json else _draw(described)
            case "get":
                _tell(await access.get(parameter), as_json)
            case "set":
                assert value is not None
                _tell(await access.set(parameter, value), as_json)
            case "safe":
                await access.safe()
                typer.echo(
                    json.dumps({"safe": True}) if as_json else f"{entry.full_name} is in its safe state"
                )
            case "watch":
                left = times
                while left is None or left > 0:
                    _tell(await access.get(parameter), as_json)
                    left = None if left is None else left - 1
                    if left != 0:
                        await asyncio.sleep(every)


def _entry(equipment: "tuple[EquipmentSettings, ...]", name: str) -> "EquipmentSettings":
    found = [one for one in equipment if name in (one.full_name, f"{one.owner}/{one.name}", one.name)]
    if len(found) == 1:
        return found[0]
    names = [one.full_name for one in equipment]
    if found:
        raise ConfigError(f'"{name}" is {" and ".join(one.full_name for one in found)}: give the whole name')
    if not names:
        raise ConfigError("this lab has no equipment section, so it has no devices for this command")
    short = [one.name for one in equipment]
    raise ConfigError(f'no equipment is called "{name}"{nearest(name, [*names, *short])}')


class _AgentAccess:
    """Through the agent that owns the instrument."""

    def __init__(self, state: Path, entry: "EquipmentSettings") -> None:
        self._state = state
        self._entry = entry

    async def show(self) -> dict[str, Any]:
        shown = await self._described()
        for parameter in shown["parameters"]:
            if parameter["readable"]:
                await self.get(parameter["name"])
        return await self._described() | {"owner": self._entry.owner}

    async def _described(self) -> dict[str, Any]:
        devices: list[dict[str, Any]] = await self._ask("device_list")
        return next(one for one in devices if one["name"] == self._entry.name)

    async def get(self, parameter: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._ask("device_read", device=self._entry.name, parameter=parameter)
        return found

    async def set(self, parameter: str, value: str) -> dict[str, Any] | None:
        fields = {"device": self._entry.name, "parameter": parameter, "value": value, "holder": HOLDER}
        found: dict[str, Any] | None = await self._ask("device_write", **fields)
        return found

    async def safe(self) -> None:
        await self._ask("device_safe", device=self._entry.name)

    async def _ask(self, do: str, **fields: Any) -> Any:
        from bellwire.runtime.control import ask

        return await ask(self._state, self._entry.owner, do, within_s=60.0, **fields)


class _OwnAccess:
    """By a connection of our own."""

    def __init__(self, driver: "Equipment") -> None:
        self._driver = driver

    async def show(self) -> dict[str, Any]:
        from bellwire.runtime.equipment_commands import described

        for parameter in self._driver.parameters:
            if parameter.read is not None:
                await self._driver.read_parameter(parameter.name)
        return described(self._driver.name, self._driver)

    async def get(self, parameter: str) -> dict[str, Any]:
        from bellwire.runtime.equipment_commands import told

        return told(await self._driver.read_parameter(parameter))

    async def set(self, parameter: str, value: str) -> dict[str, Any] | None:
        from bellwire.runtime.equipment_commands import told

        lease = self._driver.leases.grant(HOLDER, LEASE_S)
        reading = await self._driver.write_parameter(parameter, value, token=lease.token)
        return None if reading is None else told(reading)

    async def safe(self) -> None:
        await self._driver.safe_state()


@contextlib.asynccontextmanager
async def _access(entry: "EquipmentSettings", state: Path) -> "AsyncIterator[_AgentAccess | _OwnAccess]":
    from bellwire.runtime.control import ask, socket_path
    from bellwire.runtime.equipment import make_driver

    if socket_path(state, entry.owner).exists():
        try:
            await ask(state, entry.owner, "device_list")
        except ConfigError:
            pass  # a socket that a dead agent left behind: nobody owns the instrument
        else:
            yield _AgentAccess(state, entry)
            return
    driver = make_driver(entry, state / "devices")
    try:
        await driver.connect()
        yield _OwnAccess(driver)
    except LocalMisuse as problem:
        raise ConfigError(str(problem)) from problem  # what was typed is wrong, not the program
    finally:
        await driver.close()


def _tell(reading: dict[str, Any] | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(reading))
    elif reading is None:
        typer.echo("done; this parameter cannot be read back")
    else:
        doubt = "" if reading["quality"] == "good" else f"  ({reading['quality']})"
        typer.echo(f"{reading['parameter']} = {_spoken(reading['value'])} {reading['unit']}".rstrip() + doubt)


def _spoken(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _draw(described: dict[str, Any]) -> None:
    from bellwire.cli import show

    known = {reading["parameter"]: reading for reading in described["readings"]}
    rows: list[list[show.Cell]] = []
    for parameter in described["parameters"]:
        reading = known.get(parameter["name"])
        if parameter["choices"]:
            limits = " | ".join(parameter["choices"])
        elif parameter["kind"] == "switch":
            limits = "on | off"
        elif parameter["low"] is None:
            limits = ""
        else:
            limits = f"{parameter['low']:g} to {parameter['high']:g}"
        rows.append(
            [
                parameter["name"],
                "-" if reading is None else _spoken(reading["value"]),
                parameter["unit"],
                "" if reading is None else reading["quality"],
                limits if parameter["settable"] else "read only",
                parameter["meaning"],
            ]
        )
    held = f", held by {described['held_by']}" if described["held_by"] else ""
    show.write(
        f"{described['full_name']}: {described['condition']}, {described['reason']}{held}",
        show.table("Parameters", ["parameter", "value", "unit", "quality", "set", "meaning"], rows),
    )
