"""What an attempt of a link with a source of pairs succeeds with, from singles and coincidences.

Owns the way from counts to the model by which such a link is planned (core/pair_sources.py): an attempt is a
time slot in which the source makes `pairs_per_attempt` pairs on average, and each receiver has the share of
them that singles and coincidences say, eta_a = C/S_b and eta_b = C/S_a (Klyshko, Sov. J. Quantum Electron.
10, 1112 (1980)). Refuses tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse
from bellwire.core.pair_sources import midpoint_source


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTotals:
    """Counts of one stretch of time. `accidentals`: of `coincidences`, expected. `singles`: of both
    receivers; `dark_singles`: of these, expected without light.
    """

    coincidences: int
    accidentals: Quantity
    singles: tuple[int, int]
    dark_singles: tuple[Quantity, Quantity]


def attempt_probability(totals: PairTotals, pairs_per_attempt: float) -> Quantity:
    """That both receivers get a photon in one attempt, 0..1.

    Raises NoEstimate when no pairs are left without accidentals, or more than there are singles.
    """
    if not pairs_per_attempt > 0.0:
        raise LocalMisuse(f"{pairs_per_attempt} pairs in an attempt: there must be some")
    pairs = totals.coincidences - totals.accidentals.value
    first, second = (
        count - dark.value for count, dark in zip(totals.singles, totals.dark_singles, strict=True)
    )
    if not 0.0 < pairs <= min(first, second):
        raise NoEstimate(
            f"{pairs:.6g} pairs among {first:.6g} and {second:.6g} singles: no efficiency can be told"
        )
    value = midpoint_source(
        pairs_per_attempt, pairs / second, pairs / first, 0.0, 0.0, 0.0
    ).success_probability
    # ln p = 2 ln C - ln S_a - ln S_b, but for terms of the order of pairs_per_attempt; every coincidence is a
    # single of both receivers, so that both fluctuate together.
    variance = totals.coincidences * (2.0 / pairs - 1.0 / first - 1.0 / second) ** 2
    variance += (2.0 * totals.accidentals.sigma / pairs) ** 2
    for net, count, dark in zip((first, second), totals.singles, totals.dark_singles, strict=True):
        variance += (max(count - totals.coincidences, 0) + dark.sigma**2) / net**2
    return Quantity(value, value * sqrt(variance))
