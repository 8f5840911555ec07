"""How far a file of tags was read, as a bar on stderr.

Owns the drawing. Refuses to draw where nobody looks.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def reading(what: str) -> Iterator[Callable[[float], None]]:
    """Called with how much was read, 0 to 1; the bar is gone afterwards. Mute without a terminal."""
    if not sys.stderr.isatty():
        yield lambda fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True, highlight=False, emoji=False),
        transient=True,
    )
    task = bar.add_task(what, total=1.0)
    with bar:
        yield lambda fraction: bar.update(task, completed=fraction)
