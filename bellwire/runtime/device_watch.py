"""States of one instrument, told to a machine: ready, lost, or reset with everything that it held.

Owns the rules that preparation comes before the first "ready", and that a machine hears at once of an
instrument that is not ready yet: what it ordered meanwhile would be refused, and nothing would come of it.
Refuses the driver's business of getting there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from bellwire.core.errors import DeviceFault
from bellwire.core.events import DeviceChanged, Event
from bellwire.drivers.instrument import Condition, InstrumentState
from bellwire.runtime.health import Health


class DeviceWatch:
    """Turns the states of one instrument into DeviceChanged."""

    def __init__(
        self, role: Literal["memory", "station", "timing"], feed: Callable[[Event], None], health: Health
    ) -> None:
        self.ready = False
        self._told = False  # the machine has heard of this instrument
        self._role: Literal["memory", "station", "timing"] = role
        self._feed = feed
        self._health = health
        self.prepare: Callable[[], Awaitable[None]] | None = (
            None  # done once, before the first "ready" is told
        )
        self._preparing: asyncio.Task[None] | None = None

    def on_reset(self) -> None:
        """The device forgot what it held; told at once, because qubits are gone."""
        self._tell(ready=False, lost_state=True, reason="the device was reset")

    def on_state(self, state: InstrumentState) -> None:
        """The driver's state changed."""
        ready = state.condition is Condition.READY
        if ready and self.prepare is not None:
            if self._preparing is None or self._preparing.done():
                self._preparing = asyncio.get_running_loop().create_task(self._prepare(self.prepare, state))
        elif ready != self.ready:
            self._tell(ready=ready, lost_state=False, reason=state.reason)
        elif not ready:
            self._health.count(
                f"{self._role}_not_ready", condition=state.condition.value, reason=state.reason
            )
            if not self._told:
                self._feed_change(ready=False, lost_state=False, reason=state.reason)

    async def _prepare(self, prepare: Callable[[], Awaitable[None]], state: InstrumentState) -> None:
        try:
            await prepare()
        except DeviceFault as fault:
            # The driver will bring the device up again, and then this is tried anew.
            self._health.tell(f"{self._role}_not_prepared", problem=str(fault))
            return
        self.prepare = None
        self._tell(ready=True, lost_state=False, reason=state.reason)

    def _tell(self, *, ready: bool, lost_state: bool, reason: str) -> None:
        self.ready = ready
        name = f"{self._role}_{'ready' if ready else 'reset' if lost_state else 'lost'}"
        self._health.tell(name, reason=reason)
        self._feed_change(ready=ready, lost_state=lost_state, reason=reason)

    def _feed_change(self, *, ready: bool, lost_state: bool, reason: str) -> None:
        self._told = True
        self._feed(DeviceChanged(role=self._role, ready=ready, lost_state=lost_state, reason=reason))
