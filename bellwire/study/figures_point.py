"""The picture of an experiment with a single setting: one line a policy, its ratio to both baselines.

Owns the drawing with matplotlib. Refuses axes with several points (figures.py).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_claims_rows import rate_groups
from bellwire.study.evaluation_policies import POLICIES, ComparedPolicy
from bellwire.study.evaluation_statistics import Estimate, mean_paired_ratio
from bellwire.study.experiments import Experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASELINES: Final = ("fixed_tree", "strongest_tree")
DOTS_PER_INCH: Final = 120
LINE_INCHES: Final = 0.28


def draw_point(seen: Evaluated, experiment: Experiment, path: Path) -> None:
    """Ratios of rates with their intervals, as PNG."""
    # Imported late: a table of results needs no drawing library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    (point,) = experiment.points
    rows = seen.of(point.setting)
    policies = list(seen.policies)
    baselines = [name for name in BASELINES if any(one.name == name for one in policies)]
    picture = Figure(figsize=(8.0, 1.6 + LINE_INCHES * len(policies)), layout="constrained")
    FigureCanvasAgg(picture)
    panels = picture.subplots(1, max(1, len(baselines)), sharey=True, squeeze=False)[0]
    for panel, baseline in zip(panels, baselines, strict=False):
        _panel(panel, rows, policies, baseline)
    panels[0].set_yticks(range(len(policies)), [one.title for one in policies], fontsize=8)
    panels[0].set_ylim(len(policies) - 0.5, -0.5)
    picture.suptitle(f"{experiment.title}\n95 % intervals over networks", fontsize=10)
    picture.savefig(path, dpi=DOTS_PER_INCH)


def _panel(panel: "Axes", rows: Sequence[Row], policies: Sequence[ComparedPolicy], baseline: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for place, policy in enumerate(policies):
        found = (
            Estimate(value=1.0, low=1.0, high=1.0, networks=0, routes=0)
            if policy.name == baseline
            else mean_paired_ratio(rate_groups(rows, policy.name, baseline))
        )
        if found is not None:
            below = 0.0 if found.low is None else found.value - found.low
            above = 0.0 if found.high is None else found.high - found.value
            strong = policy.baseline or policy.name == "score"
            panel.errorbar(
                [found.value],
                [place],
                xerr=[[max(0.0, below)], [max(0.0, above)]],
                marker="o",
                markersize=5 if strong else 4,
                capsize=3,
                color="#d62728" if policy.name == "score" else "#000000" if policy.baseline else "#1f77b4",
            )
    panel.axvline(1.0, color="#7f7f7f", linewidth=1.0)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(f"rate, ratio to the {POLICIES[baseline].title}")
    panel.grid(axis="x", alpha=0.3, which="both")
