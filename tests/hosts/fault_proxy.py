"""A bad network between live agents, in user space: connections are cut, held, slowed and throttled.

Owns one TCP relay for every agent of a lab: it listens at the address by which others reach the agent, which
itself listens elsewhere (`listen` in the lab file). Bytes are delayed and cut off, never changed: below CURVE
a changed byte is nothing but a broken connection. Reordering and copies, which TCP rules out, are what the
virtual host is for (bellwire soak).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from bellwire.labs.free_ports import free_ports

CHUNK_BYTES: Final = 16_384
QUIET_S: Final = (0.2, 1.5)
"""Between two faults of the network, from and to."""


def behind_proxies(sections: dict[str, Any]) -> None:
    """Change a lab file: every agent listens at a port of its own, beside the one that others know."""
    agents = [
        at for kind in ("nodes", "stations") for at in sections.get(kind, {}).values() if "address" in at
    ]
    for at, port in zip(agents, free_ports(len(agents)), strict=True):
        at["listen"] = f"tcp://127.0.0.1:{port}"


@dataclass
class Relay:
    """The way to one agent."""

    outside: int  # ports; 0: the system chooses
    inside: int
    delay_s: float = 0.0  # of every chunk
    bytes_per_s: float | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)  # set: bytes may pass
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    server: asyncio.Server | None = None
    cuts: int = 0

    async def start(self) -> str:
        """Listen; returns the endpoint."""
        self.held.set()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.outside)
        return f"tcp://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.inside)
        except OSError:
            writer.close()  # the agent is not there at the moment
            return
        self.writers |= {writer, inner_writer}
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.get_running_loop().create_task(self._pump(source, sink))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while octets := await source.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s is not None:
                    await asyncio.sleep(len(octets) / self.bytes_per_s)
                await self.held.wait()
                sink.write(octets)
                await sink.drain()
        except OSError:
            pass
        finally:
            self.writers.discard(sink)
            sink.close()

    def cut(self) -> None:
        """Reset every connection to this agent."""
        self.cuts += 1
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def stop(self) -> None:
        self.cut()
        if self.server is not None:
            self.server.close()
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class BadNetwork:
    """Relays to all agents, and what goes wrong on them."""

    def __init__(self, ports: dict[str, tuple[int, int]], chance: Random) -> None:
        """ports: outside and inside, by agent."""
        self.relays = {name: Relay(outside, inside) for name, (outside, inside) in ports.items()}
        self.fired: Counter[str] = Counter()
        self._chance = chance

    async def trouble(self) -> None:
        """One fault after another, until cancelled."""
        chance = self._chance
        while True:
            await asyncio.sleep(chance.uniform(*QUIET_S))
            relay = self.relays[chance.choice(list(self.relays))]
            kind = chance.choice(("cut", "cut", "hold", "partition", "slow", "throttle"))
            self.fired[kind] += 1
            if kind == "cut":
                relay.cut()
            elif kind == "hold":
                await self._hold([relay], chance.uniform(0.05, 1.0))
            elif kind == "partition":  # longer than it takes to judge a peer down
                await self._hold([relay], chance.uniform(1.5, 2.5))
            elif kind == "slow":
                relay.delay_s = chance.uniform(0.002, 0.05)
                await asyncio.sleep(chance.uniform(0.5, 2.0))
                relay.delay_s = 0.0
            else:
                relay.bytes_per_s = chance.uniform(5e3, 5e4)
                await asyncio.sleep(chance.uniform(0.5, 2.0))
                relay.bytes_per_s = None

    async def _hold(self, relays: list[Relay], for_s: float) -> None:
        for relay in relays:
            relay.held.clear()
        try:
            await asyncio.sleep(for_s)
        finally:
            for relay in relays:
                relay.held.set()

    def calm(self) -> None:
        """From now on everything passes."""
        for relay in self.relays.values():
            relay.delay_s, relay.bytes_per_s = 0.0, None
            relay.held.set()


@asynccontextmanager
async def bad_network(
    addresses: dict[str, str], listens: dict[str, str], seed: int
) -> AsyncIterator[BadNetwork]:
    """Relays are up as long as this lasts. addresses, listens: of a lab."""

    def port(address: str) -> int:
        return int(address.rpartition(":")[2])

    network = BadNetwork(
        {name: (port(at), port(listens[name])) for name, at in addresses.items()}, Random(seed)
    )
    for relay in network.relays.values():
        await relay.start()
    try:
        yield network
    finally:
        for relay in network.relays.values():
            await relay.stop()
