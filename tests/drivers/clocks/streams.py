"""Two streams of tags that share pairs, with a truth to find: the tests of the clocks draw them here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.drivers.clocks.clock_kinds import ClockNoise
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.offset_search import search_offset
from bellwire.drivers.clocks.refine import RefinedOffset, refine
from bellwire.drivers.clocks.search_plan import plan_search

Times = NDArray[np.int64]
SECOND = 10**12
QUIET = ClockNoise(0.0, 0.0)
"""Clocks that do not wander: what is left is the jitter of the pairs."""


@dataclass(frozen=True)
class Pairs:
    """`reference` = `stream` + `offset_ps` + `rate` (`stream` - middle of the record), for the pairs."""

    reference: Times
    stream: Times
    offset_ps: int
    rate: float
    middle_ps: int

    def beside_ps(self, clock: ClockOffset, at_ps: int) -> float:
        """How far a clock is off the truth at one time."""
        return clock.at(at_ps)[0] - self.offset_ps - self.rate * (at_ps - self.middle_ps)


def draw(
    seed: int,
    *,
    first_hz: float = 1e5,
    second_hz: float = 1e5,
    pairs_hz: float = 2000.0,
    seconds: float = 2.0,
    offset_ps: int = 2_345_678_000,
    rate: float = 2e-6,
    jitter_ps: float = 350.0,
    bend: float = 0.0,
) -> Pairs:
    """Poisson light; the joint jitter is `jitter_ps`. `bend`: change of the rate from start to end.

    Both record for `seconds` of their own time, so a large offset costs pairs.
    """
    chance = np.random.default_rng(seed)
    span = seconds * SECOND
    middle = round(span / 2)
    emitted = chance.uniform(0, span, chance.poisson(pairs_hz * seconds))
    one, other = (chance.normal(0, jitter_ps / np.sqrt(2), emitted.size) for _ in range(2))
    away = (emitted - middle) / span
    seen = emitted + offset_ps + rate * (emitted - middle) + bend * span * away**2 / 2
    dark = chance.uniform(0, span, chance.poisson((first_hz - pairs_hz) * seconds))
    light = chance.uniform(0, span, chance.poisson((second_hz - pairs_hz) * seconds))
    inside = (seen >= 0) & (seen < span)
    stream = np.concatenate([emitted + one, dark])
    reference = np.concatenate([seen[inside] + other[inside], light])
    return Pairs(_tags(reference), _tags(stream), offset_ps, rate, middle)


def _tags(times: NDArray[np.float64]) -> Times:
    found: Times = np.sort(np.rint(times).astype(np.int64))
    return found


def recover(
    pairs: Pairs,
    *,
    pairs_hz: float = 2000.0,
    uncertainty_ps: int = 5 * 10**9,
    rate_uncertainty_e15: int = 3 * 10**9,
    noise: ClockNoise = QUIET,
    span_ps: int | None = None,
) -> RefinedOffset:
    """Plan, search and refine, as an operator does who knows the rates."""
    seconds = (pairs.stream[-1] - pairs.stream[0]) / SECOND
    plan = plan_search(
        pairs.stream.size / seconds,
        pairs.reference.size / seconds,
        pairs_hz,
        record_ps=round(seconds * SECOND),
        uncertainty_ps=uncertainty_ps,
        rate_uncertainty_e15=rate_uncertainty_e15,
    )
    coarse = search_offset(pairs.reference, pairs.stream, plan)
    return refine(
        pairs.reference,
        pairs.stream,
        coarse,
        epoch=1,
        reference_epoch=7,
        noise=noise,
        valid_ps=SECOND,
        span_ps=span_ps,
    )
