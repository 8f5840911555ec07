"""A clock that was found once, kept from block to block: tracking, holdover, and when it is lost.

Owns the policy, sans I/O: whoever measures blocks hands in what was measured and looks at the state. A
measurement more than 5 sigma off is refused; without measurements the rate is held and the window widens as
the oscillator wanders; where the window or the silence passes its limit, or the refused ones agree that the
clock stepped, the clock is lost and must be searched again, around the place that is handed out. Refuses to
tell the time of a lost clock, and everything of another epoch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.block_offset import OffsetMeasurement
from bellwire.drivers.clocks.clock_filter import ClockState
from bellwire.drivers.clocks.clock_kinds import ClockNoise
from bellwire.drivers.clocks.clock_offset import RATE_MAX_E15, ClockOffset

CHANGES_KEPT: Final = 256


class Standing(StrEnum):
    """How far the clock may be believed."""

    TRACKING = "tracking"
    HOLDOVER = "holdover"
    """No measurement for a while: the rate is held, the sigma grows."""
    LOST = "lost"
    """Search again from the coarse step."""


@dataclass(frozen=True, slots=True)
class TrackingLimits:
    """`gate`: sigmas beyond which a measurement is an outlier. `rejected_max`: so many outliers in a row
    are a step. `silent_ps`: without a measurement for longer it is holdover. `holdover_ps`: and for longer
    than that, lost. `window_ps`: lost as well when the half window has to be wider than this. `valid_ps`:
    so far beyond the last look is what is handed out valid.
    """

    gate: float = 5.0
    rejected_max: int = 3
    silent_ps: int = 3 * 10**12
    holdover_ps: int = 60 * 10**12
    window_ps: int = 100_000
    valid_ps: int = 2 * 10**12

    def __post_init__(self) -> None:
        if self.gate <= 0 or self.rejected_max < 1 or self.window_ps < 1 or self.valid_ps < 1:
            raise LocalMisuse(f"limits of tracking are positive: {self}")
        if not 0 < self.silent_ps < self.holdover_ps:
            raise LocalMisuse(f"holdover ends ({self.holdover_ps} ps) after it began ({self.silent_ps} ps)")


@dataclass(frozen=True, slots=True)
class StandingChanged:
    """The clock's standing changed at `at_ps`, for the `reason`."""

    at_ps: int
    before: Standing
    after: Standing
    reason: str


@dataclass(frozen=True, slots=True)
class SearchAgain:
    """Where a lost clock is expected at `at_ps`: `offset_ps` +-`uncertainty_ps`, `rate_e15`
    +-`rate_uncertainty_e15`, all at 5 sigma. None where the epoch changed: then nothing is expected.
    """

    at_ps: int
    offset_ps: int
    uncertainty_ps: int
    rate_e15: int
    rate_uncertainty_e15: int


class ClockTracker:
    """Keeps one clock. `noise` is that of both oscillators together.

    `accepted` and `rejected` count measurements; `changes` are the last changes of standing, oldest first.
    """

    def __init__(self, found: ClockOffset, noise: ClockNoise, limits: TrackingLimits | None = None) -> None:
        self.limits = limits or TrackingLimits()
        self.noise = noise
        self.standing = Standing.TRACKING
        self.accepted = 0
        self.rejected = 0
        self.changes: deque[StandingChanged] = deque(maxlen=CHANGES_KEPT)
        self._begin(found)

    def _begin(self, found: ClockOffset) -> None:
        self._found = found
        self._state: ClockState | None = ClockState(
            at_ps=found.at_ps,
            base_ps=found.offset_ps,
            offset_ps=0.0,
            rate_ps_per_s=found.rate_e15 / 1000,
            p_offset=float(found.sigma_ps**2),
            p_cross=0.0,
            p_rate=(found.sigma_rate_e15 / 1000) ** 2,
        )
        self._heard_ps = found.fitted_until_ps
        self._in_a_row = 0

    # -- what happens ---------------------------------------------------------------------------------------

    def take(self, measured: OffsetMeasurement) -> bool:
        """A block was measured; False when it was refused as an outlier. Raises LocalMisuse when lost."""
        if measured.epoch != self._found.epoch:
            raise LocalMisuse(
                f"a measurement of epoch {measured.epoch}, the clock is of epoch {self._found.epoch}: "
                "tell the tracker of the change"
            )
        self.look(measured.at_ps)
        predicted = self._known().later(measured.at_ps, self.noise)
        away = predicted.innovation(measured.offset_ps, measured.sigma_ps)
        if abs(away) > self.limits.gate:
            self.rejected += 1
            self._in_a_row += 1
            if self._in_a_row >= self.limits.rejected_max:
                self._change(measured.at_ps, Standing.LOST, f"{self._in_a_row} outliers in a row: a step")
            return False
        self.accepted += 1
        self._in_a_row = 0
        self._state = predicted.corrected(measured.offset_ps, measured.sigma_ps)
        self._heard_ps = measured.at_ps
        self._change(measured.at_ps, Standing.TRACKING, "a measurement within the gate")
        return True

    def look(self, at_ps: int) -> Standing:
        """How the clock stands at `at_ps`, whether or not anything was measured."""
        if self.standing is Standing.LOST:
            return self.standing
        silent = at_ps - self._heard_ps
        if silent > self.limits.silent_ps:
            self._change(at_ps, Standing.HOLDOVER, f"no measurement for {silent} ps")
        window = self.window_ps(at_ps)
        if window > self.limits.window_ps:
            self._change(
                at_ps,
                Standing.LOST,
                f"the window is {window} ps wide, the limit is {self.limits.window_ps} ps",
            )
        elif silent > self.limits.holdover_ps:
            self._change(
                at_ps,
                Standing.LOST,
                f"no measurement for {silent} ps, the limit is {self.limits.holdover_ps} ps",
            )
        return self.standing

    def epoch_changed(self, at_ps: int) -> None:
        """The tagger's time began anew: what was known is worth nothing."""
        self._state = None
        self._change(at_ps, Standing.LOST, "the epoch of the tagger changed")

    def found_again(self, found: ClockOffset) -> None:
        """A search after the loss succeeded. Raises LocalMisuse while the clock is not lost."""
        if self.standing is not Standing.LOST:
            raise LocalMisuse(f"the clock is {self.standing}, only a lost one is found again")
        self._begin(found)
        self._change(found.fitted_until_ps, Standing.TRACKING, "found again")

    # -- what is known --------------------------------------------------------------------------------------

    def expected(self, at_ps: int) -> tuple[int, int, int]:
        """Offset in ps, rate in e-15, and sigma of the offset in ps at `at_ps`."""
        state = self._known().later(at_ps, self.noise)
        return (
            state.base_ps + round(state.offset_ps),
            round(state.rate_ps_per_s * 1000),
            max(1, round(state.sigma_ps)),
        )

    def window_ps(self, at_ps: int) -> int:
        """Half width of the window in which the offset is at `at_ps`, at the sigmas of the gate."""
        return ceil(self.limits.gate * self._known().later(at_ps, self.noise).sigma_ps)

    def clock(self, at_ps: int) -> ClockOffset:
        """The clock at `at_ps`, to convert times from then on; sigmas are of the prediction."""
        state = self._known().later(at_ps, self.noise)
        # A record stands where offset and rate are uncorrelated: in the midst of what was heard.
        before_s = max(state.p_cross, 0.0) / state.p_rate if state.p_rate > 0 else 0.0
        before_ps = round(before_s * 1e12)
        variance = max(state.p_offset - before_s * max(state.p_cross, 0.0), 0.0)
        rate_e15 = round(state.rate_ps_per_s * 1000)
        return ClockOffset(
            epoch=self._found.epoch,
            reference_epoch=self._found.reference_epoch,
            at_ps=at_ps - before_ps,
            offset_ps=state.base_ps + round(state.offset_ps - state.rate_ps_per_s * before_s),
            rate_e15=rate_e15,
            sigma_ps=max(1, round(sqrt(variance))),
            sigma_rate_e15=ceil(sqrt(state.p_rate) * 1000),
            walk_fs=self.noise.walk_fs,
            wander_e15=self.noise.wander_e15,
            fitted_from_ps=at_ps - before_ps,
            fitted_until_ps=at_ps,
            valid_from_ps=at_ps,
            valid_until_ps=at_ps + self.limits.valid_ps,
        )

    def search_again(self, at_ps: int) -> SearchAgain | None:
        """Where to look for a lost clock; None where the tagger began anew. Raises LocalMisuse otherwise."""
        if self.standing is not Standing.LOST:
            raise LocalMisuse(f"the clock is {self.standing}: nothing to search again")
        if self._state is None:
            return None
        state = self._state.later(at_ps, self.noise)
        return SearchAgain(
            at_ps=at_ps,
            offset_ps=state.base_ps + round(state.offset_ps),
            uncertainty_ps=ceil(self.limits.gate * state.sigma_ps),
            rate_e15=round(state.rate_ps_per_s * 1000),
            rate_uncertainty_e15=min(ceil(self.limits.gate * sqrt(state.p_rate) * 1000), RATE_MAX_E15 // 2),
        )

    def _known(self) -> ClockState:
        if self.standing is Standing.LOST or self._state is None:
            raise LocalMisuse("the clock is lost: search it again before asking for its time")
        return self._state

    def _change(self, at_ps: int, after: Standing, reason: str) -> None:
        if after is not self.standing:
            self.changes.append(StandingChanged(at_ps, self.standing, after, reason))
            self.standing = after
