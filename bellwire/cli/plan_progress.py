"""A progress bar that comes when a plan takes long, and leaves nothing behind.

Owns the delay and the drawing on stderr. Refuses to appear where nobody looks: without a terminal it is mute.
"""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_S: Final = 1.0
"""What is ready by then needs no bar."""


class LateProgress:
    """`with LateProgress("planning") as progress: ... progress.told("tree 3")`."""

    def __init__(self, what: str) -> None:
        self._text = what
        self._steps = 0
        self._lock = threading.Lock()
        self._drawing: Progress | None = None
        self._task: TaskID | None = None
        self._begun_s = time.monotonic()
        self._timer = threading.Timer(PATIENCE_S, self._show)
        self._timer.daemon = True
        self._over = False

    def __enter__(self) -> "LateProgress":
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
        """What is being done now; counts as a step."""
        with self._lock:
            self._text = text
            self._steps += 1
            if self._drawing is not None and self._task is not None:
                self._drawing.update(self._task, description=text, steps=self._steps)

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
                BarColumn(bar_width=24),  # pulses: how many trees there will be is not known before
                TextColumn("{task.description}", markup=False),
                console=console,
                transient=True,
            )
            self._task = self._drawing.add_task(self._text, total=None, steps=self._steps)
            self._drawing.start()
