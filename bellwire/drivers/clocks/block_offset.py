"""The offset of one block of tags, where the clock is known well enough to expect it in a window.

Owns the measurement that a tracker feeds on: the centroid of the pairs, by maximum likelihood among
accidentals, good to jitter / sqrt(pairs). Refuses a block whose window shows no more than what accidentals
pile up once in a million blocks, or a peak far wider than the jitter that the refinement found.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

import numpy as np
from scipy.stats import poisson

from bellwire.drivers.clocks.clock_offset import E15
from bellwire.drivers.clocks.pair_fit import PAIRS_MIN, Times, candidates, fit_pairs
from bellwire.drivers.clocks.refusals import NoTiming

FALSE_ALARM: Final = 1e-6
"""A block without pairs shows a peak not more often than this."""
WIDER_MAX: Final = 2.0
"""A peak of more than twice the jitter is two peaks, or a clock that ran away within the block."""


@dataclass(frozen=True, slots=True)
class OffsetMeasurement:
    """`offset_ps`, to be added to the tagger's time `at_ps` of `epoch`, +-`sigma_ps`, from `pairs`."""

    epoch: int
    at_ps: int
    offset_ps: int
    sigma_ps: int
    pairs: int
    jitter_ps: int


def measure_block(
    reference: Times,
    stream: Times,
    *,
    epoch: int,
    at_ps: int,
    offset_ps: int,
    rate_e15: int,
    window_ps: int,
    jitter_ps: int,
) -> OffsetMeasurement:
    """Where the pairs of this block are, within +-`window_ps` of the line through `offset_ps` at `at_ps`.

    The rate is taken as known over the block. Raises NoTiming when no peak is seen.
    """
    half = max(window_ps, ceil(6 * jitter_ps))
    found = candidates(reference, stream, at_ps, offset_ps, rate_e15, half)
    n = found.beside_ps.size
    if n < PAIRS_MIN:
        raise NoTiming(
            f"{n} candidates in the block, at least {PAIRS_MIN} are needed: longer blocks, or more light"
        )
    # the fullest stretch of +-2 jitters, against what the singles give by chance
    order = np.sort(found.beside_ps)
    ahead = np.searchsorted(order, order + 4 * jitter_ps, side="right") - np.arange(n)
    start = int(np.argmax(ahead))
    span_ps = int(reference[-1]) - int(reference[0]) + 1
    chance = stream.size * reference.size * 4 * jitter_ps / span_ps
    # each candidate may begin such a stretch: Markov's bound on how many do
    by_chance = n * float(poisson.sf(int(ahead[start]) - 2, chance))
    if by_chance > FALSE_ALARM:
        raise NoTiming(
            f"no peak within +-{half} ps: {int(ahead[start])} counts in its fullest {4 * jitter_ps} ps, "
            f"{chance:.1f} by chance; longer blocks, or search the clock again"
        )
    fit = fit_pairs(found, jitter_ps, beside_ps=float(order[start]) + 2 * jitter_ps, line=False)
    if fit.jitter_ps > WIDER_MAX * jitter_ps:
        raise NoTiming(
            f"the peak is {fit.jitter_ps:.0f} ps wide, the jitter {jitter_ps} ps: shorter blocks, "
            "or search again"
        )
    # the pairs tell about the middle of their own times
    middle = round(float(found.since_ps.mean()))
    return OffsetMeasurement(
        epoch=epoch,
        at_ps=at_ps + middle,
        offset_ps=offset_ps + (rate_e15 * middle + E15 // 2) // E15 + round(fit.beside_ps),
        sigma_ps=max(1, round(sqrt(fit.sigma_ps**2 + 1 / 12))),
        pairs=round(fit.pairs),
        jitter_ps=max(1, round(fit.jitter_ps)),
    )
