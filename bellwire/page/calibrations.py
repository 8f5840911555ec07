"""Calibrations as they are shown: in force or not, how old, and when they run out.

Owns the words. Refuses judgement (calibration/standing.py, by way of the command `calibrations`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bellwire.core.ids import LinkId
from bellwire.page.links import Visibility
from bellwire.page.values import Row, Shown, Tone, duration_text

SOON_S: Final = 600.0
"""A calibration that runs out within this, or within a fifth of its validity, is to be looked at."""
SOON_SHARE: Final = 0.2

NONE: Final = Shown("–")

COLUMNS: Final = (
    ("procedure", "Calibration"),
    ("link", "Link"),
    ("state", "State"),
    ("age", "Measured"),
    ("left", "Runs out"),
    ("found", "Found"),
)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibrations of one link, as `bellwire calibrations` describes them, at `at_ns`."""

    described: Mapping[str, Any]
    at_ns: int


def calibration_rows(links: Mapping[LinkId, Calibrated]) -> list[Row]:
    """One row for each link and procedure that is required or was ever done; those that are due first."""
    rows = [
        _row(link, one, name, procedure)
        for link, one in links.items()
        for name, procedure in one.described["procedures"].items()
    ]
    order = (Tone.BAD, Tone.WARN, Tone.OFF, Tone.GOOD)
    return sorted(rows, key=lambda row: order.index(row.tone) if row.tone in order else 0)


def _row(link: LinkId, one: Calibrated, name: str, procedure: Mapping[str, Any]) -> Row:
    required = name in one.described["required"]
    decides = procedure["decides"]
    if decides is None:
        tone = Tone.BAD if required else Tone.OFF
        cells = {"state": Shown("never done", tone), "age": NONE, "left": NONE, "found": NONE}
    else:
        ended_ns = decides["ended_ns"]
        left_s = decides["left_s"]
        state, tone = _state(decides, left_s, required)
        runs_out_ns = None if left_s is None else one.at_ns + round(left_s * 1e9)
        cells = {
            "state": Shown(state, tone, at_ns=ended_ns, good_for_s=_good_for_s(ended_ns, runs_out_ns)),
            "age": Shown("", at_ns=ended_ns, with_age=True),
            "left": Shown("never" if decides["outcome"] == "passed" else "–")
            if runs_out_ns is None
            else Shown("", at_ns=runs_out_ns, with_age=True),
            "found": Shown(_found(decides), title=decides["reason"]),
        }
    return Row(
        f"{link} {name}",
        {"procedure": Shown(name, title="required" if required else ""), "link": Shown(link), **cells},
        tone=tone,
    )


def _good_for_s(ended_ns: int, runs_out_ns: int | None) -> float | None:
    return None if runs_out_ns is None else (runs_out_ns - ended_ns) / 1e9


def _state(decides: Mapping[str, Any], left_s: float | None, required: bool) -> tuple[str, Tone]:
    if decides["state"] != "in force":
        return decides["state"], Tone.BAD if required else Tone.WARN
    if left_s is not None and left_s < min(SOON_S, SOON_SHARE * (left_s + decides["age_s"])):
        return "runs out soon", Tone.WARN
    return "in force", Tone.GOOD


def _found(record: Mapping[str, Any]) -> str:
    told = [
        f"{name.replace('_', ' ')} {one['value']:.4g} {one['unit']}".rstrip()
        for name, one in record["quantities"].items()
        if one["value"] is not None
    ]
    return ", ".join(told[:2]) + (f" and {len(told) - 2} more" if len(told) > 2 else "")


def visibility_in(one: Calibrated) -> Visibility | None:
    """The newest visibility that a calibration of a link has measured to its end."""
    found: list[Visibility] = []
    for procedure in one.described["procedures"].values():
        decides = procedure["decides"]
        if decides is None:
            continue
        for name, quantity in decides["quantities"].items():
            if "visibility" in name and quantity["value"] is not None:
                left_s = decides["left_s"]
                good_for_s = None if left_s is None else decides["age_s"] + left_s
                found.append(
                    Visibility(quantity["value"], quantity["sigma"] or 0.0, decides["ended_ns"], good_for_s)
                )
    return max(found, key=lambda each: each.at_ns, default=None)


def expiry_sentence(links: Mapping[LinkId, Calibrated]) -> str:
    """What runs out next."""
    due = [
        (one.described["due_in_s"], name)
        for name, one in links.items()
        if one.described["due_in_s"] is not None
    ]
    if not any(one.described["procedures"] for one in links.values()):
        return "No link of this lab must be calibrated, and none ever was."
    if not due:
        return "Nothing that is in force runs out."
    left_s, name = min(due)
    return f"The next to run out is of {name}, in {duration_text(left_s)}."
