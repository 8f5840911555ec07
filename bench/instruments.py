"""Instruments: how long a lab of many takes to be ready, what one that hangs costs the others, and round
trips.

The lab is lab_configs/optics_repeater.yaml: 28 emulated instruments in this process, their delays as the
makers have them. "Ready" is connected, identified, configured with read-back and told so by every driver;
ovens need not be warm. Round trips are compared with the bare library on the same emulated instrument in
one interleaved run, delays off.

Usage: python bench/instruments.py  ->  bench/results/instruments.json
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from _measure import surroundings, write_result

from bellwire.drivers import load_driver
from bellwire.drivers.dg645 import Dg645
from bellwire.drivers.herald_fpga import HeraldFpga
from bellwire.drivers.instrument import Condition, Instrument
from bellwire.drivers.memory_controller import MemoryController
from bellwire.labs import load_lab
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.equipment import device_path, make_driver
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.lab_emulation import LabEmulation
from bellwire.testing.emulator_thread import LoopThread, start_instrument

ROOT = Path(__file__).parents[1]
LAB = ROOT / "lab_configs" / "optics_repeater.yaml"
HANGS = "west-switch"
ROUNDS = 400


async def ready_times(folder: Path, hangs: str | None) -> dict[str, float]:
    """Seconds from the start of all drivers at once until each is ready; a hanging one is left out."""
    lab = load_lab(folder / "lab.yaml", live=True)
    async with LabEmulation(lab, folder) as emulation:
        if hangs is not None:
            emulation.equipment.set_fault(hangs, Fault.SILENT.value)
        drivers: list[Instrument] = []
        for one in lab.equipment:
            driver = make_driver(one, folder)
            await driver.configure(one.settings)
            drivers.append(driver)
        for entry in lab.instruments:
            address = device_path(entry.address, folder)
            kinds: dict[str, Callable[[str, str], Instrument]] = {
                "memory": MemoryController,
                "herald": HeraldFpga,
                "timing": Dg645,
            }
            drivers.append(kinds[entry.role](f"{entry.owner}-{entry.role}", address))
        began_s = time.perf_counter()
        took: dict[str, float] = {}
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(driver.supervise()) for driver in drivers]

        async def wait(driver: Instrument) -> None:
            await driver.wait_for(Condition.READY, 30.0)
            took[driver.name] = time.perf_counter() - began_s

        await asyncio.gather(*(wait(driver) for driver in drivers if driver.name != hangs))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return took


def round_trips(
    folder: Path,
    driver: str,
    parameter: str,
    address: str | None,
    bare: Callable[[str], AbstractContextManager[Callable[[], Any]]],
) -> dict[str, float]:
    """Median microseconds of a query by our driver, and by the bare library that stands under it."""
    with LoopThread() as thread:
        instrument = start_instrument(thread, driver, folder, pace=0.0, name=driver, address=address)
        ours: list[float] = []
        theirs: list[float] = []

        async def measure() -> None:
            one = load_driver(driver, where="bench")
            made: Any = one(driver, instrument.address, pace=0.0)  # type: ignore[call-arg, misc]
            for _ in range(ROUNDS // 20):
                await made.connect()
                await made.read_parameter(parameter)
                for _ in range(20):
                    began = time.perf_counter()
                    await made.read_parameter(parameter)
                    ours.append(time.perf_counter() - began)
                await made.close()
                with bare(instrument.address) as ask:
                    ask()
                    for _ in range(20):
                        began = time.perf_counter()
                        ask()
                        theirs.append(time.perf_counter() - began)

        asyncio.run(measure())
        thread.run(instrument.emulator.stop())
    return {"driver_us": 1e6 * median(ours), "bare_us": 1e6 * median(theirs)}


@contextmanager
def bare_serial(address: str) -> Iterator[Callable[[], Any]]:
    import serial

    with serial.Serial(address, 115_200, timeout=1.0) as port:

        def ask() -> bytes:
            port.write(b"pmax?\r")
            return bytes(port.read_until(b"> "))

        yield ask


@contextmanager
def bare_visa(address: str) -> Iterator[Callable[[], Any]]:
    import pyvisa

    resource: Any = pyvisa.ResourceManager("@py").open_resource(address)
    resource.read_termination = resource.write_termination = "\n"
    yield lambda: resource.query("SENS:CORR:WAV?")
    resource.close()


def main() -> int:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="bw-") as name:
        folder = Path(name)
        for number, hangs in enumerate((None, HANGS)):
            times: list[float] = []
            for attempt in range(3):
                place = folder / f"{number}-{attempt}"
                place.mkdir()
                (place / "lab.yaml").write_text(
                    on_free_ports(LAB.read_text(encoding="utf-8")), encoding="utf-8"
                )
                took = asyncio.run(ready_times(place, hangs))
                times.append(max(took.values()))
            what = "all well" if hangs is None else f"{hangs} answers nothing"
            rows.append(
                {"what": f"{len(took)} instruments ready, {what}", "seconds": round(median(times), 2)}
            )
        for driver, parameter, address, bare, library in (
            ("thorlabs_tc200", "power_max_w", None, bare_serial, "pyserial"),
            ("thorlabs_pm100", "wavelength_nm", "TCPIP::127.0.0.1::0::SOCKET", bare_visa, "pyvisa-py"),
        ):
            found = round_trips(folder, driver, parameter, address, bare)
            rows.append(
                {
                    "what": f"query of {driver}",
                    "seconds": round(found["driver_us"] / 1e6, 6),
                    "bare": f"{library} {found['bare_us']:.0f} us",
                    "ratio": round(found["driver_us"] / found["bare_us"], 2),
                }
            )
    for row in rows:
        print(row)
    write_result(
        "instruments",
        "Emulated instruments: readiness and round trips",
        "python bench/instruments.py",
        rows,
        f"{surroundings()}. Medians; queries of driver and bare library in turn, on the same instrument.",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
