"""Tables in plain sight: names -> things, with the nearest known name in the error.

Owns look-up by name. Refuses registration by import side effect: a table is built where it is written, and
entry points add to it when asked.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from bellwire.core.errors import ConfigError

T = TypeVar("T")

NAMES_SHOWN: Final = 40
"""Known names in a message; a network may have a thousand."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as ` (did you mean "relay"?)`, or the list of known names when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f' (did you mean "{close[0]}"?)'
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f" (known: {', '.join(names[:NAMES_SHOWN])}{more})" if names else ""


def lookup(kind: str, name: str, table: Mapping[str, T], *, where: str | None = None) -> T:
    """The entry of that name. Raises ConfigError with the nearest known name."""
    try:
        return table[name]
    except KeyError:
        raise ConfigError(f'unknown {kind} "{name}"{nearest(name, table)}', where=where) from None
