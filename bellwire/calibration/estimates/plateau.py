"""The bias sweep of a detector: where counting no longer depends on the bias, and which bias to take.

Owns procedure 7, step 2. Signal follows an error function of the bias, darks an exponential (Engel et al.,
Supercond. Sci. Technol. 28, 114003 (2015), for superconducting nanowires). Refuses to choose a bias outside
90 to 95 % of the switching current.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from bellwire.calibration.estimates.curves import Curve, counted, floats
from bellwire.calibration.estimates.likelihood import Floats, Goodness, NoEstimate, PoissonCounts, fit
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

SHARE_LOW, SHARE_HIGH = 0.90, 0.95


@dataclass(frozen=True, slots=True)
class Plateau:
    """`half_bias`, `width`: of the error function. `plateau_rate`: of light at full response, 1/s.

    `bias`: to be used, by its distance from the switching bias and the flattest within it. `slope`: relative
    change of the rate of light per unit of bias, there. `dark_at_bias`: 1/s.
    """

    half_bias: Quantity
    width: Quantity
    plateau_rate: Quantity
    bias: float
    bias_over_switching: float
    slope: Quantity
    dark_at_bias: Quantity
    goodness: Goodness
    curve: Curve

    def checks(self, *, slope_max: float = 0.01) -> tuple[Check, ...]:
        """Slope below 1 % per unit of bias (mV); bias at 90 to 95 % of switching (procedure 7)."""
        return (
            Check("plateau slope", self.slope.value, None, slope_max, self.slope.unit),
            Check("bias over switching bias", self.bias_over_switching, SHARE_LOW - 1e-9, SHARE_HIGH + 1e-9),
            self.goodness.check(0.3, 2.0),
        )


def bias_plateau(
    bias: object,
    light_counts: object,
    dark_counts: object,
    duration_s: float,
    switching_bias: float,
    *,
    step: float = 0.0,
    unit: str = "mV",
) -> Plateau:
    """Fit a sweep. `bias` (n,) rising, counts with and without light in `duration_s` at each, n of 6 or more.

    `step`: of the bias source; the chosen bias is a multiple of it (0: any). Slope and darks pull apart: the
    lowest bias of the allowed band whose slope is below a tenth of the limit is taken, else the highest.
    """
    at = floats(bias, "bias", minimum=6)
    light = counted(light_counts, "light_counts", like=at)
    dark = counted(dark_counts, "dark_counts", like=at)
    if np.any(np.diff(at) <= 0.0) or not switching_bias > 0.0:
        raise LocalMisuse("the bias must rise along the sweep and the switching bias be above 0")
    net = light - dark
    top = float(np.max(net))
    if top < 100.0:
        raise NoEstimate(f"light adds at most {top:.0f} counts to the darks, 100 are needed: more light")
    scale = float(at[-1] - at[0])
    x = (at - at[0]) / scale
    half = float(np.interp(0.5, np.maximum.accumulate(net) / top, x))

    def model(values: Floats) -> Floats:
        half_at, log_width, log_top, log_dark, growth = values
        darks = np.exp(np.clip(log_dark + growth * (x - 1.0), -50.0, 50.0))
        signal = np.exp(log_top) * ndtr((x - half_at) * np.exp(-log_width))
        return np.concatenate((signal + darks, darks))

    last = math.log(max(float(dark[-1]), 0.5))
    starts = [[half, math.log(w), math.log(top), last, g] for w in (0.05, 0.2) for g in (2.0, 10.0)]
    found = fit(PoissonCounts(np.concatenate((light, dark))), model, *starts)

    def slope_at(values: Floats, place: float) -> float:
        z = (place - values[0]) * math.exp(-values[1])
        return math.exp(-0.5 * z * z - float(log_ndtr(z)) - values[1]) / math.sqrt(2.0 * math.pi) / scale

    grid = _allowed(switching_bias, step)
    flat = [b for b in grid if slope_at(found.values, (b - float(at[0])) / scale) < 0.001]
    chosen = flat[0] if flat else grid[-1]
    place = (chosen - float(at[0])) / scale
    slope = found.derived(lambda values: math.log(max(slope_at(values, place), 1e-300)))
    value, reach = math.exp(slope.value), math.exp(min(1.96 * slope.sigma, 500.0))
    dark_found = found.derived(
        lambda values: math.exp(values[3] + values[4] * (place - 1.0)) / duration_s, "1/s"
    )
    width = math.exp(found.values[1]) * scale
    rate = math.exp(found.values[2]) / duration_s
    low, high = found.profile(0)
    fine = np.linspace(0.0, 1.0, 201)
    fine_model = np.exp(found.values[2]) * ndtr((fine - found.values[0]) * np.exp(-found.values[1]))
    return Plateau(
        Quantity(
            float(at[0] + scale * found.values[0]),
            scale * found.sigma(0),
            unit,
            float(at[0] + scale * low),
            float(at[0] + scale * high),
        ),
        Quantity(width, width * found.sigma(1), unit),
        Quantity(rate, rate * found.sigma(2), "1/s"),
        chosen,
        chosen / switching_bias,
        Quantity(value, value * slope.sigma, f"1/{unit}", value / reach, value * reach),
        dark_found,
        found.goodness,
        Curve(
            at,
            net / duration_s,
            np.sqrt(np.maximum(light + dark, 1.0)) / duration_s,
            at[0] + scale * fine,
            fine_model / duration_s,
            f"bias ({unit})",
            "rate of light (1/s)",
        ),
    )


def _allowed(switching_bias: float, step: float) -> list[float]:
    low, high = SHARE_LOW * switching_bias, SHARE_HIGH * switching_bias
    if step <= 0.0:
        return [float(value) for value in np.linspace(low, high, 51)]
    steps = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    if not steps:
        raise LocalMisuse(
            f"no multiple of {step:g} lies in {low:g} .. {high:g}, 90 to 95 % of switching: use a finer step"
        )
    return [index * step for index in steps]
