"""A whole emulated lab in a thread, for tests of programs that talk to several instruments.

Owns the copy of a lab file on free ports and the emulation of all its instruments around one World.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bellwire.labs.free_ports import on_free_ports
from bellwire.testing.emulator_thread import EmulatedInstrument, LoopThread, real_address

if TYPE_CHECKING:
    from bellwire.labs import Lab
    from bellwire.simulator_backend.lab_emulation import LabEmulation


class EmulatedLabInThread:
    """The instruments of a lab by their full names, OWNER-NAME; `instrument(name)` for one of its
    equipment.
    """

    def __init__(self, thread: LoopThread, lab: Lab, folder: Path, emulation: LabEmulation) -> None:
        self.lab = lab
        self.folder = folder
        self._thread = thread
        self._emulation = emulation

    @property
    def names(self) -> Sequence[str]:
        """Equipment that is emulated."""
        return list(self._emulation.equipment.emulators)

    def instrument(self, name: str) -> EmulatedInstrument:
        """One piece of equipment. Raises LocalMisuse with the nearest name."""
        emulator = self._emulation.equipment.emulator(name)
        entry = next(one for one in self.lab.equipment if one.full_name == name)
        return EmulatedInstrument(
            self._thread, emulator, entry.driver, real_address(entry.address, self.folder, emulator)
        )

    def stop(self) -> None:
        """Switch everything off."""
        self._thread.run(self._emulation.__aexit__())


def start_lab(thread: LoopThread, path: Path, folder: Path) -> EmulatedLabInThread:
    """Emulate every instrument of a lab file that the file calls emulated, in a copy on free ports.

    Raises LabProblems for a file that is not right.
    """
    from bellwire.labs import load_lab
    from bellwire.simulator_backend.lab_emulation import LabEmulation

    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / path.name
    copy.write_text(on_free_ports(path.read_text(encoding="utf-8")), encoding="utf-8")
    lab = load_lab(copy, live=True)

    async def start() -> LabEmulation:
        emulation = LabEmulation(lab, folder)
        await emulation.__aenter__()
        return emulation

    return EmulatedLabInThread(thread, lab, folder, thread.run(start()))
