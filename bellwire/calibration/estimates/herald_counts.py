"""Heralds per attempt from the clicks of an analyser: what a heralding station would have counted.

Owns when an attempt's window opens, as the clicks themselves say, and which clicks within one window herald a
pair: two of the patterns of `estimates.bsm`, and no third. Refuses clocks: the tagger runs with the attempts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.estimates.bsm import DETECTORS, PSI_MINUS, PSI_PLUS
from bellwire.calibration.estimates.counting import share
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse

Times = NDArray[np.int64]

CLICKS_MIN: Final = 100
"""In all windows together. The opening is then known to a hundredth of a photon's length."""
TIMES_BY_CHANCE: Final = 3.0
"""So many times more clicks in the window than clicks without attempts would give, or there are none."""


@dataclass(frozen=True, slots=True)
class HeraldCounts:
    """`attempts`: joint ones, of any lane. `discarded`: two clicks or more that herald nothing."""

    attempts: int
    psi_plus: int
    psi_minus: int
    discarded: int

    @property
    def heralds(self) -> int:
        """Both Bell states together."""
        return self.psi_plus + self.psi_minus

    @property
    def success_probability(self) -> Quantity:
        """Of one attempt, with the exact binomial interval."""
        return share(self.heralds, self.attempts)


def summed(counts: Iterable[HeraldCounts]) -> HeraldCounts:
    """Of several stretches of time."""
    each = list(counts)
    return HeraldCounts(
        sum(one.attempts for one in each),
        sum(one.psi_plus for one in each),
        sum(one.psi_minus for one in each),
        sum(one.discarded for one in each),
    )


def window_opening(times_ps: Times, period_ps: int, window_ps: int) -> int:
    """Where in the period the window must open to hold most clicks, 0 to period_ps: packets begin steeply,
    so that it is where they begin.

    `times_ps`: of all detectors, (n,). Raises NoEstimate when clicks do not come with the attempts.
    """
    if not 0 < window_ps < period_ps:
        raise LocalMisuse(f"a window of {window_ps} ps in a period of {period_ps} ps")
    folded = np.sort(np.mod(times_ps, period_ps))
    ahead = np.concatenate([folded, folded + period_ps])
    held = np.searchsorted(ahead, folded + window_ps) - np.arange(folded.size)
    most = int(held.max(initial=0))
    by_chance = times_ps.size * window_ps / period_ps
    if most < max(CLICKS_MIN, TIMES_BY_CHANCE * by_chance):
        raise NoEstimate(
            f"{most} of {times_ps.size} clicks lie in one window of {window_ps} ps in every {period_ps} ps: "
            "these are not photons of attempts, or too few"
        )
    return int(folded[np.argmax(held)])


def herald_counts(
    clicks: Mapping[str, Times], duration_s: float, period_ps: int, window_ps: int, opening_ps: int
) -> HeraldCounts:
    """`clicks`: by detector as of `estimates.bsm`. `duration_s`: in which they were heard, whole periods of
    which count as attempts: the first and the last may be cut.

    Raises LocalMisuse for detectors that are not those of an analyser.
    """
    if set(clicks) != set(DETECTORS):
        raise LocalMisuse(f"clicks of {', '.join(sorted(clicks))}; an analyser has {', '.join(DETECTORS)}")
    bits = {name: 1 << place for place, name in enumerate(DETECTORS)}
    numbers, marks = [], []
    for name, times in clicks.items():
        since = times - opening_ps
        number = since // period_ps
        inside = since - number * period_ps < window_ps
        numbers.append(number[inside])
        marks.append(np.full(int(inside.sum()), bits[name], np.int64))
    number, mark = np.concatenate(numbers), np.concatenate(marks)
    order = np.argsort(number, kind="stable")
    first = np.unique(number[order], return_index=True)[1]
    pattern = np.bitwise_or.reduceat(mark[order], first) if first.size else mark

    def counted(patterns: Iterable[tuple[str, str]]) -> int:
        return sum(int(np.count_nonzero(pattern == bits[one] | bits[other])) for one, other in patterns)

    plus, minus = counted(PSI_PLUS), counted(PSI_MINUS)
    several = int(np.count_nonzero(np.bitwise_count(pattern) >= 2))
    return HeraldCounts(int(duration_s * 1e12 // period_ps), plus, minus, several - plus - minus)
