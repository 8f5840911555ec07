"""Pairs of a distribution link as procedures count them: inside the window, and away from it.

Owns the window in force and the places where accidentals are measured. Refuses clocks (pairing.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.attempt_of_pairs import PairTotals
from bellwire.calibration.estimates.counting import weighted_sum
from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA
from bellwire.calibration.estimates.link_quality import CORRELATION_SIGNS, BasisCounts
from bellwire.calibration.pairing import Times, Together, merged, needs_two
from bellwire.calibration.records import Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import count_pairs

OFF_PEAK_WINDOWS = 40
OFF_PEAK_AWAY = 20
"""Accidentals are counted so many window widths away from the peak, on both sides."""

BELL_STATES = ("phi_plus", "phi_minus", "psi_plus", "psi_minus")
BASES = {"z": ("h", "v"), "x": ("d", "a")}
"""Detectors of the two outcomes of each basis, by label."""


@dataclass(frozen=True, slots=True)
class CoincidenceWindow:
    """Pairs count when their delay lies within half of `width_ps` of `offset_ps`."""

    offset_ps: float
    width_ps: float

    @property
    def low_ps(self) -> int:
        """The least delay that counts."""
        return round(self.offset_ps - self.width_ps / 2)

    @property
    def high_ps(self) -> int:
        """The largest delay that counts."""
        return round(self.offset_ps + self.width_ps / 2)

    @property
    def span_ps(self) -> int:
        """How many whole ps it holds."""
        return self.high_ps - self.low_ps + 1

    def inside(self, together: Together, one: str, other: str) -> int:
        """Pairs of two detectors."""
        return together.pairs(one, other, self.low_ps, self.high_ps)

    def all_inside(self, together: Together) -> int:
        """Pairs of any two detectors."""
        return together.all_pairs(self.low_ps, self.high_ps)

    def beside(self, together: Together, one: str, other: str) -> int:
        """Pairs of two detectors in `OFF_PEAK_WINDOWS` windows of the same width away from the peak."""
        return self._beside(together.first[one], together.second[other])

    def all_beside(self, together: Together) -> int:
        """The same, of any two detectors."""
        return self._beside(merged(together.first), merged(together.second))

    def _beside(self, first: Times, second: Times) -> int:
        half, away = OFF_PEAK_WINDOWS // 2, OFF_PEAK_AWAY
        span = self.span_ps
        total = 0
        for start in (self.low_ps - (away + half) * span, self.low_ps + away * span):
            total += count_pairs(first, second, start, start + half * span - 1)
        return total


def window_in_force(work: Work) -> CoincidenceWindow:
    """That of the last `window` in force, around the clock, which stands on the middle of the peak."""
    width = work.quantity("window", "width_ps")
    if width is None:
        jitter = work.needed("clock", "jitter_ps")
        return CoincidenceWindow(0.0, 3 * FWHM_PER_SIGMA * jitter.value)
    return CoincidenceWindow(0.0, width.value)


def pair_totals(work: Work, window: CoincidenceWindow, looks: Sequence[Together]) -> PairTotals:
    """Pairs of any two detectors in all looks together. Accidentals are those beside the peak, darks those of
    the record in force; where there is none, no click is taken for one.
    """
    first, second = work.bench.receivers
    duration_s = sum(one.duration_s for one in looks)
    beside = sum(window.all_beside(one) for one in looks)
    return PairTotals(
        coincidences=sum(window.all_inside(one) for one in looks),
        accidentals=Quantity(beside / OFF_PEAK_WINDOWS, math.sqrt(max(beside, 1)) / OFF_PEAK_WINDOWS),
        singles=(
            sum(times.size for one in looks for times in one.first.values()),
            sum(times.size for one in looks for times in one.second.values()),
        ),
        dark_singles=(_dark_singles(work, first, duration_s), _dark_singles(work, second, duration_s)),
    )


def _dark_singles(work: Work, receiver: Receiver, duration_s: float) -> Quantity:
    """Clicks without light of all detectors of a receiver."""
    known = [work.quantity("darks", f"dark_hz.{receiver.name}.{label}") for label in receiver.labels]
    return weighted_sum([(duration_s, one) for one in known if one is not None])


def bell_index(state: str) -> int:
    """0..3, as of core.bell."""
    return BELL_STATES.index(state)


def basis_counts(window: CoincidenceWindow, looks: Iterable[Together], basis: str) -> BasisCounts:
    """Equal and different outcomes of both receivers in one basis."""
    plus, minus = BASES[basis]
    same = different = 0
    for together in looks:
        same += window.inside(together, plus, plus) + window.inside(together, minus, minus)
        different += window.inside(together, plus, minus) + window.inside(together, minus, plus)
    return BasisCounts(same, different)


def wrong_and_total(window: CoincidenceWindow, together: Together, basis: str, state: str) -> tuple[int, int]:
    """Pairs of one basis against the correlation of a Bell state, and all pairs of the basis."""
    sign = CORRELATION_SIGNS[bell_index(state)][("x", "y", "z").index(basis)]
    counts = basis_counts(window, (together,), basis)
    return counts.wrong(sign), counts.total


def cannot_compare(bench: LinkBench) -> str | None:
    """Why errors of pairs cannot be counted in two bases, or None."""
    if (why := needs_two(bench)) is not None:
        return why
    wanted = {label for pair in BASES.values() for label in pair}
    for receiver in bench.receivers:
        missing = sorted(wanted - set(receiver.labels))
        if missing:
            return f"{receiver.name} has no detectors {', '.join(missing)}"
    return None
