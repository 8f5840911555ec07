"""Quality of an entangled link from correlation counts: QBER, visibilities, fidelity, its bound, and CHSH.

Owns procedure 9 except tomography. Refuses states: counts of equal and different outcomes come in.

Signs follow the Bell state (bell.py): <XX>, <YY>, <ZZ> are +, -, + for Phi+; -, +, + for Phi-; +, +, - for
Psi+; -, -, - for Psi-.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bellwire.calibration.estimates.counting import share, weighted_sum
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

BBM92_LIMIT: Final = 0.11
CORRELATION_SIGNS: Final = ((1, -1, 1), (-1, 1, 1), (1, 1, -1), (-1, -1, -1))
"""Signs of <XX>, <YY>, <ZZ> of Bell index 0..3 (Phi+, Phi-, Psi+, Psi-)."""


@dataclass(frozen=True, slots=True)
class BasisCounts:
    """Coincidences in one basis: both sides gave the `same` outcome, or `different` ones."""

    same: int
    different: int

    def wrong(self, sign: int) -> int:
        """Those against the sign of the correlation."""
        return self.different if sign > 0 else self.same

    @property
    def total(self) -> int:
        """All of them."""
        return self.same + self.different


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """`errors`, `visibilities`: by basis "x", "y", "z". `fidelity`: None without y. `fidelity_bound`:
    1 - e_x - e_z; the fidelity is not below it."""

    errors: dict[str, Quantity]
    visibilities: dict[str, Quantity]
    fidelity: Quantity | None
    fidelity_bound: Quantity

    def checks(self, *, error_max: float = BBM92_LIMIT, fidelity_min: float = 0.5) -> tuple[Check, ...]:
        """Errors below 11 %; a fidelity above one half, which is entanglement; and above its own bound."""
        checks = [
            Check(f"QBER in {basis}", error.value, None, error_max)
            for basis, error in sorted(self.errors.items())
        ]
        if self.fidelity is not None:
            checks.append(Check("lower end of the fidelity", self.fidelity.interval[0], fidelity_min))
            distance = (self.fidelity.value - self.fidelity_bound.value) / math.hypot(
                self.fidelity.sigma, self.fidelity_bound.sigma
            )
            checks.append(Check("fidelity over its bound", distance, -3.0, None, "sigma"))
        return tuple(checks)


def link_quality(
    x: BasisCounts, z: BasisCounts, y: BasisCounts | None = None, *, bell_index: int
) -> LinkQuality:
    """`bell_index` 0..3: the Bell state that the pairs should be in."""
    if not 0 <= bell_index <= 3:
        raise LocalMisuse(f"Bell index {bell_index} is outside 0..3")
    signs = dict(zip("xyz", CORRELATION_SIGNS[bell_index], strict=True))
    measured = {"x": x, "z": z} if y is None else {"x": x, "y": y, "z": z}
    for basis, counts in measured.items():
        if counts.total == 0:
            raise NoEstimate(f"no coincidences in {basis}: count longer")
    errors = {basis: share(counts.wrong(signs[basis]), counts.total) for basis, counts in measured.items()}
    visibilities = {basis: weighted_sum([(-2.0, error)], 1.0) for basis, error in errors.items()}
    # F = (1 + V_x + V_y + V_z)/4 = 1 - (e_x + e_y + e_z)/2.
    fidelity = None if y is None else weighted_sum([(-0.5, errors[basis]) for basis in "xyz"], 1.0)
    bound = weighted_sum([(-1.0, errors["x"]), (-1.0, errors["z"])], 1.0)
    return LinkQuality(errors, visibilities, fidelity, bound)


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Coincidences of one pair of analyser settings, by the outcomes of both sides."""

    plus_plus: int
    plus_minus: int
    minus_plus: int
    minus_minus: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.plus_plus + self.plus_minus + self.minus_plus + self.minus_minus


def correlation(counts: OutcomeCounts) -> Quantity:
    """E = (N++ + N-- - N+- - N-+)/N, -1..1."""
    if counts.total == 0:
        raise NoEstimate("no coincidences at a setting: count longer")
    same = share(counts.plus_plus + counts.minus_minus, counts.total)
    return weighted_sum([(2.0, same)], -1.0)


@dataclass(frozen=True, slots=True)
class Chsh:
    """`s` = E(a,b) - E(a,b') + E(a',b) + E(a',b'); `correlations` in that order."""

    s: Quantity
    correlations: tuple[Quantity, Quantity, Quantity, Quantity]

    @property
    def violation_sigma(self) -> float:
        """How many standard deviations S lies above 2."""
        return (self.s.value - 2.0) / self.s.sigma

    def checks(self) -> tuple[Check, ...]:
        """Above 2 by 3 sigma, not above what quantum physics allows by as much (procedure 9)."""
        excess = (self.s.value - 2.0 * math.sqrt(2.0)) / self.s.sigma
        return (
            Check("CHSH above 2", self.violation_sigma, 3.0, None, "sigma"),
            Check("CHSH above 2.828", excess, None, 4.0, "sigma"),
        )


def chsh(ab: OutcomeCounts, ab2: OutcomeCounts, a2b: OutcomeCounts, a2b2: OutcomeCounts) -> Chsh:
    """S from the counts at (a, b), (a, b'), (a', b), (a', b')."""
    four = (correlation(ab), correlation(ab2), correlation(a2b), correlation(a2b2))
    return Chsh(weighted_sum(list(zip((1.0, -1.0, 1.0, 1.0), four, strict=True))), four)


def swapped_visibility(first: Quantity, second: Quantity, hom: Quantity) -> Quantity:
    """What a swap of two links should leave: V_1 V_2 V_HOM."""
    value = first.value * second.value * hom.value
    relative = math.sqrt(sum((v.sigma / v.value) ** 2 for v in (first, second, hom)))
    return Quantity(value, value * relative)
