"""Instruments by connections of one's own: for scripts, notebooks and benches without agents.

Owns the leases and the streams over drivers that are connected already. Refuses instruments that an agent
owns: two owners of one line would talk past each other, so ask the console instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.access import OnLoss
from bellwire.calibration.records import InstrumentSeen
from bellwire.core.errors import LocalMisuse
from bellwire.core.registry import nearest
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.leases import Lease
from bellwire.drivers.qubit_storage import Preparation, Stored
from bellwire.drivers.readings import Value
from bellwire.drivers.roles import TimeTagger
from bellwire.drivers.time_tags import Counts, TagBlock

PS_PER_S = 1_000_000_000_000


class DirectAccess:
    """An `Access` over connected drivers, by the full names of their instruments."""

    def __init__(self, drivers: Mapping[str, Equipment]) -> None:
        self._drivers = dict(drivers)

    @asynccontextmanager
    async def hold(
        self,
        instruments: Sequence[str],
        holder: str,
        *,
        lease_s: float = 10.0,
        on_loss: OnLoss = "safe",
    ) -> AsyncIterator[DirectHeld]:
        """As of `Access`, but for `on_loss`: the leases end with this process, and nobody is left to do it.

        Raises LeaseRefused, and LocalMisuse for an unknown instrument.
        """
        chosen = {name: self._driver(name) for name in instruments}
        async with AsyncExitStack() as stack:
            leases: dict[str, Lease] = {}
            for name, driver in chosen.items():
                leases[name] = driver.leases.grant(holder, lease_s)
                stack.callback(driver.leases.release, leases[name].token)
            renewing = asyncio.get_running_loop().create_task(_renew(chosen, leases, lease_s))
            try:
                yield DirectHeld(chosen, {name: lease.token for name, lease in leases.items()})
            finally:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)

    async def seen(self, instruments: Sequence[str]) -> tuple[InstrumentSeen, ...]:
        """As of `Access`."""
        return tuple(described(name, self._driver(name)) for name in instruments)

    def _driver(self, name: str) -> Equipment:
        if name not in self._drivers:
            raise LocalMisuse(f'no instrument is called "{name}"{nearest(name, self._drivers)}')
        return self._drivers[name]


def described(name: str, driver: Equipment) -> InstrumentSeen:
    """Who a connected instrument says it is."""
    identity = driver.identity
    if identity is None:
        return InstrumentSeen(name, driver.model)
    return InstrumentSeen(name, identity.model, identity.serial_number, identity.firmware)


class DirectHeld:
    """A `Held` over drivers."""

    def __init__(self, drivers: Mapping[str, Equipment], tokens: Mapping[str, int]) -> None:
        self._drivers = drivers
        self._tokens = tokens

    async def read(self, instrument: str, parameter: str) -> Value:
        """As of `Held`."""
        return (await self._under_lease(instrument).read_parameter(parameter)).value

    async def write(self, instrument: str, parameter: str, value: Value) -> Value:
        """As of `Held`; a parameter that cannot be read back is taken as set."""
        driver = self._under_lease(instrument)
        reading = await driver.write_parameter(parameter, value, token=self._tokens[instrument])
        return driver.parameter(parameter).checked(value) if reading is None else reading.value

    async def count(self, instrument: str, window_s: float) -> Counts:
        """As of `Held`."""
        return await self._tagger(instrument).count(window_s)

    async def tags(
        self, instrument: str, duration_s: float, channels: Sequence[int] = ()
    ) -> AsyncGenerator[TagBlock, None]:
        """As of `Held`."""
        wanted = np.array(sorted(channels), np.int16)
        covered_ps = 0
        async with aclosing(self._tagger(instrument).tags()) as stream:
            async for block in stream:
                self._under_lease(instrument)
                yield block if len(wanted) == 0 else only(block, wanted)
                covered_ps += block.stop_ps - block.start_ps
                if covered_ps >= duration_s * PS_PER_S:
                    return

    async def store(self, node: str, state: Preparation, storage_s: float) -> Stored:
        """As of `Held`, but refused: memories belong to their agents."""
        raise LocalMisuse(f"the memory of {node} is reached through its agent only: bring the lab up")

    async def safe(self, instrument: str) -> None:
        """As of `Held`."""
        await self._driver(instrument).safe_state()

    def _driver(self, instrument: str) -> Equipment:
        if instrument not in self._drivers:
            raise LocalMisuse(f"{instrument} is not held, only {', '.join(self._drivers)}")
        return self._drivers[instrument]

    def _under_lease(self, instrument: str) -> Equipment:
        driver = self._driver(instrument)
        driver.leases.check(self._tokens[instrument])
        return driver

    def _tagger(self, instrument: str) -> TimeTagger:
        driver = self._under_lease(instrument)
        if not isinstance(driver, TimeTagger):
            raise LocalMisuse(f"{instrument} is no time tagger")
        return driver


def only(block: TagBlock, channels: NDArray[np.int16]) -> TagBlock:
    """The tags of these channels, which are in order."""
    chosen = np.isin(block.channel, channels)
    return TagBlock(
        block.epoch, block.start_ps, block.stop_ps, block.time_ps[chosen], block.channel[chosen], block.lost
    )


async def _renew(drivers: Mapping[str, Equipment], leases: Mapping[str, Lease], lease_s: float) -> None:
    while True:
        await asyncio.sleep(lease_s / 3)
        for name, driver in drivers.items():
            driver.leases.renew(leases[name].token, lease_s)
