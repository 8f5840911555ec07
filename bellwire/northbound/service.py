"""Everything that one server works with: the lab, its agents, its memory, tokens, limits, health.

Owns `Northbound` and its start and stop. Refuses HTTP.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bellwire.northbound.agents import Agents
from bellwire.northbound.follower import Follower
from bellwire.northbound.key_store import KeyStore
from bellwire.northbound.store import FILE, ApiStore
from bellwire.northbound.tokens import TokenBook
from bellwire.runtime.health import Health

if TYPE_CHECKING:
    from bellwire.labs import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, or all of them together, may ask of a server."""

    submissions_per_s: int = 50  # of one token
    submissions_open_max: int = 8  # of all: their sources are asked meanwhile, who have other work as well
    calls_per_s: int = 500  # of one token, submissions included
    failures_per_s: int = 10  # refusals for want of a valid token, by address
    body_bytes_max: int = 65_536
    open_calls_max: int = 256
    streams_max: int = 64


@dataclass(slots=True, eq=False)
class Northbound:
    """One server beside one lab."""

    lab: "Lab"
    state_dir: Path
    agents: Agents
    limits: Limits = field(default_factory=Limits)
    open_on_loopback: bool = False  # whoever comes from this computer is an admin without a token
    keys: KeyStore | None = None  # what ETSI GS QKD 014 delivers; None: it is not offered
    health: Health = field(default_factory=Health)
    streams: int = 0
    tokens: TokenBook = field(init=False)
    store: ApiStore = field(init=False)
    follower: Follower = field(init=False)
    stopping: asyncio.Event = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = TokenBook(self.state_dir)
        self.store = ApiStore(self.state_dir / "northbound" / FILE)
        self.follower = Follower(tuple(self.lab.addresses), self.agents, self.store, self.health)
        self.stopping = asyncio.Event()

    async def start(self) -> None:
        """Open the memory and follow the lab. Raises StoreFault, ConfigError."""
        await self.store.open()
        self.follower.start()

    async def stop(self) -> None:
        """Let everything go; streams have ended before."""
        self.stopping.set()
        await self.follower.stop()
        await self.store.close()

    def heard_ns(self, node: str) -> int:
        """Unix time at which a node last told its news; 0: not in this life of the server."""
        heard_s = self.follower.heard_s.get(node)
        return 0 if heard_s is None else time.time_ns() - round((time.monotonic() - heard_s) * 1e9)
