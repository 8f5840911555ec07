"""Plain text for people: tables as they stand in a notebook or a terminal, numbers with few digits.

Owns the looks of what `repr` shows. Refuses colour and HTML: the same text is in a log, a mail and a cell.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Final

WIDTH: Final = 132
"""Columns of text; longer cells are folded."""


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> str:
    """A table below its title; columns whose cells all are numbers stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [list(row) for row in rows]
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for index, column in enumerate(columns):
        numeric = bool(lines) and all(_is_number(line[index]) for line in lines)
        drawn.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        drawn.add_row(*(Text(cell) for cell in line))
    screen = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_jupyter=False)
    with screen.capture() as written:
        screen.print(drawn)
    text = "\n".join(line.rstrip() for line in written.get().splitlines())
    return f"{title}\n\n{text}" if title else text


def _is_number(cell: str) -> bool:
    if cell in ("", "-"):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def number(value: float) -> str:
    """A value for people: five digits."""
    return f"{value:.5g}"


def error(sigma: float) -> str:
    """An uncertainty for people: two digits, a dash for none."""
    return "-" if sigma == 0.0 or not math.isfinite(sigma) else f"{sigma:.2g}"


def spoken(value: object) -> str:
    """The value of a parameter: on or off for a switch, ten digits at most."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def span(seconds: float) -> str:
    """A length of time in its largest unit: "4.1 s", "24 h"."""
    if not math.isfinite(seconds):
        return "for ever"
    for unit_s, unit in ((172_800.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= unit_s:
            return f"{seconds / (86_400.0 if unit == 'd' else unit_s):.3g} {unit}"
    return f"{seconds:.3g} s"
