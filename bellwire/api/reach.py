"""Two ways to the instruments of a lab: through the agents that own them, or by connections of one's own.

Owns both, as one interface. Refuses an instrument that has another owner at that moment: while agents run,
only they speak to their instruments, and a lab that is connected from here keeps agents from starting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from bellwire.calibration.access import Access
from bellwire.calibration.direct import DirectAccess
from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.core.instrument_messages import InstrumentSafe, ParameterRead, ParameterTold, QuestionDone
from bellwire.core.units import NS_PER_S
from bellwire.drivers import load_driver
from bellwire.drivers.analyser_optics import AnalyserOptics
from bellwire.drivers.converter_unit import ConverterUnit
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.instrument import Condition
from bellwire.drivers.pair_source import PairSource
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality, Reading
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.composites import KeptComposite
from bellwire.runtime.console import Console
from bellwire.runtime.console_answers import expect
from bellwire.runtime.equipment import device_path, make_driver
from bellwire.runtime.store import AgentLock

if TYPE_CHECKING:
    from bellwire.labs import Lab
    from bellwire.labs.equipment import CompositeSettings, EquipmentSettings

CONNECT_S: Final = 10.0
"""An instrument that has not answered after this is shown as it stands; its driver keeps trying."""
UP_S: Final = 900.0
"""A crystal oven takes minutes."""
SAFE_S: Final = 5.0
ASK_S: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An instrument as it presents itself. Texts are empty while it was never connected; `held_by` None:
    nobody holds it.
    """

    name: str
    model: str
    serial_number: str
    firmware: str
    condition: str
    reason: str
    held_by: str | None
    parameters: tuple[Parameter, ...]


class Reach(Protocol):
    """The instruments of a lab, by their full names."""

    @property
    def access(self) -> Access: ...

    @property
    def lends_memories(self) -> bool:
        """Whether states can be stored in the memories of nodes, which belong to their agents."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Which can be reached."""
        ...

    async def read(self, instrument: str, parameter: str) -> Reading:
        """Without a lease."""
        ...

    async def describe(self, instrument: str) -> Described: ...

    async def safe(self, instrument: str) -> None:
        """Safety needs no lease."""
        ...

    async def bring_up(self, say: Say) -> None: ...

    async def close(self) -> None: ...


class ThroughAgents:
    """A lab that is up: its agents are asked over the bus."""

    def __init__(self, lab: Lab, console: Console, stack: AsyncExitStack) -> None:
        self._lab = lab
        self._console = console
        self._stack = stack

    @classmethod
    async def open(cls, lab: Lab, state: Path, *, bus: BusSettings | None = None) -> ThroughAgents:
        """Raises ConfigError: the lab has no console, or somebody else is at it."""
        stack = AsyncExitStack()
        console = await stack.enter_async_context(Console(lab, state, bus=bus))
        return cls(lab, console, stack)

    @property
    def access(self) -> Access:
        """The console."""
        return self._console

    @property
    def lends_memories(self) -> bool:
        """As of `Reach`."""
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """As of `Reach`."""
        return tuple(one.full_name for one in self._lab.equipment)

    async def read(self, instrument: str, parameter: str) -> Reading:
        """As of `Reach`."""
        answer = await self._console.ask(
            self._console.owner(instrument),
            lambda number: ParameterRead(
                number=number,
                instrument=instrument,
                parameter=parameter,
                token=None,
                within_ns=round(ASK_S * NS_PER_S),
            ),
            about=instrument,
        )
        told = expect(answer, ParameterTold, instrument)
        if told.value is None:
            raise DeviceFault(instrument, f"{parameter} was read without a value")
        return Reading(parameter, told.value, told.unit, Quality(told.quality), time.monotonic_ns())

    async def describe(self, instrument: str) -> Described:
        """As of `Reach`."""
        (told,) = await self._console.described([instrument])
        kind = load_driver(self._entry(instrument).driver, where=instrument)
        return Described(
            name=instrument,
            model=told.model,
            serial_number=told.serial_number,
            firmware=told.firmware,
            condition=told.condition,
            reason=told.reason,
            held_by=told.held_by,
            parameters=kind.parameters,
        )

    async def safe(self, instrument: str) -> None:
        """As of `Reach`."""
        answer = await self._console.ask(
            self._console.owner(instrument),
            lambda number: InstrumentSafe(
                number=number, instrument=instrument, token=None, within_ns=round(ASK_S * NS_PER_S)
            ),
            about=instrument,
        )
        expect(answer, QuestionDone, instrument)

    async def bring_up(self, say: Say) -> None:
        """Refused: agents do it by themselves."""
        raise ConfigError("the agents of this lab bring its instruments up; `bellwire links` shows how far")

    async def close(self) -> None:
        """Give everything back and leave the bus."""
        await self._stack.aclose()

    def _entry(self, instrument: str) -> EquipmentSettings:
        return next(one for one in self._lab.equipment if one.full_name == instrument)


class OwnConnections:
    """Drivers in this process. Made by `open`."""

    def __init__(
        self, lab: Lab, state: Path, chosen: tuple[EquipmentSettings, ...], patience_s: float | None
    ) -> None:
        self._lab = lab
        self._chosen = chosen
        self._locks: list[AgentLock] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._kept: list[KeptComposite] = []
        self._brought_up = False
        self._drivers: dict[str, Equipment] = {
            one.full_name: _driver(one, state / "devices", patience_s) for one in chosen
        }
        self._access = DirectAccess(self._drivers)

    @classmethod
    async def open(
        cls, lab: Lab, state: Path, only: Collection[str] = (), *, patience_s: float | None = None
    ) -> OwnConnections:
        """Connect all equipment, or only some of it; queries only, nothing is set.

        `patience_s`: the least time that an instrument gets for an answer; None: its driver's. Raises
        ConfigError for an instrument that another process owns, and for a wrong address.
        """
        chosen = tuple(one for one in lab.equipment if not only or one.full_name in only)
        made = cls(lab, state, chosen, patience_s)
        try:
            made._lock(state / "agents")
            await made._connect(max(CONNECT_S, patience_s or 0.0))
        except BaseException:
            await made.close()
            raise
        return made

    def _lock(self, agents: Path) -> None:
        """The right that an agent has while it runs: there is one owner of an instrument, whoever it is."""
        for owner in dict.fromkeys(one.owner for one in self._chosen):
            try:
                self._locks.append(AgentLock(agents, owner))
            except ConfigError as taken:
                names = ", ".join(one.full_name for one in self._chosen if one.owner == owner)
                raise ConfigError(
                    f"{names} belong to another process ({taken.problem}): open the lab without direct=True, "
                    "so that the agents are asked"
                ) from None

    async def _connect(self, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        tasks = {name: loop.create_task(driver.supervise()) for name, driver in self._drivers.items()}
        self._tasks += tasks.values()

        async def wait(name: str) -> None:
            ready = loop.create_task(self._drivers[name].wait_for(Condition.READY, within_s))
            await asyncio.wait({ready, tasks[name]}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if tasks[name].done():
                tasks[name].result()  # what is wrong in the lab file
            with suppress(DeviceFault, asyncio.CancelledError):
                await ready

        await asyncio.gather(*(wait(name) for name in tasks))

    @property
    def access(self) -> Access:
        """Drivers of this process."""
        return self._access

    @property
    def lends_memories(self) -> bool:
        """As of `Reach`."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """As of `Reach`."""
        return tuple(self._drivers)

    async def read(self, instrument: str, parameter: str) -> Reading:
        """As of `Reach`."""
        return await self._drivers[instrument].read_parameter(parameter)

    async def describe(self, instrument: str) -> Described:
        """As of `Reach`."""
        driver = self._drivers[instrument]
        known, lease = driver.identity, driver.leases.current
        return Described(
            name=instrument,
            model=driver.model if known is None else known.model,
            serial_number="" if known is None else known.serial_number,
            firmware="" if known is None else known.firmware,
            condition=driver.state.condition.value,
            reason=driver.state.reason,
            held_by=None if lease is None else lease.holder,
            parameters=driver.parameters,
        )

    async def safe(self, instrument: str) -> None:
        """As of `Reach`."""
        await self._drivers[instrument].safe_state()

    async def bring_up(self, say: Say) -> None:
        """What agents do at their start: the settings of the lab file, then sources and converters at their
        operating points. Raises DeviceFault.
        """
        self._brought_up = True
        say("asserting the settings of the lab file")
        await asyncio.gather(
            *(self._drivers[one.full_name].configure(dict(one.settings)) for one in self._chosen)
        )
        whole = [one for one in self._lab.composites if self._has_all(one)]
        await asyncio.gather(*(self._settle(one, say) for one in whole))

    def _has_all(self, composite: CompositeSettings) -> bool:
        parts = [f"{composite.owner}-{name}" for names in composite.parts.values() for name in names]
        return all(part in self._drivers for part in parts)

    async def _settle(self, composite: CompositeSettings, say: Say) -> None:
        own = [one for one in self._chosen if one.owner == composite.owner]
        kept = KeptComposite(
            composite,
            {one.name: self._drivers[one.full_name] for one in own},
            lambda: say(f"{kept.name}: {kept.standing}"),
        )
        self._kept.append(kept)
        try:
            async with asyncio.timeout(UP_S):
                await _switch_on(kept, composite.values)
        except TimeoutError:
            raise DeviceFault(kept.name, f"not settled within {UP_S:g} s: {kept.standing}") from None

    async def close(self, *, leave: bool = False) -> None:
        """Disconnect. What `bring_up` has switched on goes to its safe state before, unless `leave`."""
        if self._brought_up and not leave:
            for kept in self._kept:
                await _secure(kept.thing.safe_state())
            for driver in reversed(self._drivers.values()):
                if driver.state.condition is Condition.READY:
                    await _secure(driver.safe_state())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._locks:
            self._locks.pop().release()


async def _switch_on(kept: KeptComposite, values: Mapping[str, float]) -> None:
    """Once, and then it is left alone: procedures will move its parts."""
    match kept.thing:
        case PairSource():
            await kept.thing.set_operating_point(values["pump_value"], values["crystal_temperature_c"])
            await kept.thing.set_emission(True)
        case ConverterUnit():
            await kept.thing.set_crystal_temperature_c(values["crystal_temperature_c"])
            await kept.thing.set_emission(True)
            await kept.thing.set_pump(values["pump_value"])
        case AnalyserOptics():
            await kept.thing.detectors.set_enabled(True)


async def _secure(work: Awaitable[None]) -> None:
    with suppress(DeviceFault, TimeoutError):
        async with asyncio.timeout(SAFE_S):
            await work


def _driver(entry: EquipmentSettings, folder: Path, patience_s: float | None) -> Equipment:
    kind: Any = load_driver(entry.driver, where=entry.full_name)
    if patience_s is None or not issubclass(kind, SessionInstrument):
        return make_driver(entry, folder)
    usual = kind.session_settings
    driver: Equipment = kind(
        entry.full_name,
        device_path(entry.address, folder),
        serial_number=entry.serial_number,
        settings=replace(usual, timeout_s=max(usual.timeout_s, patience_s)),
    )
    return driver
