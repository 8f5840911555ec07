"""What an agent answers about the network as it sees it, and how it leaves: topology, pinged, leave.

Owns these commands of the control channel. Refuses protocol: the map is the machine's, and only read here.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.events import LeaveAsked, LinkPinged
from bellwire.core.topology_messages import LinkVerification
from bellwire.node.machines import QuantumNode, StationMachine
from bellwire.planner.link_claims import TEXT_MAX
from bellwire.planner.map_document import map_document
from bellwire.planner.network_map import NetworkMap
from bellwire.runtime.agent import EXIT_LEFT, Agent
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.control import Command

LEAVE_MAX_S = 5.0
"""A leaving node waits so long at most until its last words are on their way and its requests have ended."""
LEAVE_POLL_S = 0.02


def topology_commands(agent: Agent, clock: LiveClock) -> Mapping[str, Command]:
    """The commands of one agent."""

    async def topology(_fields: dict[str, Any]) -> dict[str, Any]:
        return map_document(_map_of(agent), agent.name, clock.now_ns())

    async def pinged(fields: dict[str, Any]) -> dict[str, str]:
        """`found` holds the fields of a LinkVerification."""
        _map_of(agent)
        try:
            found = msgspec.convert(fields["found"], LinkVerification)
        except msgspec.ValidationError as problem:
            raise ConfigError(f"not the result of a ping: {problem}") from problem
        agent.feed(LinkPinged(link=str(fields["link"]), found=found))
        return {"link": str(fields["link"])}

    async def leave(fields: dict[str, Any]) -> dict[str, Any]:
        """Say goodbye, end what is under way, and end the process. Answers when peers have been told."""
        _map_of(agent)
        reason = str(fields.get("reason") or "asked by its operator")
        if len(reason) > TEXT_MAX:
            raise ConfigError(f"a reason of {len(reason)} characters, the limit is {TEXT_MAX}")
        agent.feed(LeaveAsked(reason=reason))
        untold = _untold(agent)
        for _ in range(round(LEAVE_MAX_S / LEAVE_POLL_S)):
            if not untold:
                break
            await asyncio.sleep(LEAVE_POLL_S)
            untold = _untold(agent)
        loop = asyncio.get_running_loop()
        loop.call_later(LEAVE_POLL_S, agent.stop, EXIT_LEFT)  # after this answer has been sent
        return {"node": agent.name, "reason": reason, "untold": untold}

    return {"topology": topology, "pinged": pinged, "leave": leave}


def _map_of(agent: Agent) -> NetworkMap:
    machine = agent.machine
    known = machine.network_map if isinstance(machine, QuantumNode | StationMachine) else None
    if known is None:
        raise ConfigError(f"{agent.name} keeps no map: the lab file says `topology: announce: false`")
    return known


def _untold(agent: Agent) -> list[str]:
    """Peers that are there and have not yet acknowledged everything; and the node itself while its requests
    are not ended durably."""
    found = []
    if agent.network is not None:
        found = [
            name
            for name, peer in agent.network.peers.items()
            if peer.liveness.state == "up" and (len(peer.outbox) or peer.outgoing.frames_in_flight)
        ]
    requests = agent.machine.requests if isinstance(agent.machine, QuantumNode) else None
    if requests is not None and (requests.unfinished or requests.writing):
        found.append(agent.name)
    return found
