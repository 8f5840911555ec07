"""Work that may take long: a progress bar that comes late and leaves nothing behind, and Ctrl-C at any time.

Owns the worker and the drawing on stderr. Refuses to draw where nobody looks: without a terminal it is mute.
Work that is busy outside Python hears no Ctrl-C, so it runs in a thread of its own; the thread that was asked
waits, hears it, and ends the process. Such work writes nothing, so nothing is left half done.
"""

import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import typer

from bellwire.cli.exits import INTERRUPTED

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_S: Final = 1.0
"""What is ready by then needs no bar."""

HEARING_S: Final = 0.1
"""How often the thread that waits looks up: Ctrl-C may be handed to another thread, and that wakes nobody."""

Result = TypeVar("Result")
Told = Callable[[str], None]
"""Told what is being done, as it begins."""


def worked(what: str, work: Callable[[Told], Result], *, beside: bool = True) -> Result:
    """The result of some work, which is shown while it takes longer than PATIENCE_S.

    beside: in a thread of its own, which Ctrl-C abandons with the process; otherwise in this one, for work
    that has to clean up after itself. Raises whatever the work raises.
    """
    if not beside:
        with _LateProgress(what) as progress:
            return work(progress.told)
    results: list[Result] = []
    failures: list[BaseException] = []

    def act() -> None:
        try:
            results.append(work(progress.told))
        except BaseException as failure:  # handed on to the thread that waits, whatever it is
            failures.append(failure)

    worker = threading.Thread(target=act, name="plan", daemon=True)
    interrupted = False
    with _LateProgress(what) as progress:
        worker.start()
        try:
            while worker.is_alive():
                worker.join(HEARING_S)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        _leave()
    if failures:
        raise failures[0]
    return results[0]


def _leave() -> NoReturn:
    """End the process under the worker: an orderly end would tear a busy solver down, which aborts it."""
    typer.echo("interrupted", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


class _LateProgress:
    """The bar. It pulses: how many trees a batch will have is not known before."""

    def __init__(self, what: str) -> None:
        self._text = what
        self._lock = threading.Lock()
        self._drawing: Progress | None = None
        self._task: TaskID | None = None
        self._timer = threading.Timer(PATIENCE_S, self._show)
        self._timer.daemon = True
        self._over = False

    def __enter__(self) -> "_LateProgress":
        if sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._drawing is not None:
                self._drawing.stop()

    def told(self, text: str) -> None:
        """What is being done now."""
        with self._lock:
            self._text = text
            if self._drawing is not None and self._task is not None and not self._over:
                self._drawing.update(self._task, description=text)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True, highlight=False, emoji=False)
        if console.is_dumb_terminal:
            return
        with self._lock:
            if self._over:
                return
            self._drawing = Progress(
                SpinnerColumn(),
                TimeElapsedColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.description}", markup=False),
                console=console,
                transient=True,
            )
            self._task = self._drawing.add_task(self._text, total=None)
            self._drawing.start()
