"""One look at a lab: all agents asked at once, through the same interface as the API asks them.

Owns which questions are asked how often. Refuses meaning. An agent that is silent costs one wait, whatever
was to be asked of it; a question that an agent does not know (no schedule, no equipment) is asked again only
after a while.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from bellwire.core.ids import NodeId
from bellwire.northbound.agents import AgentRefusal, Agents, AgentSilent
from bellwire.page.heard import Look
from bellwire.page.ledger import ROWS_ASKED

DEVICES_EVERY: Final = 3
"""Looks between two questions for instrument readings."""
UNKNOWN_ASKED_AGAIN_S: Final = 30.0


class Gathering:
    """Asks the agents of one lab."""

    def __init__(self, nodes: Sequence[NodeId], stations: frozenset[NodeId], agents: Agents) -> None:
        self._nodes = tuple(nodes)
        self._stations = stations
        self._agents = agents
        self._number = 0
        self._unknown: dict[tuple[NodeId, str], float] = {}  # until when a question is not asked again

    async def look(self, *, watched: bool) -> Look:
        """Ask all; `watched`: somebody looks, so that what lives for moments is worth asking for."""
        devices = self._number % DEVICES_EVERY == 0
        self._number += 1
        told = await asyncio.gather(*(self._node(node, watched, devices) for node in self._nodes))
        by_kind: dict[str, dict[NodeId, Any]] = {
            kind: {
                node: answers[kind]
                for node, answers in zip(self._nodes, told, strict=True)
                if kind in answers
            }
            for kind in ("status", "links", "ledger", "devices", "schedule")
        }
        return Look(
            at_ns=time.time_ns(),
            monotonic_ns=time.monotonic_ns(),
            status=by_kind["status"],
            links=by_kind["links"],
            ledgers=by_kind["ledger"],
            devices=by_kind["devices"],
            schedules=by_kind["schedule"],
        )

    async def _node(self, node: NodeId, watched: bool, devices: bool) -> Mapping[str, Any]:
        answers: dict[str, Any] = {
            "status": await self._ask(node, "status", lambda: self._agents.status(node))
        }
        if answers["status"] is None:
            return answers
        questions: dict[str, Callable[[], Awaitable[Any]]] = {
            "schedule": lambda: self._agents.schedule(node),
        }
        if devices:
            questions["devices"] = lambda: self._agents.devices(node)
        if node not in self._stations:
            questions["links"] = lambda: self._agents.links(node)
            if watched:
                questions["ledger"] = lambda: self._agents.ledger(node, ROWS_ASKED)
        found = await asyncio.gather(*(self._ask(node, kind, ask) for kind, ask in questions.items()))
        return answers | dict(zip(questions, found, strict=True))

    async def _ask(self, node: NodeId, kind: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        if self._unknown.get((node, kind), 0.0) > time.monotonic():
            return None
        try:
            return await ask()
        except AgentSilent:
            return None
        except AgentRefusal:
            self._unknown[node, kind] = time.monotonic() + UNKNOWN_ASKED_AGAIN_S
            return None
