"""The log files of a run, read back as one list by time.

Owns the order and the choice of lines. Refuses to write or to rotate (log_lines.py). A line that is no JSON,
such as one of a traceback, stands where it was written, as event `output` of level error.
"""

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bellwire.runtime.log_lines import FILES_KEPT, rotated

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LINE_BYTES_MAX: Final = 1024 * 1024
"""More of one line than this is cut off: no line of ours is so long."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines are wanted; None: all."""

    request: str | None = None  # its id, or the beginning of it
    node: str | None = None
    level: str = "debug"  # and above

    def takes(self, line: dict[str, Any]) -> bool:
        """Whether a line is one of them."""
        if self.request is not None and not str(line.get("request") or "").startswith(self.request):
            return False
        if self.node is not None and line.get("node") != self.node:
            return False
        level = str(line.get("level", "info"))
        return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.level)


class LogFile:
    """The lines of one process, from where they were read last; it follows the file through its turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: int | None = None  # of the file that was read last
        self._offset = 0
        self._at_ns = 0

    def new_lines(self) -> list[dict[str, Any]]:
        """Whole lines that have come since the last call; at first, all that are kept."""
        lines: list[dict[str, Any]] = []
        for path in self._pending():
            try:
                with path.open("rb") as file:
                    file.seek(self._offset)
                    content = file.read()
            except OSError:
                continue  # it was turned over at this moment; the next look finds it under its other name
            whole, _, _ = content.rpartition(b"\n")
            if whole:
                self._offset += len(whole) + 1
                lines += [self._line(one) for one in whole.split(b"\n")]
            if path != self.path:
                self._offset = 0
        if self.path.exists():
            self._inode = self.path.stat().st_ino
        return lines

    def _pending(self) -> list[Path]:
        """Files from the one that was read last to the present one."""
        older = [rotated(self.path, number) for number in range(FILES_KEPT - 1, 0, -1)]
        files = [path for path in (*older, self.path) if path.exists()]
        if self._inode is None:
            return files
        known = [number for number, path in enumerate(files) if path.stat().st_ino == self._inode]
        if not known:
            self._offset = 0  # it is no longer kept
            return files
        return files[known[0] :]

    def _line(self, raw: bytes) -> dict[str, Any]:
        text = raw[:LINE_BYTES_MAX].decode("utf-8", "replace")
        try:
            read = json.loads(text)
        except ValueError:
            read = None
        name = self.path.name.removesuffix(".log")
        line: dict[str, Any] = {"event": "output", "level": "error", "node": name, "text": text}
        if isinstance(read, dict):
            line = read
        at_ns = line.get("at_ns")
        if isinstance(at_ns, int):
            self._at_ns = at_ns
        else:
            line["at_ns"] = self._at_ns  # it follows the line before it
        return line


class RunLogs:
    """All log files of a run."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "logs"
        self._files: dict[Path, LogFile] = {}

    def new_lines(self, choice: Choice) -> Iterator[dict[str, Any]]:
        """Lines since the last call, merged by time; a process's own lines keep their order."""
        for path in sorted(self._folder.glob("*.log")):
            self._files.setdefault(path, LogFile(path))
        told = [file.new_lines() for file in self._files.values()]
        merged = heapq.merge(*told, key=lambda line: int(line["at_ns"]))
        return (line for line in merged if choice.takes(line))
