"""Everything emulated of one lab as one thing: what makes pairs, the equipment around it, and the light
between them.

Owns the order of starting and stopping. Refuses commands and processes: emulation.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from bellwire.simulator_backend.emulation import EmulatedLab, TruthFile, wire


class LabEmulation:
    """An asynchronous context manager; `bench` and `equipment` hold the emulators by name."""

    def __init__(self, lab: EmulatedLab, device_dir: Path, log: TruthFile | None = None) -> None:
        """Raises ConfigError for an entry that no emulator can play."""
        self.bench = wire(lab, device_dir, log)
        self.equipment = EquipmentBench(lab.equipment, device_dir, seed=lab.seed)

    async def __aenter__(self) -> Self:
        await self.bench.__aenter__()
        try:
            await self.equipment.__aenter__()
        except BaseException:
            await self.bench.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.equipment.__aexit__()
        await self.bench.__aexit__()
