"""Branches as boxes: what happens last stands on top, what it consumes below.

Owns the layout of boxes. Refuses words (branches.py). A parent stands over the middle of its children, and no
two subtrees share a column, so nothing can overlap.
"""

import re
from dataclasses import dataclass
from typing import Final

from bellwire.planner.reports.branches import Branch, Kind
from bellwire.planner.reports.canvas import INK, PAPER, QUIET, Box, Canvas, text_width

TITLE: Final = 12.0
FIGURE: Final = 11.0
LINE: Final = 16.0
PAD_X: Final = 11.0
PAD_Y: Final = 9.0
ASIDE: Final = 14.0
"""Room between two subtrees."""

BETWEEN: Final = 38.0
"""Room between two levels."""

WRAP: Final = 165.0
"""Width at which a title goes on in a new line."""

LOOKS: Final[dict[Kind, tuple[str, str]]] = {
    "swap": ("#eff6ff", "#2563eb"),
    "purify": ("#f5f3ff", "#7c3aed"),
    "fuse": ("#ecfdf5", "#059669"),
    "link": (PAPER, "#94a3b8"),
    "pair": (PAPER, "#94a3b8"),
    "stored": ("#fefce8", "#a16207"),
}
"""Fill and rim of a box by what it stands for."""


@dataclass(frozen=True, slots=True)
class Words:
    """The lines of a box and the room that they need."""

    title: tuple[str, ...]
    between: tuple[str, ...]
    figures: str
    width: float
    height: float


class TreeDrawing:
    """Some branches side by side; `width` and `height` are what they need."""

    def __init__(self, branches: tuple[Branch, ...]) -> None:
        self._branches = branches
        self._words: dict[int, Words] = {}
        self._heights: list[float] = []
        for branch in branches:
            self._measure(branch, 0)
        widths = [self._span(branch) for branch in branches]
        self.width = sum(widths) + ASIDE * max(0, len(widths) - 1)
        self.height = sum(self._heights) + BETWEEN * max(0, len(self._heights) - 1)

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Lines first, boxes over them."""
        places: list[tuple[Branch, Box]] = []
        for branch in self._branches:
            self._place(branch, left, top, 0, canvas, places)
            left += self._span(branch) + ASIDE
        for branch, place in places:
            self._draw_box(canvas, branch, place)

    def _measure(self, branch: Branch, level: int) -> None:
        title = _wrapped(branch.title, TITLE, bold=True)
        between = _wrapped(branch.between, FIGURE)
        figures = f"{branch.time} · F {branch.fidelity}" if branch.fidelity else branch.time
        widths = [text_width(line, TITLE, bold=True) for line in title]
        widths += [text_width(line, FIGURE) for line in (*between, figures)]
        height = LINE * (len(title) + len(between) + 1) + 2 * PAD_Y - 4.0
        self._words[id(branch)] = Words(title, between, figures, max(widths) + 2 * PAD_X, height)
        if level == len(self._heights):
            self._heights.append(0.0)
        self._heights[level] = max(self._heights[level], height)
        for child in branch.below:
            self._measure(child, level + 1)

    def _span(self, branch: Branch) -> float:
        """Width of a subtree."""
        below = sum(self._span(child) for child in branch.below) + ASIDE * max(0, len(branch.below) - 1)
        return max(self._words[id(branch)].width, below)

    def _place(
        self,
        branch: Branch,
        left: float,
        top: float,
        level: int,
        canvas: Canvas,
        places: list[tuple[Branch, Box]],
    ) -> float:
        """Place a subtree and draw the lines in it; the middle of its top box."""
        words, span = self._words[id(branch)], self._span(branch)
        height = self._heights[level]
        below = sum(self._span(child) for child in branch.below) + ASIDE * max(0, len(branch.below) - 1)
        x = left + max(0.0, (span - below) / 2.0)
        middles: list[float] = []
        for child in branch.below:
            middles.append(self._place(child, x, top + height + BETWEEN, level + 1, canvas, places))
            x += self._span(child) + ASIDE
        middle = (middles[0] + middles[-1]) / 2.0 if middles else left + span / 2.0
        middle = min(max(middle, left + words.width / 2.0), left + span - words.width / 2.0)
        place = Box(middle - words.width / 2.0, top, middle + words.width / 2.0, top + words.height)
        for child_middle in middles:
            canvas.curve(middle, place.bottom, child_middle, top + height + BETWEEN, "#94a3b8", 1.4)
        places.append((branch, place))
        return middle

    def _draw_box(self, canvas: Canvas, branch: Branch, place: Box) -> None:
        words = self._words[id(branch)]
        fill, rim = LOOKS[branch.kind]
        top = any(branch is each for each in self._branches)
        dashes = "4 3" if branch.kind == "stored" else None
        canvas.box(place, fill, rim, radius=8.0, width=2.2 if top else 1.2, dashes=dashes)
        x, y = (place.left + place.right) / 2.0, place.top + PAD_Y + 10.0
        for line in words.title:
            canvas.text(x, y, line, TITLE, INK, anchor="middle", bold=True)
            y += LINE
        for line in words.between:
            canvas.text(x, y, line, FIGURE, QUIET, anchor="middle")
            y += LINE
        canvas.text(x, y, words.figures, FIGURE, INK, anchor="middle")


def _wrapped(text: str, size: float, *, bold: bool = False) -> tuple[str, ...]:
    """Lines no wider than WRAP, where the words allow it; a figure keeps its unit."""
    lines = [""]
    for word in re.split(r"(?<!\d) | (?!(?:ns|µs|ms|s|min|h|d|km)\b)", text):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, bold=bold) > WRAP:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)
