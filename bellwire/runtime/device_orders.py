"""Device orders in flight: one after the other about one thing (a slot, a lane), others side by side.

Owns the bookkeeping. Refuses to know devices: an order is an awaitable, and what its end means is its
giver's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence

from bellwire.runtime.health import Health

ORDERS_MAX = 2_048
"""Device orders that have not ended; further ones end as unknown at once, and are counted."""


class DeviceOrderBook:
    """Starts orders in the order in which they came, thing by thing."""

    def __init__(self, health: Health, device: str) -> None:
        self._health = health
        self._device = device
        self._latest: dict[Hashable, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, things: Sequence[Hashable], order: Callable[[], Awaitable[None]]) -> bool:
        """Run `order` when all earlier orders about these things have ended. False: too many, it will not
        run."""
        if len(self._running) >= ORDERS_MAX:
            self._health.count("device_orders_full", device=self._device, limit=ORDERS_MAX)
            return False
        before = {self._latest[thing] for thing in things if thing in self._latest}

        async def run() -> None:
            if before:
                await asyncio.wait(before)
            await order()

        task = asyncio.get_running_loop().create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        for thing in things:
            self._latest[thing] = task
        return True

    async def close(self) -> None:
        """Cancel what runs, and wait until it has ended."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
