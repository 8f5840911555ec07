"""A whole emulated lab in a thread, for tests of programs that talk to several instruments.

Owns the copy of a lab file on free ports and the emulation of all its instruments around one World.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bellwire.core.errors import ConfigError
from bellwire.testing.emulator_thread import EmulatedInstrument, LoopThread, real_address

if TYPE_CHECKING:
    from bellwire.labs import Lab
    from bellwire.simulator_backend.lab_emulation import LabEmulation

FIRST_PORT, LAST_PORT = 20_000, 29_000
SECOND_PORT_ABOVE = 345
TRIES_MAX = 1_000
PORT = re.compile(r"(?P<host>127(?:\.\d+){3}):{1,2}(?P<port>\d{2,5})(?=::|\b)")


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


def on_free_ports(text: str) -> str:
    """A lab file with every loopback port replaced by a free one; the same port becomes the same port."""
    fresh: dict[str, str] = {}
    for found in PORT.finditer(text):
        if found["port"] not in fresh and found["port"] != "0":
            fresh[found["port"]] = str(_free_port(found["host"], set(fresh.values())))

    def replaced(found: re.Match[str]) -> str:
        start, stop = found.span("port")
        whole, begin = found[0], found.start()
        return whole[: start - begin] + fresh.get(found["port"], found["port"]) + whole[stop - begin :]

    return PORT.sub(replaced, text)


def _free_port(host: str, taken: set[str]) -> int:
    """A port that systems do not give to clients, and the second port that some instruments have above it."""
    for _ in range(TRIES_MAX):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if str(port) not in taken and all(_is_free(host, one) for one in (port, port + SECOND_PORT_ABOVE)):
            return port
    raise ConfigError(f"no free port was found at {host} in {TRIES_MAX} tries")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True
