"""The incarnation counter of an agent whose state came back from a backup.

Owns the rule by which a restored counter is above everything that peers may have seen. Refuses files of any
other kind. Why it is safe stands in docs/adr/0032.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.runtime.store import INCARNATION_MAX, StoreFault, write_synced

PER_S = 10
"""No node claims more incarnations than this in a second: a process takes longer to start."""
NS_PER_COUNT = 1_000_000_000 // PER_S


def counter_path(agents: Path, node: NodeId) -> Path:
    """Where the counter of a node lies, below the folder of the agents."""
    return agents / f"{node}.incarnation"


def read_counter(path: Path) -> int:
    """The latest incarnation that was claimed, 0: none. Raises StoreFault when the file holds no number."""
    try:
        return int(path.read_text(encoding="ascii")) if path.exists() else 0
    except (ValueError, OSError) as problem:
        raise StoreFault(
            str(path), f"holds no incarnation ({problem}); restore it from a backup"
        ) from problem


def raised(known: Iterable[int], now_ns: int) -> int:
    """A counter above every incarnation that can have been claimed until the unix time `now_ns`: that time in
    tenths of a second.

    A node claims fewer incarnations than tenths of a second pass. So whoever counts from 1 stays below the
    unix time for ever, and so does whoever counts on from an earlier restore.

    Raises:
        ConfigError: the clock is behind a counter, so it is wrong, or the limit of counters is reached.
    """
    highest, counter = max(known, default=0), now_ns // NS_PER_COUNT
    if counter <= highest:
        raise ConfigError(
            f"the clock stands at {now_ns // 1_000_000_000} s since 1970, behind a counter of {highest} "
            "tenths: set the clock first, incarnations must not come twice"
        )
    if counter >= INCARNATION_MAX:
        raise ConfigError(f"a counter of {counter} is above the limit of {INCARNATION_MAX}: set the clock")
    return counter


def raise_counter(agents: Path, node: NodeId, *also: int, now_ns: int) -> int:
    """Put the raised counter of a node on the disk; `also`: counters of other origin. Returns it.

    Raises:
        ConfigError: see `raised`.
        StoreFault: it cannot be read or written.
    """
    path = counter_path(agents, node)
    counter = raised((read_counter(path), *also), now_ns)
    write_synced(path, f"{counter}\n".encode("ascii"))
    return counter
