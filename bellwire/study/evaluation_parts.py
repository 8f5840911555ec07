"""Finished tasks on disk: one small JSON file each, named by all that decided it.

Owns the folder of parts, so that an evaluation goes on where it was interrupted. Refuses half-written parts:
a part is written beside its place and then moved there.
"""

import json
import os
from pathlib import Path
from typing import Any

from bellwire.core.errors import ConfigError


class Parts:
    """The parts of one out directory."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when the folder cannot be made."""
        self._folder = folder / "parts"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ConfigError(f"cannot keep results there: {problem.strerror}", where=str(folder)) from None

    def get(self, key: str) -> dict[str, Any] | None:
        """The result of that name, None when it is not there or is no JSON (a disk that was full)."""
        try:
            found: dict[str, Any] = json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found

    def put(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result."""
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(result), encoding="utf-8")
        beside.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
