"""Maximum-likelihood fits of curves to counts, and the intervals that follow from them.

Owns the three kinds of noise (Poisson, binomial, Gaussian), the fit, its covariance from the expected
information, and likelihood-ratio intervals. Deviance residuals turn the likelihood into a sum of squares, so
that scipy's Levenberg-Marquardt finds the maximum. Refuses bounds: callers choose parameters of order one
that may take any value, such as logarithms of widths.

Source: Baker and Cousins, Nucl. Instrum. Methods 221, 437 (1984).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import leastsq
from scipy.special import chdtri, gammaln, xlogy

from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import BellwireError, LocalMisuse

Floats = NDArray[np.float64]
Model = Callable[[Floats], Floats]
"""Parameters (n_parameters,) to the expectation of every measured point (n_points,)."""

NORMAL_95: Final = 1.959963984540054
FEW: Final = 20
"""Below so many expected counts the deviance of a point is not chi square of one degree."""
_ROUNDED: Final = 1e-15
"""A probability nearer to 0 or to 1 than this cannot be told from it in double precision."""
_FLOOR: Final = 1e-9
"""Expectations below this are continued smoothly, so that a trial step into the impossible is turned back."""


class NoEstimate(BellwireError):
    """The counts do not determine what was asked; the message says what to measure instead."""


class Noise(Protocol):
    """How measured points scatter around their expectations."""

    @property
    def n_points(self) -> int:
        """How many were measured."""
        ...

    def residuals(self, expected: Floats) -> tuple[Floats, Floats]:
        """Signed roots of the deviance, and their derivatives by the expectation."""
        ...

    def information(self, expected: Floats) -> Floats:
        """Expected Fisher information of each point about its own expectation."""
        ...

    def usual_deviance(self, expected: Floats) -> Floats:
        """What the deviance of each point is on average where the curve is right."""
        ...


def _kept_positive(expected: Floats) -> tuple[Floats, Floats]:
    """The expectation continued smoothly below the floor, and the derivative of that."""
    low = expected < _FLOOR
    if not low.any():
        return expected, np.ones_like(expected)
    tail = _FLOOR * np.exp(np.clip(expected / _FLOOR - 1.0, -40.0, 0.0))
    return np.where(low, tail, expected), np.where(low, tail / _FLOOR, 1.0)


def _signed_root(
    deviance: Floats, excess: Floats, slope: Floats, information: Floats
) -> tuple[Floats, Floats]:
    """Residual from deviance and sign; its derivative is slope / residual, or the limit of that at 0."""
    residual = np.sign(excess) * np.sqrt(np.maximum(deviance, 0.0))
    near = np.abs(residual) < 1e-3
    return residual, np.where(near, -np.sqrt(information), slope / np.where(near, 1.0, residual))


@dataclass(frozen=True, slots=True, eq=False)
class PoissonCounts:
    """Counts of independent events."""

    counts: Floats

    @property
    def n_points(self) -> int:
        return int(self.counts.size)

    def residuals(self, expected: Floats) -> tuple[Floats, Floats]:
        mean, inner = _kept_positive(expected)
        deviance = 2.0 * (xlogy(self.counts, self.counts / mean) - (self.counts - mean))
        residual, slope = _signed_root(deviance, self.counts - mean, 1.0 - self.counts / mean, 1.0 / mean)
        return residual, slope * inner

    def information(self, expected: Floats) -> Floats:
        return np.asarray(1.0 / _kept_positive(expected)[0])

    def usual_deviance(self, expected: Floats) -> Floats:
        """1 for many counts; less where hardly any are expected, as at the foot of a peak."""
        mean = _kept_positive(expected)[0]
        few = mean < FEW
        usual = 1.0 + 1.0 / (6.0 * np.where(few, FEW, mean))
        k = np.arange(6 * FEW)[:, None]
        rare = mean[few]
        chance = np.exp(xlogy(k, rare) - rare - gammaln(k + 1.0))
        usual[few] = (chance * 2.0 * (xlogy(k, k / rare) - (k - rare))).sum(axis=0)
        return np.asarray(usual)


@dataclass(frozen=True, slots=True, eq=False)
class BinomialCounts:
    """`successes` of `trials`; the expectation is a probability."""

    successes: Floats
    trials: Floats

    @property
    def n_points(self) -> int:
        return int(self.trials.size)

    def residuals(self, expected: Floats) -> tuple[Floats, Floats]:
        chance, inner = self._chance(expected)
        share = self.successes / self.trials
        failures = self.trials - self.successes
        deviance = 2.0 * (
            xlogy(self.successes, share / chance) + xlogy(failures, (1.0 - share) / (1.0 - chance))
        )
        slope = failures / (1.0 - chance) - self.successes / chance
        residual, derivative = _signed_root(
            deviance, share - chance, slope, self.trials / (chance * (1.0 - chance))
        )
        return residual, derivative * inner

    def information(self, expected: Floats) -> Floats:
        chance, _ = self._chance(expected)
        return np.asarray(self.trials / (chance * (1.0 - chance)))

    def usual_deviance(self, expected: Floats) -> Floats:
        return np.ones_like(expected)

    @staticmethod
    def _chance(expected: Floats) -> tuple[Floats, Floats]:
        low, inner_low = _kept_positive(expected)
        high, inner_high = _kept_positive(1.0 - low)
        high = np.maximum(high, _ROUNDED)
        return np.maximum(1.0 - high, _ROUNDED), inner_low * inner_high


@dataclass(frozen=True, slots=True, eq=False)
class GaussianValues:
    """Values with known standard uncertainties."""

    values: Floats
    sigmas: Floats

    @property
    def n_points(self) -> int:
        return int(self.values.size)

    def residuals(self, expected: Floats) -> tuple[Floats, Floats]:
        return (self.values - expected) / self.sigmas, -1.0 / self.sigmas

    def information(self, expected: Floats) -> Floats:
        return np.asarray(1.0 / self.sigmas**2)

    def usual_deviance(self, expected: Floats) -> Floats:
        return np.ones_like(expected)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The likeliest parameters. `covariance` (n, n); `expected` (n_points,).

    `degrees`: what the deviance is on average, the degrees of freedom where every point has many counts.
    """

    values: Floats
    covariance: Floats
    expected: Floats
    deviance: float
    degrees: int
    noise: Noise
    model: Model

    @property
    def goodness(self) -> Goodness:
        """Reduced deviance: about 1 for the right curve."""
        return Goodness(self.deviance / self.degrees if self.degrees > 0 else float("nan"), self.degrees)

    def sigma(self, index: int) -> float:
        """Standard uncertainty of one parameter."""
        return float(np.sqrt(self.covariance[index, index]))

    def derived(self, function: Callable[[Floats], float], unit: str = "") -> Quantity:
        """A quantity computed from the parameters, its uncertainty by the numeric gradient."""
        gradient = _jacobian(lambda values: np.array([function(values)]), self.values)[0]
        variance = float(gradient @ self.covariance @ gradient)
        return Quantity(float(function(self.values)), float(np.sqrt(max(variance, 0.0))), unit)

    def profile(self, index: int, root: float = NORMAL_95) -> tuple[float, float]:
        """The 95 % likelihood-ratio interval of one parameter; infinite where the likelihood never falls.

        `root`: of the fall in deviance at the ends; above 1.96 for models where that would cover too little.
        """
        return self._side(index, -1.0, root), self._side(index, 1.0, root)

    def _deviance(self, values: Floats) -> float:
        residual, _ = self.noise.residuals(self.model(values))
        return float(residual @ residual)

    def _side(self, index: int, direction: float, goal: float) -> float:
        start = self.values
        best, scale = float(start[index]), self.sigma(index)
        if not (np.isfinite(scale) and scale > 0.0):
            return direction * float("inf")
        inner, inner_root = best, 0.0
        at = best + direction * goal * scale
        for _ in range(25):
            values = start.copy()
            values[index] = at
            values = _climb(self.noise, self.model, values, fixed=index, tolerance=1e-5)
            root = float(np.sqrt(max(self._deviance(values) - self.deviance, 0.0)))
            if abs(root - goal) < 0.01:
                return at
            # The root of the likelihood ratio is close to a straight line: secant, at most threefold a step.
            steepness = (root - inner_root) / (at - inner)
            if steepness * direction <= 0.0:
                step = 2.0 * (at - best)
            else:
                step = np.clip((goal - root) / steepness, -0.7 * abs(at - best), 3.0 * abs(at - best))
            inner, inner_root, at, start = at, root, float(at + step), values
        return direction * float("inf")


@dataclass(frozen=True, slots=True)
class Goodness:
    """`reduced`: deviance over `degrees` of freedom; nan without any."""

    reduced: float
    degrees: int

    @property
    def sigmas(self) -> float:
        """About how many standard deviations it lies from 1, for telling the worst of several."""
        return abs(self.reduced - 1.0) * math.sqrt(max(self.degrees, 0) / 2.0)

    def check(self, low: float | None, high: float, *, of: int = 1) -> Check:
        """Within the limits, widened to what the right curve exceeds once in 1000 at so few degrees. `of`: it
        is the worst of so many."""
        if self.degrees > 0:
            rare = 0.001 / of
            low = None if low is None else min(low, float(chdtri(self.degrees, 1.0 - rare)) / self.degrees)
            high = max(high, float(chdtri(self.degrees, rare)) / self.degrees)
        return Check("reduced deviance", self.reduced, low, high)


def fit(noise: Noise, model: Model, *starts: ArrayLike) -> Fit:
    """The maximum of the likelihood, the best of those reached from `starts`.

    Raises NoEstimate when no start leads to a finite likelihood or when a parameter is left undetermined.
    """
    if not starts:
        raise LocalMisuse("a fit needs at least one start")
    best: Floats | None = None
    least = float("inf")
    for start in starts:
        # A few steps tell which start is the best one; only that is followed to the end.
        values = _climb(
            noise, model, np.asarray(start, dtype=np.float64), steps=15 if len(starts) > 1 else 200
        )
        residual, _ = noise.residuals(model(values))
        deviance = float(residual @ residual)
        if deviance < least:
            best, least = values, deviance
    if best is None or not np.isfinite(least):
        raise NoEstimate("no start of the fit has a finite likelihood: check the counts for zeros and gaps")
    if len(starts) > 1:
        best = _climb(noise, model, best)
        residual, _ = noise.residuals(model(best))
        least = float(residual @ residual)
    expected = model(best)
    slopes = _jacobian(model, best)
    information = slopes.T @ (noise.information(expected)[:, None] * slopes)
    degrees = max(0, round(float(noise.usual_deviance(expected).sum())) - best.size)
    return Fit(best, _inverse(information), expected, least, degrees, noise, model)


def _inverse(information: Floats) -> Floats:
    size = np.sqrt(np.diag(information))
    if not np.all(np.isfinite(size)) or not np.all(size > 0.0):
        raise NoEstimate("the counts leave a parameter of the fit undetermined: measure more points")
    scaled = information / np.outer(size, size)
    if np.linalg.cond(scaled) > 1e13:
        raise NoEstimate("two parameters of the fit cannot be told apart: measure over a wider range")
    return np.asarray(np.linalg.inv(scaled) / np.outer(size, size))


def _jacobian(model: Model, values: Floats, fixed: int | None = None) -> Floats:
    """Central differences; exact to about 1e-10 for parameters of order one. (n_points, n_free)."""
    columns = []
    for index in range(values.size):
        if index == fixed:
            continue
        step = 1e-5 * (abs(values[index]) if abs(values[index]) > 1e-2 else 1e-2)
        up, down = values.copy(), values.copy()
        up[index] += step
        down[index] -= step
        columns.append((model(up) - model(down)) / (2.0 * step))
    return np.stack(columns, axis=1)


def _climb(
    noise: Noise,
    model: Model,
    start: Floats,
    fixed: int | None = None,
    *,
    steps: int = 200,
    tolerance: float = 1e-9,
) -> Floats:
    """Local maximum of the likelihood near `start`, with one parameter held if `fixed` says so."""
    free = np.array([index for index in range(start.size) if index != fixed])
    if free.size == 0:
        return start

    def whole(part: Floats) -> Floats:
        values = start.copy()
        values[free] = part
        return values

    def residuals(part: Floats) -> Floats:
        found = noise.residuals(model(whole(part)))[0]
        return np.where(np.isfinite(found), found, 1e6)

    def slopes(part: Floats) -> Floats:
        values = whole(part)
        inner = noise.residuals(model(values))[1][:, None] * _jacobian(model, values, fixed)
        return np.where(np.isfinite(inner), inner, 0.0)

    found = leastsq(
        residuals,
        start[free],
        Dfun=slopes,
        full_output=True,
        ftol=tolerance,
        xtol=tolerance,
        gtol=0.0,
        maxfev=steps,
    )
    return whole(np.asarray(found[0], dtype=np.float64))
