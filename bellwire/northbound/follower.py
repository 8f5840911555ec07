"""Follows the agents: reads their news, keeps what requests have become, and wakes those who wait for it.

Owns one loop per node. Refuses to lose or repeat a notification: the news of a node and how far they were
read go to the disk together, and numbers that an agent's shelf has dropped become a notification `missed`.

An agent that was started anew is asked for all of its requests. One that this API has submitted and that the
source does not know any more, because it died before its disk had it, is submitted again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from bellwire.core.errors import DeviceFault
from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.northbound.agents import AgentRefusal, Agents, AgentSilent
from bellwire.northbound.requests import FINAL_STATES
from bellwire.northbound.store import ApiStore, Kind
from bellwire.runtime.health import Health

POLL_S: Final = 0.2
SILENT_S: Final = 1.0
PAGE: Final = 500


class Follower:
    """Keeps the store of an API up to date with a lab, from `start` to `stop`."""

    def __init__(self, nodes: Sequence[NodeId], agents: Agents, store: ApiStore, health: Health) -> None:
        self.heard_s: dict[NodeId, float] = {}  # monotonic time of the latest answer
        self.silent: dict[NodeId, None] = dict.fromkeys(nodes)
        self._nodes = nodes
        self._agents = agents
        self._store = store
        self._health = health
        self._tasks: list[asyncio.Task[None]] = []
        self._told = asyncio.Event()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(self._follow(node)) for node in self._nodes]

    async def stop(self) -> None:
        """Follow no longer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def next_news(self) -> asyncio.Event:
        """Set when something new was kept after this moment: take it before looking, wait for it after."""
        return self._told

    async def _follow(self, node: NodeId) -> None:
        while True:
            pause_s = POLL_S
            try:
                if await self.read(node):
                    pause_s = 0.0
            except AgentSilent:
                self.silent[node] = None
                pause_s = SILENT_S
            except (AgentRefusal, DeviceFault) as problem:
                self._health.tell("news_not_kept", node=node, problem=str(problem))
                self._log.error("news_not_kept", node=node, problem=str(problem))
                pause_s = SILENT_S
            await asyncio.sleep(pause_s)

    async def read(self, node: NodeId) -> bool:
        """Read one page of the news of a node; True when there are more."""
        cursor = await self._store.cursor(node)
        known, after = cursor if cursor is not None else (None, 0)
        news = await self._agents.news(node, known, after)
        begun_anew = news["incarnation"] != known
        if begun_anew:
            await self._ask_for_all(node)
        reports, incarnation = news["reports"], news["incarnation"]
        touched = dict.fromkeys(report["request"] for report in reports if report["request"] is not None)
        for request_id in touched:
            await self._ask_for(node, request_id)
        if reports or news["missed"] or begun_anew or news["last"] != after:
            told = [_notification(report) for report in reports]
            if news["missed"]:
                self._health.tell("news_missed", node=node, reports=news["missed"])
                told.insert(0, (time.time_ns(), "missed", None, {"node": node, "count": news["missed"]}))
            await self._store.take_news(node, incarnation, news["last"], told)
            self._wake()
        self.heard_s[node] = time.monotonic()
        self.silent.pop(node, None)
        return bool(news["more"])

    async def _ask_for(self, node: NodeId, request_id: str) -> None:
        standing = (await self._agents.request(node, request_id))["standing"]
        if standing is not None and standing["request"].get("part_of") is None:
            await self._store.put_request(node, standing, time.time_ns())

    async def _ask_for_all(self, node: NodeId) -> None:
        after: int | None = 0
        seen: set[str] = set()
        while after is not None:
            page = await self._agents.requests(node, after)
            for standing in page["requests"]:
                seen.add(standing["request"]["request_id"])
                if standing["request"].get("part_of") is not None:
                    continue  # a pair of another node's sequence, which is a request there
                await self._store.put_request(node, standing, time.time_ns())
            after = page["next"]
        before: int | None = None
        while kept := await self._store.requests(before, PAGE, source=node):
            for one in kept:
                ended = one.standing["state"] in FINAL_STATES
                if one.request_id not in seen and one.submitted_by is not None and not ended:
                    self._health.tell("request_submitted_again", node=node, request=one.request_id)
                    await self._agents.submit(msgspec.convert(one.standing["request"], EntanglementRequest))
            before = kept[-1].number

    def _wake(self) -> None:
        told, self._told = self._told, asyncio.Event()
        told.set()


def _notification(report: Mapping[str, Any]) -> tuple[int, Kind, str | None, Any]:
    if report["name"] == "request_status":
        return report["at_ns"], "request_status", report["request"], report["fields"]
    return report["at_ns"], "report", report["request"], {"name": report["name"], "fields": report["fields"]}
