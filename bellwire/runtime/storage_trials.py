"""States that the console has a node's memory keep: told to the machine, and read from its reports.

Owns the numbers of trials and the wait for each. Refuses to time anything: the machine and the memory do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from bellwire.core.effects import Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event, StorageAsked
from bellwire.core.ids import NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_S

STORAGE_MAX_NS: Final = 60 * NS_PER_S
"""A slot is not lent for longer."""


class Stored(NamedTuple):
    """What came of a state; `bit` None: it was lost. `stored_ns`: by the memory; None: it has not said."""

    bit: int | None
    stored_ns: int | None


class StorageTrials:
    """Of one agent. `feed`: gives the machine an event."""

    def __init__(self, network: NetworkSettings, node: NodeId, feed: Callable[[Event], None]) -> None:
        settings = network.nodes.get(node)
        memory = None if settings is None else settings.memory
        self._node = node
        self._slots = 0 if memory is None else memory.own_slots
        self._feed = feed
        self._number = 0
        self._awaited: dict[int, asyncio.Future[Stored]] = {}

    async def store(
        self,
        turns: tuple[int, int, int],
        basis: Literal["X", "Y", "Z"],
        storage_ns: int,
        within_ns: int,
    ) -> Stored:
        """Have a state kept and measured; begun within `within_ns`, or lost.

        Raises LocalMisuse: the node has no slot for it, or is asked to store for too long.
        """
        if not self._slots:
            raise LocalMisuse(
                f"the memory of {self._node} has no slots of its own (own_slots in the lab file)"
            )
        if not 0 <= storage_ns <= STORAGE_MAX_NS:
            raise LocalMisuse(f"a state is stored for 0 to {STORAGE_MAX_NS / NS_PER_S:g} s")
        self._number += 1
        number = self._number
        stored: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self._awaited[number] = stored
        try:
            self._feed(
                StorageAsked(
                    number=number, turns=turns, basis=basis, storage_ns=storage_ns, within_ns=within_ns
                )
            )
            return await stored
        finally:
            del self._awaited[number]

    def on_report(self, at_ns: int, report: Report) -> None:
        """From the machine."""
        if report.name != "state_stored":
            return
        number, bit, stored_ns = (report.fields[name] for name in ("number", "bit", "stored_ns"))
        assert isinstance(number, int)
        assert bit is None or isinstance(bit, int)
        assert stored_ns is None or isinstance(stored_ns, int)
        awaited = self._awaited.get(number)
        if awaited is not None and not awaited.done():
            awaited.set_result(Stored(bit, stored_ns))
