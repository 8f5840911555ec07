"""Made-up records and a time that tests set."""

from __future__ import annotations

from typing import Any

from bellwire.calibration.records import NS_PER_S, CalibrationRecord, Check, Outcome, Quantity

NOW_NS = 1_800_000_000 * NS_PER_S
HOUR_S = 3600
DAY_S = 24 * HOUR_S


def made(
    record_id: str,
    outcome: Outcome = Outcome.PASSED,
    *,
    ago_s: float = 0.0,
    procedure: str = "hom_visibility",
    link: str = "alice-bob",
    **fields: Any,
) -> CalibrationRecord:
    """A record that ended `ago_s` before NOW_NS and is valid for a day."""
    ended_ns = NOW_NS - round(ago_s * NS_PER_S)
    terms: dict[str, Any] = {
        "reason": "within its limits",
        "started_ns": ended_ns - 60 * NS_PER_S,
        "ended_ns": ended_ns,
        "valid_for_s": float(DAY_S),
    }
    return CalibrationRecord(
        record_id=record_id, link=link, procedure=procedure, outcome=outcome, **{**terms, **fields}
    )


def visible(record_id: str, visibility: float, *, ago_s: float = 0.0, **fields: Any) -> CalibrationRecord:
    """A record of a visibility, which passes from 0.7 on."""
    check = Check("visibility", visibility, 0.7)
    return made(
        record_id,
        Outcome.PASSED if check.passed else Outcome.FAILED,
        ago_s=ago_s,
        quantities={"visibility": Quantity(visibility, 0.012)},
        checks=(check,),
        **({"reason": "within its limits" if check.passed else str(check)} | fields),
    )
