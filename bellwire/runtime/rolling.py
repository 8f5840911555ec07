"""Restarts that lose nothing: an agent is back when it is as ready as it was and all peers see its new life.

Owns the order of a rolling restart and when the next agent may be taken. Refuses to start and end processes
(supervisor.py), and to judge an agent better than it was before: one that waited for an absent instrument may
do so again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.ids import NodeId
from bellwire.runtime.control import NoAnswer
from bellwire.runtime.lab_words import LabEntry

READY_AGAIN_S = 30.0
POLL_S = 0.05
ROLES = ("station", "repeater", "end")
"""First those who keep no requests, last those at whom users ask."""


class Restarting(Protocol):
    """Who ends and starts processes."""

    lab: LabEntry
    refused: dict[str, BellwireError]

    async def restart(self, names: Sequence[str]) -> None: ...

    async def status(self, node: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Before:
    """An agent before its restart."""

    incarnation: int  # 0: it did not answer
    ready: bool


def rolling_order(lab: LabEntry, names: Sequence[NodeId] = ()) -> list[NodeId]:
    """These agents, or all, in the order in which they are restarted."""
    chosen = [name for name in lab.addresses if not names or name in names]
    return sorted(chosen, key=lambda name: ROLES.index(lab.network.nodes[name].role))


async def standing_of(supervisor: Restarting, name: NodeId) -> Before:
    """How an agent is now."""
    try:
        status = await supervisor.status(name)
    except NoAnswer:
        return Before(0, ready=False)
    return Before(status["incarnation"], status["ready"])


async def restart_and_wait(
    supervisor: Restarting, before: Mapping[NodeId, Before], ready_s: float = READY_AGAIN_S
) -> list[dict[str, Any]]:
    """Restart these agents together and wait for them; returns a line for each, ready for JSON.

    Raises:
        ConfigError: one refuses its configuration, or is not back within `ready_s`; it says why.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await supervisor.restart(list(before))
    told: list[dict[str, Any]] = []
    waiting = dict(before)
    while waiting:
        missing = ""
        for name, was in tuple(waiting.items()):
            if name in supervisor.refused:
                raise supervisor.refused[name]
            missing, incarnation = await _not_back(supervisor, name, was)
            if not missing:
                del waiting[name]
                took_s = round(loop.time() - began_s, 3)
                told.append({"node": name, "incarnation": incarnation, "took_s": took_s})
        if waiting and loop.time() - began_s > ready_s:
            raise ConfigError(
                f"{', '.join(waiting)} not back within {ready_s:g} s: {missing or 'not ready'}",
                where=supervisor.lab.path,
            )
        await asyncio.sleep(POLL_S if waiting else 0)
    return told


async def _not_back(supervisor: Restarting, name: NodeId, was: Before) -> tuple[str, int]:
    """What an agent lacks, "" when it is back; and its incarnation."""
    try:
        status = await supervisor.status(name)
    except NoAnswer as silence:
        return silence.problem, 0
    incarnation = int(status["incarnation"])
    if incarnation <= was.incarnation:
        return f"{name} has not ended yet", incarnation
    if was.ready and not status["ready"]:
        return f"{name}: {why_not_ready(status)}", incarnation
    for peer in status["peers"]:
        try:
            seen = (await supervisor.status(peer))["peer_versions"].get(name, {}).get("incarnation")
        except NoAnswer:
            continue  # whoever is down sees nobody
        if seen != incarnation:
            return f"{peer} does not see the new {name} yet", incarnation
    return "", incarnation


def why_not_ready(status: Mapping[str, Any]) -> str:
    """By its own status: whom an agent does not hear or refuses, and which instruments are not ready."""
    refused = [one["problem"] for one in status.get("peer_versions", {}).values() if one["refused"]]
    silent = [
        peer
        for peer, state in status.get("peers", {}).items()
        if state != "up" and not status.get("peer_versions", {}).get(peer, {}).get("refused")
    ]
    bad = [
        f"{one} {state['condition']} ({state['reason']})"
        for one, state in status.get("instruments", {}).items()
        if state["condition"] != "ready"
    ]
    parts = [f"waits for {', '.join(silent)}"] if silent else []
    return ", ".join(parts + refused + bad) or "not ready"
