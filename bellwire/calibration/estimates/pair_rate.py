"""How many pairs a source makes, and how many of its photons each detector sees, told detector by detector.

Owns the calibration without a standard (Klyshko, Sov. J. Quantum Electron. 10, 1112 (1980)) for arms of
several unlike detectors. Refuses pump power (source_point.py) and windows: counts come in.

Sums over the detectors of an arm do not do: S_s S_i / C assumes that any detector of one arm clicks with any
of the other as often as by chance, while photons of an entangled pair choose theirs together. Detectors that
are all outcomes of one measurement (H and V, say) make a set. With N pairs/s, an outcome p_ij of which both
marginals are even, and whatever efficiencies e_i and e_j, losses and the choice of the basis among them,

    S_i = N e_i / n_i     S_j = N e_j / n_j     C_ij = N e_i e_j p_ij

with n outcomes in a set, so that the sum of C_ij/(S_i S_j) over two sets is n_i n_j / N: p_ij adds up to 1,
and no efficiency is left. Even marginals are those of a Bell state, with any white noise, behind any fibre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.estimates.counting import live_rate
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse

Sets = tuple[tuple[int, ...], ...]
"""Detectors of one arm, by index, that are all outcomes of one measurement; every detector in one set."""


@dataclass(frozen=True, slots=True, eq=False)
class ArmClicks:
    """Clicks of each detector of one arm, (n,). `darks`: rates in 1/s. `dead_s`: (n,) dead times in s."""

    clicks: Floats
    darks: tuple[Quantity, ...]
    dead_s: Floats
    sets: Sets

    def __post_init__(self) -> None:
        members = sorted(index for one in self.sets for index in one)
        sizes = {self.clicks.size, self.dead_s.size, len(self.darks)}
        if sizes != {len(members)} or members != list(range(len(members))):
            raise LocalMisuse(
                f"an arm of {self.clicks.size} detectors with sets {self.sets}: each in one set"
            )


@dataclass(frozen=True, slots=True, eq=False)
class PairClicks:
    """What both arms counted in `duration_s`.

    `coincidences` (n_first, n_second): inside a window wide enough for every pair. `off_peak`: the same away
    from the peak, in `off_peak_windows` windows of that width.
    """

    duration_s: float
    first: ArmClicks
    second: ArmClicks
    coincidences: Floats
    off_peak: Floats
    off_peak_windows: int


@dataclass(frozen=True, slots=True)
class PairRate:
    """`rate`: pairs/s that the source makes. `first`, `second`: by detector, chance that a photon of a pair
    makes it click when it has its polarisation, all losses and the choice of the basis included, 0..1.
    `heralding_first`, `heralding_second`: chance that any detector of the arm sees the photon of a pair.
    """

    rate: Quantity
    first: tuple[Quantity, ...]
    second: tuple[Quantity, ...]
    heralding_first: Quantity
    heralding_second: Quantity


def pair_rate(counted: PairClicks) -> PairRate:
    """All of it, with errors from one covariance. Raises NoEstimate where singles do not exceed darks, or
    coincidences accidentals.
    """
    t, first, second = counted.duration_s, counted.first, counted.second
    if not (t > 0.0 and counted.off_peak_windows > 0):
        raise LocalMisuse("pairs are counted in some time, and accidentals in at least one window")
    n, m = first.clicks.size, second.clicks.size
    if counted.coincidences.shape != (n, m) or counted.off_peak.shape != (n, m):
        raise LocalMisuse(f"coincidences of {n} by {m} detectors came as {counted.coincidences.shape}")
    live_first, net_first = _net(first, t)
    live_second, net_second = _net(second, t)
    accidentals = counted.off_peak / counted.off_peak_windows
    met = t * np.outer(live_first * net_first, live_second * net_second)
    weight = _weights(first.sets, second.sets, n, m) / met
    net = counted.coincidences - accidentals
    each = weight * net
    inverse = float(each.sum())  # s per pair
    if inverse <= 0.0:
        raise NoEstimate(
            f"{net.sum():.1f} coincidences over accidentals: no pairs, check window and channels"
        )
    covariance = _covariance(counted, accidentals)
    steep_first, steep_second = _steepness(first, t, live_first), _steepness(second, t, live_second)

    # Of the inverse rate, by (clicks of either arm, coincidences, accidentals, darks of either arm). A click
    # more is more of a net rate, and less of live time.
    down_first, down_second = each.sum(axis=1) / net_first, each.sum(axis=0) / net_second
    gone_first = each.sum(axis=1) * _live_loss(first, t, live_first)
    gone_second = each.sum(axis=0) * _live_loss(second, t, live_second)
    of_inverse = np.concatenate(
        (
            gone_first - down_first * steep_first,
            gone_second - down_second * steep_second,
            weight.ravel(),
            -weight.ravel(),
            down_first,
            down_second,
        )
    )

    def quantity(value: float, gradient: Floats, unit: str = "") -> Quantity:
        return Quantity(value, math.sqrt(max(float(gradient @ covariance @ gradient), 0.0)), unit)

    def seen(factors: Floats) -> Quantity:
        """Sum of factor x net rate over the pair rate, `factors` (n + m,)."""
        rates = np.concatenate((net_first, net_second))
        value = float(factors @ rates)
        gradient = value * of_inverse
        gradient[: n + m] += inverse * factors * np.concatenate((steep_first, steep_second))
        gradient[-(n + m) :] -= inverse * factors
        return quantity(value * inverse, gradient)

    outcomes = np.concatenate((_outcomes(first.sets, n), _outcomes(second.sets, m)))
    alone = [seen(outcomes[index] * np.eye(n + m)[index]) for index in range(n + m)]
    in_first = np.arange(n + m) < n
    return PairRate(
        quantity(1.0 / inverse, of_inverse / inverse**2, "1/s"),
        tuple(alone[:n]),
        tuple(alone[n:]),
        seen(in_first.astype(np.float64)),
        seen((~in_first).astype(np.float64)),
    )


def _net(arm: ArmClicks, t: float) -> tuple[Floats, Floats]:
    """Share of the time in which each detector is not blind, and its rate of photons in 1/s."""
    rates = np.array(
        [live_rate(float(one) / t, float(dead)) for one, dead in zip(arm.clicks, arm.dead_s, strict=True)]
    )
    net = rates - np.array([one.value for one in arm.darks])
    if np.any(net <= 0.0):
        raise NoEstimate("singles do not exceed the darks: more pump power, or count the darks again")
    return arm.clicks / t / rates, net


def _steepness(arm: ArmClicks, t: float, live: Floats) -> Floats:
    """d rate / d click, dead time taken off."""
    return np.asarray(1.0 / (t * live**2))


def _live_loss(arm: ArmClicks, t: float, live: Floats) -> Floats:
    """d (1 / live share) / d click, over 1 / live share."""
    return np.asarray(arm.dead_s / (t * live))


def _outcomes(sets: Sequence[Sequence[int]], n: int) -> Floats:
    """How many outcomes the set of each detector has."""
    found = np.zeros(n)
    for one in sets:
        found[list(one)] = float(len(one))
    return found


def _weights(first: Sets, second: Sets, n: int, m: int) -> Floats:
    """The mean over all pairs of sets of 1/(n_i n_j) x the sum over both."""
    return 1.0 / (len(first) * len(second) * np.outer(_outcomes(first, n), _outcomes(second, m)))


def _covariance(counted: PairClicks, accidentals: Floats) -> Floats:
    """Singles hold every coincidence and their accidentals follow them; both arms share the pairs."""
    first, second = counted.first, counted.second
    n, m = first.clicks.size, second.clicks.size
    pairs, inside, windows = n * m, counted.coincidences, counted.off_peak_windows
    size = 2 * (n + m) + 2 * pairs
    matrix = np.zeros((size, size))
    matrix[:n, :n] = np.diag(first.clicks)
    matrix[n : n + m, n : n + m] = np.diag(second.clicks)
    matrix[:n, n : n + m] = inside - accidentals
    for row in range(n):
        for column in range(m):
            at = n + m + row * m + column
            for single in (row, n + column):
                matrix[single, at] = inside[row, column]
                matrix[single, at + pairs] = accidentals[row, column]
    upper = np.triu(matrix, 1)
    matrix = upper + upper.T + np.diag(np.diag(matrix))
    own = np.concatenate(
        (np.maximum(inside, 1.0).ravel(), np.maximum(accidentals, 1.0 / windows).ravel() / windows)
    )
    darks = np.array([one.sigma**2 for one in (*first.darks, *second.darks)])
    matrix[n + m :, n + m :] += np.diag(np.concatenate((own, darks)))
    return matrix
