"""What a procedure found: quantities with their uncertainty, judged against limits, and where they came from.

Owns the form of a record and when it is in force. Refuses storage (store.py) and procedures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bellwire.drivers.readings import InstrumentSeen as InstrumentSeen

NS_PER_S = 1_000_000_000


class Outcome(StrEnum):
    """How a procedure ended. Only what passed is ever in force."""

    PASSED = "passed"
    FAILED = "failed"  # it measured, and the result is outside its limits
    ABORTED = "aborted"  # it did not measure to the end: interrupted, instrument lost, precondition not met


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its standard uncertainty in the same unit; the 95 % interval is value +- 1.96 sigma.

    `low`, `high`: the interval itself, where it is not symmetric; None: it follows from sigma.
    """

    value: float
    sigma: float
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        half = 1.959963984540054 * self.sigma
        return (
            self.value - half if self.low is None else self.low,
            self.value + half if self.high is None else self.high,
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One acceptance limit: `quantity` must lie within [low, high] of `unit`; None: no limit on that side."""

    quantity: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value is a number within the limits."""
        if math.isnan(self.value):
            return False
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)

    def __str__(self) -> str:
        sides = []
        if self.low is not None:
            sides.append(f">= {self.low:g}")
        if self.high is not None:
            sides.append(f"<= {self.high:g}")
        verdict = "" if self.passed else ", NOT MET"
        return (
            f"{self.quantity} = {self.value:.4g} {self.unit}".rstrip() + f" ({' and '.join(sides)}{verdict})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRecord:
    """One run of one procedure on one link.

    `started_ns`, `ended_ns`: unix time. `valid_for_s`: how long after its end the result may be believed.
    `applied`: settings that were written and read back because of it, by "instrument parameter". `before`:
    the same settings as they were. `data`, `plot`: files, relative to the store's folder, "" for none.
    `overrides`: gates that an operator opened by hand, in words.
    """

    record_id: str
    link: str
    procedure: str
    outcome: Outcome
    reason: str
    started_ns: int
    ended_ns: int
    valid_for_s: float
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    instruments: tuple[InstrumentSeen, ...] = ()
    applied: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    before: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    software: str = ""
    operator: str = ""
    data: str = ""
    plot: str = ""
    overrides: tuple[str, ...] = ()

    def in_date(self, now_ns: int) -> bool:
        """Whether its validity has not run out."""
        return now_ns <= self.ended_ns + self.valid_for_s * NS_PER_S

    def in_force(self, now_ns: int) -> bool:
        """Whether it passed and is in date."""
        return self.outcome is Outcome.PASSED and self.in_date(now_ns)
