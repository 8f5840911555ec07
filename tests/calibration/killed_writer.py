"""A program that kills writers of calibrations, one at each line of the store's code, and looks at what they
left.

Prints, for folders that are fresh each time and for one that is used again and again: how many were killed,
and how many of them had stored their record.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from bellwire.calibration import store, store_files
from bellwire.calibration.store import CalibrationStore
from tests.calibration.made_records import NOW_NS, made, visible

FILES = (store.__file__, store_files.__file__)
RAW = b"raw" * 1000


def main() -> None:
    """For `python -c`; the first argument is a folder."""
    top = Path(sys.argv[1])
    kill_all(lambda step: top / f"fresh-{step}")
    kill_all(lambda _: top / "used")


def kill_all(folder: Callable[[int], Path]) -> None:
    """Kill at every line in turn, until a writer gets through."""
    step, stored = 1, 0
    while killed_at(folder(step), step):
        stored += left_behind(folder(step), step)
        step += 1
    assert left_behind(folder(step), step)
    used = CalibrationStore(folder(step))
    used.prepare()
    assert not list(used.folder.rglob("*.unfinished"))
    sys.stdout.write(f"{step - 1} {stored}\n")


def killed_at(folder: Path, step: int) -> bool:
    """Write in a process that kills itself at the `step`-th line; False: it had fewer."""
    child = os.fork()
    if child == 0:
        sys.settrace(killer(step))
        write(CalibrationStore(folder), step)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def killer(step: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that counts lines of the store."""
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal lines
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            lines += 1
            if lines == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def write(into: CalibrationStore, step: int) -> None:
    """A record with raw data, as a run ends."""
    name = f"r{step}"
    into.put(made(name, data=into.keep_file(name, ".npz", RAW)))


def left_behind(folder: Path, step: int) -> bool:
    """Look at a store whose writer was killed, and write to it; whether the record was stored."""
    left = CalibrationStore(folder, lock_wait_s=0.0)  # the dead hold no lock
    records = left.history("alice-bob", "hom_visibility")
    for one in records:
        assert left.file(one.data).read_bytes() == RAW, one
    stored = any(one.record_id == f"r{step}" for one in records)
    write(left, step)  # what its operator would do: once more
    assert left.in_force("alice-bob", "hom_visibility", NOW_NS) == left.latest("alice-bob", "hom_visibility")
    left.put(visible(f"after{step}", 0.9, procedure="other"))
    return stored
