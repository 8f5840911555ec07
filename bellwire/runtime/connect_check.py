"""Connect to every instrument of a lab at once, look, and let go: who is there, is it the right one, is it
well?

Owns the concurrent look and the advice that follows from each kind of failure. Changes nothing in the
hardware: connecting and reading only.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from bellwire.core.errors import BellwireError, ConfigError, DeviceFault
from bellwire.drivers import load_driver
from bellwire.drivers.faults import (
    DeviceError,
    Disconnected,
    IdentityRefused,
    LinkTimeout,
    ProtocolFault,
)
from bellwire.drivers.instrument import Instrument
from bellwire.drivers.readings import Quality, Reading
from bellwire.runtime.equipment import device_path
from bellwire.runtime.lab_words import AddressedEntry

CONNECT_S = 10.0
"""An instrument that has not answered after this is reported as silent; the others have long been."""

ADVICE: tuple[tuple[type[BellwireError], str], ...] = (
    (IdentityRefused, "correct the cabling, or serial_number and driver in the lab file"),
    (DeviceError, "clear what the instrument complains of (interlock, alarm, limit), then check again"),
    (ProtocolFault, "is this the driver of that model, and does another program talk to the instrument?"),
    (LinkTimeout, "is it on, is the baud rate or port right? a power cycle clears a stuck interface"),
    (Disconnected, "is it on and connected, is the address right, does another program hold the port?"),
    (ConfigError, "correct the lab file"),
)


class _MakeDriver(Protocol):
    """Every driver is made by name and address; the base class alone has no address."""

    def __call__(self, name: str, address: str, *, serial_number: str | None) -> Instrument: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found at one address. `problem` is empty when all is well; `advice` says what to do about
    it.
    """

    name: str
    driver: str
    address: str
    emulated: bool
    model: str = ""
    serial_number: str = ""
    firmware: str = ""
    readings: tuple[Reading, ...] = ()
    problem: str = ""
    advice: str = ""
    took_s: float = field(default=0.0, compare=False)

    @property
    def well(self) -> bool:
        """Connected, the right one, and without complaint."""
        return not self.problem


async def look_at_all(
    entries: Iterable[AddressedEntry], device_dir: Path, *, within_s: float = CONNECT_S
) -> list[Look]:
    """Look at all instruments at the same time; one that hangs delays no other."""
    return list(await asyncio.gather(*(look_at(entry, device_dir, within_s) for entry in entries)))


async def look_at(entry: AddressedEntry, device_dir: Path, within_s: float) -> Look:
    """Connect, ask who is there, read everything that can be read, let go. Never raises a fault of the
    device.
    """
    began_s = time.monotonic()
    model = serial_number = firmware = ""
    readings: list[Reading] = []
    problem: BellwireError | None = None
    complaint = ""
    instrument: Instrument | None = None
    try:
        async with asyncio.timeout(within_s):
            instrument = _driver(entry, device_dir)
            identity = await instrument.connect()
            model, serial_number, firmware = identity.model, identity.serial_number, identity.firmware
            for parameter in instrument.parameters:
                if parameter.read is not None:
                    readings.append(await instrument.read_parameter(parameter.name))
    except TimeoutError:
        problem = LinkTimeout(entry.full_name, f"no answer within {within_s:g} s")
    except (DeviceFault, ConfigError) as fault:
        problem = fault
    finally:
        if instrument is not None:
            await instrument.close()
    suspects = [reading.parameter for reading in readings if reading.quality is Quality.SUSPECT]
    if problem is not None:
        complaint = problem.detail if isinstance(problem, DeviceFault) else str(problem)
    elif suspects:
        complaint = f"the instrument itself doubts {', '.join(suspects)}"
    return Look(
        name=entry.full_name,
        driver=entry.driver,
        address=entry.address,
        emulated=entry.emulated,
        model=model,
        serial_number=serial_number,
        firmware=firmware,
        readings=tuple(readings),
        problem=complaint,
        advice=_advice(problem, entry.emulated) if problem is not None else _doubts(entry.driver, suspects),
        took_s=time.monotonic() - began_s,
    )


def _driver(entry: AddressedEntry, device_dir: Path) -> Instrument:
    make = cast(_MakeDriver, load_driver(entry.driver, where=entry.full_name))
    number = entry.serial_number
    if number is not None:
        number = number.removeprefix("s/n")  # as some makers print it before the number
    return make(entry.full_name, device_path(entry.address, device_dir), serial_number=number)


def _doubts(driver: str, suspects: list[str]) -> str:
    """What to do about values that the instrument does not vouch for: its driver's notes say it."""
    return f"see `bellwire drivers {driver}`" if suspects else ""


def _advice(problem: BellwireError, emulated: bool) -> str:
    if emulated and isinstance(problem, Disconnected):
        return "it is emulated: start `bellwire emulate LAB` or `bellwire up LAB`"
    return next((advice for kind, advice in ADVICE if isinstance(problem, kind)), "")
