"""Calibrations that are started from the page: `bellwire calibrate` as a process beside the server.

Owns that process: one at a time, because the console of a lab is one; what it is at, and how the last one
ended. Refuses procedures. A process of its own, because they compute for seconds on end, and because one that
dies leaves the instruments to their leases as any other client would.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from bellwire.core.ids import LinkId

if TYPE_CHECKING:
    from bellwire.labs import Lab

LONGEST_S: Final = 3600.0
STOP_S: Final = 15.0
"""So long a process that is told to end may take to put its instruments back."""


@dataclass(frozen=True, slots=True)
class Run:
    """One calibration. `ended_ns` None: it is at work."""

    link: LinkId
    operator: str
    begun_ns: int
    ended_ns: int | None = None
    done: bool = False
    text: str = ""


class Calibrating:
    """The calibrations of one server, from the first order to `stop`."""

    def __init__(self, lab: "Lab", state_dir: Path) -> None:
        self.run: Run | None = None  # the one at work, or the last one
        self._lab = lab
        self._state_dir = state_dir
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    def start(self, link: LinkId, *, everything: bool, operator: str) -> str | None:
        """Begin; a reason instead when that cannot be."""
        if self._lab.console is None or self._lab.path is None:
            return "this lab has no console: its file gives no address for whoever calibrates"
        if self.run is not None and self.run.ended_ns is None:
            return f"{self.run.link} is being calibrated for {self.run.operator}: wait for its end"
        self.run = Run(link, operator, time.time_ns())
        wanted = ["--all"] if everything else ["--all", "--due"]
        arguments = ["calibrate", self._lab.path, link, *wanted, "--operator", operator, "--json"]
        arguments += ["--state", str(self._state_dir)]
        self._task = asyncio.get_running_loop().create_task(self._carry_out(self.run, arguments))
        return None

    async def stop(self) -> None:
        """End what is at work; its process puts the instruments back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _carry_out(self, run: Run, arguments: list[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bellwire", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        done, text = False, f"not over within {LONGEST_S:g} s: it was stopped"
        try:
            async with asyncio.timeout(LONGEST_S):
                printed, complaints = await process.communicate()
            done, text = ended(process.returncode, printed.decode(), complaints.decode())
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            text = "stopped with the server"
            raise
        finally:
            await _ended(process)
            self.run = Run(run.link, run.operator, run.begun_ns, time.time_ns(), done, text)
            self._log.info("calibration_ended", link=run.link, operator=run.operator, done=done, text=text)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def ended(code: int | None, printed: str, complaints: str) -> tuple[bool, str]:
    """Whether all went well, and a sentence about it, from what the command has left."""
    try:
        told: dict[str, Any] = json.loads(printed)
    except ValueError:
        last = complaints.strip().splitlines()
        return False, last[-1] if last else f"it ended with exit code {code} and without a word"
    steps = told["steps"]
    if not steps:
        return True, "nothing was due"
    passed = [step for step in steps if step.get("outcome") == "passed"]
    failed = [step for step in steps if step.get("outcome") not in (None, "passed")]
    if failed:
        first = failed[0]
        return False, f"{first['procedure']} {first['outcome']}: {first['reason']}"
    left_out = len(steps) - len(passed)
    said = f"{len(passed)} of {len(steps)} procedures passed"
    return code == 0, said + (f", {left_out} left out: {_why(steps)}" if left_out else "")


def _why(steps: list[dict[str, Any]]) -> str:
    return "; ".join(dict.fromkeys(str(step["left_out"]) for step in steps if "left_out" in step))
