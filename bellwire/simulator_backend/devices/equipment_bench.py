"""The emulated equipment of a lab in one event loop: made from its lab file, powered, broken and mended by
name.

Owns the emulators and the surroundings they share. Refuses shortcuts: drivers reach the instruments by
their lines only; what is offered here beside them is power and faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, Self

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.registry import lookup, nearest
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.own_clock import CLOCK, CLOCKED, ByOwnClock, OwnClock
from bellwire.simulator_backend.devices.surroundings import Alone, Surroundings, Wiring


class EquipmentEntry(Protocol):
    """One piece of equipment of a lab file."""

    @property
    def full_name(self) -> str: ...

    @property
    def driver(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def serial_number(self) -> str | None: ...

    @property
    def emulated(self) -> bool: ...

    @property
    def wiring(self) -> Mapping[str, str]: ...


class EquipmentBench:
    """Emulators by the full names of their equipment. An asynchronous context manager; what is not
    `emulated` is left alone.
    """

    def __init__(
        self,
        entries: Iterable[EquipmentEntry],
        device_dir: Path,
        surroundings: Surroundings | None = None,
        *,
        pace: float = 1.0,
        seed: int = 0,
        cables: Mapping[str, Mapping[str, str]] | None = None,
        clocks: Mapping[str, OwnClock] | None = None,
    ) -> None:
        """cables: further words of the wiring by full name; what an entry says itself goes before them.
        clocks: those that a wiring may name as its `clock`.
        """
        self.emulators: dict[str, InstrumentEmulator] = {}
        for number, entry in enumerate(entry for entry in entries if entry.emulated):
            if entry.full_name in self.emulators:
                raise LocalMisuse(f"two emulated instruments are called {entry.full_name}")
            names = {**(cables or {}).get(entry.full_name, {}), **entry.wiring}
            own_clock = _own_clock(entry, names.pop(CLOCK, None), clocks or {})
            around = Alone() if surroundings is None else surroundings
            order = EmulatorOrder(
                name=entry.full_name,
                address=entry.address,
                serial_number=entry.serial_number,
                device_dir=device_dir,
                wiring=Wiring(
                    around if own_clock is None else ByOwnClock(around, own_clock),
                    names,
                    None if surroundings is None else Alone(),
                ),
                pace=pace,
                seed=seed + number,
                own_clock=own_clock,
            )
            self.emulators[entry.full_name] = make_emulator(entry.driver, order)

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(emulator.start() for emulator in self.emulators.values()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(emulator.stop() for emulator in self.emulators.values()))

    def __contains__(self, name: str) -> bool:
        return name in self.emulators

    def emulator(self, name: str) -> InstrumentEmulator:
        """The emulator of that name. Raises LocalMisuse with the nearest name."""
        if name not in self.emulators:
            raise LocalMisuse(f"no emulated instrument is called {name}{nearest(name, self.emulators)}")
        return self.emulators[name]

    async def start(self, name: str) -> None:
        """Power an instrument on."""
        await self.emulator(name).start()

    async def stop(self, name: str) -> None:
        """Power an instrument off."""
        await self.emulator(name).stop()

    async def power_cycle(self, name: str, off_s: float) -> None:
        """Off, wait, on again with defaults restored."""
        await self.emulator(name).power_cycle(off_s)

    def set_fault(
        self, name: str, fault: str, *, rate: float = 1.0, delay_s: float = 0.0, times: int | None = None
    ) -> None:
        """Switch a named fault on (`faults.Fault`)."""
        self.emulator(name).set_fault(Fault(fault), rate=rate, delay_s=delay_s, times=times)

    def clear_fault(self, name: str, fault: str | None = None) -> None:
        """Switch one fault, or all, off."""
        self.emulator(name).clear_fault(None if fault is None else Fault(fault))


def _own_clock(entry: EquipmentEntry, name: str | None, clocks: Mapping[str, OwnClock]) -> OwnClock | None:
    """The clock that a wiring names. Raises ConfigError: unknown, or of an instrument that can have none."""
    if name is None:
        return None
    if entry.driver not in CLOCKED:
        raise ConfigError(
            f"an emulated {entry.driver} has no clock of its own; those that can: {', '.join(CLOCKED)}",
            where=entry.full_name,
        )
    return lookup("clock", name, clocks)
