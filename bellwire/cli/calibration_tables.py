"""Calibrations as tables: what is known of each link, and every run of a procedure.

Owns the looks of `bellwire calibrations`. Refuses to compute: it is given the command's document.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bellwire.cli import show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bellwire.cli.show import Cell

Told = Mapping[str, Any]

SHOUTED = ("out of date", "out of limits")
"""States that nobody may overlook."""


def show_document(document: Told) -> None:
    """Print a document."""
    show.write(*_parts(document))


def _parts(document: Told) -> "list[RenderableType]":
    parts: list[RenderableType] = []
    for link, one in document["links"].items():
        if not one["procedures"]:
            parts.append(f"{link}: no calibration is required, and none is stored in {document['store']}")
            continue
        parts.append(_link(link, one))
        histories = [(name, told) for name, told in one["procedures"].items() if told.get("history")]
        parts += [_history(link, name, told) for name, told in histories]
        parts += _remarks(link, one)
    return parts


def _link(link: str, one: Told) -> "RenderableType":
    columns = ["procedure", "state", "quantity", "value", "unit", "limits", "age", "holds for"]
    rows: list[list[Cell]] = []
    for name, told in one["procedures"].items():
        record = told["decides"] or told["latest"]
        if record is None:
            rows.append([name, "NEVER DONE", None, None, None, None, None, None])
            continue
        head: list[Cell] = [name, in_capitals(record["state"])]
        tail: list[Cell] = [span(record["age_s"]), _left(record)]
        nothing: list[Cell] = [None] * 4
        first, *others = _quantities(record) or [nothing]
        rows.append(head + first + tail)
        rows += [["", "", *row, "", ""] for row in others]
    due = "" if one["due_in_s"] is None else f", due in {span(one['due_in_s'])}"
    if one["required"]:
        title = f"{link}: {'ready' if one['ready'] else 'NOT READY'}{due}"
    else:
        title = f"{link}: no calibration is required"
    return show.table(title, columns, rows)


def _quantities(record: Told) -> "list[list[Cell]]":
    """Quantities with their limits, then limits of anything else."""
    checks = {check["quantity"]: check for check in record["checks"]}
    rows: list[list[Cell]] = [
        [name, with_uncertainty(one), one["unit"], limits(checks.get(name))]
        for name, one in record["quantities"].items()
    ]
    rows += [
        [name, f"{check['value']:.4g}", check["unit"], limits(check)]
        for name, check in checks.items()
        if name not in record["quantities"]
    ]
    return rows


def _remarks(link: str, one: Told) -> Iterator[str]:
    for reason in one["reasons"]:
        yield f"{link}: {reason}"
    for name, told in one["procedures"].items():
        latest = told["latest"]
        if latest is not None and latest["outcome"] != "passed":
            ago = span(latest["age_s"])
            yield f"{link}: the last run of {name} {latest['outcome']} {ago} ago: {latest['reason']}"


def _history(link: str, procedure: str, told: Told) -> "RenderableType":
    rows: list[list[Cell]] = [
        [
            f"{datetime.fromtimestamp(one['ended_ns'] / 1e9, UTC):%Y-%m-%d %H:%M:%S}",
            in_capitals(one["state"]),
            "; ".join(
                f"{name} {with_uncertainty(each)} {each['unit']}".rstrip()
                for name, each in one["quantities"].items()
            )
            or None,
            one["operator"] or None,
            "; ".join([one["reason"], *one["overrides"]]),
        ]
        for one in told["history"]
    ]
    older = f", and {told['older']} older" if told["older"] else ""
    title = f"{procedure} of {link}: {len(rows)} runs{older}"
    return show.table(title, ["ended (UTC)", "state", "found", "operator", "reason"], rows)


def in_capitals(state: str) -> str:
    """A state, loud where it means that nothing is known."""
    return state.upper() if state in SHOUTED else state


def _left(record: Told) -> str | None:
    left_s = record["left_s"]
    if left_s is None:
        return "ever" if record["state"] == "in force" else None
    return span(left_s) if left_s >= 0 else f"over for {span(-left_s)}"


def limits(check: Told | None) -> str | None:
    """Acceptance in words; loud where it was missed."""
    if check is None:
        return None
    low, high = check["low"], check["high"]
    if low is not None and high is not None:
        said = f"{low:g} to {high:g}"
    elif low is not None:
        said = f">= {low:g}"
    elif high is not None:
        said = f"<= {high:g}"
    else:
        said = "none"
    return said if check["passed"] else f"{said}, NOT MET"


def span(span_s: float) -> str:
    """A time for people: "12 s", "5 min", "3.2 h"; negative where a clock was set back."""
    if span_s < 0:
        return f"-{span(-span_s)}"
    for unit_s, unit in ((86_400, "d"), (3_600, "h")):
        if span_s >= unit_s:
            return f"{span_s / unit_s:.1f} {unit}"
    return f"{span_s / 60:.0f} min" if span_s >= 60 else f"{span_s:.0f} s"


def with_uncertainty(one: Told) -> str:
    """A value with two digits of its standard uncertainty: "0.9213 ± 0.0042", "(3.20 ± 0.11)e-05"."""
    value, sigma = one["value"], one["sigma"]
    if not math.isfinite(value) or not math.isfinite(sigma) or sigma <= 0.0:
        return f"{value:.4g}"
    decimals = 1 - math.floor(math.log10(sigma))
    if decimals <= 0:
        return f"{round(value, decimals):.0f} ± {round(sigma, decimals):.0f}"
    if decimals <= 6:
        return f"{value:.{decimals}f} ± {sigma:.{decimals}f}"
    power = math.floor(math.log10(max(abs(value), sigma)))
    digits = decimals + power
    return f"({value / 10.0**power:.{digits}f} ± {sigma / 10.0**power:.{digits}f})e{power:+03d}"
