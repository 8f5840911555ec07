"""A photon-pair source over pump power: linearity, the curve of CAR, and the power to run at.

Owns procedure 4, step 5, and the choice of the operating point. Refuses single points (source_point.py).

The operating point: `RATE` is the largest pair rate whose visibility and CAR are still allowed; `SECRET_KEY`
is the largest coincidence rate x (1 - 2 h(e)), e = (1 - V)/2. Both take V(P) = 1/(1 + 2/CAR(P)): where
multiple pairs dominate, CAR is 1/mu and this is the bound 1/(1 + 2 mu); at low power it knows the darks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bellwire.calibration.estimates.curves import Curve
from bellwire.calibration.estimates.likelihood import (
    BinomialCounts,
    Floats,
    GaussianValues,
    Goodness,
    NoEstimate,
    fit,
)
from bellwire.calibration.estimates.source_point import (
    Detection,
    PumpPoint,
    SourcePoint,
    secret_share,
    source_point,
)
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse


class Figure(StrEnum):
    """What the operating point maximises."""

    RATE = "rate"
    SECRET_KEY = "secret_key"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Expected at `power`. `limited_by`: "visibility", "CAR", "range of powers" or "secret key"."""

    power: float
    pair_rate: float
    mu: float
    car: float
    visibility: float
    limited_by: str


@dataclass(frozen=True, slots=True)
class SourceSweep:
    """`brightness`: pairs per s and unit of power, over all powers. `a`, `b`, `c`: CAR = 1/(aP + b + c/P).

    `car_max`: the largest among the powers measured, at `power_of_car_max`; `best_power`: the
    same with its error, None when a or c is not known to 3 sigma. `nonlinearity`: largest relative distance
    of singles from a line through zero, where they are known well enough to tell; `intercept_z`: worst
    intercept of a free line, which light without darks does not have, in sigma.
    """

    points: tuple[SourcePoint, ...]
    brightness: Quantity
    a: Quantity
    b: Quantity
    c: Quantity
    best_power: Quantity | None
    power_of_car_max: float
    car_max: Quantity
    nonlinearity: float
    intercept_z: float
    goodness: Goodness
    window_s: float
    curve: Curve

    def car_at(self, power: float) -> float:
        """CAR of the fitted curve."""
        return 1.0 / (self.a.value * power + self.b.value + self.c.value / power)

    def checks(self, *, car_min: float = 10.0) -> tuple[Check, ...]:
        """Limits of procedure 4 over the sweep."""
        worst = max((point.accidental_z for point in self.points), key=abs)
        # The largest of n normal deviates stays within this as often as one stays within 3.
        wide = 3.0 + 0.35 * math.log(len(self.points))
        return (
            Check("nonlinearity of singles", self.nonlinearity, None, 0.05),
            Check("intercept of singles over power", self.intercept_z, -3.5, 3.5, "sigma"),
            Check("off-peak accidentals against S_s S_i w", worst, -wide, wide, "sigma"),
            Check("largest CAR", self.car_max.value, car_min),
            self.goodness.check(None, 4.0),
        )

    def operating_point(
        self,
        *,
        figure: Figure = Figure.RATE,
        visibility_min: float = 0.9,
        car_min: float = 10.0,
        power_max: float | None = None,
    ) -> OperatingPoint:
        """The power to run at, not above the largest one measured. Raises NoEstimate when none is allowed."""
        top = max(point.power for point in self.points) if power_max is None else power_max
        if figure is Figure.SECRET_KEY:

            def figure_at(power: float) -> float:
                return power * secret_share(0.5 * (1.0 - _visibility(self.car_at(power))))

            grid = top * np.arange(1, 2001) / 2000.0  # the maximum is flat: finer steps gain nothing
            best = float(grid[int(np.argmax([figure_at(float(power)) for power in grid]))])
            if not figure_at(best) > 0.0:
                raise NoEstimate("no pump power leaves a secret key: narrow the window or lower the darks")
            return self._at(best, "range of powers" if best == top else "secret key")
        if not 0.0 < visibility_min < 1.0:
            raise LocalMisuse(f"visibility_min = {visibility_min} is outside 0..1")
        by_visibility = 2.0 * visibility_min / (1.0 - visibility_min)  # CAR that this visibility needs
        needed = max(car_min, by_visibility)
        # CAR >= needed between the roots of a P^2 + (b - 1/needed) P + c = 0.
        a, half = self.a.value, (1.0 / needed - self.b.value) / 2.0
        root = half * half - a * self.c.value
        if root < 0.0 or half <= 0.0:
            raise NoEstimate(
                f"CAR never reaches {needed:.1f}: its maximum is {self.car_max.value:.1f}; narrow the "
                "window, lower the darks or allow a lower visibility"
            )
        power = (half + math.sqrt(root)) / a
        low = (half - math.sqrt(root)) / a
        if top < low:
            raise NoEstimate(f"CAR {needed:.1f} needs a power above {low:.3g}, the limit is {top:.3g}")
        if power >= top:
            return self._at(top, "range of powers")
        return self._at(power, "visibility" if by_visibility > car_min else "CAR")

    def _at(self, power: float, limited_by: str) -> OperatingPoint:
        rate = self.brightness.value * power
        car = self.car_at(power)
        return OperatingPoint(power, rate, rate * self.window_s, car, _visibility(car), limited_by)


def _visibility(car: float) -> float:
    return 1.0 / (1.0 + 2.0 / car)


def source_sweep(points: Sequence[PumpPoint], detection: Detection, *, power_unit: str = "mW") -> SourceSweep:
    """Fit all pump powers together; at least 4 different ones over a factor of 4 or more.

    CAR is fitted to the counts themselves: of C + A counts, given their sum, a share (1 + CAR)/(1 + CAR + n)
    is coincidences, n off-peak windows. That needs no error of a ratio of small counts.
    """
    if len({point.power for point in points}) < 4:
        raise LocalMisuse(f"{len(points)} pump points: a sweep needs at least 4 different powers")
    single = tuple(source_point(point, detection, power_unit=power_unit) for point in points)
    power = np.array([point.power for point in points])
    middle = float(np.exp(np.mean(np.log(power))))
    x = power / middle
    windows = np.array([float(point.off_peak_windows) for point in points])
    on_peak = np.array([float(point.coincidences) for point in points])
    off_peak = np.array([float(point.off_peak) for point in points])

    inverse = np.array([1.0 / max(point.car.value, 1e-3) for point in single])
    unit = float(inverse.min())

    def inverse_car(values: Floats, at: Floats) -> Floats:
        return np.asarray(unit * np.maximum(values[0] * at + values[1] + values[2] / at, 1e-3))

    def model(values: Floats) -> Floats:
        car = 1.0 / inverse_car(values, x)
        return np.asarray((1.0 + car) / (1.0 + car + windows))

    design = np.stack((x, np.ones_like(x), 1.0 / x), axis=1) * (unit / inverse)[:, None]
    rough, *_ = np.linalg.lstsq(design, np.ones_like(x), rcond=None)
    found = fit(BinomialCounts(on_peak, on_peak + off_peak), model, rough, [0.5, 0.1, 0.5])
    a, b, c = (unit * float(value) for value in found.values)

    def best(values: Floats) -> float:
        """Where CAR is largest among the powers measured."""
        if values[2] <= 0.0 or values[0] <= 0.0:
            return float(x.min() if values[2] <= values[0] else x.max())
        return float(np.clip(math.sqrt(values[2] / values[0]), x.min(), x.max()))

    sharp = found.values[2] > 3.0 * found.sigma(2) and found.values[0] > 3.0 * found.sigma(0)
    lines = [
        _line(x, [point.rate_signal for point in single], detection.dark_signal.sigma),
        _line(x, [point.rate_idler for point in single], detection.dark_idler.sigma),
    ]
    bright, bright_sigma = _line_through_zero(x, [point.pair_rate for point in single])
    fine = np.geomspace(float(x.min()), float(x.max()), 201)
    return SourceSweep(
        single,
        Quantity(bright / middle, bright_sigma / middle, f"1/s/{power_unit}"),
        Quantity(a / middle, unit * found.sigma(0) / middle, f"1/{power_unit}"),
        Quantity(b, unit * found.sigma(1)),
        Quantity(c * middle, unit * found.sigma(2) * middle, power_unit),
        found.derived(lambda v: middle * best(v), power_unit) if sharp else None,
        middle * best(found.values),
        found.derived(lambda v: float(1.0 / inverse_car(v, np.array([best(v)]))[0])),
        float(np.max([line[0] for line in lines])),
        max((line[1] for line in lines), key=abs),
        found.goodness,
        detection.window_s,
        Curve(
            power,
            1.0 / inverse,
            np.array([point.car.sigma for point in single]),
            fine * middle,
            1.0 / inverse_car(found.values, fine),
            f"pump power ({power_unit})",
            "CAR",
        ),
    )


def _line(x: Floats, rates: Sequence[Quantity], dark_sigma: float) -> tuple[float, float]:
    """Largest relative distance of rates from a line through zero, and the intercept of a free line in sigma.

    Scatter of the pump power counts as error of the intercept: it is scaled by the goodness. So does the
    uncertainty of the darks, which all powers share.
    """
    values = np.array([rate.value for rate in rates])
    sigmas = np.array([rate.sigma for rate in rates])
    known = sigmas < 0.0125 * values  # a quarter of the limit of 5 %
    if int(known.sum()) < 3:
        deviation = float("nan")
        slope = float(np.sum(values) / np.sum(x))
    else:
        slope = float(np.mean(values[known] / x[known]))
        deviation = float(np.max(np.abs(values[known] / (slope * x[known]) - 1.0)))
    free = fit(GaussianValues(values, sigmas), lambda v: v[0] * x + v[1], [slope, 0.0])
    inflation = math.sqrt(max(free.goodness.reduced, 1.0)) if free.degrees > 0 else 1.0
    return deviation, float(free.values[1]) / math.hypot(free.sigma(1) * inflation, dark_sigma)


def _line_through_zero(x: Floats, rates: Sequence[Quantity]) -> tuple[float, float]:
    weights = np.array([1.0 / rate.sigma**2 for rate in rates])
    values = np.array([rate.value for rate in rates])
    information = float(weights @ x**2)
    return float(weights @ (x * values)) / information, 1.0 / math.sqrt(information)
