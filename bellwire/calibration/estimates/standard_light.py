"""Efficiency of detectors behind a splitter, in light of measured power through one input after the other.

Owns procedure 7, step 5, where detectors are two to a port. Refuses how light is made.

Light of the power P that enters either input of a splitter without loss leaves it by T and by R, which nobody
knows well: a detector in one port sees T through one input and R through the other, together all of it. How
much less light comes by one way than by the other follows from the counts, whatever T and all efficiencies:
(A/B)^2 = (c_a/c_b) (d_a/d_b) for ports c and d.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bellwire.calibration.estimates.counting import weighted_sum
from bellwire.calibration.estimates.detectors import efficiency
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse

NEPERS_PER_DB = math.log(10.0) / 10.0


@dataclass(frozen=True, slots=True)
class LitInput:
    """Counts by detector in `duration_s`, while light of `power_w` (by the meter, with its scatter only) came
    through one input, weaker by `loss_db` at the splitter.
    """

    counts: Mapping[str, int]
    duration_s: float
    power_w: Quantity
    loss_db: float


@dataclass(frozen=True, slots=True)
class DetectorNoise:
    """`dark`: rate in 1/s."""

    dark: Quantity
    dead_time_s: float


@dataclass(frozen=True, slots=True)
class StandardEfficiencies:
    """`efficiency`: by detector, from the output of the splitter on, with the errors of the standard.
    `over_mean`: of the detectors, free of these. `way_db`: loss of the second way beyond what was stated.
    """

    efficiency: Mapping[str, Quantity]
    over_mean: Mapping[str, Quantity]
    way_db: Quantity


def standard_efficiencies(
    inputs: Sequence[LitInput],
    noise: Mapping[str, DetectorNoise],
    ports: Mapping[str, str],
    *,
    wavelength_nm: float,
    meter_error: float,
    loss_error_db: float,
) -> StandardEfficiencies:
    """`ports`: by detector; half of the light of a port is of the polarisation of each.

    Raises NoEstimate where a detector shows no light.
    """
    if len(inputs) != 2 or len(set(ports.values())) != 2:
        raise LocalMisuse(
            f"{len(inputs)} inputs and ports {sorted(set(ports.values()))}: a splitter has two and two"
        )
    through = [{name: _share(one, name, noise[name], wavelength_nm) for name in ports} for one in inputs]
    dark = [name for name in ports if min(one[name].value for one in through) <= 0.0]
    if dark:
        raise NoEstimate(f"no light at {', '.join(dark)}: look at the ways of the switch and at the laser")
    sums = {name: weighted_sum([(1.0, one[name]) for one in through]) for name in ports}
    relative = math.hypot(meter_error, NEPERS_PER_DB * loss_error_db)
    mean = weighted_sum([(1.0 / len(sums), one) for one in sums.values()])
    return StandardEfficiencies(
        {
            name: Quantity(one.value, math.hypot(one.sigma, one.value * relative))
            for name, one in sums.items()
        },
        {name: _over(one, mean, len(sums)) for name, one in sums.items()},
        _way_db(through, ports),
    )


def _share(lit: LitInput, name: str, noise: DetectorNoise, wavelength_nm: float) -> Quantity:
    """Efficiency of a detector times the share of the splitter."""
    passed = 0.5 * 10.0 ** (-lit.loss_db / 10.0)
    return efficiency(
        lit.counts[name],
        lit.duration_s,
        noise.dark,
        noise.dead_time_s,
        lit.power_w,
        Quantity(passed, 0.0),
        wavelength_nm,
    ).efficiency


def _over(one: Quantity, mean: Quantity, n: int) -> Quantity:
    """Of one of n independent values, which their mean holds."""
    ratio = one.value / mean.value
    own = one.sigma / one.value * (1.0 - ratio / n)
    others = math.sqrt(max(mean.sigma**2 - (one.sigma / n) ** 2, 0.0)) / mean.value
    return Quantity(ratio, ratio * math.hypot(own, others))


def _way_db(through: Sequence[Mapping[str, Quantity]], ports: Mapping[str, str]) -> Quantity:
    """Mean over the ports of the ratio of both inputs, in dB of power."""
    logs: list[tuple[float, Quantity]] = []
    for port in dict.fromkeys(ports.values()):
        for one, weight in ((through[0], 0.5), (through[1], -0.5)):
            seen = weighted_sum([(1.0, one[name]) for name in ports if ports[name] == port])
            logs.append((weight / NEPERS_PER_DB, Quantity(math.log(seen.value), seen.sigma / seen.value)))
    return weighted_sum(logs, unit="dB")
