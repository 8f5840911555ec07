"""How long a memory keeps what it stores: decay of a correlation or fidelity over storage time.

Owns the fit of an exponential and of a Gaussian decay, and which of the two the counts prefer: the first that
is named, unless another is clearly likelier. Refuses T1 and T2 apart: that takes states the caller chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from bellwire.calibration.estimates.curves import Curve, counted, floats
from bellwire.calibration.estimates.likelihood import (
    BinomialCounts,
    Fit,
    Floats,
    GaussianValues,
    Goodness,
    NoEstimate,
    Noise,
    fit,
)
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse


class Decay(StrEnum):
    """exp(-t/T), of a fluctuation without memory, or exp(-(t/T)^2), of a slow one."""

    EXPONENTIAL = "exponential"
    GAUSSIAN = "gaussian"


CLEARLY: Final = 10.0
"""Of deviance: 150 times likelier. The lifetime of the wrong law would be wrong by more than its interval."""

_POWERS: Final = {Decay.EXPONENTIAL: 1, Decay.GAUSSIAN: 2}


class NoDecay(NoEstimate):
    """Nothing was lost in the times measured. `shortest`: the lifetime is above this, with 97.5 %."""

    def __init__(self, problem: str, shortest: float) -> None:
        super().__init__(problem)
        self.shortest = shortest


@dataclass(frozen=True, slots=True)
class MemoryLifetime:
    """`lifetime`: T, unit of the times. `start`: value at storage time 0. `deviances`: of each decay."""

    lifetime: Quantity
    start: Quantity
    decay: Decay
    deviances: dict[Decay, float]
    goodness: Goodness
    longest: float
    curve: Curve

    def checks(self, lifetime_min: float) -> tuple[Check, ...]:
        """Long enough for the link; seen to decay inside the times measured, and by the fitted law."""
        return (
            Check("memory lifetime", self.lifetime.value, lifetime_min, None, self.lifetime.unit),
            Check("lifetime over the longest storage", self.lifetime.value / self.longest, None, 5.0),
            self.goodness.check(0.2, 2.5),
        )


def lifetime_from_counts(
    times: object,
    right: object,
    total: object,
    *,
    floor: float = 0.5,
    decays: tuple[Decay, ...] = tuple(Decay),
    unit: str = "us",
) -> MemoryLifetime:
    """From `right` of `total` outcomes (n,) after each storage time, n of 4 or more.

    `floor`: share of right outcomes when nothing is left, 1/2 for a correlation in one basis.
    """
    at = floats(times, "times", minimum=4)
    successes, trials = counted(right, "right", like=at), counted(total, "total", like=at)
    if np.any(trials <= 0.0) or np.any(successes > trials):
        raise LocalMisuse("each storage time needs outcomes, and not more right ones than all")
    noise = BinomialCounts(successes, trials)
    errors = np.sqrt(np.maximum(successes * (trials - successes), trials) / trials**3)
    return _lifetime(at, noise, successes / trials, errors, floor, decays, unit, "share of right outcomes")


def lifetime_from_trials(
    times: object,
    right: object,
    *,
    floor: float = 0.5,
    decays: tuple[Decay, ...] = tuple(Decay),
    unit: str = "us",
) -> MemoryLifetime:
    """From single outcomes (n,), right or not, each after its own storage time: those whose times lie within
    1/50 of the longest are taken together, at their mean.

    To the shortest times one outcome is added that is half right: where all of few were right, the start
    would else run to 1 and beyond, and pretend to be known exactly.
    """
    at = floats(times, "times", minimum=4)
    outcomes = floats(right, "right", like=at)
    order = np.argsort(at, kind="stable")
    at, outcomes = at[order], outcomes[order]
    group, begins = np.zeros(at.size, np.int64), 0
    for place in range(1, at.size):
        if at[place] - at[begins] > at[-1] / 50:
            begins = place
        group[place] = group[place - 1] + (begins == place)
    counts = np.bincount(group).astype(np.float64)
    right_ones = np.bincount(group, outcomes)
    means = np.bincount(group, at) / counts
    counts[0] += 1.0
    right_ones[0] += 0.5
    return lifetime_from_counts(
        means,
        right_ones,
        counts,
        floor=floor,
        decays=decays,
        unit=unit,
    )


def lifetime_from_fidelities(
    times: object,
    fidelities: object,
    sigmas: object,
    *,
    floor: float = 0.25,
    decays: tuple[Decay, ...] = tuple(Decay),
    unit: str = "us",
) -> MemoryLifetime:
    """From fidelities with standard uncertainties; `floor` 1/4 when the state is mixed fully, 1/2 when only
    its phase is lost."""
    at = floats(times, "times", minimum=4)
    values, errors = floats(fidelities, "fidelities", like=at), floats(sigmas, "sigmas", like=at)
    if np.any(errors <= 0.0):
        raise LocalMisuse("the uncertainty of a fidelity must be above 0")
    return _lifetime(at, GaussianValues(values, errors), values, errors, floor, decays, unit, "fidelity")


def _lifetime(
    at: Floats,
    noise: Noise,
    values: Floats,
    errors: Floats,
    floor: float,
    decays: tuple[Decay, ...],
    unit: str,
    label: str,
) -> MemoryLifetime:
    scale = float(at.max())
    if not scale > 0.0 or np.any(at < 0.0):
        raise LocalMisuse("storage times must not be negative, and one of them above 0")
    x = at / scale
    fits = {decay: _fit(x, noise, values, floor, decay) for decay in decays}
    decay = decays[0]
    for name in decays[1:]:
        if fits[name].deviance < fits[decay].deviance - CLEARLY:
            decay = name
    found = fits[decay]
    # Fitted is 1/T, or 1/T^2: the counts know it also where they see no decay.
    rate, power = float(found.values[1]), _POWERS[decay]
    slowest, fastest = found.profile(1)
    shortest = scale * fastest ** (-1.0 / power) if fastest > 0.0 else math.inf
    if rate <= 0.0:
        raise NoDecay(
            f"no decay within {scale:g} {unit}, the lifetime is above {shortest:.3g}: store longer", shortest
        )
    lifetime = scale * rate ** (-1.0 / power)
    fine = np.linspace(0.0, 1.0, 201)
    return MemoryLifetime(
        Quantity(
            lifetime,
            lifetime * found.sigma(1) / rate / power,
            unit,
            shortest,
            scale * slowest ** (-1.0 / power) if slowest > 0.0 else math.inf,
        ),
        Quantity(floor + float(found.values[0]), found.sigma(0)),
        decay,
        {name: one.deviance for name, one in fits.items()},
        found.goodness,
        scale,
        Curve(
            at,
            values,
            errors,
            scale * fine,
            _model(fine, floor, decay)(found.values),
            f"storage time ({unit})",
            label,
        ),
    )


def _model(x: Floats, floor: float, decay: Decay) -> Callable[[Floats], Floats]:
    stored = x ** _POWERS[decay]
    return lambda v: np.asarray(floor + v[0] * np.exp(np.clip(-stored * v[1], -500.0, 5.0)))


def _fit(x: Floats, noise: Noise, values: Floats, floor: float, decay: Decay) -> Fit:
    height = float(np.max(values)) - floor
    if height <= 0.0:
        raise NoEstimate(f"no value lies above the floor of {floor:g}: nothing is left at any storage time")
    starts = [[0.9 * height, t ** -_POWERS[decay]] for t in (0.1, 0.4, 1.5)]
    return fit(noise, _model(x, floor, decay), *starts)
