"""Everything emulated of one lab as one thing: what makes pairs, the equipment around it, and the light
between them.

Owns the order of starting and stopping. Refuses commands and processes: emulation.py.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from bellwire.simulator_backend.devices.surroundings import Alone, Surroundings
from bellwire.simulator_backend.emulation import EmulatedLab, TruthFile, wire
from bellwire.simulator_backend.switched_links import SwitchedLinks, switch_cables
from bellwire.simulator_backend.tagged_stations import inject_tags, tagger_cables

if TYPE_CHECKING:
    from bellwire.simulator_backend.lab_light import LabLight
    from bellwire.simulator_backend.photons.description import OpticsDescription


class LitLab(EmulatedLab, Protocol):
    """A lab whose light is known."""

    def optics(self) -> OpticsDescription | None:
        """The hidden light behind its equipment; None where it has none."""
        ...


class LabEmulation:
    """An asynchronous context manager; `bench` and `equipment` hold the emulators by name, `light` is the
    World of photons, None where the lab has none; `injected` the tags of heralds, None where every station
    has an FPGA.
    """

    def __init__(self, lab: LitLab, device_dir: Path, log: TruthFile | None = None) -> None:
        """Raises ConfigError for an entry that no emulator can play."""
        self.bench = wire(lab, device_dir, log)
        description = lab.optics()
        self.light: LabLight | None = None
        if description is not None:
            from bellwire.simulator_backend.lab_light import LabLight

            self.light = LabLight(description, lab.seed, self.bench.change_link)
        self.injected = inject_tags(lab, self.bench, self.light)
        around: Surroundings | None = self.light if self.injected is None else self.injected
        cables = tagger_cables(lab)
        if lab.network.switches:
            around = SwitchedLinks(
                lab.network,
                lab.world()[0],
                Alone() if around is None else around,
                self.bench.change_link,
            )
            cables = {**cables, **switch_cables(lab.network)}
        self.equipment = EquipmentBench(
            lab.equipment,
            device_dir,
            around,
            seed=lab.seed,
            cables=cables,
            clocks=None if self.light is None else self.light.bench.clocks,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.bench)
            await stack.enter_async_context(self.equipment)
            if self.light is not None:
                await self.light.start()
                stack.push_async_callback(self.light.stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
