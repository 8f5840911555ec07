"""A photon-pair source at one pump power: pair rate, heralding, brightness, CAR and their errors.

Owns procedure 4, steps 2 to 4 and 6. Refuses sweeps over the power (source_sweep.py).

Convention: CAR = (C - A)/A. All errors come from one covariance: singles hold the coincidences, so a
fluctuation of the pairs moves all three counts together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.estimates.counting import (
    live_rate,
    poisson_distance,
    poisson_rate,
    product,
    weighted_sum,
)
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.estimates.pair_rate import PairClicks, pair_rate
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse


@dataclass(frozen=True, slots=True)
class PumpPoint:
    """Counts at one pump power.

    `coincidences`: inside the window around the peak. `off_peak`: counts in `off_peak_windows` windows of the
    same width away from it. `singles_*`: clicks in the same `duration_s`. `resolved`: the same detector by
    detector, in a window that holds every pair; None: each arm has one detector, and `coincidences` are all.
    """

    power: float
    duration_s: float
    singles_signal: int
    singles_idler: int
    coincidences: int
    off_peak: int
    off_peak_windows: int
    resolved: PairClicks | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """What both arms do to the counts. `dark_*`: rates in 1/s, `dead_time_*` and `window`: s."""

    dark_signal: Quantity
    dark_idler: Quantity
    dead_time_signal_s: float
    dead_time_idler_s: float
    window_s: float


@dataclass(frozen=True, slots=True)
class SourcePoint:
    """`rate_signal`, `rate_idler`: photons per s, without darks and dead time. `brightness`: pairs per s and
    unit of power. `mu`: mean pairs per window. `accidental_z`: measured A against S_s S_i w, in sigma."""

    power: float
    rate_signal: Quantity
    rate_idler: Quantity
    coincidence_rate: Quantity
    accidental_rate: Quantity
    pair_rate: Quantity
    heralding_signal: Quantity
    heralding_idler: Quantity
    brightness: Quantity
    car: Quantity
    mu: Quantity
    accidental_z: float

    @property
    def visibility_limit(self) -> float:
        """V <= 1/(1 + 2 mu)."""
        return visibility_limit(self.mu.value)

    def checks(self, *, car_min: float = 10.0) -> tuple[Check, ...]:
        """Off-peak agrees with S_s S_i w within 3 sigma, CAR above 10, heralding possible (procedure 4)."""
        return (
            Check("off-peak accidentals against S_s S_i w", self.accidental_z, -3.0, 3.0, "sigma"),
            Check("CAR", self.car.value, car_min),
            Check("heralding efficiency of the signal", self.heralding_signal.value, 0.0, 1.0),
            Check("heralding efficiency of the idler", self.heralding_idler.value, 0.0, 1.0),
        )


def visibility_limit(mu: float) -> float:
    """The visibility that multiple pairs leave: 1/(1 + 2 mu)."""
    return 1.0 / (1.0 + 2.0 * mu)


def secret_share(error: float) -> float:
    """Secret bits per sifted bit of BBM92 at equal errors in both bases: 1 - 2 h(e), 0 above 11.0 %."""
    if error <= 0.0:
        return 1.0
    if error >= 0.5:
        return 0.0
    entropy = -error * math.log2(error) - (1.0 - error) * math.log2(1.0 - error)
    return max(0.0, 1.0 - 2.0 * entropy)


def source_point(point: PumpPoint, detection: Detection, *, power_unit: str = "mW") -> SourcePoint:
    """All quantities of one pump power. Raises NoEstimate when coincidences do not exceed accidentals."""
    if not (point.duration_s > 0.0 and point.off_peak_windows > 0 and point.power > 0.0):
        raise LocalMisuse("a pump point needs a duration, an off-peak window and a power, each above 0")
    t = point.duration_s
    a = point.off_peak / point.off_peak_windows
    net = point.coincidences - a
    if net <= 0.0 or point.singles_signal == 0 or point.singles_idler == 0:
        raise NoEstimate(
            f"{point.coincidences} coincidences on {a:.1f} accidentals: no pairs, check window and channels"
        )
    counts = np.array([point.singles_signal, point.singles_idler, point.coincidences, a], dtype=np.float64)
    covariance = _covariance(counts, point.off_peak_windows, detection)

    def rates(v: Floats) -> tuple[float, float, float, float]:
        """Photons of signal and idler, true and accidental coincidences, all per s, as light made them."""
        signal = live_rate(float(v[0]) / t, detection.dead_time_signal_s)
        idler = live_rate(float(v[1]) / t, detection.dead_time_idler_s)
        live = (float(v[0]) / t / signal) * (float(v[1]) / t / idler)
        return (
            signal - float(v[4]),
            idler - float(v[5]),
            float(v[2] - v[3]) / t / live,
            float(v[3]) / t / live,
        )

    values = np.concatenate((counts, [detection.dark_signal.value, detection.dark_idler.value]))
    if min(rates(values)[:2]) <= 0.0:
        raise NoEstimate("singles do not exceed the darks: more pump power, or count the darks again")

    def quantity(function: Callable[[float, float, float, float], float], unit: str = "") -> Quantity:
        gradient = np.zeros(values.size)
        for index in range(values.size):
            step = 1e-4 * max(abs(float(values[index])), 1.0)
            up, down = values.copy(), values.copy()
            up[index] += step
            down[index] -= step
            gradient[index] = (function(*rates(up)) - function(*rates(down))) / (2.0 * step)
        sigma = math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))
        return Quantity(float(function(*rates(values))), sigma, unit)

    w = detection.window_s
    made = quantity(lambda s, i, c, acc: s * i / c, "1/s")
    heralding_signal, heralding_idler = (
        quantity(lambda s, i, c, acc: c / i),
        quantity(lambda s, i, c, acc: c / s),
    )
    if point.resolved is not None:
        told = pair_rate(point.resolved)
        made, heralding_signal, heralding_idler = told.rate, told.heralding_first, told.heralding_second
    expected = float(counts[0] * counts[1]) * w / t * point.off_peak_windows
    return SourcePoint(
        point.power,
        quantity(lambda s, i, c, acc: s, "1/s"),
        quantity(lambda s, i, c, acc: i, "1/s"),
        quantity(lambda s, i, c, acc: c, "1/s"),
        quantity(lambda s, i, c, acc: acc, "1/s"),
        made,
        heralding_signal,
        heralding_idler,
        weighted_sum([(1.0 / point.power, made)], unit=f"1/s/{power_unit}"),
        _car(point),
        weighted_sum([(w, made)]),
        poisson_distance(point.off_peak, expected, float(1.0 / counts[0] + 1.0 / counts[1])),
    )


def _car(point: PumpPoint) -> Quantity:
    """(C - A)/A from the exact intervals of both counts: A is small where sources are good."""
    ratio = product(
        [(poisson_rate(point.coincidences, 1.0), 1), (poisson_rate(max(point.off_peak, 1), 1.0), -1)],
        scale=point.off_peak_windows,
    )
    low, high = ratio.interval
    return Quantity(ratio.value - 1.0, ratio.sigma, "", low - 1.0, high - 1.0)


def _covariance(counts: Floats, windows: int, detection: Detection) -> Floats:
    """Of (S_s, S_i, C, A, d_s, d_i).

    Singles hold every coincidence: cov(S, C) = C. Accidentals follow the singles: cov(S, A) = A. Both
    singles share the pairs: cov(S_s, S_i) = C - A.
    """
    signal, idler, coincidences, accidentals = counts
    matrix = np.zeros((6, 6))
    matrix[:4, :4] = [
        [signal, coincidences - accidentals, coincidences, accidentals],
        [coincidences - accidentals, idler, coincidences, accidentals],
        [coincidences, coincidences, coincidences, 0.0],
        [accidentals, accidentals, 0.0, max(accidentals, 1.0 / windows) / windows],
    ]
    matrix[4, 4] = detection.dark_signal.sigma**2
    matrix[5, 5] = detection.dark_idler.sigma**2
    return matrix


@dataclass(frozen=True, slots=True)
class HeraldedCorrelation:
    """`g2`: heralded g2_h(0) = N123 N1/(N12 N13)."""

    g2: Quantity

    def checks(self, *, g2_max: float = 0.1) -> tuple[Check, ...]:
        """Below 0.1 (procedure 4)."""
        return (Check("heralded g2(0)", self.g2.value, None, g2_max),)


def heralded_g2(heralds: int, with_first: int, with_second: int, triples: int) -> HeraldedCorrelation:
    """From counts of herald clicks, of those with each arm behind a splitter, and with both.

    The triples carry nearly all of the error; twofold counts are joined as if independent of them.
    """
    if min(heralds, with_first, with_second) <= 0:
        raise NoEstimate("no twofold coincidences: g2 is undetermined, count longer")
    factors = [(poisson_rate(triples, 1.0), 1), (poisson_rate(with_first, 1.0), -1)]
    return HeraldedCorrelation(
        product([*factors, (poisson_rate(with_second, 1.0), -1)], scale=float(heralds))
    )


def schmidt_number(g2_unheralded: Quantity) -> Quantity:
    """K from g2 = 1 + 1/K of one arm alone. Raises NoEstimate at or below 1."""
    excess = g2_unheralded.value - 1.0
    if excess <= 0.0:
        raise NoEstimate(f"g2 = {g2_unheralded.value:.3f} is not above 1: count longer, or narrow the window")
    return Quantity(1.0 / excess, g2_unheralded.sigma / excess**2)
