"""Log lines of a process of a lab, for structlog: written at once, into files that never grow without bound,
and lost when the disk takes no more.

Owns two rules: what is said about a full disk must not keep the agent from ending because of it, and a file
that has grown too large makes room for a new one. Refuses formats and levels (log_events.py).
"""

import os
from pathlib import Path
from typing import Any, Final

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
FILES_KEPT: Final = 4
"""NAME.log, and NAME.log.1 to NAME.log.3 that are older: at most 64 MiB for one process of one run."""


class LogLines:
    """Writes lines to a descriptor; counts those that could not be written."""

    lost = 0  # of this process

    def __init__(self, descriptor: int) -> None:
        self._descriptor: Final = descriptor

    def msg(self, message: str) -> None:
        """One line, past the buffer of the stream: what stays in there after a fault is tried again at the
        end, and would change the exit code."""
        try:
            os.write(self._descriptor, message.encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            LogLines.lost += 1

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class RotatingLines(LogLines):
    """The same into standard output and standard error, which are one file; a full one is renamed."""

    def __init__(self, path: Path, bytes_max: int = FILE_BYTES_MAX, kept: int = FILES_KEPT) -> None:
        super().__init__(1)
        self._path = path
        self._bytes_max = bytes_max
        self._kept = kept

    def msg(self, message: str) -> None:
        """One line; a full file is turned over first."""
        try:
            standing = os.fstat(1)
            if standing.st_size >= self._bytes_max and os.path.samestat(standing, self._path.stat()):
                self._turn_over()
        except OSError:
            pass  # no file, or no room: the line itself is counted as lost when it cannot be written either
        super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg

    def _turn_over(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            older = self._path if number == 1 else rotated(self._path, number - 1)
            if older.exists():
                older.replace(rotated(self._path, number))
        fresh = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fresh, 1)
        os.dup2(fresh, 2)
        os.close(fresh)


def rotated(path: Path, number: int) -> Path:
    """The file that was `path` so many turns ago."""
    return path.with_name(f"{path.name}.{number}")


def log_lines(*_: Any) -> LogLines:
    """The logger factory of a process whose standard output is its log."""
    return LogLines(1)
