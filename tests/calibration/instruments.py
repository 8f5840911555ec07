"""Two real drivers on emulated lines, for tests of how a procedure runs: an oven and a delay line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bellwire.calibration.bench import Knob, LinkBench, Oven, Pump, PumpedCrystal, Receiver
from bellwire.calibration.direct import DirectAccess
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.instrument import Condition
from bellwire.testing.emulator_thread import EmulatedInstrument, LoopThread, start_instrument

PATIENCE_S = 20.0

OVEN = Oven(
    Knob("oven", "temperature_set_c", "C", 20.0, 200.0),
    Knob("oven", "heating"),
    Knob("oven", "temperature_c"),
)
DELAY = Knob("delay", "delay_ps", "ps", 0.0, 650.0)
BENCH = LinkBench(
    link="alice-bob",
    kind="meeting",
    receivers=(Receiver("middle", "tagger", ()),),
    source=PumpedCrystal("source", Pump(Knob("oven", "power_max_w"), ()), OVEN),
    delay=DELAY,
)


@dataclass(frozen=True)
class TwoInstruments:
    """Drivers that are ready, the emulators behind them, and the access to them."""

    drivers: dict[str, Equipment]
    emulators: dict[str, EmulatedInstrument]

    @property
    def access(self) -> DirectAccess:
        return DirectAccess(self.drivers)

    async def value(self, knob: Knob) -> object:
        """What the instrument says, asked for past every lease."""
        return (await self.drivers[knob.instrument].read_parameter(knob.parameter)).value


@asynccontextmanager
async def two_instruments(thread: LoopThread, folder: Path) -> AsyncIterator[TwoInstruments]:
    """An oven at 25 C and a delay line at 100 ps."""
    emulators = {
        name: start_instrument(thread, driver, folder, name=name, pace=0.0)
        for name, driver in (("oven", "thorlabs_tc200"), ("delay", "oz_odl650"))
    }
    drivers = {name: one.driver() for name, one in emulators.items()}
    await drivers["delay"].configure({"delay_ps": 100.0})
    tasks = [asyncio.get_running_loop().create_task(one.supervise()) for one in drivers.values()]
    try:
        for driver in drivers.values():
            await driver.wait_for(Condition.READY, PATIENCE_S)
        yield TwoInstruments(drivers, emulators)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for emulator in emulators.values():
            thread.run(emulator.emulator.stop())
