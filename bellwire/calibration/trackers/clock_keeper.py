"""The clock between two receivers, kept over looks with pauses between: measure here, or search again there.

Owns one clock and the order of what to do next with it. Between looks the rate is held, and the window in
which the pairs must be found widens as both oscillators wander; whoever looks within it needs no search.
Refuses tags (pairing.py) and the filter itself (drivers.clocks.tracking).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.block_offset import OffsetMeasurement
from bellwire.drivers.clocks.clock_kinds import ClockNoise
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.tracking import ClockTracker, Standing, StandingChanged, TrackingLimits

S_PS: Final = 10**12

LIMITS: Final = TrackingLimits(
    silent_ps=3 * S_PS, holdover_ps=600 * S_PS, window_ps=10_000_000, valid_ps=600 * S_PS
)
"""Light may be low for minutes while something else is measured. Two quartzes reach a half window of 10 us in
some 250 s; pairs of usual light stand out of the accidentals in it, and a search would take longer."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Look for the pairs within +-`window_ps` of the line through `offset_ps` at `at_ps`."""

    at_ps: int
    offset_ps: int
    rate_e15: int
    window_ps: int
    jitter_ps: int


@dataclass(frozen=True, slots=True)
class Search:
    """The clock is lost, for the `reason`: search from the coarse step."""

    reason: str


class ClockKeeper:
    """One clock; LOST until `found`. Times are of the second tagger, in ps, and never go back.

    `reason`: of its standing. `strayed_ps`: how far the last measurement was from what was expected then;
    None: nothing was measured since it was found.
    """

    def __init__(self, limits: TrackingLimits = LIMITS) -> None:
        self.reason = "it was never found"
        self.strayed_ps: int | None = None
        self._limits = limits
        self._tracker: ClockTracker | None = None
        self._epochs = (0, 0)
        self._jitter_ps = 0
        self._heard_ps = 0

    @property
    def standing(self) -> Standing:
        """As of the last look or measurement."""
        return Standing.LOST if self._tracker is None else self._tracker.standing

    @property
    def changes(self) -> Sequence[StandingChanged]:
        """Of this clock since it was found, oldest first."""
        return () if self._tracker is None else tuple(self._tracker.changes)

    @property
    def jitter_ps(self) -> int:
        """Of one pair, standard deviation. Raises LocalMisuse before the clock was found."""
        if self._tracker is None:
            raise LocalMisuse("the jitter of a pair is known once the clock was found")
        return self._jitter_ps

    # -- what happens ---------------------------------------------------------------------------------------

    def found(self, clock: ClockOffset, noise: ClockNoise, jitter_ps: int) -> None:
        """A search succeeded. `noise`: of both oscillators together."""
        self._tracker = ClockTracker(clock, noise, self._limits)
        self._epochs = (clock.reference_epoch, clock.epoch)
        self._jitter_ps = jitter_ps
        self._heard_ps = clock.at_ps
        self.reason = "found by a search"
        self.strayed_ps = None

    def take(self, measured: OffsetMeasurement) -> bool:
        """A block was measured; False: refused as an outlier. Raises LocalMisuse when lost."""
        if self._tracker is None:
            raise LocalMisuse("nothing can be measured of a clock that was never found")
        self.strayed_ps = measured.offset_ps - self._known().expected(measured.at_ps)[0]
        accepted = self._tracker.take(measured)
        if accepted:
            self._heard_ps = measured.at_ps
        self._note()
        return accepted

    @property
    def rate_e15(self) -> tuple[int, int]:
        """Rate and its sigma as of the last measurement. Raises LocalMisuse when lost."""
        clock = self._known().clock(self._heard_ps)
        return clock.rate_e15, clock.sigma_rate_e15

    # -- what to do -----------------------------------------------------------------------------------------

    def order(self, at_ps: int, reference_epoch: int, epoch: int) -> Measure | Search:
        """What to do with tags at `at_ps`, by the epochs of both taggers."""
        if self._tracker is None:
            return Search(self.reason)
        if (reference_epoch, epoch) != self._epochs:
            self._tracker.epoch_changed(at_ps)
        if self._tracker.look(at_ps) is Standing.LOST:
            self._note()
            return Search(self.reason)
        self._note()
        offset_ps, rate_e15, _ = self._tracker.expected(at_ps)
        return Measure(at_ps, offset_ps, rate_e15, self._tracker.window_ps(at_ps), self._jitter_ps)

    def sigma_ps(self, at_ps: int) -> int:
        """How well the offset is known at `at_ps`. Raises LocalMisuse when lost."""
        return self._known().expected(at_ps)[2]

    def clock(self, at_ps: int, from_ps: int, until_ps: int) -> ClockOffset:
        """The line at `at_ps`, to convert times of [from, until) around it. Raises LocalMisuse when lost."""
        return replace(self._known().clock(at_ps), valid_from_ps=from_ps, valid_until_ps=until_ps)

    def _known(self) -> ClockTracker:
        if self._tracker is None or self._tracker.standing is Standing.LOST:
            raise LocalMisuse(
                f"the clock is lost ({self.reason}): search it again before asking for its time"
            )
        return self._tracker

    def _note(self) -> None:
        if self._tracker is not None and self._tracker.changes:
            self.reason = self._tracker.changes[-1].reason
