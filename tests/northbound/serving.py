"""A lab that is up and servers beside it, as processes, with the real commands.

Owns starting and stopping; every wait is for a condition, with a deadline.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bellwire.labs.free_ports import on_free_ports
from bellwire.northbound.tokens import Role, TokenBook
from tests.cli.processes import PROGRAM

LABS = Path(__file__).parents[2] / "lab_configs"
PATIENCE_S = 180.0
"""A loaded machine may be slow; a test that waits this long has failed."""
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A lab that is up."""

    file: Path
    state: Path
    process: "subprocess.Popen[bytes]"


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers."""

    url: str
    lab: RunningLab
    state: Path
    process: "subprocess.Popen[str]"
    log: Path

    def call(self, token: str | None = None, **options: object) -> httpx.Client:
        """Plain HTTP to it, for what the client of bellwire would not send."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)  # type: ignore[arg-type]


def until(condition: "Iterator[bool]", what: str) -> None:
    """Step through a condition until it is true."""
    give_up_s = time.monotonic() + PATIENCE_S
    for holds in condition:
        if holds:
            return
        assert time.monotonic() < give_up_s, f"not within {PATIENCE_S} s: {what}"
        time.sleep(POLL_S)


def token(state: Path, name: str, role: Role, days: float = 1.0) -> str:
    """A token that is valid for so long from now."""
    return TokenBook(state).make(name, role, time.time_ns(), round(days * 86_400e9))[1]


@contextmanager
def lab_up(folder: Path, name: str = "two_node_link") -> Iterator[RunningLab]:
    """`bellwire up` of a shipped lab on ports of its own, nothing submitted."""
    folder.mkdir(parents=True, exist_ok=True)
    file, state, errors = folder / f"{name}.yaml", folder / "state", folder / "up.err"
    file.write_text(on_free_ports((LABS / f"{name}.yaml").read_text(encoding="utf-8")), encoding="utf-8")
    arguments = ["up", str(file), "--state", str(state), "--no-submit", "--json"]
    with errors.open("wb") as stderr:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=stderr)

    def is_up() -> Iterator[bool]:
        while True:
            said = errors.read_bytes()
            assert process.poll() is None, said
            yield b"is up, recording to" in said

    try:
        until(is_up(), "the lab is up")
        yield RunningLab(file, state, process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=PATIENCE_S)


@contextmanager
def served(lab: RunningLab, *options: str, state: Path | None = None) -> Iterator[Served]:
    """`bellwire serve` on a free port. A state folder of its own is one whose agents do not run."""
    where = lab.state if state is None else state
    where.mkdir(parents=True, exist_ok=True)
    log = where / "serve.err"
    arguments = ["serve", str(lab.file), "--port", "0", "--state", str(where), *options]
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "bellwire", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "is served at" in said, log.read_text(encoding="utf-8")
        yield Served(said.split()[-1], lab, where, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()
