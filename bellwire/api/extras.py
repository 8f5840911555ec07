"""Libraries that only some work needs: a missing one is told with what to install, not with a traceback.

Owns that sentence. Refuses to know who needs which.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bellwire.core.errors import ConfigError


@contextmanager
def study_extra() -> Iterator[None]:
    """Raises ConfigError where a library of the extra `study` is missing."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ConfigError(f"{missing.name} is not installed: pip install 'bellwire[study]'") from None
