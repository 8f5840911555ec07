"""What a request may write to have pairs purified between distant nodes.

Owns the grammar of `EntanglementRequest.purification` and its values. Refuses plans
(planner/distant_rounds.py).

    purification := "adaptive" | "automatic" | level { "," level }
    level        := hops ":" rounds [ "p" ]

"1:1,4:2p" is one round on link pairs, and two on pairs of four links by pumping; recurrence without the p.
"automatic" leaves the levels to the plan, which names those that the fidelity threshold needs; "adaptive"
names none, and each node decides from its ledger.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from bellwire.core.errors import ConfigError

ADAPTIVE: Final = "adaptive"
AUTOMATIC: Final = "automatic"

ROUNDS_MAX: Final = 4
"""Rounds of one level: a product of four rounds of recurrence costs some 25 pairs."""

_LEVEL: Final = re.compile(r"\s*([0-9]+)\s*:\s*([0-9]+)\s*(p?)\s*")


class Level(NamedTuple):
    """Rounds of pairs that span so many links."""

    rounds: int
    pumping: bool


def words_of(levels: Mapping[int, Level]) -> str:
    """Levels as a request would write them, shortest pairs first; "" for none."""
    return ",".join(
        f"{hops}:{level.rounds}{'p' if level.pumping else ''}" for hops, level in sorted(levels.items())
    )


@lru_cache(maxsize=256)
def levels_of(text: str) -> dict[int, Level]:
    """Levels by the number of links; none for "adaptive" and "automatic".

    Raises:
        ConfigError: out of the grammar, a level twice, or rounds outside 1..ROUNDS_MAX.
    """
    found: dict[int, Level] = {}
    if text in (ADAPTIVE, AUTOMATIC):
        return found
    for word in text.split(","):
        level = _LEVEL.fullmatch(word)
        if level is None:
            raise ConfigError(f'purification "{text}": "{word.strip()}" is no level, write "hops:rounds"')
        hops, rounds = int(level[1]), int(level[2])
        if hops < 1 or not 1 <= rounds <= ROUNDS_MAX:
            raise ConfigError(f'purification "{text}": rounds are 1..{ROUNDS_MAX} on pairs of 1 link or more')
        if hops in found:
            raise ConfigError(f'purification "{text}": pairs of {hops} links are named twice')
        found[hops] = Level(rounds, bool(level[3]))
    return found
