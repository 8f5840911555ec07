"""From a coarse offset down to the jitter: the passes, the joint fit, and whether it may be believed.

Owns the way down: each pass shrinks the bin by 2.7, tries the rates that the pass before left open, and
takes in 2.7 times more of the record, until a narrower bin shows the pairs no better; then the joint fit of
offset, rate and jitter. Refuses what two consecutive blocks do not both say: the halves of the record, each
fitted alone, must agree at their boundary, in offset and in rate, within 3 sigma. An oscillator that
wanders by more than the jitter fails there, and the message says to shorten the stretch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.drivers.clocks.clock_kinds import ClockNoise
from bellwire.drivers.clocks.clock_offset import E15, ClockOffset
from bellwire.drivers.clocks.offset_search import CoarseOffset
from bellwire.drivers.clocks.pair_fit import Candidates, PairFit, Times, candidates, fit_pairs
from bellwire.drivers.clocks.refusals import NoTiming

SHRINK: Final = 2.7
BIN_LEAST_PS: Final = 2
PASSES_MAX: Final = 60
AGREEMENT: Final = 3.0
"""Sigmas; good records are refused once in 180 (two conditions, 0.27 % each)."""


@dataclass(frozen=True, slots=True)
class RefinedOffset:
    """A clock found to the limit of its jitter.

    `jitter_ps` is the joint standard deviation of one pair, +-`sigma_jitter_ps`; `pairs` were found among
    `candidates`. `disagreement`: the larger of the two differences of the halves, in sigmas.
    """

    clock: ClockOffset
    jitter_ps: int
    sigma_jitter_ps: int
    pairs: int
    candidates: int
    passes: int
    disagreement: float


@dataclass(slots=True)
class _Line:
    """What the passes know so far: +-`bin_ps` in offset, +-`rate_open` in rate, within `span_ps`."""

    at_ps: int
    offset_ps: int
    rate_e15: int
    bin_ps: int
    rate_open_e15: int
    span_ps: int


def refine(
    reference: Times,
    stream: Times,
    coarse: CoarseOffset,
    *,
    epoch: int,
    reference_epoch: int,
    noise: ClockNoise,
    valid_ps: int,
    span_ps: int | None = None,
) -> RefinedOffset:
    """The clock of `stream` against `reference`, from where the search found it.

    Uses `span_ps` around the middle (None: the whole record). `noise` is that of both clocks together. The
    result is valid from `valid_ps` before the first tag used to `valid_ps` after the last. Raises NoTiming.
    """
    whole = int(stream[-1]) - int(stream[0]) + 1
    span_ps = whole if span_ps is None else min(span_ps, whole)
    line = _Line(
        coarse.at_ps,
        coarse.offset_ps,
        coarse.rate_e15,
        coarse.bin_ps,
        coarse.rate_step_e15,
        min(coarse.span_ps, span_ps),
    )
    passes, narrowing = 0, True
    while narrowing or line.span_ps < span_ps:
        passes += 1
        if passes > PASSES_MAX:
            raise NoTiming(f"no jitter seen after {PASSES_MAX} passes, bins are {line.bin_ps} ps")
        narrowing = _pass(reference, stream, line, span_ps, narrowing)
    used = _part(stream, line.at_ps, span_ps)
    found = _candidates_of(reference, used, line, 8 * line.bin_ps + _smear(line, span_ps))
    first = fit_pairs(found, line.bin_ps / 2)
    found = _candidates_of(reference, used, line, ceil(6 * first.jitter_ps + abs(first.beside_ps)) + 2)
    fit = fit_pairs(found, first.jitter_ps, beside_ps=first.beside_ps)
    disagreement = _disagreement(found, fit, noise)
    if disagreement > AGREEMENT:
        raise NoTiming(
            f"the halves of {span_ps} ps differ by {disagreement:.1f} sigma, the limit is {AGREEMENT:g}: the "
            "clock is no straight line over it, shorten the stretch"
        )
    return RefinedOffset(
        clock=_as_clock(line, fit, used, epoch, reference_epoch, noise, valid_ps),
        jitter_ps=max(1, round(fit.jitter_ps)),
        sigma_jitter_ps=max(1, round(fit.sigma_jitter_ps)),
        pairs=round(fit.pairs),
        candidates=found.since_ps.size,
        passes=passes,
        disagreement=disagreement,
    )


def _part(stream: Times, at_ps: int, span_ps: int) -> Times:
    first, last = np.searchsorted(stream, [at_ps - span_ps // 2 - 1, at_ps + span_ps // 2 + 1])
    return stream[first:last]


def _smear(line: _Line, span_ps: int) -> int:
    """How far the open rate carries a pair at the ends of a stretch."""
    return line.rate_open_e15 * span_ps // (2 * E15) + 1


def _candidates_of(reference: Times, used: Times, line: _Line, half_ps: int) -> Candidates:
    return candidates(reference, used, line.at_ps, line.offset_ps, line.rate_e15, half_ps)


def _pass(reference: Times, stream: Times, line: _Line, span_ps: int, narrowing: bool) -> bool:
    """One pass: `line` becomes better. Returns whether a narrower bin still shows the pairs better."""
    span = min(span_ps, ceil(line.span_ps * SHRINK))
    half = ceil(1.5 * line.bin_ps) + _smear(line, span)
    used = _part(stream, line.at_ps, span)
    found = _candidates_of(reference, used, line, half)
    if found.since_ps.size == 0:
        raise NoTiming(f"no tags of both streams within {half} ps: the peak of the search was none")
    bin_ps = max(BIN_LEAST_PS, round(line.bin_ps / SHRINK)) if narrowing else line.bin_ps
    step = max(1, bin_ps * E15 // span)
    tries = range(-ceil(line.rate_open_e15 / step) - 1, ceil(line.rate_open_e15 / step) + 2)
    height, place, rate = max(
        (*_highest(found.beside_ps - found.since_ps * (one * step / E15), half, bin_ps), one * step)
        for one in tries
    )
    if narrowing and bin_ps < line.bin_ps:
        turned = found.beside_ps - found.since_ps * (rate / E15)
        wider, _ = _highest(turned, half, line.bin_ps)
        # accidentals in 2 ps, from the singles: among the candidates most may be pairs by now
        flat = 2 * used.size * reference.size / (int(reference[-1]) - int(reference[0]) + 1)
        if _significance(height, flat * bin_ps) <= _significance(wider, flat * line.bin_ps):
            return False
        narrowing = bin_ps > BIN_LEAST_PS
    else:
        narrowing = False
    line.offset_ps += round(place)
    line.rate_e15 += rate
    line.bin_ps, line.span_ps = bin_ps, span
    line.rate_open_e15 = 2 * step
    return narrowing


def _highest(beside_ps: NDArray[np.float64], half_ps: int, bin_ps: int) -> tuple[int, float]:
    """Counts and middle of the fullest two adjacent bins: a peak on a boundary is not halved."""
    index = ((beside_ps + half_ps) / bin_ps).astype(np.int64)
    index = index[(index >= 0) & (index * bin_ps < 2 * half_ps)]
    counts = np.bincount(index, minlength=2)
    both = counts[1:] + counts[:-1]
    place = int(np.argmax(both))
    return int(both[place]), (place + 1) * bin_ps - half_ps


def _significance(height: int, flat: float) -> float:
    return (height - flat) / sqrt(max(flat, 1e-9))


def _disagreement(found: Candidates, fit: PairFit, noise: ClockNoise) -> float:
    """Sigmas by which the halves differ at their boundary, in offset or in rate, whichever is more."""
    half_ps = float(np.ptp(found.since_ps)) / 2
    offset_ps2, rate2 = noise.at_end_of_fit(half_ps), noise.of_fit(half_ps)[1]
    middle = fit.at_since_ps
    halves = []
    for from_ps, until_ps in ((-np.inf, middle), (middle, np.inf)):
        half = found.between(from_ps, until_ps)
        halves.append(fit_pairs(half, fit.jitter_ps, beside_ps=fit.beside_ps))
    first, second = halves
    (one, sigma_one), (other, sigma_other) = first.at(middle), second.at(middle)
    return max(
        abs(one - other) / sqrt(sigma_one**2 + sigma_other**2 + 2 * offset_ps2),
        abs(first.rate - second.rate) / sqrt(first.sigma_rate**2 + second.sigma_rate**2 + 2 * rate2 / 1e24),
    )


def _as_clock(
    line: _Line,
    fit: PairFit,
    used: Times,
    epoch: int,
    reference_epoch: int,
    noise: ClockNoise,
    valid_ps: int,
) -> ClockOffset:
    since = round(fit.at_since_ps)
    from_ps, until_ps = int(used[0]), int(used[-1])
    offset_ps2, rate2 = noise.of_fit(until_ps - from_ps)
    turned = (line.rate_e15 * since + E15 // 2) // E15
    return ClockOffset(
        epoch=epoch,
        reference_epoch=reference_epoch,
        at_ps=min(max(line.at_ps + since, from_ps), until_ps),
        offset_ps=line.offset_ps + turned + round(fit.beside_ps),
        rate_e15=line.rate_e15 + round(fit.rate * E15),
        # the offset was rounded to a whole picosecond
        sigma_ps=max(1, round(sqrt(fit.sigma_ps**2 + offset_ps2 + 1 / 12))),
        sigma_rate_e15=max(1, round(hypot(fit.sigma_rate, sqrt(rate2) / 1e12) * E15)),
        walk_fs=noise.walk_fs,
        wander_e15=noise.wander_e15,
        fitted_from_ps=from_ps,
        fitted_until_ps=until_ps,
        valid_from_ps=from_ps - valid_ps,
        valid_until_ps=until_ps + 1 + valid_ps,
    )
