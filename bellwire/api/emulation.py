"""`bellwire emulate` as a child process of a script: a lab whose instruments are all played, for practice.

Owns the child, its folder and its end: it ends with `stop`, and by itself when this process has gone. Refuses
labs with a real instrument, which nothing here shall move.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bellwire.api.lab_files import find_lab
from bellwire.core.errors import ConfigError
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.control import ask, socket_path

if TYPE_CHECKING:
    from bellwire.labs import Lab

READY_S: Final = 120.0
LOOK_S: Final = 0.05
END_S: Final = 8.0
"""A child that has not ended so long after it was asked to is killed."""


class Emulation:
    """A lab that is played. `lab`: the file with free ports; `state`: where its devices and records are."""

    def __init__(self, lab: Lab, folder: Path, state: Path, process: subprocess.Popen[bytes]) -> None:
        self.lab = lab
        self.state = state
        self._folder = folder
        self._process = process

    @classmethod
    async def start(cls, lab: str | Path, state: Path | None = None) -> Emulation:
        """Play the instruments of a lab file, or of a shipped lab.

        `state` None: a folder that goes with the emulation. Raises ConfigError: a real instrument is in the
        file, or it cannot be played, with the last word of the child.
        """
        from bellwire.labs import load_lab

        path = find_lab(lab)
        folder = Path(tempfile.mkdtemp(prefix="bellwire-"))
        try:
            copy = folder / path.name
            copy.write_text(on_free_ports(path.read_text(encoding="utf-8")), encoding="utf-8")
            loaded = load_lab(copy, live=True)
            real = [one.full_name for one in loaded.equipment if not one.emulated]
            if real:
                raise ConfigError(f"{', '.join(real)} are real instruments: use open_lab", where=str(path))
            at = (folder / "state" if state is None else state).absolute()
            made = cls(loaded, folder, at, _launch(copy, at, folder / "run"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            await made._ready()
        except BaseException:
            await made.stop()
            raise
        return made

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(READY_S):
                while not await self._answers():
                    if self._process.poll() is not None:
                        raise ConfigError(f"the emulation has ended: {self._last_word()}")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise ConfigError(f"the emulation is not ready within {READY_S:g} s") from None

    async def _answers(self) -> bool:
        if not socket_path(self.state, "emulator").exists():
            return False
        try:
            await ask(self.state, "emulator", "status")
        except ConfigError:
            return False
        return True

    def _last_word(self) -> str:
        lines = (self._folder / "run" / "emulator.log").read_text(encoding="utf-8").splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"

    async def stop(self) -> None:
        """End the child, and remove its folder."""
        process = self._process
        assert process.stdin is not None
        process.stdin.close()  # by which it knows that nobody needs it any more
        for last_resort in (process.terminate, process.kill, None):
            if await self._has_ended():
                break
            if last_resort is not None:
                last_resort()
        sockets = socket_path(self.state, "emulator").parent
        if not sockets.is_relative_to(self.state):  # where the path of the state is too long for sockets
            with suppress(OSError):
                sockets.rmdir()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _has_ended(self) -> bool:
        looks = round(END_S / LOOK_S)
        for _ in range(looks):
            if self._process.poll() is not None:
                return True
            await asyncio.sleep(LOOK_S)
        return self._process.poll() is not None

    @property
    def process_id(self) -> int:
        """Of the child."""
        return self._process.pid


def _launch(lab: Path, state: Path, run: Path) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C at the terminal is for the script, which then brings things back."""
    run.mkdir(parents=True)
    where = ["--state", str(state), "--run", str(run), "--with-parent"]
    with (run / "emulator.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bellwire", "emulate", str(lab), *where],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
