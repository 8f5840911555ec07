"""What every instrument behind the framed protocol has in common: open, identify, watch, notice a restart.

Owns the joint between `Instrument` (life cycle) and `FramedDevice` (line). Refuses to know what the records
mean.
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping

from bellwire.drivers.faults import DeviceError
from bellwire.drivers.framed_device import FramedDevice, FramedSettings
from bellwire.drivers.instrument import Backoff, Identity, Instrument, InstrumentState
from bellwire.drivers.regmap import load_map


class FramedInstrument(Instrument):
    """Base of the drivers whose device speaks the framed protocol; `map_name` and `record_bytes` (by
    kind of record) by subclass.

    `path` is the serial device. `on_reset` is called in the loop when the device has lost its state (a power
    cycle, a reset), before the configuration is asserted anew: runs, arms and held qubits are gone.
    """

    map_name: str
    record_bytes: Mapping[int, int]

    def __init__(
        self,
        name: str,
        path: str,
        *,
        serial_number: str | None = None,
        framed: FramedSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
    ) -> None:
        super().__init__(name, serial_number=serial_number, backoff=backoff, on_state=on_state)
        self.link = FramedDevice(
            name, path, load_map(self.map_name), self.record_bytes, framed or FramedSettings()
        )
        self.on_reset: Callable[[], None] = lambda: None
        self._mark: int | None = None
        self._picture_lost = False

    async def _open(self) -> None:
        await self.link.open()
        # The boot counter may be held by something that forgets it too; the mark in SCRATCH is the second
        # witness.
        marked = self._mark is None or await self.link.read("SCRATCH") == self._mark
        if self.link.restarted or self._picture_lost or not marked:
            self._mark = None
            self._picture_lost = False
            self._forget()
            self.on_reset()

    async def _identify(self) -> Identity:
        serial_number = await self.link.read("SERIAL")
        build = await self.link.read("BUILD")
        return Identity(self.map_name, str(serial_number), f"build {build}")

    async def _apply(self) -> None:
        if not self._has_configuration():
            return
        await self._assert_configuration()
        mark = secrets.randbits(31) + 1
        await self.link.write("SCRATCH", mark)
        if await self.link.read("SCRATCH") != mark:
            raise DeviceError(self.name, "SCRATCH does not keep what was written")
        self._mark = mark

    async def _watch(self) -> None:
        raise await self.link.failed()

    async def _shut(self) -> None:
        await self.link.close()

    def _is_open(self) -> bool:
        return self.link.is_open

    def _heard_at_ns(self) -> int | None:
        return self.link.heard_at_ns

    @abstractmethod
    def _has_configuration(self) -> bool:
        """Whether `configure` was ever called."""

    @abstractmethod
    async def _assert_configuration(self) -> None:
        """Write the remembered configuration and read it back."""

    @abstractmethod
    def _forget(self) -> None:
        """The device restarted: drop what was volatile in it."""

    async def _set(self, name: str, value: int, index: int = 0) -> None:
        """Write a register and read it back. Raises DeviceError when the device kept something else."""
        await self.link.write(name, value, index)
        kept = await self.link.read(name, index)
        if kept != value:
            raise DeviceError(self.name, f"{name}[{index}] was set to {value} but reads {kept}")
