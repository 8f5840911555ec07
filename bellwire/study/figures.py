"""Pictures of an evaluation: rates, ratios, latencies and fidelities with paired 95 % intervals.

Owns the drawing with matplotlib. Refuses to compute more than means and ratios of rows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_claims_rows import number_groups, rate_groups
from bellwire.study.evaluation_jobs import Stock
from bellwire.study.evaluation_policies import POLICIES
from bellwire.study.evaluation_statistics import Estimate, mean, mean_paired_ratio
from bellwire.study.experiments import AXIS_TITLES, Axis, Experiment
from bellwire.study.figures_point import draw_point
from bellwire.study.figures_stocks import draw_stocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Final = (
    "#000000", "#7f7f7f", "#d62728", "#ff7f0e", "#1f77b4", "#2ca02c", "#98df8a",
    "#9467bd", "#c5b0d5", "#17becf", "#9edae5", "#8c564b", "#e377c2",
)  # fmt: skip
"""One for each policy, in the order of the table: baselines are black and grey."""

STOCK_LINES: Final[dict[Stock, str]] = {"none": ":", "one_time": "--", "continuous": "-"}

PANEL_INCHES: Final = 3.4
DOTS_PER_INCH: Final = 120

Quantity = Callable[[Sequence[Row], str], Estimate | None]
"""A number of one policy from the rows of one data point."""


def draw(seen: Evaluated, experiment: Experiment, path: Path) -> None:
    """The figure of an experiment, as PNG."""
    if len(experiment.points) == 1 and experiment.stocks:
        draw_stocks(seen, experiment, latency, path)
        return
    if len(experiment.points) == 1:
        draw_point(seen, experiment, path)
        return
    if experiment.stocks:
        rows: list[tuple[str, Quantity, bool]] = [("mean latency, s", latency, True)]
    elif experiment.name == "fig9":
        rows = [("fidelity", fidelity, False)]
    else:
        rows = [("pairs per second", rate, True), ("ratio to the rate-matched tree", ratio_to_tree, True)]
    _draw(seen, experiment, rows, path)


def rate(rows: Sequence[Row], policy: str) -> Estimate | None:
    """Mean rate over routes."""
    return mean(number_groups(rows, policy, "rate_hz"))


def ratio_to_tree(rows: Sequence[Row], policy: str) -> Estimate | None:
    """Geometric mean of the paired ratio of rates."""
    return mean_paired_ratio(rate_groups(rows, policy, "fixed_tree"))


def fidelity(rows: Sequence[Row], policy: str) -> Estimate | None:
    """Mean over routes of the mean true fidelity."""
    return mean(number_groups(rows, policy, "fidelity"))


def latency(rows: Sequence[Row], policy: str) -> Estimate | None:
    """Mean over routes of the mean latency of single pairs."""
    return mean(number_groups(rows, policy, "latency_mean_s"))


def _draw(
    seen: Evaluated, experiment: Experiment, rows: Sequence[tuple[str, Quantity, bool]], path: Path
) -> None:
    # Imported late: a table of results needs no drawing library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes = experiment.axes
    picture = Figure(figsize=(PANEL_INCHES * len(axes) + 1.8, PANEL_INCHES * len(rows)), layout="constrained")
    FigureCanvasAgg(picture)
    panels = picture.subplots(len(rows), len(axes), squeeze=False)
    for line, (title, quantity, logarithmic) in enumerate(rows):
        for column, axis in enumerate(axes):
            panel: Axes = panels[line][column]
            _lines(panel, seen, experiment, axis, quantity)
            panel.set_xlabel(AXIS_TITLES[axis])
            if column == 0:
                panel.set_ylabel(title)
            if logarithmic:
                _logarithmic(panel)
            panel.grid(alpha=0.3)
    handles, labels = panels[0][0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    picture.suptitle(f"{experiment.title}\n95 % intervals over networks", fontsize=10)
    picture.savefig(path, dpi=DOTS_PER_INCH)


def _logarithmic(panel: "Axes") -> None:
    """A logarithmic axis with plain numbers, of which a narrow range also gets some; a very narrow one stays
    linear."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = panel.get_ylim()
    if 0.0 < high < LINEAR_RANGE * low:
        return
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    wide = high > NARROW_RANGE * low
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if wide else tuple(range(1, 10))))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


NARROW_RANGE: Final = 12.0
LINEAR_RANGE: Final = 2.0


def _lines(panel: "Axes", seen: Evaluated, experiment: Experiment, axis: Axis, quantity: Quantity) -> None:
    points = sorted((one for one in experiment.points if one.axis == axis), key=lambda one: one.value)
    order = {name: index for index, name in enumerate(POLICIES)}
    stocks: Sequence[Stock | None] = experiment.stocks or (None,)
    for policy in seen.policies:
        for stock in stocks:
            found = [
                (point.value, estimate)
                for point in points
                if (estimate := quantity(seen.of(point.setting, stock), policy.name)) is not None
            ]
            if found:
                look: dict[str, Any] = {
                    "color": COLOURS[order[policy.name] % len(COLOURS)],
                    "linestyle": "-" if stock is None else STOCK_LINES[stock],
                    "linewidth": 2.0 if policy.baseline or policy.name == "score" else 1.0,
                    "label": policy.title if stock is None else f"{policy.title}, stock {stock}",
                }
                _one_line(panel, found, look)


def _one_line(panel: "Axes", found: Sequence[tuple[float, Estimate]], look: dict[str, Any]) -> None:
    below = [0.0 if one.low is None else max(0.0, one.value - one.low) for _, one in found]
    above = [0.0 if one.high is None else max(0.0, one.high - one.value) for _, one in found]
    panel.errorbar(
        [value for value, _ in found],
        [one.value for _, one in found],
        yerr=[below, above],
        marker="o",
        markersize=3,
        capsize=2,
        elinewidth=0.8,
        **look,
    )
