"""A lab whose instruments are emulated in a process of their own, and drivers of ours connected to them.

Owns the process and its end. The lab is drawn by `worlds.misaligned`; what is hidden in it is for the test
alone. Drivers and procedures run in the test's event loop, over the sockets and terminals that agents use.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bellwire.calibration.bench import Knob, LinkBench
from bellwire.calibration.direct import DirectAccess
from bellwire.calibration.procedure import Procedure, Progress
from bellwire.calibration.records import CalibrationRecord, Outcome, Quantity
from bellwire.calibration.running import RunTerms, run_procedure
from bellwire.calibration.store import CalibrationStore
from bellwire.drivers import load_driver
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.instrument import Condition
from bellwire.drivers.readings import Value
from bellwire.drivers.session import SessionSettings
from bellwire.labs import Lab, load_lab
from bellwire.labs.equipment import EquipmentSettings
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.control import socket_path
from bellwire.runtime.equipment import device_path
from tests.calibration.worlds import Truth, lab_text, misaligned

PATIENCE_S = 120.0
REPLY_S = 20.0
PROBE_S = 600.0
LINK = "alice-bob"


@dataclass(frozen=True)
class EmulatedProcess:
    """A lab that is played. `text`: the file as drawn; `truth`: what was drawn; `state`: its folder."""

    text: str
    truth: Truth
    lab: Lab
    state: Path

    @property
    def bench(self) -> LinkBench:
        """What stands around the link of the lab, and can be reached without agents."""
        found = self.lab.calibration_bench(LINK)
        assert found is not None
        return replace(found, memories=())


@contextmanager
def emulated_process(folder: Path, name: str, seed: int) -> Iterator[EmulatedProcess]:
    """The lab of that name, misaligned, its instruments emulated by `bellwire emulate` until the end."""
    text, truth = misaligned(lab_text(name), seed)
    with played(folder, text, truth) as process:
        yield process


@contextmanager
def played(folder: Path, text: str, truth: Truth) -> Iterator[EmulatedProcess]:
    """The lab of a file's text on free ports, its instruments emulated until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    path, state = folder / "lab.yaml", folder / "state"
    path.write_text(on_free_ports(text), encoding="utf-8")
    command = [sys.executable, "-m", "bellwire", "emulate", str(path), "--state", str(state)]
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _await(process, socket_path(state, "emulator"), folder / "emulator.log")
            yield EmulatedProcess(text, truth, load_lab(path, live=True), state)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], control: Path, log: Path) -> None:
    """Until the emulation says that it is ready."""
    until = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < until, (
            f"not ready within {PATIENCE_S:g} s:\n{log.read_text(encoding='utf-8')}"
        )
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE_S)
            try:
                line.connect(str(control))
                line.sendall(json.dumps({"do": "status"}).encode() + b"\n")
                if json.loads(line.makefile("rb").readline())["result"]["ready"]:
                    return
            except OSError:
                time.sleep(0.05)


@dataclass
class Calibrated:
    """Drivers that are connected, the records of what was run, and a bench that a test may change."""

    process: EmulatedProcess
    drivers: dict[str, Equipment]
    store: CalibrationStore
    bench: LinkBench
    told: list[Progress] = field(default_factory=list)
    table: dict[str, Procedure] = field(default_factory=dict)

    @property
    def truth(self) -> Truth:
        return self.process.truth

    async def value(self, knob: Knob) -> object:
        """What the instrument says, asked for past every lease."""
        return (await self.drivers[knob.instrument].read_parameter(knob.parameter)).value

    async def turn(self, knob: Knob, value: Value) -> None:
        """Set a knob as somebody else would."""
        access = DirectAccess(self.drivers)
        async with access.hold([knob.instrument], "somebody") as held:
            await held.write(knob.instrument, knob.parameter, value)

    async def number(self, knob: Knob) -> float:
        """What the instrument says, of a number."""
        found = await self.value(knob)
        assert isinstance(found, int | float)
        return float(found)

    async def light_up(self, pump: float) -> None:
        """The source emits at this power."""
        source = self.bench.source
        assert source is not None
        await self.turn(source.pump.value, pump)
        for knob in source.pump.emission:
            await self.turn(knob, True)

    async def warm(self, temperature_c: float, pump: float) -> None:
        """The source at work, its crystal at this temperature."""
        source = self.bench.source
        assert source is not None
        assert source.oven is not None
        await self.turn(source.oven.setpoint, temperature_c)
        await self.turn(source.oven.heating, True)
        await self.light_up(pump)
        near = 0
        async with asyncio.timeout(PATIENCE_S):
            while near < 10:
                near = near + 1 if abs(await self.number(source.oven.reading) - temperature_c) < 0.06 else 0
                await asyncio.sleep(0.05)

    async def run(self, procedure: Procedure, *, seed: int = 1) -> CalibrationRecord:
        """Run it, with gates for what was run before."""
        self.table[procedure.name] = procedure
        terms = RunTerms(operator="ada", seed=seed, on_progress=self.told.append)
        access = DirectAccess(self.drivers)
        return await run_procedure(procedure, self.bench, access, self.store, self.table, terms)


@asynccontextmanager
async def calibrated(process: EmulatedProcess, folder: Path) -> AsyncIterator[Calibrated]:
    """Every driver of the lab's equipment, ready and configured as the file has it."""
    drivers = {one.full_name: _driver(one, process.state / "devices") for one in process.lab.equipment}
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(one.supervise()) for one in drivers.values()]
    try:
        for entry in process.lab.equipment:
            await drivers[entry.full_name].wait_for(Condition.READY, PATIENCE_S)
            await drivers[entry.full_name].configure(dict(entry.settings))
        yield Calibrated(process, drivers, CalibrationStore(folder / "calibrations"), process.bench)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _driver(entry: EquipmentSettings, folder: Path) -> Equipment:
    """A driver that waits longer for its instrument than a laboratory would: other programs run here, too."""
    driver: Any = load_driver(entry.driver, where=entry.full_name)
    patient: SessionSettings = driver.session_settings
    made: Equipment = driver(
        entry.full_name,
        device_path(entry.address, folder),
        serial_number=entry.serial_number,
        settings=replace(patient, timeout_s=max(patient.timeout_s, REPLY_S)),
        probe_s=PROBE_S,
    )
    return made


def covers(found: Quantity, truth: float, sigmas: float = 4.0) -> bool:
    """Whether the truth lies within so many standard deviations, and these are no excuse for anything."""
    return abs(found.value - truth) < sigmas * found.sigma


async def stands_on_the_memories_light(lab: Calibrated) -> None:
    """The station's switch, the lasers for alignment, the plate."""
    assert lab.bench.alignment is not None
    source, plate = lab.bench.alignment.source, lab.bench.alignment.plate
    assert source is not None
    assert plate is not None
    for arm in lab.bench.arms:
        assert arm.shutter is not None
        assert await lab.value(arm.shutter.knob) == arm.shutter.open_value
    for route in source.routes:
        assert await lab.value(route.knob) == 0
    assert await lab.value(source.pump.emission[0]) is False
    for one in lab.bench.alignment.references.values():
        assert (await lab.value(one.h.knob), await lab.value(one.d.knob)) == (0, 0)
    assert await lab.value(plate.knob) == pytest.approx(0.0, abs=0.2)
    assert all(driver.leases.current is None for driver in lab.drivers.values())


def passed(record: CalibrationRecord) -> CalibrationRecord:
    assert record.outcome is Outcome.PASSED, record.reason
    return record
