"""When a drift of polarisation is believed, and how it is undone in small steps.

Owns two cumulative sums, over the error rates in Z and in X, and the policy around them. An alarm begins a
time of corrections: the paddles are dithered around where they stand, and turned to the minimum of what was
seen there, until both error rates are back below the lower threshold; so that it does not end and begin again
with every look (hysteresis). Corrections keep a least interval. Where they do not help, or a paddle comes to
the end of its range, or the errors are beyond what small steps reach, a search over the whole range is asked
for. Refuses instruments: angles go out, counts come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np

from bellwire.calibration.estimates.paddle_model import Paddles
from bellwire.calibration.estimates.paddle_search import MARGIN
from bellwire.calibration.trackers.cusum import Cusum, CusumPlan, plan_cusum
from bellwire.calibration.trackers.paddle_drift import (
    Angles,
    LocalModel,
    Seen,
    fit_around,
    lowest_near,
    places_around,
)
from bellwire.core.errors import LocalMisuse

NS_PER_S: Final = 1_000_000_000
REPLAN_RATIO: Final = 1.5
"""A sum is planned anew when looks have so many times more or fewer pairs than it was planned for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolarisationLimits:
    """`error_max`: tolerance in each basis. `shift_share`: the rise that is waited for, as a share of the way
    from the reference to the tolerance; `settled_share`: corrections end below this share of that way.
    `false_alarm_looks`: mean looks between false alarms of both sums together. `interval_s`: between two
    corrections. `dither_deg`, `step_max_deg`: of each paddle. `tries_max`: corrections that did not help,
    after which a search is asked for. `reach`: an error rate beyond which small steps are not tried.
    """

    error_max: float = 0.03
    shift_share: float = 0.5
    settled_share: float = 0.3
    false_alarm_looks: float = 10_000.0
    interval_s: float = 30.0
    dither_deg: float = 5.0
    step_max_deg: float = 12.0
    tries_max: int = 3
    reach: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 < self.settled_share < self.shift_share <= 1.0:
            raise LocalMisuse(f"settled_share must lie below shift_share, which is at most 1: {self}")
        if not 0.0 < self.error_max < self.reach <= 0.5 or self.tries_max < 1:
            raise LocalMisuse(f"error_max must lie below reach, tries_max is at least 1: {self}")
        if not 0.0 < self.dither_deg <= self.step_max_deg:
            raise LocalMisuse(f"dither_deg is above 0 and at most step_max_deg: {self}")


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing is to be turned, for the `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dither:
    """Count at each of these places, and tell (`dithered`), for the `reason`."""

    places: tuple[Angles, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SearchAll:
    """Small steps are no use, for the `reason`: the whole range is to be searched."""

    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn to these angles, count there, and tell (`turned`). `error_z`, `error_x`: expected there."""

    angles_deg: Angles
    error_z: float
    error_x: float


class PolarisationKeeper:
    """Keeps one arm. `reference`: error rates in Z and X of the link in order; None: by its first look."""

    def __init__(
        self,
        paddles: Paddles,
        limits: PolarisationLimits | None = None,
        reference: tuple[float, float] | None = None,
    ) -> None:
        self.limits = limits or PolarisationLimits()
        self.alarmed = False
        self._paddles = paddles
        self._reference = reference
        self._sums: tuple[Cusum, Cusum] | None = None
        self._model: LocalModel | None = None
        self._corrected_ns: int | None = None
        self._tries = 0
        self._before: Seen | None = None

    @property
    def reference(self) -> tuple[float, float] | None:
        """Error rates that looks are compared with."""
        return self._reference

    @property
    def plans(self) -> tuple[CusumPlan, CusumPlan] | None:
        """Of the sums in Z and X, with their mean runs; None before the first look."""
        return None if self._sums is None else (self._sums[0].plan, self._sums[1].plan)

    def searched(self, error_z: float, error_x: float) -> None:
        """The whole range was searched, these error rates were left: begin anew from there."""
        self._reference = (error_z, error_x)
        self._sums = None
        self._tries = 0
        self._end_alarm()

    # -- looks ----------------------------------------------------------------------------------------------

    def take(self, at_ns: int, seen: Seen) -> Leave | Dither | SearchAll:
        """Counts where the paddles stand; what to do. `at_ns`: any clock that does not go back."""
        if self._reference is None:
            self._reference = seen.errors
        sums = self._planned(seen)
        fired = [
            name
            for name, one, wrong, total in (
                ("Z", sums[0], seen.wrong_z, seen.total_z),
                ("X", sums[1], seen.wrong_x, seen.total_x),
            )
            if one.add(wrong, total)
        ]
        worst = max(seen.errors)
        if self.alarmed and self._settled(seen):
            self._end_alarm()
            return Leave("both error rates are back below the lower threshold")
        if worst > self.limits.reach:
            self.alarmed = True
            return SearchAll(f"an error rate of {worst:.3f} is beyond {self.limits.reach:g}: no small step")
        self.alarmed = self.alarmed or bool(fired)
        if not self.alarmed:
            return Leave("no drift is seen")
        if self._tries >= self.limits.tries_max:
            return SearchAll(f"{self._tries} small corrections did not bring the error rates back")
        since_s = None if self._corrected_ns is None else (at_ns - self._corrected_ns) / NS_PER_S
        if since_s is not None and since_s < self.limits.interval_s:
            return Leave(f"corrected {since_s:.0f} s ago, once in {self.limits.interval_s:g} s is allowed")
        self._before = seen
        why = f"the sum over errors in {' and '.join(fired)} passed its limit" if fired else "still in alarm"
        return Dither(places_around(seen.angles_deg, self.limits.dither_deg, self._paddles), why)

    # -- corrections ----------------------------------------------------------------------------------------

    def dithered(self, at_ns: int, seen: Sequence[Seen]) -> Turn | SearchAll:
        """Counts at the places that were asked for, in their order."""
        if self._before is None or self._reference is None:
            raise LocalMisuse("told of a dither that was not asked for")
        self._corrected_ns = at_ns
        self._model = fit_around(seen, self._paddles, self._reference, self._model)
        found = lowest_near(self._model, self._paddles, self.limits.step_max_deg, MARGIN)
        expected = self._model.errors(np.array([found]))[0]
        low = self.threshold(self.limits.settled_share)
        if not self._inside(found) and (expected[0] > low[0] or expected[1] > low[1]):
            self._tries = self.limits.tries_max
            return SearchAll(f"a paddle is at the end of its range ({_told(found)} degrees)")
        return Turn(found, float(expected[0]), float(expected[1]))

    def turned(self, seen: Seen) -> bool:
        """Counts at the new place; True: stay there, False: go back to where the paddles stood."""
        if self._before is None:
            raise LocalMisuse("told of a turn that was not asked for")
        before, self._before = self._before, None
        settled = self._settled(seen)
        self._tries = 0 if settled else self._tries + 1
        if settled:
            self._end_alarm()
            return True
        gained = sum(before.errors) - sum(seen.errors)
        sigma = sqrt(sum(one**2 for one in (*before.sigmas, *seen.sigmas)))
        return gained > sigma

    # -- the sums -------------------------------------------------------------------------------------------

    def threshold(self, share: float) -> tuple[float, float]:
        """Error rates at a share of the way from the reference to the tolerance, in Z and X."""
        if self._reference is None:
            raise LocalMisuse("there is no reference before the first look")
        low_z, low_x = (min(one, 0.8 * self.limits.error_max) for one in self._reference)
        top = self.limits.error_max
        return low_z + share * (top - low_z), low_x + share * (top - low_x)

    def _planned(self, seen: Seen) -> tuple[Cusum, Cusum]:
        totals = (seen.total_z, seen.total_x)
        known = self._sums
        if known is not None and all(
            1 / REPLAN_RATIO < total / one.plan.total < REPLAN_RATIO
            for one, total in zip(known, totals, strict=True)
        ):
            return known
        first, second = (
            Cusum(plan_cusum(low, high, total, 2 * self.limits.false_alarm_looks))
            for low, high, total in zip(
                self.threshold(0.0), self.threshold(self.limits.shift_share), totals, strict=True
            )
        )
        if known is not None:
            first.value, second.value = known[0].value, known[1].value
        self._sums = (first, second)
        return self._sums

    def _settled(self, seen: Seen) -> bool:
        below = self.threshold(self.limits.settled_share)
        looked = zip(seen.errors, seen.sigmas, below, strict=True)
        return all(error - sigma <= limit for error, sigma, limit in looked)

    def _end_alarm(self) -> None:
        self.alarmed = False
        self._tries = 0
        self._before = None
        for one in self._sums or ():
            one.restart()

    def _inside(self, angles_deg: Angles) -> bool:
        span = self._paddles.high_deg - self._paddles.low_deg
        places = [(angle - self._paddles.low_deg) / span for angle in angles_deg]
        return all(MARGIN < place < 1.0 - MARGIN for place in places)


def _told(angles_deg: Angles) -> str:
    return ", ".join(f"{angle:g}" for angle in angles_deg)
