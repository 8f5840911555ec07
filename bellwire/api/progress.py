"""What is printed while something goes on: one line that changes, and a line for each thing that has ended.

Owns the line. In a file or a pipe only the ends are written, because there nothing can be overwritten.
"""

from __future__ import annotations

import sys

from bellwire.api.calibrations import Calibration
from bellwire.api.text_tables import span
from bellwire.calibration.procedure import Progress

LINE = 100


class ProgressLine:
    """Writes to stdout; `quiet`: nothing at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._open = False

    def say(self, sentence: str) -> None:
        """Replace the line."""
        if not self._quiet and _can_overwrite():
            self._write(f"\r{sentence[:LINE]:{LINE}}")
            self._open = True

    def progress(self, progress: Progress) -> None:
        """Where a procedure stands."""
        share = "" if progress.fraction is None else f" {progress.fraction:4.0%}"
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
        self.say(f"{progress.procedure}{share}: {progress.sentence}" + (f" ({numbers})" if numbers else ""))

    def ended(self, calibration: Calibration) -> None:
        """A run has ended."""
        record = calibration.record
        took = span((record.ended_ns - record.started_ns) / 1e9)
        self.done(f"{record.procedure} {record.outcome.value} in {took}: {record.reason}")

    def done(self, sentence: str = "") -> None:
        """Leave the line, with a last word or without."""
        if self._quiet:
            return
        if self._open:
            self._write(f"\r{'':{LINE}}\r")
            self._open = False
        if sentence:
            self._write(f"{sentence}\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _can_overwrite() -> bool:
    return sys.stdout.isatty() or "ipykernel" in sys.modules
