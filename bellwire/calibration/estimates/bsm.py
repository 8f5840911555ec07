"""Click patterns of a Bell-state measurement: whether both outcomes come alike, and what the rest says.

Owns procedure 8 for the polarisation scheme. Refuses single clicks: counts of patterns come in.

Two photons of random polarisation meet in half of all cases with the same one. Those that do leave by
different ports with probability (1 - V)/2; those that do not give the four allowed patterns alike. Forbidden
over allowed is therefore (1 - V)/2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

DETECTORS: Final = ("cH", "cV", "dH", "dV")
PSI_PLUS: Final = (("cH", "cV"), ("dH", "dV"))
PSI_MINUS: Final = (("cH", "dV"), ("cV", "dH"))
FORBIDDEN: Final = (("cH", "dH"), ("cV", "dV"))


@dataclass(frozen=True, slots=True)
class BellPatterns:
    """Corrected for efficiencies, per second. `asymmetry`: (Psi+ - Psi-)/(Psi+ + Psi-).

    `asymmetry_z`, `agreement_z`: distances from 0 and from the visibility of the HOM scan, in sigma.
    """

    psi_plus: Quantity
    psi_minus: Quantity
    forbidden_ratio: Quantity
    visibility: Quantity
    asymmetry: Quantity
    asymmetry_z: float
    agreement_z: float | None
    discarded_share: float

    def checks(self) -> tuple[Check, ...]:
        """Symmetric, and in agreement with the HOM scan, within 3 sigma (procedure 8)."""
        checks = [Check("Psi+ against Psi-", self.asymmetry_z, -3.0, 3.0, "sigma")]
        if self.agreement_z is not None:
            checks.append(Check("visibility against the HOM scan", self.agreement_z, -3.0, 3.0, "sigma"))
        return tuple(checks)


def bell_patterns(
    counts: Mapping[tuple[str, str], int],
    efficiencies: Mapping[str, Quantity],
    duration_s: float,
    *,
    accidental_rates: Mapping[tuple[str, str], float] | None = None,
    more_than_two: int = 0,
    hom_visibility: Quantity | None = None,
) -> BellPatterns:
    """`counts`: of pairs of detectors as named in PSI_PLUS, PSI_MINUS and FORBIDDEN; absent is 0.

    `efficiencies`: of each detector, relative ones are enough. `accidental_rates`: R_i R_j w in 1/s of each
    pattern. `more_than_two`: coincidences of more than two clicks, which are discarded.
    """
    known = {*PSI_PLUS, *PSI_MINUS, *FORBIDDEN}
    if not set(counts) <= known:
        raise LocalMisuse(f"unknown patterns {sorted(set(counts) - known)}; known are {sorted(known)}")
    if set(efficiencies) != set(DETECTORS) or not duration_s > 0.0:
        raise LocalMisuse(f"efficiencies of {DETECTORS} and a duration above 0 are needed")
    background = accidental_rates or {}
    value = {name: quantity.value for name, quantity in efficiencies.items()}

    def total(patterns: tuple[tuple[str, str], ...], eta: Mapping[str, float]) -> float:
        return sum(
            (counts.get((i, j), 0) / duration_s - background.get((i, j), 0.0)) / (eta[i] * eta[j])
            for i, j in patterns
        )

    def variance(patterns: tuple[tuple[str, str], ...]) -> float:
        """Of the counts alone."""
        return sum(
            max(counts.get((i, j), 0), 1) / (duration_s * value[i] * value[j]) ** 2 for i, j in patterns
        )

    plus, minus, forbidden = (total(patterns, value) for patterns in (PSI_PLUS, PSI_MINUS, FORBIDDEN))
    if plus + minus <= 0.0:
        raise NoEstimate("no allowed pattern beyond accidentals: count longer, or check the window")
    v_plus, v_minus, v_forbidden = (variance(patterns) for patterns in (PSI_PLUS, PSI_MINUS, FORBIDDEN))

    def from_efficiencies(figure: str) -> float:
        """Variance of a figure by the efficiencies, which all patterns share."""
        sum_of_squares = 0.0
        for name, quantity in efficiencies.items():
            up = dict(value)
            up[name] = quantity.value + max(quantity.sigma, 1e-9 * quantity.value)
            p, m, f = (total(patterns, up) for patterns in (PSI_PLUS, PSI_MINUS, FORBIDDEN))
            before, after = {
                "plus": (plus, p),
                "minus": (minus, m),
                "asymmetry": ((plus - minus) / (plus + minus), (p - m) / (p + m)),
                "ratio": (forbidden / (plus + minus), f / (p + m)),
            }[figure]
            sum_of_squares += (after - before) ** 2
        return sum_of_squares

    allowed = plus + minus
    ratio = forbidden / allowed
    ratio_sigma = math.sqrt(
        (v_forbidden + ratio**2 * (v_plus + v_minus)) / allowed**2 + from_efficiencies("ratio")
    )
    asymmetry = (plus - minus) / allowed
    asymmetry_sigma = math.sqrt(
        4.0 * (minus**2 * v_plus + plus**2 * v_minus) / allowed**4 + from_efficiencies("asymmetry")
    )
    visibility = Quantity(1.0 - 2.0 * ratio, 2.0 * ratio_sigma)
    agreement = None
    if hom_visibility is not None:
        agreement = (visibility.value - hom_visibility.value) / math.hypot(
            visibility.sigma, hom_visibility.sigma
        )
    kept = sum(counts.values())
    return BellPatterns(
        Quantity(plus, math.sqrt(v_plus + from_efficiencies("plus")), "1/s"),
        Quantity(minus, math.sqrt(v_minus + from_efficiencies("minus")), "1/s"),
        Quantity(ratio, ratio_sigma),
        visibility,
        Quantity(asymmetry, asymmetry_sigma),
        asymmetry / asymmetry_sigma,
        agreement,
        more_than_two / (kept + more_than_two) if kept + more_than_two else 0.0,
    )
