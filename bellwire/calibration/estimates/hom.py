"""The Hong-Ou-Mandel dip: visibility with and without accidentals, width, and the shape the counts prefer.

Owns the fit of procedure 3. Refuses to plan the scan (hom_plan.py).

Shapes: Gaussian for Gaussian packets; triangle for cw light behind narrow sinc filters; two-sided exponential
for photons that decay from memories (algorithms of photonics.exponential_visibility).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from bellwire.calibration.estimates.curves import Curve, counted, floats
from bellwire.calibration.estimates.likelihood import (
    NORMAL_95,
    Fit,
    Floats,
    Goodness,
    NoEstimate,
    PoissonCounts,
    fit,
)
from bellwire.calibration.records import Check, Quantity

CLASSICAL_BOUND: Final = 0.5


class DipShape(StrEnum):
    """`width` is sigma of the Gaussian, half base of the triangle, decay time of the exponential."""

    GAUSSIAN = "gaussian"
    TRIANGLE = "triangle"
    EXPONENTIAL = "exponential"


_SHAPES: Final[Mapping[DipShape, Callable[[Floats], Floats]]] = {
    DipShape.GAUSSIAN: lambda x: np.asarray(np.exp(-0.5 * x * x)),
    DipShape.TRIANGLE: lambda x: np.asarray(np.maximum(0.0, 1.0 - np.abs(x))),
    DipShape.EXPONENTIAL: lambda x: np.asarray(np.exp(-np.abs(x))),
}
HALF_WIDTH: Final[Mapping[DipShape, float]] = {
    DipShape.GAUSSIAN: math.sqrt(2.0 * math.log(2.0)),
    DipShape.TRIANGLE: 0.5,
    DipShape.EXPONENTIAL: math.log(2.0),
}
"""Half of the full width at half depth, in widths of the shape."""


@dataclass(frozen=True, slots=True)
class HomDip:
    """`visibility_raw`; `visibility`: accidentals removed. `centre`, `width`, `fwhm`: unit of the delays.

    `deviances`: of each shape tried. `depth_sigma`: how many standard deviations the dip stands from none.
    """

    visibility_raw: Quantity
    visibility: Quantity
    centre: Quantity
    width: Quantity
    fwhm: Quantity
    slope: Quantity
    shape: DipShape
    deviances: Mapping[DipShape, float]
    depth_sigma: float
    goodness: Goodness
    span: tuple[float, float]
    curve: Curve

    def checks(self, *, visibility_min: float = 0.9, expected_fwhm: float | None = None) -> tuple[Check, ...]:
        """Limits of procedure 3. `visibility_min`: 0.9 in the lab, 0.7 to 0.85 deployed.

        Judged is the visibility without accidentals; the classical bound is asked of its lower end.
        """
        checks = [
            Check("visibility", self.visibility.value, visibility_min),
            Check("lower end of the visibility", self.visibility.interval[0], CLASSICAL_BOUND),
            self.goodness.check(0.7, 1.5),
            Check("centre of the dip", self.centre.value, *self.span, self.centre.unit),
        ]
        if expected_fwhm is not None:
            checks.append(Check("dip width over expected width", self.fwhm.value / expected_fwhm, 0.7, 1.3))
        return tuple(checks)


def hom_dip(
    delays: object,
    counts: object,
    *,
    singles_product: object | None = None,
    off_peak_counts: int = 0,
    off_peak_windows: int = 1,
    width_guess: float,
    shapes: tuple[DipShape, ...] = tuple(DipShape),
    unit: str = "ps",
) -> HomDip:
    """Fit C0 (1 + s tau)(1 - V shape((tau - tau0)/width)) by Poisson likelihood, for each shape.

    `delays`, `counts` (n,), n of 8 or more. `singles_product` (n,): relative exposure of each point, from the
    product of both singles and the dwell. `off_peak_counts`: accidentals of the whole scan, seen in
    `off_peak_windows` windows of the coincidence width per point. `width_guess`: within a factor of 5.
    """
    at = floats(delays, "delays", minimum=8)
    measured = counted(counts, "counts", like=at)
    exposure = np.ones_like(at)
    if singles_product is not None:
        exposure = counted(singles_product, "singles_product", like=at)
        exposure = exposure / float(exposure.mean())
    level = float(measured.sum() / exposure.sum())
    if level < 10.0:
        raise NoEstimate(f"{level:.1f} counts per point are too few, 400 are planned: dwell longer")
    middle = float((at.min() + at.max()) / 2.0)
    x = (at - middle) / width_guess
    fits = {shape: _fit_shape(shape, x, measured, exposure, level) for shape in shapes}
    shape = min(fits, key=lambda name: fits[name].deviance)
    found = fits[shape]
    # Without accidentals the same depth stands on a smaller level: V = V_raw C0 / (C0 - A).
    c0 = level * float(found.values[0])
    accidental = off_peak_counts / off_peak_windows / at.size
    if accidental >= c0:
        raise NoEstimate("there are as many accidentals as coincidences: no photons meet")
    _, tilt, visibility, centre, log_width = (float(value) for value in found.values)
    # At a cusp the deviance is no chi square. By simulation, 31 points of 400 to 1200 counts: a root of
    # 1.96 covers 93 %, one of 2.1 covers 95 %.
    low, high = found.profile(2, 2.1 if shape is DipShape.EXPONENTIAL else NORMAL_95)
    raw = Quantity(visibility, found.sigma(2), "", low, max(min(high, 1.0), visibility))
    factor = c0 / (c0 - accidental)
    accidental_sigma = math.sqrt(max(off_peak_counts, 1)) / off_peak_windows / at.size
    from_accidentals = visibility * c0 / (c0 - accidental) ** 2 * accidental_sigma
    from_level = visibility * accidental / (c0 - accidental) ** 2 * level * found.sigma(0)
    extra = math.hypot(from_accidentals, from_level)
    net = Quantity(
        visibility * factor,
        math.hypot(found.sigma(2) * factor, extra),
        "",
        visibility * factor - math.hypot((visibility - low) * factor, 1.96 * extra),
        max(
            min(visibility * factor + math.hypot((high - visibility) * factor, 1.96 * extra), 1.0),
            visibility * factor,
        ),
    )
    flat = fit(PoissonCounts(measured), lambda v: level * exposure * v[0] * (1.0 + v[1] * x), [1.0, 0.0])
    width = width_guess * math.exp(log_width)
    fine = np.linspace(float(at.min()), float(at.max()), 301)
    even = _model(shape, (fine - middle) / width_guess, np.ones(fine.size), level)
    return HomDip(
        raw,
        net,
        Quantity(middle + width_guess * centre, width_guess * found.sigma(3), unit),
        _scaled(width, found.sigma(4), 1.0, unit),
        _scaled(width, found.sigma(4), 2.0 * HALF_WIDTH[shape], unit),
        Quantity(tilt / width_guess, found.sigma(1) / width_guess, f"1/{unit}"),
        shape,
        {name: one.deviance for name, one in fits.items()},
        math.sqrt(max(flat.deviance - found.deviance, 0.0)),
        found.goodness,
        (float(at.min()), float(at.max())),
        Curve(
            at,
            measured / exposure,
            np.sqrt(np.maximum(measured, 1.0)) / exposure,
            fine,
            even(found.values),
            f"delay ({unit})",
            "coincidences",
        ),
    )


def _scaled(width: float, relative: float, factor: float, unit: str) -> Quantity:
    reach = math.exp(min(1.96 * relative, 500.0))
    value = factor * width
    return Quantity(value, value * relative, unit, value / reach, value * reach)


def _model(shape: DipShape, x: Floats, exposure: Floats, level: float) -> Callable[[Floats], Floats]:
    form = _SHAPES[shape]

    def model(values: Floats) -> Floats:
        c0, slope, visibility, centre, log_width = values
        dip = 1.0 - visibility * form((x - centre) * np.exp(-np.clip(log_width, -20.0, 20.0)))
        return np.asarray(level * c0 * exposure * (1.0 + slope * x) * dip)

    return model


def _fit_shape(shape: DipShape, x: Floats, measured: Floats, exposure: Floats, level: float) -> Fit:
    """From the best of a coarse grid of centres and widths, each with its least-squares depth and level."""
    rate = measured / exposure / level
    weight = exposure / np.maximum(rate, 0.05)
    span = float(x.max() - x.min())
    best = (math.inf, 0.0, 1.0, 1.0, 0.5)
    for factor in (0.2, 0.4, 0.7, 1.0, 1.4, 2.5, 5.0):
        width = factor * HALF_WIDTH[DipShape.GAUSSIAN] / HALF_WIDTH[shape]
        centres = x.min() + span * np.linspace(0.02, 0.98, 49)
        forms = _SHAPES[shape]((x[None, :] - centres[:, None]) / width)
        sw, sf, sff = weight.sum(), forms @ weight, forms**2 @ weight
        sr, srf = float(rate @ weight), forms @ (weight * rate)
        determinant = np.maximum(sw * sff - sf**2, 1e-12)
        base = (sr * sff - srf * sf) / determinant
        depth = (base * sf - srf) / np.maximum(sff, 1e-12)
        left = ((rate - base[:, None] + depth[:, None] * forms) ** 2) @ weight
        left = np.where(depth > 0.0, left, np.inf)
        index = int(np.argmin(left))
        if left[index] < best[0]:
            best = (float(left[index]), float(centres[index]), width, float(base[index]), float(depth[index]))
    _, centre, width, base, depth = best
    start = [base, 0.0, min(max(depth / max(base, 0.05), 0.05), 0.95), centre, math.log(width)]
    return fit(PoissonCounts(measured), _model(shape, x, exposure, level), start)
