"""Phase matching against the temperature of a crystal: best temperature, width, and where to measure next.

Owns the sinc^2 scan of sources and converters (procedures 4 and 6). Refuses to wait for an oven to settle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from bellwire.calibration.estimates.curves import SINC2_HALF, Curve, counted, floats, sinc2
from bellwire.calibration.estimates.likelihood import Floats, Goodness, NoEstimate, PoissonCounts, fit
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

SIGNIFICANCE_MIN: Final = 6.0


@dataclass(frozen=True, slots=True)
class PhaseMatching:
    """`temperature`: of the maximum. `contrast`: of the maximum over the background in sigma."""

    temperature: Quantity
    fwhm: Quantity
    amplitude: Quantity
    background: Quantity
    contrast: float
    goodness: Goodness
    span: tuple[float, float]
    curve: Curve

    def checks(self, *, hold_k: float = 0.05, fwhm_k: tuple[float, float] = (0.5, 3.0)) -> tuple[Check, ...]:
        """The maximum inside the scan, known to the hold limit, of a plausible width (procedure 6)."""
        return (
            Check("best temperature", self.temperature.value, *self.span, "degC"),
            Check("uncertainty of the best temperature", self.temperature.sigma, None, hold_k, "K"),
            Check("phase-matching FWHM", self.fwhm.value, *fwhm_k, "K"),
            self.goodness.check(0.3, 2.0),
            Check("contrast", self.contrast, SIGNIFICANCE_MIN, None, "sigma"),
        )


def phase_matching(temperatures_c: object, counts: object, fwhm_guess_k: float) -> PhaseMatching:
    """Fit counts = background + amplitude sinc^2. `temperatures_c`, `counts` (n,), n of 5 or more.

    Starts from the best of a grid over the whole scan, so that a side lobe is not taken for the maximum.
    `fwhm_guess_k`: within a factor of 3. Raises NoEstimate when nothing stands out.
    """
    at = floats(temperatures_c, "temperatures_c", minimum=5)
    measured = counted(counts, "counts", like=at)
    starts = _grid(at, measured, fwhm_guess_k)
    middle = float(at.mean())

    def model(values: Floats) -> Floats:
        centre, log_fwhm, log_height, log_floor = values
        x = (
            ((at - middle) / fwhm_guess_k - centre)
            * 2.0
            * SINC2_HALF
            * np.exp(-np.clip(log_fwhm, -20.0, 20.0))
        )
        return np.asarray(np.exp(log_height) * sinc2(x) + np.exp(log_floor))

    found = fit(
        PoissonCounts(measured),
        model,
        *(
            [(t - middle) / fwhm_guess_k, math.log(w / fwhm_guess_k), math.log(a), math.log(b)]
            for t, w, a, b in starts
        ),
    )
    flat, _ = PoissonCounts(measured).residuals(np.full_like(at, measured.mean()))
    contrast = math.sqrt(max(float(flat @ flat) - found.deviance, 0.0))
    if contrast < SIGNIFICANCE_MIN:
        raise NoEstimate(
            f"the highest maximum stands out by {contrast:.1f} standard deviations, {SIGNIFICANCE_MIN:g} are "
            "needed: scan a wider range or count longer"
        )
    fwhm, height, floor = (
        fwhm_guess_k * math.exp(found.values[1]),
        math.exp(found.values[2]),
        math.exp(found.values[3]),
    )
    low, high = found.profile(0)
    fine = np.linspace(float(at.min()), float(at.max()), 401)
    best = middle + fwhm_guess_k * float(found.values[0])
    reach = math.exp(min(1.96 * found.sigma(1), 500.0))
    return PhaseMatching(
        Quantity(
            best,
            fwhm_guess_k * found.sigma(0),
            "degC",
            middle + fwhm_guess_k * low,
            middle + fwhm_guess_k * high,
        ),
        Quantity(fwhm, fwhm * found.sigma(1), "K", fwhm / reach, fwhm * reach),
        Quantity(height, height * found.sigma(2)),
        Quantity(floor, floor * found.sigma(3)),
        contrast,
        found.goodness,
        (float(at.min()), float(at.max())),
        Curve(
            at,
            measured,
            np.sqrt(np.maximum(measured, 1.0)),
            fine,
            height * sinc2((fine - best) * 2.0 * SINC2_HALF / fwhm) + floor,
            "temperature (degC)",
            "counts",
        ),
    )


def next_temperatures(
    temperatures_c: object,
    counts: object,
    low_c: float,
    high_c: float,
    fwhm_guess_k: float,
    *,
    sigma_goal_k: float = 0.02,
    points: int = 9,
    resolution_k: float = 0.01,
) -> tuple[float, ...]:
    """Where to measure next, rising; empty when the maximum is known to `sigma_goal_k`.

    Coarse first: the whole range in steps of half a FWHM, then once more between them if nothing stands out
    (a later round halves the step again, down to an eighth of the FWHM); then +-1.5 FWHM around the maximum,
    then +-0.6 FWHM. Raises NoEstimate when the range holds no maximum.
    """
    at = np.asarray(temperatures_c, dtype=np.float64)
    if not (high_c > low_c and fwhm_guess_k > 0.0 and points >= 3):
        raise LocalMisuse(
            f"range {low_c} .. {high_c} degC, FWHM {fwhm_guess_k} K, {points} points: cannot scan"
        )
    step = fwhm_guess_k / 2.0
    while True:
        grid = np.linspace(low_c, high_c, max(math.ceil((high_c - low_c) / step), 4) + 1)
        missing = [t for t in grid if at.size == 0 or np.min(np.abs(at - t)) > 0.3 * step]
        if len(missing) > 0.2 * grid.size:
            found = _found(at, counts, fwhm_guess_k)
            if found is None:
                return tuple(round(float(t) / resolution_k) * resolution_k for t in missing)
            break
        found = _found(at, counts, fwhm_guess_k)
        if found is not None:
            break
        step /= 2.0
        if step < fwhm_guess_k / 9.0:
            raise NoEstimate(
                f"no maximum between {low_c:g} and {high_c:g} degC: widen the range or check the pump"
            )
    centre, fwhm = found.temperature.value, min(max(found.fwhm.value, fwhm_guess_k / 3.0), 3.0 * fwhm_guess_k)
    near = int(np.sum(np.abs(at - centre) < 1.5 * fwhm))
    if near >= points and found.temperature.sigma <= sigma_goal_k:
        return ()
    half = 1.5 * fwhm if near < points else 0.6 * fwhm
    grid = np.linspace(max(low_c, centre - half), min(high_c, centre + half), points)
    return tuple(sorted({round(float(t) / resolution_k) * resolution_k for t in grid}))


@dataclass(frozen=True, slots=True)
class OvenHold:
    """`worst`: largest distance from the set point, K. `duration_s`: watched."""

    worst: float
    duration_s: float

    def checks(self, *, hold_k: float = 0.05, duration_min_s: float = 600.0) -> tuple[Check, ...]:
        """Error below the hold limit for 10 minutes (procedure 6)."""
        return (
            Check("oven error", self.worst, None, hold_k, "K"),
            Check("time watched", self.duration_s, duration_min_s, None, "s"),
        )


def oven_hold(temperatures_c: object, set_point_c: float, duration_s: float) -> OvenHold:
    """From readings spread evenly over `duration_s`."""
    readings = floats(temperatures_c, "temperatures_c", minimum=2)
    return OvenHold(float(np.max(np.abs(readings - set_point_c))), duration_s)


def _found(at: Floats, counts: object, fwhm_guess_k: float) -> PhaseMatching | None:
    if at.size < 5:
        return None
    try:
        return phase_matching(at, counts, fwhm_guess_k)
    except NoEstimate:
        return None


def _grid(at: Floats, measured: Floats, fwhm_guess_k: float) -> list[tuple[float, float, float, float]]:
    """Starts (centre, fwhm, height, floor), the best of a grid by weighted least squares."""
    weight = 1.0 / np.maximum(measured, float(np.median(measured)) / 4.0 + 1.0)
    candidates: list[tuple[float, float, float, float, float]] = []
    for factor in (0.35, 0.6, 1.0, 1.6, 2.6):
        fwhm = factor * fwhm_guess_k
        centres = np.arange(float(at.min()), float(at.max()) + fwhm / 8.0, fwhm / 4.0)
        forms = sinc2((at[None, :] - centres[:, None]) * 2.0 * SINC2_HALF / fwhm)
        s0, s1, s2 = weight.sum(), forms @ weight, forms**2 @ weight
        y0, y1 = float(measured @ weight), forms @ (weight * measured)
        variance = np.maximum(s2 - s1**2 / s0, 1e-12)
        height = (y1 - s1 * y0 / s0) / variance
        floor = (y0 - height * s1) / s0
        left = ((measured - height[:, None] * forms - floor[:, None]) ** 2) @ weight
        left = np.where(height > 0.0, left, np.inf)
        index = int(np.argmin(left))
        if np.isfinite(left[index]):
            candidates.append(
                (
                    float(left[index]),
                    float(centres[index]),
                    fwhm,
                    max(float(height[index]), 1.0),
                    max(float(floor[index]), 0.1),
                )
            )
    candidates.sort()
    if not candidates:
        raise NoEstimate("the counts have no maximum inside the scan: scan a wider range")
    return [candidate[1:] for candidate in candidates[:2]]
