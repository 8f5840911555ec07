"""What is wrong with a file of tags: where, and what of it can be saved.

Owns the two faults and the import of libraries that a format needs. Refuses to repair.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from bellwire.core.errors import ConfigError, DeviceFault

NOTHING = "nothing of it can be saved"


class DamagedTagFile(DeviceFault):
    """A file ends early, or holds what its format does not allow.

    `offset`: the first byte that is wrong; None where a library reads the file and does not say.
    """

    def __init__(self, path: Path, offset: int | None, problem: str, saved: str = NOTHING) -> None:
        where = "" if offset is None else f"byte {offset}: "
        super().__init__(str(path), f"{where}{problem}; {saved}")
        self.offset = offset
        self.problem = problem


class UnsortedTags(DamagedTagFile):
    """A tag stands after a later one."""

    def __init__(self, path: Path, offset: int | None, time_ps: int, before_ps: int) -> None:
        problem = f"a tag at {time_ps} ps stands after one at {before_ps} ps, and tags must be in order"
        super().__init__(path, offset, problem, "--salvage takes what stands before")


class DiskFull(DeviceFault):
    """There was no room for a file. Its beginning was removed."""

    def __init__(self, path: Path, written_bytes: int) -> None:
        super().__init__(
            str(path),
            f"no space left after {written_bytes} bytes; the partial file was removed: free some space or"
            " choose another folder",
        )


def library(module: str, package: str, *, where: str) -> Any:
    """A library that only some formats need. Raises ConfigError when it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed: pip install {package} ({error})", where=where
        ) from error
