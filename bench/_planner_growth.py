"""The growth plot of bench/planner.py: CPU seconds over nodes, both axes logarithmic.

Owns the picture. Refuses to measure. The same figures give the same file, byte for byte.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

INK: Final = "#333333"
FAINT: Final = "#dddddd"
BLUE: Final = "#0072b2"
RED: Final = "#d55e00"
GREEN: Final = "#00795a"


class Line(NamedTuple):
    """How a series is drawn. dashed: what the planner is held against. shift_pt: of its label, upwards."""

    label: str
    colour: str
    dashed: bool = False
    shift_pt: float = 0.0


LINES: Final[Mapping[str, Line]] = {
    "exact": Line("exact trees, all pairs", BLUE),
    "exact, reference": Line("exact trees, plain Python", BLUE, dashed=True, shift_pt=-3.0),
    "balanced": Line("balanced trees, one source", RED, shift_pt=-8.0),
    "balanced, reference": Line("balanced trees, plain Python", RED, dashed=True, shift_pt=6.0),
    "levels, building": Line("level programme, building", GREEN, shift_pt=3.0),
    "levels, solver": Line("level programme, HiGHS", GREEN, dashed=True),
}
"""All series that the plot knows, in the order of drawing."""


def draw(series: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Write the plot as SVG. series: (nodes, CPU seconds) in order of nodes, by the names of LINES."""
    with mpl.rc_context({"svg.hashsalt": "bellwire", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(8.4, 5.2), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        for name, line in LINES.items():
            if series.get(name):
                _add(axes, series[name], line)
        sizes = sorted({nodes for points in series.values() for nodes, _ in points})
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(sizes, [f"{nodes:,}" for nodes in sizes])
        axes.set_xlim(sizes[0] / 1.1, sizes[-1] * 5.0)  # room for the labels at the ends of the lines
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("nodes", color=INK)
        axes.set_ylabel("CPU time on one core in s", color=INK)
        axes.set_title(
            "Planning on random networks, density 0.05 (level programme 0.1)", color=INK, loc="left"
        )
        axes.grid(visible=True, which="major", color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, which="both")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _add(axes: "mpl.axes.Axes", points: Sequence[tuple[int, float]], line: Line) -> None:
    nodes, cpu_s = zip(*points, strict=True)
    axes.plot(
        nodes,
        cpu_s,
        color=line.colour,
        linestyle=(0, (4, 2)) if line.dashed else "solid",
        marker="o",
        markersize=4.5,
        markerfacecolor="white" if line.dashed else line.colour,
        linewidth=1.8,
    )
    axes.annotate(
        line.label,
        (nodes[-1], cpu_s[-1]),
        xytext=(8.0, line.shift_pt),
        textcoords="offset points",
        color=line.colour,
        verticalalignment="center",
    )
