"""The coarse offset of two streams of tags that share pairs: a peak in their correlation, or a refusal.

Owns the search: both streams in bins, their cross-correlation by transforms of real single-precision numbers,
the significance of its highest bin as the correlation itself shows it (height over the scatter of all other
bins), and the threshold. The threshold is Poisson's: the count that a background of that mean exceeds by
chance with `false_alarm` in all bins of all rates tried together, and never below 6 standard deviations.
Refuses a peak at the edge of the range, a second peak as good as the first, and no peak.

Source: Ho, Lamas-Linares, Kurtsiefer, New J. Phys. 11, 045011 (2009). Here one stream is cut to the stretch
and the other is not, so that no offset within the range loses pairs while the records overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.stats import poisson

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_offset import E15
from bellwire.drivers.clocks.refusals import NoTiming
from bellwire.drivers.clocks.search_plan import SearchPlan

Times = NDArray[np.int64]

FALSE_ALARM: Final = 1e-6
SIGNIFICANCE_MIN: Final = 6.0
COVERAGE_MIN: Final = 0.2
"""Of the stretch, at the ends of the range, must the other stream cover."""
GUARD: Final = 3
"""Bins beside a peak that belong to it, and bins at the edge of the range where none is believed."""


@dataclass(frozen=True, slots=True)
class CoarseOffset:
    """`offset_ps` is to be added to the stream's time `at_ps` to get the reference's, +-`bin_ps`.

    `rate_e15` is good to `rate_step_e15`, within `span_ps` around `at_ps`. `significance` is the height of
    the peak in standard deviations, `threshold` what it had to reach so that noise does so once in 1 /
    `false_alarm` searches. `pairs` is the height in counts, a lower bound. `correlations`: rates tried.
    """

    at_ps: int
    offset_ps: int
    rate_e15: int
    bin_ps: int
    rate_step_e15: int
    span_ps: int
    significance: float
    threshold: float
    false_alarm: float
    pairs: int
    correlations: int


@dataclass(frozen=True, slots=True)
class _Peak:
    lag: int
    significance: float
    threshold: float
    runner_up: float
    pairs: int


class _Correlator:
    """One reference stream against the other at whatever rate is asked for."""

    def __init__(
        self, reference: Times, stream: Times, plan: SearchPlan, expected_ps: int, chance: float, floor: float
    ) -> None:
        self.plan = plan
        self._chance, self._floor = chance, floor
        self.at_ps = (int(stream[0]) + int(stream[-1])) // 2
        half = plan.n_span * plan.bin_ps // 2
        from_ps, until_ps = np.searchsorted(stream, [self.at_ps - half, self.at_ps + half])
        self._since = stream[from_ps:until_ps] - self.at_ps
        self._half_ps = half

        lags_ps = (plan.n_lags // 2) * plan.bin_ps
        start_ps = self.at_ps + expected_ps - half - lags_ps
        n_reference = plan.n_span + plan.n_lags - 1
        inside = (reference - start_ps) // plan.bin_ps
        inside = inside[(inside >= 0) & (inside < n_reference)]
        if inside.size == 0 or self._since.size == 0:
            raise NoTiming(
                "the two records have no time in common within the range: look at their clocks and channels"
            )
        counts = np.bincount(inside, minlength=plan.n_bins).astype(np.float32)
        first, last = int(inside[0]), int(inside[-1]) + 1
        covered = np.concatenate(([0], np.cumsum(counts, dtype=np.float64)))
        lags = np.arange(plan.n_lags)
        # tags of the reference that face the stretch at each lag: shape (n_lags,)
        self._facing = covered[lags + plan.n_span] - covered[lags]
        if self._facing.min() < COVERAGE_MIN * self._facing.max():
            raise NoTiming(
                f"at the ends of the range of +-{plan.uncertainty_ps} ps the records overlap by less than "
                f"{COVERAGE_MIN:.0%}: record longer or narrow the range"
            )
        counts[first:last] -= inside.size / (last - first)
        self._weight = (1 / np.sqrt(self._facing)).astype(np.float32)
        self._reference = np.asarray(fft.rfft(counts))

    def peak(self, rate_e15: int) -> _Peak:
        """The highest bin when the stream runs at that rate."""
        plan = self.plan
        turned = self._since + np.rint(self._since * (rate_e15 / E15)).astype(np.int64)
        index = (turned + self._half_ps) // plan.bin_ps
        index = index[(index >= 0) & (index < plan.n_span)]
        counts = np.bincount(index, minlength=plan.n_bins).astype(np.float32)
        # Without its mean, the stream correlates with no slow change of the other.
        counts[: plan.n_span] -= index.size / plan.n_span
        spectrum = np.asarray(fft.rfft(counts))
        np.conjugate(spectrum, out=spectrum)
        spectrum *= self._reference
        height: NDArray[np.float32] = np.asarray(fft.irfft(spectrum, plan.n_bins, overwrite_x=True))
        return self._judged(height[: plan.n_lags] * self._weight, index.size)

    def _judged(self, scaled: NDArray[np.float32], tags: int) -> _Peak:
        lag = int(np.argmax(scaled))
        highest = float(scaled[lag])
        beside = slice(max(0, lag - GUARD), lag + GUARD + 1)
        n_others = scaled.size - scaled[beside].size
        total = float(np.sum(scaled, dtype=np.float64) - np.sum(scaled[beside], dtype=np.float64))
        squares = float(np.dot(scaled, scaled) - np.dot(scaled[beside], scaled[beside]))
        mean = total / n_others
        scatter = sqrt(max(squares / n_others - mean**2, 1e-300))
        scaled[beside] = -np.inf
        background = tags * float(self._facing[lag]) / self.plan.n_span
        count = float(poisson.isf(self._chance / self.plan.tries, background)) + 1
        return _Peak(
            lag,
            (highest - mean) / scatter,
            max(self._floor, (count - background) / sqrt(background)),
            (float(scaled.max()) - mean) / scatter,
            round((highest - mean) / float(self._weight[lag])),
        )


def search_offset(
    reference: Times,
    stream: Times,
    plan: SearchPlan,
    *,
    expected_ps: int = 0,
    false_alarm: float = FALSE_ALARM,
    significance_min: float = SIGNIFICANCE_MIN,
) -> CoarseOffset:
    """Where `stream` stands against `reference`; both int64 ps, not falling, shapes (n,) and (m,).

    Looks within +-`plan.uncertainty_ps` of `expected_ps`, at the planned rates from the middle outwards, and
    stops at the first that is believed; then climbs to the best beside it. Raises NoTiming when nothing is
    believed; noise alone is believed with a probability of at most `false_alarm`.
    """
    if reference.size < 2 or stream.size < 2:
        raise NoTiming(f"{reference.size} and {stream.size} tags: no correlation can be seen")
    if reference.dtype != np.int64 or stream.dtype != np.int64:
        raise LocalMisuse(f"tags are int64 ps, not {reference.dtype} and {stream.dtype}")
    correlator = _Correlator(reference, stream, plan, expected_ps, false_alarm, significance_min)
    rates, middle = plan.rates_e15, len(plan.rates_e15) // 2
    seen: dict[int, _Peak] = {}

    def peak(index: int) -> _Peak:
        if index not in seen:
            seen[index] = correlator.peak(rates[index])
        return seen[index]

    best = middle
    for index in sorted(range(len(rates)), key=lambda one: (abs(one - middle), one)):
        if peak(index).significance > peak(best).significance:
            best = index
        if peak(index).significance >= peak(index).threshold:
            best = _climbed(index, len(rates), lambda one: peak(one).significance)
            break
    found = peak(best)
    _believe(found, best, plan, false_alarm)
    return CoarseOffset(
        at_ps=correlator.at_ps,
        offset_ps=expected_ps + (found.lag - plan.n_lags // 2) * plan.bin_ps,
        rate_e15=rates[best],
        bin_ps=plan.bin_ps,
        rate_step_e15=max(1, plan.bin_ps * E15 // plan.span_ps),
        span_ps=plan.span_ps,
        significance=found.significance,
        threshold=found.threshold,
        false_alarm=false_alarm,
        pairs=found.pairs,
        correlations=len(seen),
    )


def _climbed(index: int, n_rates: int, significance: Callable[[int], float]) -> int:
    """From a believed rate to the best: up while the next is better."""
    for step in (1, -1):
        while 0 <= index + step < n_rates and significance(index + step) > significance(index):
            index += step
    return index


def _believe(found: _Peak, best: int, plan: SearchPlan, false_alarm: float) -> None:
    if found.significance < found.threshold:
        raise NoTiming(
            f"the highest of {plan.tries} bins stands {found.significance:.1f} standard deviations above the "
            f"others, {found.threshold:.1f} are asked for (false alarm {false_alarm:g}): record longer, "
            "widen the range of rates, or check the map of channels"
        )
    if found.runner_up >= found.threshold:
        raise NoTiming(
            f"a second peak stands {found.runner_up:.1f} standard deviations high beside one of "
            f"{found.significance:.1f}: is the light periodic? Narrow the range below its period"
        )
    if not GUARD <= found.lag < plan.n_lags - GUARD:
        raise NoTiming(
            f"the peak is at the edge of the range of +-{plan.uncertainty_ps} ps: widen it "
            "(more bins or wider ones)"
        )
    if len(plan.rates_e15) > 1 and best in (0, len(plan.rates_e15) - 1):
        raise NoTiming(
            f"the best rate, {plan.rates_e15[best]} e-15, is the last one tried: widen the range of rates"
        )
