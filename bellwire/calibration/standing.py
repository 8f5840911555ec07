"""What stored calibrations mean to a link: whether it may be used, what it can do, and when it is due again.

Owns the rules. Refuses storage and clocks: records and the time are given.

One rule decides for each procedure (`in_force`): what counts is the newest run that measured to its end. A
run that passed replaces all before it; one that failed says that the link is out of tolerance; one that was
aborted says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.calibration.records import NS_PER_S, CalibrationRecord, Outcome, Quantity

SUCCESS_PROBABILITY: Final = "success_probability"
"""Quantity: of one joint attempt of one lane."""
FIDELITY: Final = "fidelity"
"""Quantity: of a fresh pair, mean over the herald codes."""
QUALITY_PROCEDURES: Final = ("herald_rate", "link_quality")
"""Procedures whose records say what a link can do."""

FIDELITY_OF_NOISE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a link's calibrations allow it to be used.

    `reasons`: why not, a sentence each; or, while ready, what an operator should know nevertheless.
    `next_due_ns`: unix time at which the first of the required calibrations in force runs out; None: none of
    them is in force, or none runs out.
    """

    ready: bool
    reasons: tuple[str, ...] = ()
    next_due_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a link was measured to do; None: no record in force says so."""

    success_probability: Quantity | None = None
    fidelity: Quantity | None = None


def measured(records: Iterable[CalibrationRecord]) -> CalibrationRecord | None:
    """Of the records of one procedure on one link, the oldest first: the newest that measured, or None."""
    found = [record for record in records if record.outcome is not Outcome.ABORTED]
    return found[-1] if found else None


def in_force(records: Iterable[CalibrationRecord], now_ns: int) -> CalibrationRecord | None:
    """Of the records of one procedure on one link, the oldest first: the one to be believed, or None."""
    last = measured(records)
    return last if last is not None and last.in_force(now_ns) else None


def standing(
    link: str, records: Sequence[CalibrationRecord], required: Sequence[str], now_ns: int
) -> Standing:
    """The standing of a link by its records, the oldest first, and the procedures that it must have."""
    reasons: list[str] = []
    due: list[int] = []
    for procedure in dict.fromkeys(required):
        own = [record for record in records if record.procedure == procedure]
        believed = in_force(own, now_ns)
        if believed is None:
            reasons.append(_why_not(link, procedure, own, now_ns))
        elif math.isfinite(believed.valid_for_s):
            due.append(expires_ns(believed))
    return Standing(ready=not reasons, reasons=tuple(reasons), next_due_ns=min(due, default=None))


def _why_not(link: str, procedure: str, records: Sequence[CalibrationRecord], now_ns: int) -> str:
    last = measured(records)
    if last is None:
        said = f"{procedure} of {link} was never done"
    elif last.outcome is Outcome.FAILED:
        said = f"{procedure} of {link} failed {age_in_words(now_ns - last.ended_ns)} ago: {why_failed(last)}"
    else:
        said = f"{procedure} of {link} is out of date since {age_in_words(now_ns - expires_ns(last))}"
    if records and records[-1].outcome is Outcome.ABORTED:
        last = records[-1]
        said += f"; the last try was aborted {age_in_words(now_ns - last.ended_ns)} ago: {last.reason}"
    return said


def why_failed(record: CalibrationRecord) -> str:
    """The limits that were not met, and what else the record gives as its reason."""
    missed = "; ".join(str(check) for check in record.checks if not check.passed)
    said = [record.reason] if missed in record.reason else [missed, record.reason]
    return "; ".join(filter(None, said)) or "no reason was recorded"


def expires_ns(record: CalibrationRecord) -> int:
    """Unix time at which a record runs out; its validity must be finite."""
    return record.ended_ns + int(record.valid_for_s * NS_PER_S)


def capabilities(records: Iterable[CalibrationRecord]) -> Capabilities:
    """What a link can do by those of its records that are in force; the newest that says a thing counts.

    A value that no link can have (a probability outside 0..1, one without uncertainty) counts as not said; a
    fidelity that is outside 0.25..1 by its error is taken for the nearest that is possible.
    """
    found: dict[str, Quantity] = {}
    quality = [record for record in records if record.procedure in QUALITY_PROCEDURES]
    for record in sorted(quality, key=lambda each: each.ended_ns):
        found |= record.quantities
    return Capabilities(_probability(found.get(SUCCESS_PROBABILITY)), _fidelity(found.get(FIDELITY)))


def _probability(told: Quantity | None) -> Quantity | None:
    if told is None or not (0.0 < told.value <= 1.0 and 0.0 < told.sigma < math.inf):
        return None
    return told


def _fidelity(told: Quantity | None) -> Quantity | None:
    if told is None or not (math.isfinite(told.value) and 0.0 < told.sigma < math.inf):
        return None
    if not FIDELITY_OF_NOISE - 3.0 * told.sigma <= told.value <= 1.0 + 3.0 * told.sigma:
        return None
    return Quantity(min(1.0, max(FIDELITY_OF_NOISE, told.value)), told.sigma, told.unit)


_AGES: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def age_in_words(span_ns: int) -> str:
    """A span for people, rounded down to one unit: "under a minute", "5 min", "3 h", "2 d"."""
    span_s = span_ns // NS_PER_S
    if span_s < 0:
        return f"-{age_in_words(-span_ns)}"
    for unit_s, unit in _AGES:
        if span_s >= unit_s:
            return f"{span_s // unit_s} {unit}"
    return "under a minute"
