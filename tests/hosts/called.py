"""A command as a process of its own while a lab runs in this one, whose log would stand in its output."""

import asyncio
import json
import sys
from typing import Any

from tests.hosts.live import ROOT


async def called(*words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one JSON document of `bellwire ... --json`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bellwire",
        *words,
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    said, errors = await process.communicate()
    assert process.returncode is not None
    assert said, errors.decode()
    return process.returncode, json.loads(said)
