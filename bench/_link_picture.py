"""The picture of bench/link_layer.py: the grid in standard errors, and how soon a drift is noticed.

Owns the picture. Refuses to measure. The same figures give the same file, byte for byte.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from _link_estimation import Delay
from _link_physics import Point
from _link_rows import SIGMAS, Comparison
from _planner_growth import BLUE, FAINT, GREEN, INK, RED
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PURPLE: Final = "#8a4a9e"
COLOURS: Final = {
    "double_click": BLUE,
    "single_click": RED,
    "sender_receiver": GREEN,
    "midpoint_source": PURPLE,
}
"""Of the architectures, in the order of drawing."""

REACH: Final = 5.0
"""Standard errors that the axes show; a point beyond is drawn at the edge."""


def draw(points: Sequence[Point], curve: Sequence[Delay], path: Path) -> None:
    """Write the picture as SVG."""
    with mpl.rc_context({"svg.hashsalt": "bellwire", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9.6, 8.4), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(1.15, 1.0))
        top = figure.add_subplot(grid[0, :])
        _grid(top, points)
        _normal(figure.add_subplot(grid[1, 0]), points)
        _delays(figure.add_subplot(grid[1, 1]), curve)
        for axes in figure.axes:
            axes.set_axisbelow(True)
            axes.tick_params(colors=INK, which="both")
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _shown(comparison: Comparison) -> float:
    return max(-REACH, min(REACH, comparison.deviation))


def _grid(axes: "Axes", points: Sequence[Point]) -> None:
    """Deviations of every link: rate filled, fidelity hollow; links of an architecture by their success."""
    axes.axhspan(-SIGMAS, SIGMAS, color=FAINT, alpha=0.35, linewidth=0)
    axes.axhspan(-1.0, 1.0, color=FAINT, alpha=0.8, linewidth=0)
    axes.axhline(0.0, color=INK, linewidth=0.7)
    place = 0
    for architecture, colour in COLOURS.items():
        own = sorted(
            (point for point in points if point.case.architecture == architecture),
            key=lambda point: point.rate.expected,
        )
        places = list(range(place, place + len(own)))
        rates = [_shown(point.rate) for point in own]
        tests = [_shown(point.tests) for point in own]
        axes.vlines(places, rates, tests, color=colour, linewidth=0.7, alpha=0.5)
        axes.plot(places, rates, "o", color=colour, markersize=5)
        axes.plot(places, tests, "o", color=colour, markersize=5, markerfacecolor="white")
        low, high = own[0].rate.expected, own[-1].rate.expected
        axes.annotate(
            f"{architecture.replace('_', ' ')}\np = {low:.2g} to {high:.2g}",
            ((places[0] + places[-1]) / 2.0, SIGMAS),
            xytext=(0.0, -4.0),
            textcoords="offset points",
            color=colour,
            horizontalalignment="center",
            verticalalignment="top",
        )
        place += len(own) + 1
    axes.set_ylim(-REACH, REACH)
    axes.set_xlim(-1.5, place - 0.5)
    axes.set_xticks([])
    axes.set_yticks([-4, -2, 0, 2, 4])
    axes.set_xlabel(f"{len(points)} links, of each architecture by success probability", color=INK)
    axes.set_ylabel("standard errors from the closed form", color=INK)
    title = "Success probability (filled) and fidelity by test rounds (hollow)"
    axes.set_title(title, color=INK, loc="left")


def _normal(axes: "Axes", points: Sequence[Point]) -> None:
    """All deviations in order, beside what a normal distribution gives."""
    whole = sorted(abs(one.deviation) for point in points for one in (point.rate, point.tests))
    number = len(whole)
    chance = np.random.default_rng(1)
    drawn = np.sort(np.abs(chance.normal(size=(4000, number))), axis=1)
    low, middle, high = np.quantile(drawn, (0.005, 0.5, 0.995), axis=0)
    shares = (np.arange(number) + 1) / number
    axes.fill_betweenx(shares, low, high, color=FAINT, alpha=0.8, linewidth=0)
    axes.plot(middle, shares, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.step(whole, shares, where="post", color=BLUE, linewidth=1.8)
    axes.axvline(SIGMAS, color=RED, linewidth=1.0)
    axes.annotate(
        "limit",
        (SIGMAS, 0.03),
        xytext=(-4.0, 0.0),
        textcoords="offset points",
        color=RED,
        horizontalalignment="right",
    )
    axes.annotate(
        "grey: 99 of 100 samples\nof a normal distribution",
        (1.5, 0.45),
        color=INK,
        verticalalignment="top",
    )
    axes.set_xlim(0.0, REACH)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("standard errors from the closed form, either way", color=INK)
    axes.set_ylabel(f"share of the {number} comparisons", color=INK)
    axes.set_title("The same, in order", color=INK, loc="left")


def _delays(axes: "Axes", curve: Sequence[Delay]) -> None:
    """Tests until a fall is noticed, over the fidelity before it."""
    fidelities = [one.fidelity for one in curve]
    axes.plot(fidelities, [one.exact_quantile for one in curve], color=RED, linewidth=1.5)
    axes.plot(fidelities, [one.exact_mean for one in curve], color=BLUE, linewidth=1.5)
    axes.plot(fidelities, [one.quantile for one in curve], "o", color=RED, markersize=5)
    axes.errorbar(
        fidelities,
        [one.mean for one in curve],
        yerr=[2.0 * one.error for one in curve],
        fmt="o",
        color=BLUE,
        markersize=5,
        linewidth=1.2,
    )
    for one_of, label, colour in ((curve[2].exact_quantile, "in 95 of 100 cases", RED), (None, "mean", BLUE)):
        at = curve[2].exact_mean if one_of is None else one_of
        axes.annotate(
            label, (curve[2].fidelity, at), xytext=(8.0, 6.0), textcoords="offset points", color=colour
        )
    axes.set_ylim(0.0, None)
    axes.grid(visible=True, which="major", color=FAINT, linewidth=0.7)
    axes.set_xlabel("fidelity before it falls by 0.03", color=INK)
    axes.set_ylabel("tests until it is noticed", color=INK)
    axes.set_title("Drift: drawn (dots), exact chain (lines)", color=INK, loc="left")
