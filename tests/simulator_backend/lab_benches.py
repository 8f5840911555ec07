"""A lab of equipment whose emulators and drivers run in one event loop, on free ports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bellwire.drivers import load_driver
from bellwire.drivers.id900_streams import StreamSettings
from bellwire.drivers.instrument import Condition
from bellwire.labs import load_lab
from bellwire.labs.equipment import EquipmentSettings
from bellwire.labs.free_ports import on_free_ports
from bellwire.simulator_backend.lab_emulation import LabEmulation
from bellwire.simulator_backend.lab_light import LabLight

PATIENCE_S = 30.0
LABS = Path(__file__).parents[2] / "lab_configs"


class LitBench:
    """Drivers by the full names of their equipment, and the light that nobody but the test may see."""

    def __init__(self, emulation: LabEmulation, drivers: dict[str, Any]) -> None:
        assert emulation.light is not None
        self.light: LabLight = emulation.light
        self.emulation = emulation
        self.drivers = drivers

    def __getitem__(self, name: str) -> Any:
        return self.drivers[name]

    async def light_up(self, pump: str, oven: str, power_mw: float, temperature_c: float) -> None:
        """Pump on, oven warm at once: how an oven warms is another test."""
        await self[oven].set_heating(True)
        await self[oven].set_temperature_c(temperature_c)
        model: Any = self.emulation.equipment.emulator(oven).model
        model.temperature_c = temperature_c
        await self[pump].set_power_mw(power_mw)
        await self[pump].set_emission(True)
        await asyncio.sleep(0.3)


@asynccontextmanager
async def lit_bench(folder: Path, text: str, names: tuple[str, ...]) -> AsyncIterator[LitBench]:
    """The lab of that text, with its settings asserted, and drivers for the equipment of these full names."""
    path = folder / "lab.yaml"
    path.write_text(on_free_ports(text), encoding="utf-8")
    lab = load_lab(path, live=True)
    async with LabEmulation(lab, folder) as emulation, AsyncExitStack() as stack:
        drivers: dict[str, Any] = {}

        async def connect(one: EquipmentSettings) -> None:
            driver: Any = load_driver(one.driver, where="test")
            made = driver(one.full_name, one.address.replace("pty:", f"{folder}/"), probe_s=60.0)
            task = asyncio.get_running_loop().create_task(made.supervise())
            stack.push_async_callback(asyncio.gather, task, return_exceptions=True)
            stack.callback(task.cancel)
            drivers[one.full_name] = made
            await made.wait_for(Condition.READY, PATIENCE_S)
            await made.configure(dict(one.settings))

        await asyncio.gather(*(connect(one) for one in lab.equipment if one.full_name in names))
        yield LitBench(emulation, drivers)


async def stretch(
    tagger: Any, block_ps: int = 500_000_000_000
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Tags of one sub-acquisition of a Time Controller, in its own time from its beginning."""
    tagger.stream_settings = StreamSettings(block_ps=block_ps)
    async with contextlib.aclosing(tagger.tags()) as blocks:
        async for block in blocks:
            return block.time_ps, block.channel
    raise AssertionError("a stream without a block")
