"""A new configuration for a lab that is up: put in force, carried out, and taken back when an agent refuses
it.

Owns the order and the way back. Refuses to say what a change takes: it is told which settings to write, and
whom to restart (bellwire.labs.changes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.ids import NodeId
from bellwire.runtime.control import ask
from bellwire.runtime.in_force import in_force, note_change, put_in_force, read_configuration
from bellwire.runtime.rolling import READY_AGAIN_S, Before, Restarting, restart_and_wait, standing_of

HOLDER = "configuration"
EMULATOR = "emulator"


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of one instrument."""

    owner: NodeId
    instrument: str
    parameter: str
    before: bool | int | float | str
    after: bool | int | float | str


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a change takes."""

    configuration: str  # path of the new one, an `InForce`
    settings: tuple[SettingChange, ...] = ()
    emulator: bool = False
    agents: tuple[NodeId, ...] = ()  # in the order in which they are restarted
    together: bool = False  # all at once, because two halves of the network would not understand each other
    ready_s: float = READY_AGAIN_S


class Reconfigured(Restarting, Protocol):
    """The processes of a lab."""

    state_dir: Path
    run_dir: Path


async def reconfigure(supervisor: Reconfigured, work: Work) -> dict[str, Any]:
    """Carry out the change, or take it back; returns what was done, ready for JSON. `reason`: why it was
    taken back, "" when it is in force.

    Raises:
        ConfigError: the new configuration cannot be read, or there is none in force; nothing was touched.
    """
    new, old = read_configuration(Path(work.configuration)), in_force(supervisor.run_dir)
    if old is None:
        raise ConfigError("these processes obey the lab file itself; stop the lab and start it again")
    before = {name: await standing_of(supervisor, name) for name in work.agents}
    put_in_force(supervisor.run_dir, new)
    written: list[SettingChange] = []
    try:
        done = await _carry_out(supervisor, work, before, written)
    except BellwireError as problem:
        put_in_force(supervisor.run_dir, old)
        patient = msgspec.structs.replace(work, ready_s=max(work.ready_s, READY_AGAIN_S))
        failure = await _take_back(supervisor, patient, before, written)
        return {"applied": False, "reason": str(problem), "rolled_back": not failure, "rollback": failure}
    since = {one["node"]: one["incarnation"] for one in done}
    note_change(supervisor.run_dir, new, since)
    return {
        "applied": True,
        "reason": "",
        "restarted": done,
        "settings": [msgspec.to_builtins(one) for one in written],
    }


async def _carry_out(
    supervisor: Reconfigured, work: Work, before: dict[NodeId, Before], written: list[SettingChange]
) -> list[dict[str, Any]]:
    for change in work.settings:
        await _write(supervisor, change, change.after)
        written.append(change)
    if work.emulator:
        await supervisor.restart([EMULATOR])
        await _emulator_answers(supervisor, work.ready_s)
    groups: Sequence[Sequence[NodeId]] = [work.agents] if work.together else [[one] for one in work.agents]
    done: list[dict[str, Any]] = []
    for group in groups:
        if group:
            done += await restart_and_wait(supervisor, {one: before[one] for one in group}, work.ready_s)
    return done


async def _take_back(
    supervisor: Reconfigured, work: Work, before: dict[NodeId, Before], written: list[SettingChange]
) -> str:
    """The old configuration is in force again; returns what stands in the way of that, "" for nothing."""
    try:
        for change in reversed(written):
            await _write(supervisor, change, change.before)
        if work.emulator:
            await supervisor.restart([EMULATOR])
            await _emulator_answers(supervisor, work.ready_s)
        touched: dict[NodeId, Before] = {}
        for name, was in before.items():
            now = await standing_of(supervisor, name)
            if now.incarnation != was.incarnation:
                touched[name] = Before(max(now.incarnation, was.incarnation), was.ready)
        if touched:
            await restart_and_wait(supervisor, touched, work.ready_s)
    except BellwireError as problem:
        return str(problem)
    return ""


async def _write(supervisor: Reconfigured, change: SettingChange, value: bool | int | float | str) -> None:
    await ask(
        supervisor.state_dir,
        change.owner,
        "device_write",
        device=change.instrument,
        parameter=change.parameter,
        value=value,
        holder=HOLDER,
    )


async def _emulator_answers(supervisor: Reconfigured, within_s: float) -> None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while True:
        if EMULATOR in supervisor.refused:
            raise supervisor.refused[EMULATOR]
        try:
            await ask(supervisor.state_dir, EMULATOR, "status", within_s=2.0)
        except ConfigError:
            if loop.time() > until_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return
