"""The picture of an experiment with a single setting and several kinds of store: a line a policy.

Owns the drawing with matplotlib. Refuses axes with several points (figures.py).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_jobs import Stock
from bellwire.study.evaluation_statistics import Estimate
from bellwire.study.experiments import Experiment

KINDS: Final[dict[Stock, str]] = {"none": "none", "one_time": "once", "continuous": "filled again"}
"""From left to right, as latencies should fall."""
APART: Final = 0.07
"""Of the distance of two kinds, between the marks of two policies."""
DOTS_PER_INCH: Final = 120

Quantity = Callable[[Sequence[Row], str], Estimate | None]


def draw_stocks(seen: Evaluated, experiment: Experiment, latency: Quantity, path: Path) -> None:
    """Mean latencies with their intervals, as PNG."""
    # Imported late: a table of results needs no drawing library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    (point,) = experiment.points
    kinds = sorted(experiment.stocks, key=list(KINDS).index)
    picture = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(picture)
    panel = picture.subplots()
    middle = (len(seen.policies) - 1) / 2.0
    for number, policy in enumerate(seen.policies):
        found = [
            (place + APART * (number - middle), one)
            for place, kind in enumerate(kinds)
            if (one := latency(seen.of(point.setting, kind), policy.name)) is not None
        ]
        below = [0.0 if one.low is None else max(0.0, one.value - one.low) for _, one in found]
        above = [0.0 if one.high is None else max(0.0, one.high - one.value) for _, one in found]
        panel.errorbar(
            [at for at, _ in found],
            [one.value for _, one in found],
            yerr=[below, above],
            marker="o",
            markersize=4,
            capsize=3,
            linewidth=1.0,
            label=policy.title,
        )
    panel.set_xticks(range(len(kinds)), [KINDS[kind] for kind in kinds])
    panel.set_xlabel("pairs in store")
    panel.set_ylabel("mean latency, s")
    panel.set_ylim(bottom=0.0)
    panel.grid(axis="y", alpha=0.3)
    panel.legend(frameon=False, fontsize=8)
    picture.suptitle(f"{experiment.title}\n95 % intervals over networks", fontsize=10)
    picture.savefig(path, dpi=DOTS_PER_INCH)
