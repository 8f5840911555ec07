"""Maximum likelihood of a line through pairs: offset, rate and jitter among accidental coincidences.

Owns the search of candidates by integers, and the fit: each candidate is a pair, Gaussian about the line,
or an accidental, flat over the window. The maximum is climbed by expectation and maximisation, the
covariance is the inverse of the information that the candidates themselves show. Refuses too few pairs.

Sources: Dempster, Laird, Rubin, J. R. Stat. Soc. B 39, 1 (1977); Louis, ibid. 44, 226 (1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_offset import E15
from bellwire.drivers.clocks.refusals import NoTiming

Times = NDArray[np.int64]
Floats = NDArray[np.float64]

PAIRS_MIN: Final = 20
CANDIDATES_MAX: Final = 20_000_000
STEPS_MAX: Final = 500
JITTER_MIN_PS: Final = 0.5
"""Times are whole picoseconds: nothing is narrower."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Tags of both streams within `half_ps` of where a pair would be.

    `since_ps`: float64, time of the stream's tag since `at_ps`, shape (n,). `beside_ps`: float64, the
    reference's tag minus where the line expects it, shape (n,). `slots`: tags of the stream that were asked.
    """

    at_ps: int
    since_ps: Floats
    beside_ps: Floats
    half_ps: int

    def between(self, from_ps: float, until_ps: float) -> Candidates:
        """Those of a part of the stretch, `since_ps` in [from, until)."""
        inside = (self.since_ps >= from_ps) & (self.since_ps < until_ps)
        return Candidates(self.at_ps, self.since_ps[inside], self.beside_ps[inside], self.half_ps)


@dataclass(frozen=True, slots=True)
class PairFit:
    """The line through the pairs, on top of the one that chose the candidates.

    `beside_ps` at `at_since_ps`, where its error is uncorrelated with that of `rate`; both with sigmas.
    `jitter_ps` is the joint standard deviation of one pair; `pairs` the expected number among the candidates.
    """

    at_since_ps: float
    beside_ps: float
    sigma_ps: float
    rate: float
    sigma_rate: float
    jitter_ps: float
    sigma_jitter_ps: float
    pairs: float

    def at(self, since_ps: float) -> tuple[float, float]:
        """The line and its sigma elsewhere."""
        away = since_ps - self.at_since_ps
        return self.beside_ps + self.rate * away, sqrt(self.sigma_ps**2 + (self.sigma_rate * away) ** 2)


def candidates(
    reference: Times, stream: Times, at_ps: int, offset_ps: int, rate_e15: int, half_ps: int
) -> Candidates:
    """All pairs of tags within +-`half_ps` of the line; differences are exact before they become floats."""
    since = stream - at_ps
    expected = stream + (offset_ps + np.rint(since * (rate_e15 / E15)).astype(np.int64))
    first = np.searchsorted(reference, expected - half_ps)
    count = np.searchsorted(reference, expected + half_ps, side="right") - first
    total = int(count.sum())
    if total > CANDIDATES_MAX:
        raise LocalMisuse(
            f"{total} candidates within {half_ps} ps, the limit is {CANDIDATES_MAX}: cut the stretch"
        )
    owner = np.repeat(np.arange(stream.size), count)
    place = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + first[owner]
    beside = (reference[place] - expected[owner]).astype(np.float64)
    return Candidates(at_ps, since[owner].astype(np.float64), beside, half_ps)


def fit_pairs(found: Candidates, jitter_ps: float, *, beside_ps: float = 0.0, line: bool = True) -> PairFit:
    """Climb to the maximum from `jitter_ps` and `beside_ps`; without `line` the rate stays as it is.

    Raises NoTiming with too few pairs, or where the maximum is not found.
    """
    n = found.since_ps.size
    if n < PAIRS_MIN:
        raise NoTiming(f"{n} candidates for pairs, at least {PAIRS_MIN} are needed: record longer")
    scale = float(np.abs(found.since_ps).max()) or 1.0
    u = found.since_ps / scale
    d = found.beside_ps
    flat = 1 / (2 * found.half_ps)
    level, slope, sigma, share = beside_ps, 0.0, max(jitter_ps, JITTER_MIN_PS), 0.5
    pair = np.zeros(n)
    z = d
    for _ in range(STEPS_MAX):
        z = (d - level - slope * u) / sigma
        peak = share / (sigma * sqrt(2 * pi)) * np.exp(-0.5 * z * z)
        pair = peak / (peak + (1 - share) * flat)
        weight = float(pair.sum())
        if weight < PAIRS_MIN:
            raise NoTiming(
                f"{weight:.1f} pairs among {n} candidates, at least {PAIRS_MIN} are needed: record longer"
            )
        before = (level, slope, sigma)
        mean_u = float(pair @ u) / weight if line else 0.0
        mean_d = float(pair @ d) / weight
        if line:
            spread = float(pair @ (u - mean_u) ** 2)
            slope = float(pair @ ((u - mean_u) * (d - mean_d))) / spread if spread > 0 else 0.0
        level = mean_d - slope * mean_u
        sigma = max(sqrt(float(pair @ (d - level - slope * u) ** 2) / weight), JITTER_MIN_PS)
        share = min(weight / n, 1 - 1 / (n + 1))
        moved = max(abs(level - before[0]), abs(slope - before[1]), abs(sigma - before[2]))
        if moved < 1e-3 * sigma / sqrt(weight):
            break
    else:
        raise NoTiming(
            f"the fit of {n} candidates found no maximum: is there more than one peak in the window?"
        )
    z = (d - level - slope * u) / sigma
    # Scores of each candidate by (level, slope, log sigma, share); their squares add up to the information.
    scores = [pair * z / sigma, pair * (z * z - 1), (pair - share) / (share * (1 - share))]
    if line:
        scores.insert(1, scores[0] * u)
    score = np.stack(scores)
    covariance = np.linalg.inv(score @ score.T)
    k = 2 if line else 1
    variance = float(covariance[0, 0])
    shift = 0.0
    if line:
        shift = -float(covariance[0, 1] / covariance[1, 1])
        variance -= float(covariance[0, 1] ** 2 / covariance[1, 1])
    return PairFit(
        at_since_ps=shift * scale,
        beside_ps=level + slope * shift,
        sigma_ps=sqrt(variance),
        rate=slope / scale,
        sigma_rate=sqrt(float(covariance[1, 1])) / scale if line else 0.0,
        jitter_ps=sigma,
        sigma_jitter_ps=sigma * sqrt(float(covariance[k, k])),
        pairs=float(pair.sum()),
    )
