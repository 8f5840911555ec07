"""Delays of detectors that drift with the temperature of cables and fibres, corrected ahead of time.

Owns one filter for each delay, of its value and its drift, and what is to be added to the tags from now on:
the value expected in the middle of the time until the next look (feed-forward). Refuses a correction further
from the calibrated one than its limit, a step larger than its limit, and what is far outside of all that the
filter expects: then the delays are to be measured anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Final

import numpy as np

from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_filter import ClockState
from bellwire.drivers.clocks.clock_kinds import ClockNoise

NS_PER_S: Final = 1_000_000_000
PS_PER_NS: Final = 1_000
ROUNDING_PS2: Final = 1 / 12

DRIFT: Final = ClockNoise(offset_ps2_per_s=1e-3, rate_ps2_per_s3=1e-9)
"""5 km of fibre move by 185 ps/K (procedure 1); 1 K of amplitude over a day is 0.013 ps/s at most, which
changes by 10^-6 ps/s each second. Cables are shorter."""
DRIFT_SIGMA_PS_PER_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Delay:
    """How much later than it should be, in ps."""

    value_ps: float
    sigma_ps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLimits:
    """`total_max_ps`: from the calibrated correction. `step_max_ps`: of one look. `dead_ps`: a smaller change
    is not made. `gate`: sigmas beyond which a measurement is an outlier; `rejected_max`: so many in a row
    are a step.
    """

    total_max_ps: float = 500.0
    step_max_ps: float = 50.0
    dead_ps: float = 1.0
    gate: float = 5.0
    rejected_max: int = 3

    def __post_init__(self) -> None:
        if not 0.0 <= self.dead_ps < self.step_max_ps <= self.total_max_ps:
            raise LocalMisuse(f"dead_ps < step_max_ps <= total_max_ps must hold: {self}")
        if self.gate <= 0.0 or self.rejected_max < 1:
            raise LocalMisuse(f"gate and rejected_max are above 0: {self}")


@dataclass(frozen=True, slots=True)
class Correct:
    """What is to be added to the tags of each detector from now on, in ps. `drift_ps_per_s`: of each."""

    corrections_ps: Mapping[str, int]
    sigmas_ps: Mapping[str, float]
    drift_ps_per_s: Mapping[str, float]
    reason: str


@dataclass(frozen=True, slots=True)
class MeasureAnew:
    """The delays are no longer what was calibrated, for the `reason`."""

    reason: str


class DelayKeeper:
    """`calibrated_ps`: corrections as they were measured, by detector. `ahead_s`: until the next look."""

    def __init__(
        self,
        calibrated_ps: Mapping[str, float],
        *,
        ahead_s: float = 60.0,
        limits: DelayLimits | None = None,
        noise: ClockNoise = DRIFT,
    ) -> None:
        self.limits = limits or DelayLimits()
        self._calibrated_ps = dict(calibrated_ps)
        self._ahead_ps = round(ahead_s * NS_PER_S) * PS_PER_NS
        self._noise = noise
        self._states: dict[str, ClockState] = {}
        self._rejected: dict[str, int] = {}

    def take(
        self, at_ns: int, applied_ps: Mapping[str, int], residuals: Mapping[str, Delay]
    ) -> Correct | MeasureAnew:
        """A look: what was added to the tags of each detector, and how late they were with it. `at_ns` does
        not go back. What is to be added is in whole ps, as tags are.
        """
        at_ps = at_ns * PS_PER_NS
        for name, late in residuals.items():
            if name not in self._calibrated_ps:
                raise LocalMisuse(f"{name} has no calibrated delay, only {', '.join(self._calibrated_ps)}")
            followed = self._follow(name, at_ps, applied_ps[name] - late.value_ps, late.sigma_ps)
            if not followed and self._rejected[name] >= self.limits.rejected_max:
                return MeasureAnew(
                    f"{name} was {late.value_ps:.1f} ps late, {self._rejected[name]} times in a row beyond "
                    "what its drift explains"
                )
        wanted: dict[str, int] = dict(applied_ps)
        sigmas = dict.fromkeys(wanted, 0.0)
        drifts = dict.fromkeys(wanted, 0.0)
        for name, state in self._states.items():
            ahead = state.later(at_ps + self._ahead_ps // 2, self._noise)
            wanted[name] = self._stepped(applied_ps[name], ahead.base_ps + ahead.offset_ps)
            sigmas[name] = state.later(at_ps, self._noise).sigma_ps
            drifts[name] = state.rate_ps_per_s
            away = wanted[name] - self._calibrated_ps[name]
            if abs(away) > self.limits.total_max_ps:
                return MeasureAnew(
                    f"{name} would be corrected by {away:.1f} ps beyond its calibration, the limit is "
                    f"{self.limits.total_max_ps:g} ps"
                )
        moved = {name: wanted[name] - applied_ps[name] for name in wanted}
        largest = max(moved, key=lambda name: abs(moved[name]), default=None)
        if largest is None or moved[largest] == 0:
            return Correct(wanted, sigmas, drifts, "no delay has moved")
        return Correct(wanted, sigmas, drifts, f"{largest} is corrected by {moved[largest]:+d} ps more")

    def _follow(self, name: str, at_ps: int, found_ps: float, sigma_ps: float) -> bool:
        """One measurement of what is to be added to one detector; False: refused as an outlier."""
        sigma_ps = hypot(sigma_ps, sqrt(ROUNDING_PS2))
        state = self._states.get(name)
        if state is None:
            spread_ps = max(self.limits.step_max_ps, sigma_ps)
            start_ps = round(self._calibrated_ps[name])
            state = ClockState(at_ps, start_ps, 0.0, 0.0, spread_ps**2, 0.0, DRIFT_SIGMA_PS_PER_S**2)
        state = state.later(at_ps, self._noise)
        if abs(state.innovation(round(found_ps), sigma_ps)) > self.limits.gate:
            self._rejected[name] = self._rejected.get(name, 0) + 1
            return False
        self._rejected[name] = 0
        self._states[name] = state.corrected(round(found_ps), sigma_ps)
        return True

    def _stepped(self, now_ps: int, wanted_ps: float) -> int:
        """From what is applied towards what is wanted: not at all, in full, or by the largest step."""
        step = wanted_ps - now_ps
        if abs(step) <= self.limits.dead_ps:
            return now_ps
        largest = self.limits.step_max_ps
        return now_ps + round(min(largest, max(-largest, step)))


def residual_delays(
    first: Sequence[str], second: Sequence[str], peaks: Mapping[tuple[str, str], Delay]
) -> dict[str, Delay]:
    """How late each detector is, from the places of the peaks of pairs of detectors (second minus first).

    The first detector of each receiver is taken to be right, what is common is the clock's. Names must differ
    between receivers. Raises NoEstimate where peaks do not tell all of them.
    """
    unknowns = [*first[1:], *second[1:]]
    design = np.zeros((len(peaks), len(unknowns) + 1))
    design[:, -1] = 1.0
    for row, (one, other) in enumerate(peaks):
        if one in unknowns:
            design[row, unknowns.index(one)] = -1.0
        if other in unknowns:
            design[row, unknowns.index(other)] = 1.0
    if np.linalg.matrix_rank(design) < design.shape[1]:
        seen = ", ".join(f"{one}-{other}" for one, other in peaks) or "none"
        raise NoEstimate(f"too few pairs of detectors show pairs ({seen}): look longer")
    sigma = np.array([one.sigma_ps for one in peaks.values()])
    places = np.array([one.value_ps for one in peaks.values()])
    weighted = design / sigma[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    found = covariance @ weighted.T @ (places / sigma)
    return {
        name: Delay(float(found[index]), float(np.sqrt(covariance[index, index])))
        for index, name in enumerate(unknowns)
    }
