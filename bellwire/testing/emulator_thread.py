"""Emulated instruments in a thread of their own, for tests that are plain functions.

Owns the thread and its event loop. Whoever holds an instrument may break and mend it from any thread;
programs under test reach it by its address only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from bellwire.drivers.equipment import Equipment
    from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator

T = TypeVar("T")

WORK_S = 30.0


@dataclass(frozen=True, slots=True)
class ScriptedFault:
    """A fault of a script: `after_s` from its start, `fault` comes on, and goes after `lasts_s` (None:
    stays).

    `rate`: share of occasions at which it strikes; `times`: at most so many; `delay_s`: of late replies and
    hangs.
    """

    after_s: float
    fault: str
    lasts_s: float | None = None
    rate: float = 1.0
    times: int | None = None
    delay_s: float = 0.0


class LoopThread:
    """An event loop in a daemon thread. A context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bellwire-emulators", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WORK_S)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out a coroutine in the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WORK_S)

    def call(self, work: Callable[[], T]) -> T:
        """Carry out a function in the loop and wait for its result."""

        async def carry_out() -> T:
            return work()

        return self.run(carry_out())


class EmulatedInstrument:
    """One emulated instrument: its `address`, its power, its faults, and what it was asked (`requests`)."""

    def __init__(self, thread: LoopThread, emulator: InstrumentEmulator, driver: str, address: str) -> None:
        self.driver_name = driver
        self.address = address
        self.emulator = emulator
        self._thread = thread
        self._playing: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        """Its name."""
        return self.emulator.name

    @property
    def requests(self) -> list[bytes]:
        """The last requests as it executed them, oldest first."""
        return [logged.request for logged in self.emulator.log]

    @property
    def changes(self) -> list[bytes]:
        """Those of the requests that changed anything in the instrument."""
        return [logged.request for logged in self.emulator.log if logged.changes]

    def driver(self, **keywords: Any) -> Equipment:
        """A bellwire driver for it, not connected."""
        from bellwire.drivers import load_driver

        make: Any = load_driver(self.driver_name, where=self.name)
        driver: Equipment = make(self.name, self.address, **keywords)
        return driver

    def set_fault(
        self, fault: str, *, rate: float = 1.0, times: int | None = None, delay_s: float = 0.0
    ) -> None:
        """Switch a fault on, by its name: see `bellwire.simulator_backend.devices.faults.Fault`."""
        from bellwire.simulator_backend.devices.faults import Fault

        kind = Fault(fault)
        self._thread.call(lambda: self.emulator.set_fault(kind, rate=rate, times=times, delay_s=delay_s))

    def clear_fault(self, fault: str | None = None) -> None:
        """Switch one fault, or all, off."""
        from bellwire.simulator_backend.devices.faults import Fault

        kind = None if fault is None else Fault(fault)
        self._thread.call(lambda: self.emulator.clear_fault(kind))

    def power_cycle(self, off_s: float = 0.0) -> None:
        """Off and on again, defaults restored."""
        self._thread.run(self.emulator.power_cycle(off_s))

    def script(self, faults: Sequence[ScriptedFault]) -> None:
        """Play a script of faults beside the test, from now on."""
        from bellwire.simulator_backend.devices.faults import Fault

        kinds = [(Fault(one.fault), one) for one in faults]

        async def play(kind: Fault, one: ScriptedFault) -> None:
            await asyncio.sleep(one.after_s)
            self.emulator.set_fault(kind, rate=one.rate, times=one.times, delay_s=one.delay_s)
            if one.lasts_s is not None:
                await asyncio.sleep(one.lasts_s)
                self.emulator.clear_fault(kind)

        async def begin() -> None:
            self._playing += [asyncio.get_running_loop().create_task(play(kind, one)) for kind, one in kinds]

        self._thread.run(begin())


def start_instrument(
    thread: LoopThread,
    driver: str,
    folder: Path,
    *,
    name: str = "instrument",
    address: str | None = None,
    serial_number: str | None = None,
    pace: float = 1.0,
    seed: int = 0,
    values: dict[str, float] | None = None,
    rates_hz: dict[str, float] | None = None,
) -> EmulatedInstrument:
    """Emulate the instrument of a driver, on its own: `values` of its gauges and `rates_hz` of its inputs.

    `address` None: a serial line in `folder`, or free ports of the loopback interface, as the instrument
    has them.
    """
    from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
    from bellwire.simulator_backend.devices.surroundings import Alone, Wiring

    place = default_address(driver, folder, name) if address is None else address
    wiring = Wiring(Alone(dict(values or {}), dict(rates_hz or {}), seed))
    order = EmulatorOrder(
        name=name,
        address=place,
        serial_number=serial_number,
        device_dir=folder,
        wiring=wiring,
        pace=pace,
        seed=seed,
    )

    async def start() -> InstrumentEmulator:
        emulator = make_emulator(driver, order)
        await emulator.start()
        return emulator

    emulator = thread.run(start())
    return EmulatedInstrument(thread, emulator, driver, real_address(place, folder, emulator))


def default_address(driver: str, folder: Path, name: str) -> str:
    """Where an instrument alone is emulated: as the example of its driver's card, on this machine."""
    from bellwire.drivers import cards

    example = cards()[driver].address
    if example.startswith(("/", "COM")):
        return str(folder / name)
    if example.upper().startswith("TCPIP"):
        return "TCPIP::127.0.0.1::0::SOCKET"
    return "tcp://127.0.0.1:0"


def real_address(place: str, folder: Path, emulator: InstrumentEmulator) -> str:
    """The address by which a driver or any other program reaches it: port 0 becomes the port that it got."""
    if place.startswith("pty:"):
        return str(folder / place.removeprefix("pty:"))
    port = getattr(emulator.lines[0], "port", None)
    if port is None:
        return place
    host = getattr(emulator.lines[0], "host", "127.0.0.1")  # some instruments need one of their own
    return place.replace("::0::SOCKET", f"::{port}::SOCKET").replace("127.0.0.1:0", f"{host}:{port}")


async def _cancel_others() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
