"""How the API reaches the agents of a lab: one small interface, and its way over the control sockets.

Owns the interface `Agents`, so that another transport can take its place, and `ControlAgents`. Refuses
meaning: answers are handed on as the agents gave them, except that silence and refusal are two errors.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import EntanglementRequest
from bellwire.runtime.control import NoAnswer, ask

ANSWER_S: Final = 2.0


class AgentSilent(Exception):
    """The agent does not run, or does not answer in time; whether it has acted is not known."""


class AgentRefusal(Exception):
    """The agent answers that it will not; its reason is the text."""


class Agents(Protocol):
    """The agents of a lab. Every call raises AgentSilent or AgentRefusal."""

    async def submit(self, request: EntanglementRequest) -> None:
        """Hand a request to its source. Submitting the same request twice is submitting it once."""
        ...

    async def cancel(self, source: NodeId, request: RequestId) -> None:
        """Withdraw a request at its source."""
        ...

    async def replan(self, source: NodeId, request: RequestId) -> None:
        """Have a request planned anew."""
        ...

    async def suspend(self, source: NodeId, request: RequestId, for_s: float) -> None:
        """Have a request sleep for so long."""
        ...

    async def resume(self, source: NodeId, request: RequestId) -> None:
        """Have a request that sleeps go on now."""
        ...

    async def request(self, source: NodeId, request: RequestId) -> Mapping[str, Any]:
        """`standing` and `refusal` of a request (runtime/request_commands.py)."""
        ...

    async def requests(self, node: NodeId, after: int) -> Mapping[str, Any]:
        """A page of the requests that were made at a node."""
        ...

    async def pairs(self, node: NodeId, request: RequestId, after: int, limit: int) -> Mapping[str, Any]:
        """A page of pairs by the records of a node."""
        ...

    async def news(self, node: NodeId, incarnation: int | None, after: int) -> Mapping[str, Any]:
        """Reports after a number."""
        ...

    async def status(self, node: NodeId) -> Mapping[str, Any]:
        """Health, slots, peers, instruments and counters."""
        ...

    async def links(self, node: NodeId) -> Mapping[str, Any]:
        """Standings of the links for which a node speaks."""
        ...

    async def topology(self, node: NodeId) -> Mapping[str, Any]:
        """The map of a node (planner/map_document.py)."""
        ...

    async def ledger(self, node: NodeId, limit: int) -> Mapping[str, Any]:
        """The oldest rows of a node's ledger, and how many there are."""
        ...

    async def devices(self, node: NodeId) -> Sequence[Mapping[str, Any]]:
        """Instruments of a node with their parameters and latest readings."""
        ...

    async def schedule(self, node: NodeId) -> Mapping[str, Any]:
        """Rows of the network's schedule that a node knows."""
        ...

    async def readings(self, node: NodeId) -> Mapping[str, Any]:
        """What its metrics are made of (runtime/agent_readings.py)."""
        ...


class ControlAgents:
    """The agents of a state directory, over the sockets that the command line uses."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    async def submit(self, request: EntanglementRequest) -> None:
        await self._ask(request.target_nodes[0], "submit", request=msgspec.to_builtins(request))

    async def cancel(self, source: NodeId, request: RequestId) -> None:
        await self._ask(source, "cancel", request=request)

    async def replan(self, source: NodeId, request: RequestId) -> None:
        await self._ask(source, "replan", request=request)

    async def suspend(self, source: NodeId, request: RequestId, for_s: float) -> None:
        await self._ask(source, "suspend", request=request, for_s=for_s)

    async def resume(self, source: NodeId, request: RequestId) -> None:
        await self._ask(source, "resume", request=request)

    async def request(self, source: NodeId, request: RequestId) -> Mapping[str, Any]:
        return await self._mapping(source, "request", request=request)

    async def requests(self, node: NodeId, after: int) -> Mapping[str, Any]:
        return await self._mapping(node, "requests", after=after)

    async def pairs(self, node: NodeId, request: RequestId, after: int, limit: int) -> Mapping[str, Any]:
        return await self._mapping(node, "pairs", request=request, after=after, limit=limit)

    async def news(self, node: NodeId, incarnation: int | None, after: int) -> Mapping[str, Any]:
        return await self._mapping(node, "news", incarnation=incarnation, after=after)

    async def status(self, node: NodeId) -> Mapping[str, Any]:
        return await self._mapping(node, "status")

    async def links(self, node: NodeId) -> Mapping[str, Any]:
        return await self._mapping(node, "links")

    async def topology(self, node: NodeId) -> Mapping[str, Any]:
        return await self._mapping(node, "topology")

    async def ledger(self, node: NodeId, limit: int) -> Mapping[str, Any]:
        return await self._mapping(node, "ledger_now", limit=limit)

    async def devices(self, node: NodeId) -> Sequence[Mapping[str, Any]]:
        answer: Sequence[Mapping[str, Any]] = await self._ask(node, "device_list")
        return answer

    async def schedule(self, node: NodeId) -> Mapping[str, Any]:
        return await self._mapping(node, "schedule")

    async def readings(self, node: NodeId) -> Mapping[str, Any]:
        return await self._mapping(node, "readings")

    async def _mapping(self, node: NodeId, do: str, **fields: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self._ask(node, do, **fields)
        return answer

    async def _ask(self, node: NodeId, do: str, **fields: Any) -> Any:
        try:
            return await ask(self._state_dir, node, do, within_s=ANSWER_S, **fields)
        except NoAnswer as silence:
            raise AgentSilent(f"{node} does not answer") from silence
        except ConfigError as refusal:
            raise AgentRefusal(refusal.problem) from refusal
