"""`bellwire logs LAB`: the log lines of all agents of a run, by time.

Owns the command and how a line looks. Refuses reading and merging (runtime/log_reading.py).
"""

import json
from collections import deque
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption
from bellwire.core.errors import ConfigError

POLL_S: Final = 0.25
LAST: Final = 1_000
HIDDEN: Final = frozenset({"timestamp", "at_ns", "lab", "level", "node", "event", "version", "incarnation"})
"""Fields that have a column of their own or are the same in every line."""


def logs(
    lab: LabArgument,
    request: Annotated[
        str | None,
        typer.Option("--request", metavar="ID", help="Only of requests whose ids begin so."),
    ] = None,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only of this node.")] = None,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="debug, info, warning, error: this and above.")
    ] = "debug",
    last: Annotated[int, typer.Option("--last", min=1, max=1_000_000, help="So many lines at most.")] = LAST,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new lines until Ctrl-C.")] = False,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="Run directory; default: the lab's latest.")
    ] = None,
    as_json: JsonOption = False,
    state: StateOption = STATE,
) -> None:
    """Show the log lines of all agents of a lab together, by time."""
    import time

    from bellwire.cli.trace import latest_run
    from bellwire.runtime.log_reading import LEVELS, Choice, RunLogs

    if level not in LEVELS:
        raise ConfigError(f'--level "{level}" is none of {", ".join(LEVELS)}')
    if follow and as_json:
        raise ConfigError("--json prints one document, which --follow would never end: use one of them")
    place = latest_run(state, lab) if run is None else run
    if not (place / "logs").is_dir():
        raise ConfigError("no process of this run has written a log", where=str(place))
    reading, choice = RunLogs(place), Choice(request, node, level)
    told: deque[dict[str, Any]] = deque(reading.new_lines(choice), maxlen=last)
    if as_json:
        typer.echo(json.dumps({"run": place.name, "lines": list(told)}))
        return
    while True:
        for line in told:
            typer.echo(_said(line))
        if not follow:
            return
        time.sleep(POLL_S)
        told = deque(reading.new_lines(choice), maxlen=last)


def _said(line: dict[str, Any]) -> str:
    when = str(line.get("timestamp", ""))[11:-1]
    fields = " ".join(
        f"{name}={_value(value)}" for name, value in line.items() if name not in HIDDEN and value is not None
    )
    where = f"{when:<15} {line.get('level', ''):<8} {line.get('node', ''):<12}"
    return f"{where} {line.get('event', '')}  {fields}".rstrip()


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text) if isinstance(value, str) and (" " in text or "=" in text) else text
