"""A lab emulated in a process of its own, and its instruments reached over their lines only.

Owns the process, the drivers and their end. Whoever measures through it can know nothing of the World.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bellwire.calibration.bench import Knob, LinkBench
from bellwire.calibration.direct import DirectAccess
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.instrument import Condition
from bellwire.labs import Lab, load_lab
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.control import socket_path
from bellwire.runtime.equipment import make_driver

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
POLL_S = 0.05


@dataclass(frozen=True)
class EmulatedBench:
    """Drivers that are ready, by full name, and what stands around the links."""

    lab: Lab
    drivers: Mapping[str, Equipment]

    @property
    def access(self) -> DirectAccess:
        return DirectAccess(self.drivers)

    def link(self, name: str) -> LinkBench:
        found = self.lab.calibration_bench(name)
        assert found is not None
        return found

    async def set(self, instrument: str, parameter: str, value: float | bool) -> None:
        """As a person sets it beforehand, under a lease of its own."""
        driver = self.drivers[instrument]
        lease = driver.leases.grant("the test", 60.0)
        await driver.write_parameter(parameter, value, token=lease.token)
        driver.leases.release(lease.token)

    async def number(self, knob: Knob) -> float:
        return float((await self.drivers[knob.instrument].read_parameter(knob.parameter)).value)

    async def warm(self, bench: LinkBench, temperature_c: float, pump: float) -> None:
        """The source at work at a temperature."""
        source = bench.source
        assert source is not None
        assert source.oven is not None
        oven = source.oven
        await self.set(oven.setpoint.instrument, oven.setpoint.parameter, temperature_c)
        await self.set(oven.heating.instrument, oven.heating.parameter, True)
        await self.set(source.pump.value.instrument, source.pump.value.parameter, pump)
        for knob in source.pump.emission:
            await self.set(knob.instrument, knob.parameter, True)
        near = 0
        async with asyncio.timeout(PATIENCE_S):
            while near < 10:
                near = near + 1 if abs(await self.number(oven.reading) - temperature_c) < 0.06 else 0
                await asyncio.sleep(POLL_S)


def _written(text: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lab.yaml"
    path.write_text(on_free_ports(text), encoding="utf-8")
    return path


@asynccontextmanager
async def emulated_bench(text: str, folder: Path) -> AsyncIterator[EmulatedBench]:
    """The lab of a file's text on free ports, emulated until the context ends."""
    path, state = _written(text, folder), folder / "state"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bellwire", "emulate", str(path), "--state", str(state)),
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
    )
    lab = load_lab(path, live=True)
    tasks: list[asyncio.Task[None]] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not socket_path(state, "emulator").exists():
                assert process.returncode is None
                await asyncio.sleep(POLL_S)
        drivers: dict[str, Equipment] = {}
        for entry in lab.equipment:
            driver = drivers[entry.full_name] = make_driver(entry, state / "devices")
            await driver.configure(entry.settings)
            tasks.append(asyncio.get_running_loop().create_task(driver.supervise()))
        for driver in drivers.values():
            await driver.wait_for(Condition.READY, PATIENCE_S)
        yield EmulatedBench(lab, drivers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
