"""Programs of other projects, each in a process of its own with an interpreter that has none of our
packages.

Owns the way such a program is run: `peer("script.py", *arguments)` runs tests/judges/peers/script.py with
the interpreter of `make judges` (.venv-peers, or the one that BELLWIRE_PEERS names) and returns what it
printed. A peer that fails, or that is not there, is a failed test; whether it should run at all is decided
by scripts/judges.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

PEERS = Path(__file__).parent / "peers"
PYTHON = Path(os.environ.get("BELLWIRE_PEERS", PEERS.parents[2] / ".venv-peers" / "bin" / "python"))
DEADLINE_S = 60

Peer = Callable[..., Awaitable[str]]


@pytest.fixture
def peer() -> Peer:
    """Run a script of another project's client; asserts that it ended well, returns its standard output."""

    async def run(script: str, *arguments: object) -> str:
        process = await asyncio.create_subprocess_exec(
            *(str(PYTHON), "-W", "ignore", str(PEERS / script), *map(str, arguments)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            printed, complaints = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0, f"{script}: {complaints.decode()[-2000:]}"
        return printed.decode()

    return run
