"""The picture of an experiment: rate and fidelity of each target over the first key that was scanned.

Owns the drawing. Refuses to compute. Estimated fidelities are full marks, the World's are hollow ones beside
them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bellwire.study.lab_experiments import END_TO_END, LabExperiment
from bellwire.study.lab_experiments_figures import Figure, PointSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES_MAX: Final = 12
"""More lines than this are not drawn: nobody could tell them apart. The table has them all."""
DOTS_PER_INCH: Final = 130
LOGARITHMIC: Final = 30.0
"""Rates that differ by more than this factor are drawn on a logarithmic axis."""
MARKERS: Final = "osD^v<>pPXh*"
LINE_LETTERS: Final = 46


def draw_experiment(experiment: LabExperiment, summaries: Sequence[PointSummary], path: Path) -> int:
    """Write a PNG; returns how many lines had no room in it."""
    # Imported late: a table of results needs no drawing library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    picture = Drawing(figsize=(10.5, 4.4), layout="constrained")
    FigureCanvasAgg(picture)
    rate, fidelity = picture.subplots(1, 2, squeeze=False)[0]
    lines: dict[str, list[PointSummary]] = {}
    for one in summaries:
        lines.setdefault(_line_name(experiment, one), []).append(one)
    places, labels = _places(experiment)
    shown = list(lines.items())[:LINES_MAX]
    for number, (name, line) in enumerate(shown):
        style = {"color": f"C{number % 10}", "marker": MARKERS[number % len(MARKERS)]}
        _draw(rate, places, line, [one.rate_hz for one in line], style, name)
        _draw(fidelity, places, line, [one.fidelity for one in line], style, name)
        hollow = style | {"markerfacecolor": "white", "linestyle": ":"}  # smaller, so that both are seen
        _draw(fidelity, places, line, [one.fidelity_true for one in line], hollow, None)
    _finish_rate(rate, summaries)
    _finish_fidelity(fidelity, summaries)
    for panel in (rate, fidelity):
        panel.set_xlabel(experiment.keys[0] if experiment.keys else "")
        if labels is not None:
            panel.set_xticks(list(places.values()), labels, rotation=20, ha="right", fontsize=8)
            panel.margins(x=0.15)
    handles, names = rate.get_legend_handles_labels()
    if handles:
        picture.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    picture.suptitle(_title(experiment, summaries), fontsize=10)
    picture.savefig(path, dpi=DOTS_PER_INCH)
    return max(0, len(lines) - LINES_MAX)


def _places(experiment: LabExperiment) -> tuple[dict[str, float], list[str] | None]:
    """Where each value of the first key is drawn; labels where it is no number."""
    if not experiment.keys:
        return {"": 0.0}, [experiment.lab.name]
    values: list[Any] = list((experiment.scans or experiment.device_scans)[0].values)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return {repr(value): float(value) for value in values}, None
    return {repr(value): float(number) for number, value in enumerate(values)}, [
        str(value) for value in values
    ]


def _line_name(experiment: LabExperiment, one: PointSummary) -> str:
    rest = [f"{_short(key)}={value}" for key, value in zip(experiment.keys[1:], one.values[1:], strict=True)]
    what = END_TO_END if one.target == END_TO_END else f"link {one.target}"
    name = ", ".join([what, *rest])
    return name if len(name) <= LINE_LETTERS else f"{name[: LINE_LETTERS - 1]}…"


def _short(key: str) -> str:
    return key.removeprefix("device:")


def _draw(
    panel: "Axes",
    places: dict[str, float],
    line: Sequence[PointSummary],
    figures: Sequence[Figure | None],
    style: dict[str, str],
    label: str | None,
) -> None:
    found = sorted(
        (places[repr(one.values[0]) if one.values else ""], figure.value, *_arms(figure))
        for one, figure in zip(line, figures, strict=True)
        if figure is not None
    )
    if not found:
        return
    panel.errorbar(
        [place for place, *_ in found],
        [value for _, value, *_ in found],
        yerr=[[below for *_, below, _ in found], [above for *_, above in found]],
        markersize=7 if label is not None else 4,
        capsize=3,
        linewidth=1.2,
        label=label,
        **{"linestyle": "-", **style},  # type: ignore[arg-type]  # names of styles, not numbers
    )


def _arms(figure: Figure) -> tuple[float, float]:
    """Lengths of the 95 % interval below and above; rounding may put an end on the wrong side."""
    if figure.low is None or figure.high is None:
        return 0.0, 0.0
    return max(0.0, figure.value - figure.low), max(0.0, figure.high - figure.value)


def _finish_rate(panel: "Axes", summaries: Sequence[PointSummary]) -> None:
    rates = [one.rate_hz.value for one in summaries if one.rate_hz is not None]
    if rates and min(rates) > 0.0 and max(rates) > LOGARITHMIC * min(rates):
        panel.set_yscale("log")
    elif rates:
        panel.set_ylim(bottom=0.0)
    panel.set_ylabel("pairs per second")
    panel.grid(alpha=0.3)


def _finish_fidelity(panel: "Axes", summaries: Sequence[PointSummary]) -> None:
    true = any(one.fidelity_true is not None for one in summaries)
    panel.set_ylabel("fidelity: estimated (full), true (hollow)" if true else "fidelity as estimated")
    panel.grid(alpha=0.3)
    panel.ticklabel_format(axis="y", useOffset=False)
    low, high = panel.get_ylim()
    if high - low < 0.02:  # noise would be blown up to the whole height
        middle = (low + high) / 2.0
        panel.set_ylim(middle - 0.01, middle + 0.01)


def _title(experiment: LabExperiment, summaries: Sequence[PointSummary]) -> str:
    repetitions = sorted({one.repetitions for one in summaries})
    count = " to ".join(dict.fromkeys(map(str, (repetitions[0], repetitions[-1])))) if repetitions else "0"
    noun = "repetition" if count == "1" else "repetitions"
    world = {"virtual": "virtual time", "emulated": "emulated instruments", "live": "the lab that was up"}
    return f"{experiment.lab.name}, {world[experiment.mode]}: {count} {noun} a point, 95 % intervals"
