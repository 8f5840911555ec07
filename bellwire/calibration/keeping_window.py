"""The instruments of one window, held by one lease for all looks in it, their taggers streaming throughout.

Owns what looks share: a second look gets the lease and the streams of the first, so that the taggers' time
goes on from look to look and the clock between them needs no second search. Refuses instruments that the
window does not hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from bellwire.calibration.access import Access, Held, OnLoss
from bellwire.calibration.records import InstrumentSeen
from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import LinkTimeout
from bellwire.drivers.qubit_storage import Preparation, Stored
from bellwire.drivers.readings import Value
from bellwire.drivers.time_tags import Counts, TagBlock

PS_PER_S = 1_000_000_000_000
WINDOW_MAX_S = 3600.0
BLOCKS_WAITING_MAX = 1024
"""For a look that is slower than its tagger."""


class _Stream:
    """One tagger, streaming. Blocks go to whoever listens at the time, and to nobody otherwise."""

    def __init__(self, held: Held, instrument: str, channels: tuple[int, ...]) -> None:
        self.channels = channels
        self._instrument = instrument
        self._listeners: set[asyncio.Queue[TagBlock | DeviceFault]] = set()
        self._fault: DeviceFault | None = None
        self.task = asyncio.get_running_loop().create_task(self._pump(held))

    async def _pump(self, held: Held) -> None:
        try:
            async with aclosing(held.tags(self._instrument, WINDOW_MAX_S, self.channels)) as blocks:
                async for block in blocks:
                    for listener in self._listeners:
                        self._give(listener, block)
            self._fault = LinkTimeout(self._instrument, f"a window ends after {WINDOW_MAX_S:g} s")
        except DeviceFault as fault:
            self._fault = fault
        except LocalMisuse as misuse:  # such as: somebody else reads it
            self._fault = LinkTimeout(self._instrument, str(misuse))
        for listener in self._listeners:
            self._give(listener, self._fault)

    def _give(self, listener: asyncio.Queue[TagBlock | DeviceFault], what: TagBlock | DeviceFault) -> None:
        if not listener.full():
            listener.put_nowait(what)
            return
        listener.get_nowait()
        listener.put_nowait(LinkTimeout(self._instrument, f"{BLOCKS_WAITING_MAX} blocks were not taken"))

    async def blocks(self, duration_s: float) -> AsyncGenerator[TagBlock, None]:
        """From now on until so much of its time is covered. Raises the fault that ended the stream."""
        if self._fault is not None:
            raise self._fault
        listener: asyncio.Queue[TagBlock | DeviceFault] = asyncio.Queue(BLOCKS_WAITING_MAX)
        self._listeners.add(listener)
        covered_ps = 0
        try:
            while covered_ps < duration_s * PS_PER_S:
                block = await listener.get()
                if isinstance(block, DeviceFault):
                    raise block
                covered_ps += block.stop_ps - block.start_ps
                yield block
        finally:
            self._listeners.discard(listener)


class SharedHeld:
    """A `Held` for several looks, one after the other or at once."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._streams: dict[str, _Stream] = {}

    async def read(self, instrument: str, parameter: str) -> Value:
        """As of `Held`."""
        return await self._held.read(instrument, parameter)

    async def write(self, instrument: str, parameter: str, value: Value) -> Value:
        """As of `Held`."""
        return await self._held.write(instrument, parameter, value)

    async def count(self, instrument: str, window_s: float) -> Counts:
        """As of `Held`."""
        return await self._held.count(instrument, window_s)

    async def tags(
        self, instrument: str, duration_s: float, channels: Sequence[int] = ()
    ) -> AsyncGenerator[TagBlock, None]:
        """As of `Held`. The stream stays open until the window ends; looks agree on its channels."""
        stream = self._streams.get(instrument)
        if stream is None or stream.task.done():  # one that has ended by a fault is begun anew
            stream = self._streams[instrument] = _Stream(self._held, instrument, tuple(channels))
        if stream.channels != tuple(channels):
            raise LocalMisuse(
                f"{instrument} streams channels {stream.channels} in this window, not {tuple(channels)}"
            )
        async with aclosing(stream.blocks(duration_s)) as blocks:
            async for block in blocks:
                yield block

    async def store(self, node: str, state: Preparation, storage_s: float) -> Stored:
        """As of `Held`."""
        return await self._held.store(node, state, storage_s)

    async def safe(self, instrument: str) -> None:
        """As of `Held`."""
        await self._held.safe(instrument)

    async def end(self) -> None:
        """Close the streams."""
        tasks = [one.task for one in self._streams.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Window:
    """An `Access` to what a window holds."""

    def __init__(self, access: Access, held: SharedHeld, instruments: Sequence[str]) -> None:
        self._access = access
        self._held = held
        self._instruments = frozenset(instruments)

    @asynccontextmanager
    async def hold(
        self,
        instruments: Sequence[str],
        holder: str,
        *,
        lease_s: float = 10.0,
        on_loss: OnLoss = "safe",
    ) -> AsyncIterator[Held]:
        """By the lease of the window, whatever is said here. Raises LocalMisuse for what it does not hold."""
        missing = [name for name in instruments if name not in self._instruments]
        if missing:
            raise LocalMisuse(f"{holder} asks for {', '.join(missing)}, which the window does not hold")
        yield self._held

    async def seen(self, instruments: Sequence[str]) -> tuple[InstrumentSeen, ...]:
        """As of `Access`."""
        return await self._access.seen(instruments)


@asynccontextmanager
async def held_window(
    access: Access, instruments: Sequence[str], holder: str, lease_s: float
) -> AsyncIterator[Window]:
    """All of them by one lease, or none: raises LeaseRefused naming the holder, DeviceFault.

    When the holder vanishes, agents bring back the values that stood before.
    """
    async with access.hold(instruments, holder, lease_s=lease_s, on_loss="restore") as held:
        shared = SharedHeld(held)
        try:
            yield Window(access, shared, instruments)
        finally:
            await shared.end()
