"""The equipment of one machine: drivers started from the lab file, kept up, read and moved for people.

Owns the drivers and the tasks that supervise them. Refuses meaning: what a laser is for is said by
composites and by calibration. A missing instrument is shown as missing, never replaced.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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

AppliedSettings = Callable[[], tuple[Sequence[EquipmentEntry], Sequence[CompositeEntry]]]
"""This machine's equipment and composites as calibrations in force have left them; may take a moment."""

YIELD_S = 5.0
"""So long an instrument may take to be ready again after its composite was stopped in the middle."""


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
        applied: AppliedSettings | None = None,
    ) -> None:
        self.drivers: dict[str, Equipment] = {}
        self._entries = {entry.name: entry for entry in entries}
        self._health = health
        self._applied = applied
        self._on_vital = on_vital
        self._vital_told: tuple[bool, str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._keepers: dict[str, asyncio.Task[None]] = {}  # by name of the composite
        self._started = False
        self._yielded: dict[str, dict[object, str]] = {}  # composite -> holders of its parts, by their holds
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
        self._started = True
        for composite in self.composites:
            self._keep(composite)

    async def stop(self) -> None:
        """Bring every composite, then every instrument to its safe state, from the last on, and close."""
        self._started = False
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
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

    async def yield_to(self, hold: object, holder: str, names: Collection[str]) -> None:
        """Composites of these instruments leave them alone from now on, until every such hold has ended.

        A request that was under way when they were stopped may have cost its line: returns when it is back,
        or after YIELD_S.
        """
        stopped: list[asyncio.Task[None]] = []
        for composite in self.composites:
            if composite.part_names.isdisjoint(names):
                continue
            self._yielded.setdefault(composite.name, {})[hold] = holder
            keeper = self._keepers.pop(composite.name, None)
            if keeper is not None:
                keeper.cancel()
                stopped.append(keeper)
            composite.leave(f"held by {', '.join(self._yielded[composite.name].values())}")
        if not stopped:
            return
        were_ready = [self.drivers[name] for name in names if self._was_ready(name)]
        await asyncio.gather(*stopped, return_exceptions=True)
        try:
            await asyncio.gather(*(one.wait_for(Condition.READY, YIELD_S) for one in were_ready))
        except DeviceFault as fault:
            self._health.count("instrument_not_back", instrument=fault.instrument, problem=fault.detail)

    def take_over(self, hold: object) -> None:
        """This hold has ended: composites that nobody else holds are brought to their points again.

        Their parts remember the settings of the lab file again, as far as these are the composites' business:
        what the holder set, or a safe state has left, would be asserted against them.
        """
        for composite in self.composites:
            holders = self._yielded.get(composite.name, {})
            if holders.pop(hold, None) is None:
                continue
            if holders:
                composite.leave(f"held by {', '.join(holders.values())}")
            else:
                self._keep(composite, self._remember_again)

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

    def _keep(
        self, composite: KeptComposite, before: Callable[[KeptComposite], Awaitable[None]] | None = None
    ) -> None:
        async def keep() -> None:
            if before is not None:
                await before(composite)
            await composite.keep()

        if self._started and not self._yielded.get(composite.name):
            self._keepers[composite.name] = asyncio.get_running_loop().create_task(keep())

    async def _remember_again(self, composite: KeptComposite) -> None:
        if self._applied is not None:
            await self._take_what_was_applied(self._applied)
        for name in composite.part_names:
            driver, settings = self.drivers[name], self._entries[name].settings
            own = {
                parameter: value
                for parameter, value in settings.items()
                if driver.parameter(parameter).write in composite.writes
            }
            if not own:
                continue
            try:
                await driver.configure(own)
            except DeviceFault as fault:  # remembered all the same, and asserted when it is back
                self._health.count("settings_not_asserted", instrument=driver.name, problem=str(fault))

    async def _take_what_was_applied(self, applied: AppliedSettings) -> None:
        """Entries as calibrations have left them: a holder may have moved an operating point for good."""
        equipment, composites = await asyncio.to_thread(applied)
        for entry in equipment:
            if entry.name in self._entries:
                self._entries[entry.name] = entry
        points = {f"{entry.owner}-{entry.name}": entry for entry in composites}
        for composite in self.composites:
            if composite.name in points:
                composite.move_to(points[composite.name])

    def _was_ready(self, name: str) -> bool:
        return self.drivers[name].state.condition is Condition.READY

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
