"""How the path of a request is computed: names, and what every layer needs to know of each.

Owns the table of names (review section 4.2.2) and their traits. Refuses the computations (planner/paths.py).
"""

from collections.abc import Mapping
from typing import Final

from bellwire.core.record import Word
from bellwire.core.registry import lookup

AUTOMATIC: Final = "automatic"
"""What a request that says nothing gets: virtual where the lab keeps stores, proactive elsewhere."""


class PathTraits(Word, frozen=True, kw_only=True):
    """What a way to compute paths asks of the layers below and above the planner."""

    takes_from_store: bool  # pairs in store may stand for parts of the route
    gathers: bool = False  # the request lives on pairs in store: its plan makes none on links
    reads_ledger: bool = False  # the planner is told which pairs there are at the moment
    renews: bool = False  # a path serves one pair, and is computed again for the next


PATH_TRAITS: Final[Mapping[str, PathTraits]] = {
    AUTOMATIC: PathTraits(takes_from_store=True),
    "proactive": PathTraits(takes_from_store=False),
    "reactive": PathTraits(takes_from_store=True, gathers=True, reads_ledger=True, renews=True),
    "virtual": PathTraits(takes_from_store=True),
    "opportunistic": PathTraits(takes_from_store=True),
}


def path_traits(name: str) -> PathTraits:
    """The traits of a way to compute paths. Raises ConfigError with the nearest known name."""
    return lookup("path computation", name, PATH_TRAITS)
