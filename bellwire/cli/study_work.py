"""What `bellwire evaluate` and `bellwire sweep` share: who works, and the bar that says how far they are.

Owns the options and the drawing on stderr. Refuses the tasks themselves (bellwire.study).
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.api.extras import study_extra
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from bellwire.study.evaluation_running import Progress, Workers

WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Processes on this machine; default: its processors."),
]
DaskOption = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Dask scheduler that has the workers, tcp://host:8786."),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for parts, table, figures and report.")
]


@contextmanager
def working(workers: int | None, dask: str | None) -> "Iterator[Workers]":
    """Who works, for as long as there is work.

    Raises:
        ConfigError: both ways at once, a scheduler that does not answer, or the extra `study` is missing.
    """
    if workers is not None and dask is not None:
        raise ConfigError("--workers is for this machine, --dask for a cluster: give one of them")
    with study_extra():
        from bellwire.study.evaluation_running import Cluster, workers_for
    found = workers_for(os.cpu_count() or 1 if workers is None else workers, dask)
    try:
        yield found
    finally:
        if isinstance(found, Cluster):
            found.close()


@contextmanager
def told() -> "Iterator[Callable[[str, Progress], None]]":
    """Called after each task with the name of its round. On a terminal it draws a bar with the time that is
    left; elsewhere it says a line at the beginning of each round."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, emoji=False)
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        with _bar(console) as tell:
            yield tell
    else:
        begun: set[str] = set()

        def tell_line(what: str, progress: "Progress") -> None:
            if what not in begun:
                begun.add(what)
                typer.echo(f"{what}: {progress.total}, of which {progress.kept} were there", err=True)

        yield tell_line


@contextmanager
def _bar(console: "Console") -> "Iterator[Callable[[str, Progress], None]]":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Drawing

    drawing = Drawing(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
    )
    rounds: dict[str, TaskID] = {}

    def tell(what: str, progress: "Progress") -> None:
        if what not in rounds:
            rounds[what] = drawing.add_task(what, total=progress.total - progress.kept)
        drawing.update(rounds[what], completed=progress.done - progress.kept)

    with drawing:
        yield tell
