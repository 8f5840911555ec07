"""The picture of a sweep: rate and fidelity of each request over the first key that was varied.

Owns the drawing. Refuses to compute.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bellwire.study.evaluation_statistics import Estimate
from bellwire.study.sweeps import Summary, Sweep

PANELS: Final = (("rate_hz", "pairs per second"), ("fidelity", "fidelity"))
LINES_MAX: Final = 20
"""More lines than this are not drawn: nobody could tell them apart. The table has them all."""


def draw_sweep(sweep: Sweep, summaries: Sequence[Summary], path: Path) -> int:
    """Write a PNG; returns how many lines had no room in it."""
    # Imported late: a table of results needs no drawing library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9.5, 3.6), layout="constrained")
    FigureCanvasAgg(picture)
    panels = picture.subplots(1, len(PANELS), squeeze=False)[0]
    values = sweep.variations[0].values
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    places = [float(value) for value in values] if numeric else list(map(float, range(len(values))))
    lines: dict[tuple[str, str], dict[str, Summary]] = {}
    for one in summaries:
        lines.setdefault((one.request, _rest(sweep, one)), {})[repr(one.values[0])] = one
    for panel, (name, title) in zip(panels, PANELS, strict=True):
        for (request, rest), line in list(lines.items())[:LINES_MAX]:
            found = [
                (place, estimate)
                for place, value in zip(places, values, strict=True)
                if (seen := line.get(repr(value))) is not None
                and (estimate := seen.figures[name]) is not None
            ]
            _line(panel, found, f"{request} {rest}".strip())
        panel.set_xlabel(sweep.keys[0])
        panel.set_ylabel(title)
        panel.grid(alpha=0.3)
        if not numeric:
            panel.set_xticks(places, [str(value) for value in values], rotation=20, ha="right", fontsize=7)
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    picture.suptitle(f"{sweep.lab}\n95 % intervals over seeds", fontsize=10)
    picture.savefig(path, dpi=120)
    return max(0, len(lines) - LINES_MAX)


def _rest(sweep: Sweep, one: Summary) -> str:
    return ", ".join(f"{key}={value}" for key, value in zip(sweep.keys[1:], one.values[1:], strict=True))


def _line(panel: Any, found: Sequence[tuple[float, Estimate]], label: str) -> None:
    below = [0.0 if one.low is None else max(0.0, one.value - one.low) for _, one in found]
    above = [0.0 if one.high is None else max(0.0, one.high - one.value) for _, one in found]
    panel.errorbar(
        [place for place, _ in found],
        [one.value for _, one in found],
        yerr=[below, above],
        marker="o",
        markersize=3,
        capsize=2,
        label=label,
    )
