"""Heralds, fidelity and visibility of one link over time, as charts and as a table of the same numbers.

Owns the choice of link and span, and the charts' looks. Refuses the numbers (history.py). The charts
are drawn by ECharts, which comes inside NiceGUI.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nicegui import ui

from bellwire.core.ids import LinkId
from bellwire.page.components.choice import Choice
from bellwire.page.components.live_table import LiveTable
from bellwire.page.history import (
    COARSE_KEPT,
    COARSE_S,
    FIGURES,
    FINE_KEPT,
    FINE_S,
    Figure,
    LinkHistory,
    Point,
)
from bellwire.page.palette import PALETTES
from bellwire.page.values import MS, Row, Shown

REDRAWN_S: Final = 2.0
TABLE_POINTS: Final = 12
NAMES: Final[Mapping[Figure, str]] = {
    "heralds_hz": "Heralds per second",
    "fidelity": "Fidelity",
    "visibility": "Visibility",
}
COLUMNS: Final = (
    ("when", "When"),
    ("heralds_hz", "Heralds per second"),
    ("fidelity", "Fidelity"),
    ("visibility", "Visibility"),
)
SPANS: Final = (("fine", "10 minutes"), ("coarse", "12 hours"))
SPAN_S: Final = {"fine": FINE_S * FINE_KEPT, "coarse": COARSE_S * COARSE_KEPT}
LEAST: Final = (0.0, 0.5, 0.25)
"""Where the axis of each begins while all values lie above. A fidelity below a half is no entanglement."""


class HistoryCharts:
    """Charts of the chosen link."""

    def __init__(self, histories: Mapping[LinkId, LinkHistory]) -> None:
        self._histories = histories
        self._scheme = "light"
        self._shown: tuple[str, str, str, Sequence[Point]] | None = None
        self._due_s = 0.0
        with ui.element("div").classes("choices"):
            self._link = Choice("link", "Link", [(name, name) for name in histories], self._redraw)
            self._span = Choice("span", "Over", SPANS, self._redraw)
        self._charts: dict[Figure, ui.echart] = {}
        frame = ui.element("div").classes("charts")
        for number, figure in enumerate(FIGURES):
            with frame, ui.element("figure").classes("chart"):
                with ui.element("figcaption"):
                    ui.label(NAMES[figure])
                chart = ui.echart(
                    _options(number, (), PALETTES["light"], SPAN_S["fine"], time.time_ns() // MS),
                    renderer="svg",
                )
                chart.props('aria-hidden="true"')
                self._charts[figure] = chart
        with ui.element("details").classes("as-table"):
            with ui.element("summary"):
                ui.label("The latest of these as a table")
            self._table = LiveTable("History of the link", COLUMNS, "Nothing was heard yet.")

    def scheme(self, name: str) -> None:
        """Light or dark, as the browser says."""
        if name in PALETTES and name != self._scheme:
            self._scheme = name
            self._redraw()

    def show(self) -> None:
        """Draw what is new, every few seconds at most."""
        if time.monotonic() >= self._due_s:
            self._redraw()

    def _redraw(self, _chosen: str = "") -> None:
        self._due_s = time.monotonic() + REDRAWN_S
        history = self._histories[self._link.chosen]
        points = (history.fine if self._span.chosen == "fine" else history.coarse).points()
        wanted = (self._link.chosen, self._span.chosen, self._scheme, points)
        if wanted == self._shown:
            return
        self._shown = wanted
        palette = PALETTES[self._scheme]
        ends_ms = points[-1][0] if points else time.time_ns() // MS
        for number, figure in enumerate(FIGURES):
            chart = self._charts[figure]
            chart.options.clear()
            chart.options.update(_options(number, points, palette, SPAN_S[self._span.chosen], ends_ms))
            chart.update()
        self._table.show([_row(point).told() for point in reversed(points[-TABLE_POINTS:])])


def _row(point: Point) -> Row:
    at_ms, *values = point
    cells: dict[str, Shown] = {
        figure: Shown(None if value is None else f"{value:.3g}" if figure == "heralds_hz" else f"{value:.3f}")
        for figure, value in zip(FIGURES, values, strict=True)
    }
    return Row(str(at_ms), {"when": Shown("", at_ns=at_ms * MS, with_age=True), **cells})


def _options(
    number: int, points: Sequence[Point], palette: Mapping[str, str], span_s: int, ends_ms: int
) -> dict[str, Any]:
    """Of one chart: a calm line, few labels, no animation."""
    colour = palette[("chain-a", "chain-b", "chain-c")[number]]
    axis = {"color": palette["quiet"], "fontSize": 12}
    known = [value for point in points if (value := point[number + 1]) is not None]
    least = LEAST[number] if all(value >= LEAST[number] for value in known) else 0.0
    return {
        "animation": False,
        "grid": {"left": 52, "right": 12, "top": 12, "bottom": 26},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "backgroundColor": palette["raised"],
            "borderColor": palette["line"],
            "textStyle": {"color": palette["text"]},
        },
        "xAxis": {
            "type": "time",
            "axisLabel": {**axis, "hideOverlap": True, "formatter": "{HH}:{mm}"},
            "axisLine": {"lineStyle": {"color": palette["line"]}},
            "axisTick": {"show": False},
            "min": ends_ms - span_s * 1000,
            "max": ends_ms,
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "axisLabel": axis,
            "splitLine": {"lineStyle": {"color": palette["line"], "opacity": 0.6}},
            "min": least,
            **({"max": 1.0, "interval": 0.25} if number > 0 else {"splitNumber": 3}),
        },
        "series": [
            {
                "type": "line",
                "name": NAMES[FIGURES[number]],
                "showSymbol": len(points) < 3,
                "connectNulls": False,
                "lineStyle": {"width": 2, "color": colour},
                "itemStyle": {"color": colour},
                "areaStyle": {"color": colour, "opacity": 0.10} if number == 0 else {"opacity": 0},
                "data": [[point[0], point[number + 1]] for point in points],
            }
        ],
    }
