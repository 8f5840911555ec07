"""The equipment of one machine: drivers started from the lab file, kept up, read and moved for people.

Owns the drivers and the tasks that supervise them. Refuses meaning: what a laser is for is said by
composites and by calibration. A missing instrument is shown as missing, never replaced.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.core.registry import nearest
from bellwire.drivers import load_driver
from bellwire.drivers.equipment import EQUIPMENT, Equipment
from bellwire.drivers.instrument import Condition, InstrumentState
from bellwire.runtime.composites import KeptComposite
from bellwire.runtime.health import Health
from bellwire.runtime.lab_words import CompositeEntry, EquipmentEntry

SAFE_STATE_S = 3.0
"""An instrument that does not confirm its safe state within this is named in health."""


def device_path(address: str, device_dir: Path) -> str:
    """The address for a driver: `pty:NAME` lies in the state directory, anything else is taken as it is."""
    if not address.startswith("pty:"):
        return address
    return str((device_dir / address.removeprefix("pty:")).absolute())  # a driver takes a word for a host


def make_driver(
    entry: EquipmentEntry, device_dir: Path, on_state: Callable[[InstrumentState], None] | None = None
) -> Equipment:
    """The driver of an entry, not connected. Raises ConfigError."""
    driver = load_driver(entry.driver, where=entry.full_name)
    if not issubclass(driver, EQUIPMENT):
        raise ConfigError(
            f"{entry.driver} makes pairs: it belongs under instruments, not equipment", where=entry.full_name
        )
    return driver(
        entry.full_name,
        device_path(entry.address, device_dir),
        serial_number=entry.serial_number,
        on_state=on_state,
    )


class NodeEquipment:
    """The equipment of one node or station. `on_vital(ready, reason)` is called when that changes, see
    `vital`.
    """

    def __init__(
        self,
        entries: Sequence[EquipmentEntry],
        device_dir: Path,
        health: Health,
        on_vital: Callable[[bool, str], None] | None = None,
        composites: Sequence[CompositeEntry] = (),
    ) -> None:
        self.drivers: dict[str, Equipment] = {}
        self._entries = {entry.name: entry for entry in entries}
        self._health = health
        self._on_vital = on_vital
        self._vital_told: tuple[bool, str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._keepers: list[asyncio.Task[None]] = []
        for entry in entries:
            self.drivers[entry.name] = make_driver(entry, device_dir, self._on_state)
        self.composites = [KeptComposite(one, self.drivers, self._on_standing) for one in composites]

    @property
    def vital(self) -> tuple[bool, str]:
        """Whether every vital instrument is ready, and which is not and why."""
        for name, driver in self.drivers.items():
            if self._entries[name].vital and driver.state.condition is not Condition.READY:
                return False, f"{driver.name} is {driver.state.condition}: {driver.state.reason}"
        for composite in self.composites:
            if not composite.settled:
                return False, f"{composite.name}: {composite.standing}"
        return True, ""

    @property
    def ready(self) -> bool:
        """Whether every instrument, vital or not, is ready, and every composite at its operating point."""
        return all(driver.state.condition is Condition.READY for driver in self.drivers.values()) and all(
            composite.settled for composite in self.composites
        )

    def states(self) -> dict[str, dict[str, str]]:
        """Condition and reason of each instrument, for people."""
        return {
            driver.name: {"condition": driver.state.condition.value, "reason": driver.state.reason}
            for driver in self.drivers.values()
        } | {
            composite.name: {
                "condition": Condition.READY.value if composite.settled else Condition.CONNECTING.value,
                "reason": composite.standing,
            }
            for composite in self.composites
        }

    async def start(self) -> None:
        """Begin to bring the instruments up, all at once; failures are retried by the drivers for ever."""
        loop = asyncio.get_running_loop()
        for name, driver in self.drivers.items():
            self._tasks.append(loop.create_task(self._run(driver, self._entries[name].settings)))
        self._keepers = [loop.create_task(composite.keep()) for composite in self.composites]

    async def stop(self) -> None:
        """Bring every composite, then every instrument to its safe state, from the last on, and close."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for composite in reversed(self.composites):
            await self._secure(composite.name, composite.settled, composite.thing.safe_state)
        for driver in reversed(self.drivers.values()):
            ready = driver.state.condition is Condition.READY
            await self._secure(driver.name, ready, driver.safe_state)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def driver(self, name: str) -> Equipment:
        """The driver of that name. Raises ConfigError with the nearest name."""
        if name not in self.drivers:
            raise ConfigError(f'no equipment is called "{name}" here{nearest(name, self.drivers)}')
        return self.drivers[name]

    def readings(self) -> dict[str, dict[str, Any]]:
        """The last value of every parameter that was ever read, with unit, quality and time."""
        return {
            name: {
                reading.parameter: {
                    "value": reading.value,
                    "unit": reading.unit,
                    "quality": reading.quality.value,
                    "taken_at_ns": reading.taken_at_ns,
                }
                for reading in driver.readings.values()
            }
            for name, driver in self.drivers.items()
        }

    async def _run(self, driver: Equipment, settings: Mapping[str, bool | int | float | str]) -> None:
        try:
            await driver.configure(settings)  # remembered; asserted as soon as there is a connection
            await driver.supervise()
        except ConfigError as problem:
            self._health.tell("instrument_misconfigured", instrument=driver.name, problem=str(problem))

    async def _secure(self, name: str, answers: bool, safe_state: Callable[[], Awaitable[None]]) -> None:
        if not answers:
            return
        try:
            async with asyncio.timeout(SAFE_STATE_S):
                await safe_state()
        except (DeviceFault, TimeoutError) as fault:
            self._health.count("safe_state_not_confirmed", instrument=name, problem=str(fault))

    def _on_state(self, state: InstrumentState) -> None:
        if state.condition in (Condition.LOST, Condition.DESYNC, Condition.REFUSED):
            self._health.count(
                f"equipment_{state.condition}", instrument=state.instrument, reason=state.reason
            )
        self._on_standing()

    def _on_standing(self) -> None:
        if self._on_vital is not None and self._vital_told != (vital := self.vital):
            self._vital_told = vital
            self._on_vital(*vital)
