"""Pictures that several procedures draw: points and their fitted curve, bars with errors, a density matrix.

Owns how they look. Refuses files: a procedure hands over a function that draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bellwire.calibration.estimates.curves import Curve
from bellwire.calibration.records import Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

POINTS = "#1f4e79"
FIT = "#c0504d"

Draw = Callable[["Figure"], None]


def curve(one: Curve, *, title: str, mark: float | None = None) -> Draw:
    """One fit. `mark`: a place on the x axis that matters."""
    return curves({"": one}, title=title, mark=mark)


def curves(many: Mapping[str, Curve], *, title: str, mark: float | None = None) -> Draw:
    """Several fits, a panel each."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(many), 1, squeeze=False)[:, 0]
        for axes, (name, one) in zip(panels, many.items(), strict=True):
            _draw_curve(axes, one, mark)
            if name:
                axes.set_title(name, loc="left", fontsize="medium")
        figure.suptitle(title)

    return draw


def _draw_curve(axes: Axes, one: Curve, mark: float | None) -> None:
    style = "." if one.x.size > 60 else "o"
    axes.errorbar(one.x, one.measured, one.errors, fmt=style, color=POINTS, ms=4, lw=1, label="measured")
    axes.plot(one.fine_x, one.fitted, color=FIT, lw=1.5, label="fit")
    if mark is not None:
        axes.axvline(mark, color="0.4", ls="--", lw=1)
    axes.set_xlabel(one.x_label)
    axes.set_ylabel(one.y_label)
    axes.legend(frameon=False)
    axes.grid(alpha=0.2)


def families(panels: Mapping[str, Mapping[str, Curve]], *, title: str) -> Draw:
    """Several fits in each panel, told apart by colour: what is measured alike at several places."""

    def draw(figure: Figure) -> None:
        rows = figure.subplots(max(len(panels), 1), 1, squeeze=False)[:, 0]
        for axes, (panel, many) in zip(rows, panels.items(), strict=False):
            for number, (name, one) in enumerate(many.items()):
                colour = f"C{number}"
                axes.errorbar(one.x, one.measured, one.errors, fmt="o", color=colour, ms=4, lw=1, label=name)
                axes.plot(one.fine_x, one.fitted, color=colour, lw=1.5)
                axes.set_xlabel(one.x_label)
                axes.set_ylabel(one.y_label)
            axes.set_ylim(0.4, 1.05)
            axes.set_title(panel, loc="left", fontsize="medium")
            axes.legend(frameon=False)
            axes.grid(alpha=0.2)
        figure.suptitle(title)

    return draw


def bars(values: Mapping[str, Quantity], *, title: str, label: str, line: float | None = None) -> Draw:
    """Quantities side by side with their 95 % intervals. `line`: a limit."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names = list(values)
        heights = [values[name].value for name in names]
        below = [max(0.0, values[name].value - values[name].interval[0]) for name in names]
        above = [max(0.0, values[name].interval[1] - values[name].value) for name in names]
        places = range(len(names))
        axes.bar(places, heights, color=POINTS, alpha=0.75)
        axes.errorbar(places, heights, [below, above], fmt="none", color="black", capsize=3, lw=1)
        axes.set_xticks(places, names, rotation=30, ha="right")
        if line is not None:
            axes.axhline(line, color=FIT, ls="--", lw=1)
        axes.set_ylabel(label)
        axes.set_title(title)
        axes.grid(axis="y", alpha=0.2)

    return draw


def histogram(values: object, *, title: str, label: str, bins: int = 120) -> Draw:
    """How often each value occurs."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(values, bins=bins, color=POINTS, histtype="stepfilled", alpha=0.75)  # type: ignore[arg-type]
        axes.set_xlabel(label)
        axes.set_ylabel("counts")
        axes.set_title(title)
        axes.grid(alpha=0.2)

    return draw


def steps(
    values: Mapping[str, NDArray[np.float64]], *, title: str, label: str, line: float | None = None
) -> Draw:
    """What was measured from step to step, on a logarithmic scale. `line`: a limit."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, heights in values.items():
            axes.plot(range(1, len(heights) + 1), heights, ".-", lw=1, label=name)
        if line is not None:
            axes.axhline(line, color=FIT, ls="--", lw=1, label="limit")
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.set_title(title)
        axes.legend(frameon=False)
        axes.grid(alpha=0.2)

    return draw


def matrix(state: NDArray[np.complex128], *, names: Sequence[str], title: str) -> Draw:
    """A density matrix, its real and its imaginary part. `names`: of the basis, row by row."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        images = []
        for axes, part, label in zip(panels, (state.real, state.imag), ("real", "imaginary"), strict=True):
            image = axes.imshow(part, cmap="RdBu_r", vmin=-0.5, vmax=0.5)
            for row, column in np.ndindex(part.shape):
                shade = "white" if abs(part[row, column]) > 0.3 else "black"
                told = f"{part[row, column]:.3f}"
                axes.text(column, row, told, ha="center", va="center", color=shade, fontsize="small")
            axes.set_xticks(range(len(names)), names)
            axes.set_yticks(range(len(names)), names)
            axes.set_title(f"{label} part", fontsize="medium")
            images.append(image)
        figure.colorbar(images[-1], ax=panels, shrink=0.7)
        figure.suptitle(title)

    return draw
