"""A `Held` whose memories are those of a lab in virtual time: to store for minutes takes none."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from bellwire.core.effects import Report
from bellwire.core.events import StorageAsked
from bellwire.core.ids import NodeId
from bellwire.core.units import ns_from_s
from bellwire.drivers.qubit_storage import Preparation, Stored
from bellwire.labs import Lab
from bellwire.simulator_backend.host import VirtualHost


class StoredInTime:
    """One run of the machines of a lab, without requests. `lost_every`: each so-manieth state is lost."""

    def __init__(self, lab: Lab, seed: int, *, lost_every: int = 0) -> None:
        self.host = VirtualHost(lab, seed, lambda request, version, news: "nothing is planned")
        self.host.reports.append(self._reported)
        self.host.start()
        self.host.run(ns_from_s(0.1))
        self.asked = 0
        self._lost_every = lost_every
        self._awaited: dict[tuple[NodeId, int], asyncio.Future[Stored]] = {}
        self._running: asyncio.Task[None] | None = None

    async def store(self, node: str, state: Preparation, storage_s: float) -> Stored:
        """As of `Held`."""
        self.asked += 1
        number = self.asked
        if self._lost_every and number % self._lost_every == 0:
            return Stored(None, None)
        stored: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self._awaited[node, number] = stored
        event = StorageAsked(
            number=number,
            turns=state.turns,
            basis=state.basis,
            storage_ns=ns_from_s(storage_s),
            within_ns=ns_from_s(30.0),
        )
        self.host.tell_at(self.host.clock.now_ns, node, event)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await stored

    async def _run(self) -> None:
        while self._awaited:
            await asyncio.sleep(0)  # whoever was answered may ask for the next at the same moment
            self.host.run(self.host.clock.now_ns + ns_from_s(0.001))
        self._running = None

    def _reported(self, now_ns: int, node: NodeId, report: Report) -> None:
        if report.name != "state_stored":
            return
        bit, stored_ns = report.fields["bit"], report.fields["stored_ns"]
        assert isinstance(stored_ns, int)
        assert isinstance(bit, int)
        number = report.fields["number"]
        assert isinstance(number, int)
        awaited = self._awaited.pop((node, number))
        if not awaited.done():  # else nobody waits for it any more
            awaited.set_result(Stored(bit, stored_ns / 1e9))

    # -- what this procedure does not use -------------------------------------------------------------------

    async def read(self, instrument: str, parameter: str) -> Any:
        raise AssertionError(f"{instrument} {parameter} was read")

    async def write(self, instrument: str, parameter: str, value: Any) -> Any:
        raise AssertionError(f"{instrument} {parameter} was written")

    async def count(self, instrument: str, window_s: float) -> Any:
        raise AssertionError(f"{instrument} was counted")

    async def tags(
        self, instrument: str, duration_s: float, channels: Sequence[int] = ()
    ) -> AsyncGenerator[Any, None]:
        raise AssertionError(f"tags of {instrument} were asked for")
        yield

    async def safe(self, instrument: str) -> None:
        raise AssertionError(f"{instrument} was made safe")
