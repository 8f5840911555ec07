"""Log lines of a command, on stderr.

Owns how structlog is set up while a command runs, and undoes it afterwards: a program that calls several
commands, such as a test, keeps its own setting and is left with no logger on a stream that has been closed.
"""

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Log lines for people while the block runs; stdout stays for the answer."""
    import structlog

    was_configured, before = structlog.is_configured(), structlog.get_config()
    structlog.configure(
        processors=[
            _not_said_twice,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        # Looked up for each logger, because a live screen puts its own stream in the place of stderr.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        if was_configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _not_said_twice(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops the log line of an error that ends the command, because the command's last line says the same."""
    import structlog

    if event.get("event") == "process_refused":
        raise structlog.DropEvent
    return event
