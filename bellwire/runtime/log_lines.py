"""Log lines of a process of a lab, for structlog: written at once, and lost when the disk takes no more.

Owns one rule: what is said about a full disk must not keep the agent from ending because of it. Refuses
formats and levels.
"""

import os
from typing import Any, Final


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


def log_lines(*_: Any) -> LogLines:
    """The logger factory of a process whose standard output is its log."""
    return LogLines(1)
