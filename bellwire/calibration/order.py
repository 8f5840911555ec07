"""In which order the procedures of a link run, and which of them wait for which.

Owns the order: what a procedure needs comes before it, else the order of the table. A procedure that did not
pass closes the gate for those that need it, and for no others. Refuses to run anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.procedure import Procedure
from bellwire.calibration.procedure_names import LOOKS
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest


@dataclass(frozen=True, slots=True)
class Step:
    """One procedure of a plan. `obstacle`: why the link cannot have it; None: it runs."""

    procedure: Procedure
    obstacle: str | None = None


def planned(bench: LinkBench, table: Mapping[str, Procedure], names: Sequence[str] = ()) -> tuple[Step, ...]:
    """All procedures but the looks of keeping.py, or those of `names`, in their order.

    Raises ConfigError for an unknown name, for a named one that the link cannot have, and for a circle.
    """
    for name in names:
        if name not in table:
            raise ConfigError(f'no procedure is called "{name}"{nearest(name, table)}')
        obstacle = table[name].obstacle(bench)
        if obstacle is not None:
            raise ConfigError(f"{name} of {bench.link}: {obstacle}")
    wanted = names or [name for name in table if name not in LOOKS]
    chosen = [name for name in in_order(table) if name in wanted]
    return tuple(Step(table[name], table[name].obstacle(bench)) for name in chosen)


def in_order(table: Mapping[str, Procedure]) -> tuple[str, ...]:
    """Names so that every need comes first; otherwise as the table has them. Raises ConfigError (circle)."""
    done: dict[str, None] = {}

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            raise ConfigError(f"procedures need each other in a circle: {' -> '.join((*way, name))}")
        if name in done or name not in table:
            return
        for need in table[name].needs:
            visit(need, (*way, name))
        done[name] = None

    for name in table:
        visit(name, ())
    return tuple(done)
