"""Everything that metrics are made of, as one agent tells it: numbers ready for JSON, without any request id.

Owns the selection. Refuses names and formats of metrics (metric_families.py), and to change what it reads.
"""

import platform
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bellwire import __version__
from bellwire.gem.replica import Replica
from bellwire.runtime.agent import Agent
from bellwire.runtime.control import Command
from bellwire.runtime.counters import machine_counters
from bellwire.runtime.delivery_tally import DeliveryTally
from bellwire.runtime.instruments import NodeInstruments
from bellwire.runtime.link_standings import link_standings
from bellwire.runtime.log_lines import LogLines


def agent_readings(agent: Agent, instruments: NodeInstruments, tally: DeliveryTally) -> dict[str, Any]:
    """The readings of this moment."""
    status = agent.status()
    peers = {} if agent.network is None else agent.network.peers
    return {
        "node": agent.name,
        "version": __version__,
        "python": platform.python_version(),
        "incarnation": agent.incarnation,
        "ready": instruments.ready and all(state == "up" for state in status["peers"].values()),
        "steps": agent.steps,
        "step_ns_max": agent.step_ns_max,
        "clock_steps_back": status["clock_steps_back"],
        "frames_received": status["frames_received"],
        "congested": len(status["congested"]),
        "peers": status["peers"],
        "outbox": _added(peer.outbox.lengths() for peer in peers.values()),
        "health": status["health"],
        "log_lines_lost": LogLines.lost,
        "instruments": instruments.states(),
        "instrument_ages_s": instruments.ages_s(time.monotonic_ns()),
        "slots": dict(Counter(slot.state for slot in _slots(agent))),
        **machine_counters(agent.machine),
        "link_standings": link_standings(agent.machine),
        "requests": tally.request_states(),
        "pairs": tally.told(),
        "stored": _stored(agent),
        "ledger": _ledger(agent),
    }


def readings_command(read: Callable[[], dict[str, Any]]) -> dict[str, Command]:
    """The command `readings` of the control channel."""

    async def readings(_fields: dict[str, Any]) -> dict[str, Any]:
        return read()

    return {"readings": readings}


def _added(tables: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in tables:
        total.update(one)
    return dict(total)


def _slots(agent: Agent) -> Any:
    table = getattr(agent.machine, "slots", None)
    return () if table is None else table.slots()


def _stored(agent: Agent) -> dict[str, int]:
    """Pairs in store by super-link, at its head."""
    part = getattr(agent.machine, "predistribution", None)
    return {} if part is None else {name: len(store.pairs) for name, store in part.stores.items()}


def _ledger(agent: Agent) -> dict[str, Any] | None:
    """None: this agent keeps none."""
    replica = getattr(agent.machine, "replica", None)
    if not isinstance(replica, Replica):
        return None
    authors = replica.streams.authors
    return {
        "applied": replica.applied,
        "ends": len(replica.fold.ends),
        "held": sum(len(stream.held) for stream in authors.values()),
        "refused": replica.fold.refused,
        "own": [replica.own.incarnation, replica.own.last],
        "seen": {author: [stream.incarnation, stream.next - 1] for author, stream in authors.items()},
    }
