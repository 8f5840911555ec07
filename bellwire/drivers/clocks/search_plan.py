"""How a search of the offset is laid out: bins, their number, the stretch of time, and the rates tried.

Owns the choice from what is expected. With singles rates R_A and R_B, pairs R_c, bin r and stretch T, the
peak of the correlation stands S = R_c sqrt(T / (R_A R_B r)) above its background, and a rate that is off by
df smears it unless |df| T < r. Hence T / r = S^2 R_A R_B / R_c^2 decides how many rates, r / T apart, must
be tried, and the widest bin is the cheapest. Refuses what does not fit: too few pairs for the tags at hand.

Source of both formulas: Ho, Lamas-Linares, Kurtsiefer, New J. Phys. 11, 045011 (2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log2, sqrt
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_offset import E15, RATE_MAX_E15
from bellwire.drivers.clocks.refusals import NoTiming

SIGNIFICANCE_PLANNED: Final = (16.0, 14.0)
"""Up to half of the peak is lost where pairs fall between two bins and a rate between two tries, a quarter on
the average; the smaller figure is planned for where it halves the transform.
"""
BIN_MIN_PS: Final = 1000
"""A coarse bin is not below 1 ns: the jitter would spread the peak."""
ORDER_MAX: Final = 24
LAGS_MIN: Final = 256
"""So many bins at least, or the background of the correlation is not known well enough."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """2^`order` bins of `bin_ps`; `span_ps` of one stream against the other within +-`uncertainty_ps`.

    `rates_e15`: the rates to try, rising, equally spaced, the outermost two as guards.
    """

    order: int
    bin_ps: int
    span_ps: int
    uncertainty_ps: int
    rates_e15: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.n_span + self.n_lags > self.n_bins:
            raise LocalMisuse(
                f"2^{self.order} bins of {self.bin_ps} ps do not hold {self.span_ps} ps and twice the "
                f"uncertainty of {self.uncertainty_ps} ps: offsets would be mistaken for others"
            )

    @property
    def n_bins(self) -> int:
        """N of the transform."""
        return 1 << self.order

    @property
    def n_span(self) -> int:
        """Bins of the stretch."""
        return ceil(self.span_ps / self.bin_ps)

    @property
    def n_lags(self) -> int:
        """Bins of the offset that are looked at."""
        return 2 * ceil(self.uncertainty_ps / self.bin_ps) + 1

    @property
    def tries(self) -> int:
        """In how many places a peak may appear by chance."""
        return self.n_lags * len(self.rates_e15)


def expected_significance(
    first_hz: float, second_hz: float, pairs_hz: float, span_ps: float, bin_ps: float
) -> float:
    """S of a peak that falls into one bin."""
    return pairs_hz * sqrt(span_ps / (first_hz * second_hz * bin_ps))


def plan_search(
    first_hz: float,
    second_hz: float,
    pairs_hz: float,
    *,
    record_ps: int,
    uncertainty_ps: int,
    rate_uncertainty_e15: int,
    expected_rate_e15: int = 0,
) -> SearchPlan:
    """The cheapest plan whose peak would stand clear of the background.

    `pairs_hz` is the least rate of coincidences that shall be found. `record_ps` of both streams are at
    hand; the offset is expected within +-`uncertainty_ps`, the rate within +-`rate_uncertainty_e15`. Raises
    NoTiming when the tags cannot give it.
    """
    if min(first_hz, second_hz, pairs_hz) <= 0 or record_ps <= 0 or uncertainty_ps <= 0:
        raise LocalMisuse("a search needs tags in both streams, pairs among them, and a range")
    if abs(expected_rate_e15) + rate_uncertainty_e15 > RATE_MAX_E15:
        raise LocalMisuse(f"rates up to {rate_uncertainty_e15} e-15 are beyond the 50 ppm of any clock")
    layouts: list[tuple[int, int, int]] = []
    for significance in SIGNIFICANCE_PLANNED:
        bins = max(1.0, significance**2 * first_hz * second_hz / pairs_hz**2)
        widest = min(1e12 / max(first_hz, second_hz), 2 * uncertainty_ps / LAGS_MIN)
        bin_ps = max(1, floor(min(record_ps / bins, widest)))
        span_ps = min(record_ps, ceil(bins) * bin_ps)
        order = ceil(log2(ceil(span_ps / bin_ps) + 2 * ceil(uncertainty_ps / bin_ps) + 1))
        layouts.append((order, bin_ps, span_ps))
    order, bin_ps, span_ps = min(layouts, key=lambda one: one[0])
    if bin_ps < BIN_MIN_PS:
        reachable = expected_significance(first_hz, second_hz, pairs_hz, record_ps, BIN_MIN_PS)
        raise NoTiming(
            f"{pairs_hz:g} pairs/s among {first_hz:g} and {second_hz:g} tags/s in {record_ps} ps "
            f"need bins of {bin_ps} ps, the limit is {BIN_MIN_PS} ps (significance {reachable:.1f}): record "
            "longer, or raise the share of pairs"
        )
    if order > ORDER_MAX:
        raise NoTiming(
            f"+-{uncertainty_ps} ps in bins of {bin_ps} ps need 2^{order} bins, the limit is 2^{ORDER_MAX}: "
            "narrow the range by the network's time, or raise the share of pairs"
        )
    step = max(1, bin_ps * E15 // span_ps)
    half = ceil(rate_uncertainty_e15 / step)
    around = range(-half - 1, half + 2) if rate_uncertainty_e15 * 2 > step else range(1)
    return SearchPlan(
        order, bin_ps, span_ps, uncertainty_ps, tuple(expected_rate_e15 + step * one for one in around)
    )
