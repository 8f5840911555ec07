"""Corrections of counts, with errors: dead time and accidentals.

Owns the formulas of counting. A sigma is one standard deviation by the delta method, counts taken as Poisson
unless stated; zero counts are given the error of one. Refuses values that no correction can mend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.core.errors import LocalMisuse

PS_PER_S: Final = 10**12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its standard deviation, in the unit of the function that returns it."""

    value: float
    sigma: float


def rate_hz(count: int, live_ps: int) -> Estimate:
    """Counts per second of live time. Raises LocalMisuse for no live time."""
    _require(live_ps > 0, f"a rate in {live_ps} ps: there is no live time")
    live_s = live_ps / PS_PER_S
    return Estimate(count / live_s, math.sqrt(max(count, 1)) / live_s)


def without_dead_time_hz(count: int, live_ps: int, dead_ps: int, dead_sigma_ps: float = 0.0) -> Estimate:
    """The true rate R = R' / (1 - R' t_d) of a detector that is blind for `dead_ps` after each count and is
    not made blind again by what it misses (non-paralysable).

    sigma: the counts of such a detector vary less than Poisson, by the factor (1 - R' t_d) in standard
    deviation (Müller, Nucl. Instrum. Methods 112, 47 (1973)), and dR/dt_d = R². Raises LocalMisuse where
    R' t_d is 1 or more: then the dead time is wrong.
    """
    measured = rate_hz(count, live_ps)
    _require(dead_ps >= 0, f"a dead time of {dead_ps} ps: it cannot be negative")
    live_share = 1.0 - count * dead_ps / live_ps
    _require(
        live_share > 0.0,
        f"{count} counts in {live_ps} ps are more than a dead time of {dead_ps} ps allows: measure it again",
    )
    true_hz = measured.value / live_share
    from_counts = measured.sigma / live_share  # the slope 1 / live_share², the smaller spread live_share
    from_dead_time = true_hz**2 * dead_sigma_ps / PS_PER_S
    return Estimate(true_hz, math.hypot(from_counts, from_dead_time))


def accidentals_of_singles(first: int, second: int, width_ps: int, live_ps: int) -> Estimate:
    """Accidental pairs in a window of `width_ps`: S_a S_b w / T as counts.

    width_ps: the number of whole ps within, 2 * half + 1 of a closed window. sigma: as though the two singles
    were independent; the pairs that they share add a part of the order of their heralding efficiency.
    """
    _require(live_ps > 0, f"accidentals in {live_ps} ps: there is no live time")
    value = first * second * width_ps / live_ps
    per_pair = width_ps / live_ps
    return Estimate(value, per_pair * math.hypot(second * math.sqrt(first), first * math.sqrt(second)))


def accidentals_off_peak(counts: Sequence[int]) -> Estimate:
    """Accidental pairs in one window, from windows of the same width away from the peak: their mean.

    Raises LocalMisuse for no window.
    """
    _require(len(counts) > 0, "accidentals of no off-peak window")
    total = sum(counts)
    return Estimate(total / len(counts), math.sqrt(max(total, 1)) / len(counts))


def without_accidentals(coincidences: int, accidentals: Estimate) -> Estimate:
    """C - A as counts."""
    return Estimate(coincidences - accidentals.value, math.sqrt(max(coincidences, 1) + accidentals.sigma**2))


def _require(right: bool, complaint: str) -> None:
    if not right:
        raise LocalMisuse(complaint)
