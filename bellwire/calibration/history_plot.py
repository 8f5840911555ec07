"""The picture of a calibration's history: each quantity over time, with its limits and what is in force.

Owns the drawing. Refuses to judge: outcomes and limits are those of the records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bellwire.calibration.records import NS_PER_S, CalibrationRecord, Check, Outcome, Quantity
from bellwire.calibration.standing import expires_ns, in_force
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS_MAX: Final = 6
"""More quantities than this are not drawn: the table has them all."""

COLOURS: Final = {Outcome.PASSED: "#1f5fa8", Outcome.FAILED: "#c62f2f", Outcome.ABORTED: "#7f7f7f"}
MARKERS: Final = {Outcome.PASSED: "o", Outcome.FAILED: "X", Outcome.ABORTED: "2"}
IN_FORCE: Final = "#d9ecd9"
OUT_OF_LIMITS: Final = "#f6dcdc"
WIDTH_INCHES: Final = 9.0
PANEL_INCHES: Final = 2.3
ROOM: Final = 0.08
"""Of a panel's height and width, left free around what is drawn."""


def draw_history(records: Sequence[CalibrationRecord], path: Path, now_ns: int) -> int:
    """Write a PNG of the records of one procedure on one link, the oldest first; returns how many quantities
    had no room in it. Bars are 95 % intervals, times are UTC.

    Raises:
        ConfigError: there is nothing to draw, or the file cannot be written.
    """
    # Imported late: a table of records needs no drawing library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = _quantities(records)
    if not names:
        raise ConfigError("no record of this calibration has a quantity to draw", where=str(path))
    shown = names[:PANELS_MAX]
    size = (WIDTH_INCHES, PANEL_INCHES * len(shown) + 1.2)
    picture = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(picture)
    panels = [row[0] for row in picture.subplots(len(shown), 1, squeeze=False, sharex=True)]
    for panel, (name, unit) in zip(panels, shown, strict=True):
        _draw_panel(panel, name, unit, records, now_ns)
    _draw_times(panels, records, now_ns)
    picture.legend(handles=_legend(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    last = records[-1]
    picture.suptitle(f"{last.procedure} of {last.link}\nbars: 95 % intervals", fontsize=10)
    try:
        picture.savefig(path, dpi=120)
    except OSError as problem:
        raise ConfigError(f"cannot be written: {problem.strerror}", where=str(path)) from None
    except ValueError as problem:  # a name that ends in no kind of picture
        raise ConfigError(f"cannot be drawn ({problem}): give a name in .png", where=str(path)) from None
    return len(names) - len(shown)


def _quantities(records: Sequence[CalibrationRecord]) -> list[tuple[str, str]]:
    """Names and units with a finite value, those of the newest record first."""
    return list(
        dict.fromkeys(
            (name, one.unit)
            for record in reversed(records)
            for name, one in record.quantities.items()
            if math.isfinite(one.value)
        )
    )


def _draw_panel(panel: Axes, name: str, unit: str, records: Sequence[CalibrationRecord], now_ns: int) -> None:
    points = [
        (record, one)
        for record in records
        if (one := record.quantities.get(name)) is not None and one.unit == unit and math.isfinite(one.value)
    ]
    believed = in_force(records, now_ns)
    for outcome in Outcome:
        _draw_points(panel, [(at, one) for at, one in points if at.outcome is outcome], outcome)
    edges = [edge for _, one in points for edge in (*one.interval, one.value) if math.isfinite(edge)]
    check = next((c for r in reversed(records) for c in r.checks if c.quantity == name), None)
    limits = [] if check is None else [edge for edge in (check.low, check.high) if edge is not None]
    low, high = min([*edges, *limits]), max([*edges, *limits])
    room = ROOM * (high - low) or 0.05 * abs(high) or 1.0
    panel.set_ylim(low - room, high + room)
    if check is not None:
        _draw_limits(panel, check)
    if believed is not None:
        until = expires_ns(believed) if math.isfinite(believed.valid_for_s) else now_ns
        panel.axvspan(_days(believed.ended_ns), _days(max(until, now_ns)), color=IN_FORCE, zorder=0)
    for record in records:  # runs that measured nothing of this
        if all(record is not at for at, _ in points):
            panel.plot(
                [_days(record.ended_ns)],
                [0.06],
                transform=panel.get_xaxis_transform(),
                marker=MARKERS[record.outcome],
                color=COLOURS[record.outcome],
                linestyle="none",
                markersize=9,
                markeredgewidth=1.5,
                zorder=3,
            )
    panel.set_ylabel(f"{name.replace('_', ' ')}\n({unit})" if unit else name.replace("_", " "), fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)


def _draw_points(panel: Axes, points: Sequence[tuple[CalibrationRecord, Quantity]], outcome: Outcome) -> None:
    if not points:
        return
    below = [_reach(one.value - one.interval[0]) for _, one in points]
    above = [_reach(one.interval[1] - one.value) for _, one in points]
    panel.errorbar(
        [_days(record.ended_ns) for record, _ in points],
        [one.value for _, one in points],
        yerr=[below, above],
        fmt=MARKERS[outcome],
        color=COLOURS[outcome],
        markersize=6 if outcome is Outcome.FAILED else 4,
        capsize=2,
        linewidth=1,
        zorder=3,
    )


def _reach(span: float) -> float:
    return span if math.isfinite(span) and span > 0.0 else 0.0


def _draw_limits(panel: Axes, check: Check) -> None:
    """The newest limits, and what lies outside of them."""
    low, high = panel.get_ylim()
    if check.low is not None:
        panel.axhspan(low, check.low, color=OUT_OF_LIMITS, zorder=1)
    if check.high is not None:
        panel.axhspan(check.high, high, color=OUT_OF_LIMITS, zorder=1)
    for limit in (check.low, check.high):
        if limit is not None:
            panel.axhline(limit, color=COLOURS[Outcome.FAILED], linestyle="--", linewidth=1, zorder=2)


def _draw_times(panels: Sequence[Axes], records: Sequence[CalibrationRecord], now_ns: int) -> None:
    from matplotlib import dates

    untyped: Any = dates

    ended = [record.ended_ns for record in records]
    believed = in_force(records, now_ns)
    if believed is not None and math.isfinite(believed.valid_for_s):
        ended.append(expires_ns(believed))
    first, last = min(ended), max(*ended, now_ns)
    room = max(ROOM / 2 * (last - first), NS_PER_S)
    for panel in panels:
        panel.axvline(_days(now_ns), color="black", linewidth=1, linestyle=":", zorder=2)
        panel.set_xlim(_days(int(first - room)), _days(int(last + room)))
    locator = untyped.AutoDateLocator(tz=UTC)
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=UTC))
    panels[-1].set_xlabel("UTC", fontsize=9)


def _legend() -> list[object]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found: list[object] = [
        Line2D(
            [], [], color=COLOURS[one], marker=MARKERS[one], markersize=7, linestyle="none", label=one.value
        )
        for one in Outcome
    ]
    found.append(Patch(color=IN_FORCE, label="in force"))
    found.append(Patch(color=OUT_OF_LIMITS, label="outside the limits"))
    found.append(Line2D([], [], color="black", linestyle=":", label="now"))
    return found


def _days(at_ns: int) -> float:
    """Unix time as matplotlib counts it."""
    return at_ns / (86_400 * NS_PER_S)
