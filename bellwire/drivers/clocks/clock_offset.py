"""How the time of one tagger becomes that of another: a straight line in integers, with sigma and validity.

Owns the arithmetic, which is exact: the line is evaluated in integers and rounded once, alike for one time
and for an array. Refuses times outside its validity and times of another epoch: a tagger that began anew
has a new clock, whatever its numbers look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

from bellwire.core.errors import LocalMisuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

E15: Final = 10**15
RATE_MAX_E15: Final = 50 * 10**9
"""50 ppm: no crystal of a tagger is worse, and below it the products stay within 64 bits."""
SPAN_MAX_PS: Final = 10**16
"""A line is used for 10^4 s at most, for the same reason."""
_SPLIT: Final = 10**8
_REST: Final = E15 // _SPLIT


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """`time + offset` is the reference's time of what a tagger stamped with `time`.

    `offset_ps` holds at `at_ps` of the tagger; it changes by `rate_e15` parts in 10^15 of the time since.
    The sigmas of both are uncorrelated: `at_ps` is where they are. Beyond `fitted_from_ps` and
    `fitted_until_ps` the clock wanders: `walk_fs` is the rms of the walk of its offset in one second (white
    noise of frequency), `wander_e15` that of the change of its rate (random walk of frequency); both grow
    with the root of the time. `epoch` is that of the tagger, `reference_epoch` that of the other one or,
    where the reference is unix time, the unix second from which its picoseconds count. Valid for times in
    [`valid_from_ps`, `valid_until_ps`).
    """

    epoch: int
    reference_epoch: int
    at_ps: int
    offset_ps: int
    rate_e15: int
    sigma_ps: int
    sigma_rate_e15: int
    walk_fs: int
    wander_e15: int
    fitted_from_ps: int
    fitted_until_ps: int
    valid_from_ps: int
    valid_until_ps: int

    def __post_init__(self) -> None:
        if abs(self.rate_e15) > RATE_MAX_E15:
            raise LocalMisuse(f"a rate of {self.rate_e15} e-15 is beyond the 50 ppm that any clock keeps")
        if self.sigma_ps < 1 or self.sigma_rate_e15 < 0 or min(self.walk_fs, self.wander_e15) < 0:
            raise LocalMisuse(f"a sigma of {self.sigma_ps} ps: nothing is known better than to 1 ps")
        if not self.fitted_from_ps <= self.at_ps <= self.fitted_until_ps:
            raise LocalMisuse(f"{self.at_ps} ps is outside what was fitted")
        first, last = self.valid_from_ps - self.at_ps, self.valid_until_ps - self.at_ps
        if last <= first or max(abs(first), abs(last)) > SPAN_MAX_PS:
            raise LocalMisuse(f"valid from {first} to {last} ps of its time: at most {SPAN_MAX_PS} ps away")

    def at(self, time_ps: int, epoch: int | None = None) -> tuple[int, int]:
        """Offset and sigma in ps at one time. Raises LocalMisuse outside its validity or epoch."""
        self.require(time_ps, time_ps, epoch)
        return self._offset(time_ps), self._sigma(time_ps)

    def to_reference(self, time_ps: int, epoch: int | None = None) -> int:
        """One time of the tagger in the reference's time."""
        self.require(time_ps, time_ps, epoch)
        return time_ps + self._offset(time_ps)

    def all_to_reference(self, time_ps: NDArray[np.int64], epoch: int | None = None) -> NDArray[np.int64]:
        """Many times, shape (n,), to the picosecond what `to_reference` gives for each; order is kept."""
        if time_ps.size == 0:
            return time_ps.copy()
        self.require(int(time_ps.min()), int(time_ps.max()), epoch)
        since = time_ps - self.at_ps
        # rate * since needs more than 64 bits: both are taken apart, and nothing is lost.
        high, low = since // _SPLIT, since % _SPLIT
        whole, rest = (self.rate_e15 * high) // _REST, (self.rate_e15 * high) % _REST
        turned = whole + (rest * _SPLIT + self.rate_e15 * low + E15 // 2) // E15
        found: NDArray[np.int64] = time_ps + turned + self.offset_ps
        return found

    def sigma_within(self, from_ps: int, until_ps: int) -> int:
        """The largest sigma in ps of an interval: sigma only grows away from `at_ps`."""
        self.require(from_ps, until_ps, None)
        return max(self._sigma(from_ps), self._sigma(until_ps))

    def require(self, from_ps: int, until_ps: int, epoch: int | None) -> None:
        """Raises LocalMisuse unless all of [from, until] of `epoch` (None: the caller vouches) is known."""
        if epoch is not None and epoch != self.epoch:
            raise LocalMisuse(
                f"times of epoch {epoch}, but this clock was found in epoch {self.epoch}: search it again"
            )
        if from_ps < self.valid_from_ps or until_ps >= self.valid_until_ps:
            raise LocalMisuse(
                f"times {from_ps} to {until_ps} ps, but this clock is known from {self.valid_from_ps} to "
                f"{self.valid_until_ps} ps: track it further or search it again"
            )

    def inverted(self) -> ClockOffset:
        """From the reference's time to the tagger's; back and forth is within 1 ps."""
        e15, rate = E15, self.rate_e15
        turned = -((rate * e15 + (e15 + rate) // 2) // (e15 + rate))
        at, *marks = (
            time + self._offset(time)
            for time in (
                self.at_ps,
                self.fitted_from_ps,
                self.fitted_until_ps,
                self.valid_from_ps,
                self.valid_until_ps,
            )
        )
        return ClockOffset(
            epoch=self.reference_epoch,
            reference_epoch=self.epoch,
            at_ps=at,
            offset_ps=-self.offset_ps,
            rate_e15=turned,
            sigma_ps=self.sigma_ps,
            sigma_rate_e15=self.sigma_rate_e15,
            walk_fs=self.walk_fs,
            wander_e15=self.wander_e15,
            fitted_from_ps=marks[0],
            fitted_until_ps=marks[1],
            valid_from_ps=marks[2],
            valid_until_ps=marks[3],
        )

    def _offset(self, time_ps: int) -> int:
        return self.offset_ps + (self.rate_e15 * (time_ps - self.at_ps) + E15 // 2) // E15

    def _sigma(self, time_ps: int) -> int:
        turned_ps = self.sigma_rate_e15 * abs(time_ps - self.at_ps) / E15
        beyond_s = max(self.fitted_from_ps - time_ps, time_ps - self.fitted_until_ps, 0) / 1e12
        # q1 t + q2 t^3 / 3, as in clock_filter.py
        walked_ps2 = (self.walk_fs * 1e-3) ** 2 * beyond_s
        wandered_ps2 = (self.wander_e15 * 1e-3) ** 2 * beyond_s**3 / 3
        return max(1, round(sqrt(self.sigma_ps**2 + turned_ps**2 + walked_ps2 + wandered_ps2)))
