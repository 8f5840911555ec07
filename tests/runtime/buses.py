"""Ends of the bus on loopback for tests: ports chosen by the system, waits on conditions with a deadline."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bellwire.core.effects import Send
from bellwire.core.ids import NodeId
from bellwire.core.messages import BusMessage, Watermark
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.keys import Keyring
from bellwire.runtime.network import Network

DEADLINE_S = 20.0
FAST_INTERVAL_NS = 50_000_000


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Let the loop run until the condition holds; fails with `what` after the deadline."""
    give_up = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        await asyncio.sleep(0.001)


class Listener:
    """A host that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[tuple[NodeId, int, BusMessage]] = []
        self.opinions: list[tuple[NodeId, str, int | None]] = []

    def on_message(self, source: NodeId, incarnation: int, message: BusMessage) -> None:
        self.messages.append((source, incarnation, message))

    def on_peer(self, peer: NodeId, state: str, incarnation: int | None) -> None:
        self.opinions.append((peer, state, incarnation))

    def numbers_from(self, source: NodeId) -> list[int]:
        return [
            message.last
            for peer, _, message in self.messages
            if peer == source and isinstance(message, Watermark)
        ]


class BusEnd:
    """One end of a bus, started."""

    def __init__(
        self,
        name: NodeId,
        *,
        keys: Path | None = None,
        incarnation: int = 1,
        interval_ns: int = FAST_INTERVAL_NS,
        bind: str = "tcp://127.0.0.1:*",
    ) -> None:
        self.name = name
        self.host = Listener()
        self.health = Health()
        keyring = None
        if keys is not None:
            keyring = Keyring(keys, name)
            keyring.make(name)
        self.keyring = keyring
        security = "plaintext" if keys is None else "curve"
        settings = BusSettings(interval_ns=interval_ns, security=security)
        self.network = Network(name, incarnation, self.host, LiveClock(), self.health, keyring, settings)
        self.endpoint = self.network.start(bind)

    def send(self, to: "BusEnd | NodeId", number: int, urgency: str = "control") -> None:
        name = to if isinstance(to, str) else to.name
        message = Watermark(incarnation=1, last=number)
        self.network.send(Send(to=name, message=message, urgency=urgency))  # type: ignore[arg-type]

    def knows(self, other: "BusEnd") -> bool:
        peer = self.network.peers.get(other.name)
        return peer is not None and peer.knows_us


def join(*ends: BusEnd) -> None:
    for end in ends:
        for other in ends:
            if end is not other:
                end.network.add_peer(other.name, other.endpoint)


@asynccontextmanager
async def buses(*ends: BusEnd) -> AsyncIterator[None]:
    """Join the ends, wait until all know each other, and close them at the end."""
    try:
        join(*ends)
        await until(
            lambda: all(a.knows(b) for a in ends for b in ends if a is not b), "all ends know each other"
        )
        yield
    finally:
        for end in ends:
            end.network.close()
