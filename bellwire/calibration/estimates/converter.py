"""A frequency converter against its pump power: efficiency, noise, and where to run it.

Owns procedure 6, steps 1 to 3. The oven is that of oven.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.estimates.curves import Curve, counted, floats
from bellwire.calibration.estimates.likelihood import Floats, Goodness, NoEstimate, PoissonCounts, fit
from bellwire.calibration.estimates.source_point import secret_share
from bellwire.calibration.records import Check, Quantity


@dataclass(frozen=True, slots=True)
class Converter:
    """`efficiency_max`: of the whole device, 0..1. `power_max`: where it is reached. Noise is d + alpha P.

    `power`: working point, with `efficiency`, `noise_rate` and `snr` there. `deviation`: largest relative
    distance of a measured efficiency from the fit, among powers where it exceeds half of the maximum.
    """

    efficiency_max: Quantity
    power_max: Quantity
    dark_rate: Quantity
    noise_slope: Quantity
    power: float
    efficiency: Quantity
    noise_rate: Quantity
    snr: Quantity
    deviation: float
    goodness: Goodness
    curve: Curve

    def checks(self, snr_min: float) -> tuple[Check, ...]:
        """Curve within 5 % of the fit, SNR above what the link needs (procedure 6)."""
        return (
            Check("deviation from the efficiency curve", self.deviation, None, 0.05),
            Check("signal over noise", self.snr.value, snr_min),
            Check("maximal efficiency", self.efficiency_max.value, 0.0, 1.0),
            self.goodness.check(0.3, 2.0),
        )


def efficiency_curve(power: Floats, efficiency_max: float, power_max: float) -> Floats:
    """eta(P) = eta_max sin^2((pi/2) sqrt(P/P_max))."""
    return np.asarray(efficiency_max * np.sin(0.5 * np.pi * np.sqrt(power / power_max)) ** 2)


def converter(
    power: object,
    signal_counts: object,
    noise_counts: object,
    duration_s: float,
    input_rate: Quantity,
    *,
    link_signal_hz: float,
    power_limit: float | None = None,
    unit: str = "mW",
) -> Converter:
    """Fit counts with and without signal at each pump power (n,), n of 5 or more, power above 0.

    `input_rate`: photons per s that enter and would all be counted by a perfect device; its uncertainty is
    that of the calibration. `link_signal_hz`: rate of signal photons at the input in operation (mu of
    SNR = eta mu / n). The working point maximises mu eta (1 - 2 h(e)), e = 1 / (2 (1 + SNR)): more light is
    worth more until noise costs more than it brings. When no power leaves any, the best SNR is taken.
    """
    at = floats(power, "power", minimum=5)
    signal = counted(signal_counts, "signal_counts", like=at)
    noise = counted(noise_counts, "noise_counts", like=at)
    if np.any(at <= 0.0):
        raise NoEstimate("pump powers must be above 0: without pump there is nothing to fit")
    scale = float(at.max())
    x = at / scale
    net = signal - noise
    top = float(net.max())
    if top < 100.0:
        raise NoEstimate(f"the signal adds at most {top:.0f} counts to the noise, 100 are needed: more light")

    def model(values: Floats) -> Floats:
        height, power_max = np.exp(np.clip(values[:2], -50.0, 50.0))
        background = duration_s * (values[2] + values[3] * x)
        return np.concatenate((height * efficiency_curve(x, 1.0, power_max) + background, background))

    slope, level = np.polyfit(x, noise / duration_s, 1)
    rest = [max(level, 0.1 * float(noise.mean()) / duration_s), max(slope, 0.0)]
    found = fit(
        PoissonCounts(np.concatenate((signal, noise))),
        model,
        *([math.log(top), math.log(p), *rest] for p in (0.4, 0.8, 1.5)),
        [math.log(3.0 * top), math.log(6.0), *rest],
    )
    entering = input_rate.value * duration_s
    calibration = input_rate.sigma / input_rate.value

    def with_calibration(quantity: Quantity) -> Quantity:
        return Quantity(
            quantity.value, math.hypot(quantity.sigma, quantity.value * calibration), quantity.unit
        )

    def eta(values: Floats, place: float) -> float:
        return (
            math.exp(values[0])
            / entering
            * math.sin(0.5 * math.pi * math.sqrt(place / math.exp(values[1]))) ** 2
        )

    def noise_at(values: Floats, place: float) -> float:
        return float(max(values[2] + values[3] * place, 1e-12))

    limit = 1.0 if power_limit is None else min(power_limit / scale, 1.0)
    place = _working_point(
        lambda p: link_signal_hz * eta(found.values, p), lambda p: noise_at(found.values, p), limit
    )
    fitted = math.exp(found.values[0]) * efficiency_curve(x, 1.0, math.exp(found.values[1]))
    strong = fitted > 0.5 * fitted.max()
    power_max = scale * math.exp(found.values[1])
    fine = np.linspace(0.0, 1.0, 201)
    return Converter(
        with_calibration(found.derived(lambda v: math.exp(v[0]) / entering)),
        Quantity(power_max, power_max * found.sigma(1), unit),
        Quantity(float(found.values[2]), found.sigma(2), "1/s"),
        Quantity(float(found.values[3]) / scale, found.sigma(3) / scale, f"1/s/{unit}"),
        place * scale,
        with_calibration(found.derived(lambda v: eta(v, place))),
        found.derived(lambda v: noise_at(v, place), "1/s"),
        with_calibration(found.derived(lambda v: link_signal_hz * eta(v, place) / noise_at(v, place))),
        float(np.max(np.abs(net[strong] / fitted[strong] - 1.0))),
        found.goodness,
        Curve(
            at,
            net / entering,
            np.sqrt(np.maximum(signal + noise, 1.0)) / entering,
            scale * fine,
            efficiency_curve(fine, math.exp(found.values[0]) / entering, math.exp(found.values[1])),
            f"pump power ({unit})",
            "efficiency",
        ),
    )


def _working_point(signal: Callable[[float], float], noise: Callable[[float], float], limit: float) -> float:
    grid = [limit * (index + 1) / 400.0 for index in range(400)]
    figures = [signal(p) * secret_share(0.5 / (1.0 + signal(p) / noise(p))) for p in grid]
    if max(figures) > 0.0:
        return grid[int(np.argmax(figures))]
    return grid[int(np.argmax([signal(p) / noise(p) for p in grid]))]
