"""What the supervisor of a lab that is up answers on its own control channel: status, restart, reconfigure.

Owns the table, and that only one change is under way at a time. Refuses processes (supervisor.py) and the
judgement whether a restarted agent is well (rolling.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bellwire import __version__
from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.registry import nearest
from bellwire.runtime.control import SUPERVISOR as SUPERVISOR
from bellwire.runtime.control import Command
from bellwire.runtime.lab_words import LabEntry
from bellwire.runtime.reconfiguring import Work, reconfigure
from bellwire.runtime.rolling import READY_AGAIN_S, restart_and_wait, standing_of


class Supervised(Protocol):
    """The processes of a lab, as these commands need them."""

    lab: LabEntry
    state_dir: Path
    run_dir: Path
    restarts: dict[str, int]
    refused: dict[str, BellwireError]
    degraded: dict[str, str]

    def pids(self) -> Mapping[str, int]: ...

    async def restart(self, names: Sequence[str]) -> None: ...

    async def status(self, node: str) -> dict[str, Any]: ...


def supervisor_commands(supervisor: Supervised) -> Mapping[str, Command]:
    """The commands of one supervisor."""
    changing = asyncio.Lock()

    async def status(_fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "lab": supervisor.lab.name,
            "digest": supervisor.lab.digest,
            "run": str(supervisor.run_dir),
            "pid": os.getpid(),
            "software": __version__,
            "processes": dict(supervisor.pids()),
            "restarts": dict(supervisor.restarts),
            "refused": {name: str(problem) for name, problem in supervisor.refused.items()},
            "degraded": dict(supervisor.degraded),
        }

    async def restart(fields: dict[str, Any]) -> list[dict[str, Any]]:
        """`nodes` together; `within_s`: for each to be ready again."""
        nodes = [known(supervisor.lab, str(name)) for name in fields["nodes"]]
        if changing.locked():
            raise ConfigError("another change of this lab is under way; try again when it has ended")
        async with changing:
            before = {name: await standing_of(supervisor, name) for name in nodes}
            return await restart_and_wait(supervisor, before, float(fields.get("ready_s", READY_AGAIN_S)))

    async def reconfigured(fields: dict[str, Any]) -> dict[str, Any]:
        """`work` as reconfiguring.py has it."""
        work = msgspec.convert(fields["work"], Work)
        for name in work.agents:
            known(supervisor.lab, name)
        if changing.locked():
            raise ConfigError("another change of this lab is under way; try again when it has ended")
        async with changing:
            return await reconfigure(supervisor, work)

    return {"status": status, "restart": restart, "reconfigure": reconfigured}


def known(lab: LabEntry, name: NodeId) -> NodeId:
    """The name, if an agent of the lab has it. Raises ConfigError with the nearest one."""
    if name not in lab.addresses:
        raise ConfigError(f'no agent is called "{name}"{nearest(name, lab.addresses)}', where=lab.path)
    return name
