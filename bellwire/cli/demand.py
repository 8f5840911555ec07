"""`bellwire demand LAB`: what was asked for in this lab, and what to expect: the demand for pre-distribution.

Owns the command. Refuses counting (transport/predistribution_history.py) and forecasts (planner).
"""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.core.events import Record

WINDOWS_MAX = 100_000
"""More windows than this are too many to look through: take longer ones."""


def demand(
    lab: LabArgument,
    window_s: Annotated[
        float, typer.Option("--window", metavar="SECONDS", help="Length of a window.")
    ] = 3600.0,
    period: Annotated[
        int | None,
        typer.Option(
            "--period", metavar="N", help="Windows after which demand repeats, such as 24; else none."
        ),
    ] = None,
    state: StateOption = STATE,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the demand for `demand_file`.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Forecast the next window's requests of each pair of nodes from the records of all agents."""
    from bellwire.cli import show
    from bellwire.labs import load_lab
    from bellwire.planner.predistribution_forecast import next_demand
    from bellwire.transport.predistribution_history import asked_in, counts_of

    if not window_s > 0.0:
        raise ConfigError(f"--window {window_s:g} must be above 0 seconds")
    known = load_lab(find_lab(lab))
    asked = asked_in(_records(state, tuple(known.network.nodes)))
    if not asked:
        raise ConfigError("no request for pairs is recorded there", where=str(state))
    window_ns = round(window_s * 1e9)
    until_ns = max(one.at_ns for one in asked) + 1
    if (until_ns - asked[0].at_ns) // window_ns > WINDOWS_MAX:
        raise ConfigError(
            f"the history has more than {WINDOWS_MAX} windows of {window_s:g} s: take longer ones"
        )
    expected = next_demand(counts_of(asked, window_ns, until_ns), period)
    rows = [{"from": a, "to": b, "weight": count} for (a, b), count in sorted(expected.items())]
    document: dict[str, Any] = {
        "window_s": window_s,
        "period": period,
        "requests": len(asked),
        "demand": rows,
    }
    if out is not None:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(document))
        return
    cells = [[str(row["from"]), str(row["to"]), f"{row['weight']:.3g}"] for row in rows]
    show.write(show.table(f"Expected in the next {window_s:g} s", ["from", "to", "requests"], cells))


def _records(state: Path, nodes: tuple[str, ...]) -> "list[Record]":
    """What the agents of a lab remember; read only, so that a running lab is not disturbed."""
    import sqlite3

    from bellwire.core.events import Record

    found: list[Record] = []
    for name in nodes:
        path = state / "agents" / f"{name}.sqlite"
        if not path.exists():
            continue
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                rows = database.execute(
                    "SELECT kind, key, body FROM records WHERE kind = 'request'"
                ).fetchall()
        except sqlite3.Error as problem:
            raise ConfigError(f"no store of records: {problem}", where=str(path)) from None
        found += [Record(kind=kind, key=key, body=body) for kind, key, body in rows]
    return found
