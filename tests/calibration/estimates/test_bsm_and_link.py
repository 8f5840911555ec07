"""Patterns of Bell-state measurements and quality figures of links, with wrong signs and swapped channels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import qutip  # type: ignore[import-untyped]  # qutip ships no types

from bellwire.calibration.estimates.bsm import (
    DETECTORS,
    FORBIDDEN,
    PSI_MINUS,
    PSI_PLUS,
    BellPatterns,
    bell_patterns,
)
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.link_quality import (
    CORRELATION_SIGNS,
    BasisCounts,
    OutcomeCounts,
    chsh,
    link_quality,
    swapped_visibility,
)
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Draw, assert_draws_cover, failed

BELL_NAMES = ("00", "01", "10", "11")  # qutip's names of Phi+, Phi-, Psi+, Psi-
PAULIS = (qutip.sigmax(), qutip.sigmay(), qutip.sigmaz())


def _patterns(
    chance: np.random.Generator,
    visibility: float,
    *,
    swap: tuple[str, str] | None = None,
    subtract: bool = True,
) -> BellPatterns:
    """20 pairs per s for 1000 s, accidentals of 0.5 per s and pattern, efficiencies known to 1 %.

    `swap`: two cables exchanged.
    """
    eta = dict(zip(DETECTORS, (float(value) for value in chance.uniform(0.5, 0.9, 4)), strict=True))
    off = dict(zip(DETECTORS, (float(value) for value in chance.normal(0.0, 0.01, 4)), strict=True))
    known = {name: Quantity(value * (1.0 + off[name]), 0.01 * value) for name, value in eta.items()}
    cable = {name: name for name in DETECTORS}
    if swap is not None:
        cable[swap[0]], cable[swap[1]] = swap[1], swap[0]
    counts: dict[tuple[str, str], int] = {}
    kinds = ((PSI_PLUS, 0.25), (PSI_MINUS, 0.25), (FORBIDDEN, (1.0 - visibility) / 4.0))
    known_patterns = {frozenset(pattern): pattern for patterns, _ in kinds for pattern in patterns}
    for patterns, share in kinds:
        for i, j in patterns:
            seen = known_patterns[frozenset((cable[i], cable[j]))]
            counts[seen] = int(chance.poisson(1000.0 * (20.0 * share * eta[i] * eta[j] + 0.5)))
    background = dict.fromkeys(known_patterns.values(), 0.5) if subtract else None
    hom = Quantity(visibility + float(chance.normal(0.0, 0.01)), 0.01)
    return bell_patterns(counts, known, 1000.0, accidental_rates=background, hom_visibility=hom)


def test_patterns_are_covered() -> None:
    """400 draws."""
    chance = np.random.default_rng(201)

    def draw() -> Draw:
        visibility = chance.uniform(0.5, 0.97)
        found = _patterns(chance, visibility)
        assert found.agreement_z is not None
        return {
            "visibility": (found.visibility, visibility),
            "asymmetry": (found.asymmetry, 0.0),
            "Psi+": (found.psi_plus, 10.0),
            "Psi-": (found.psi_minus, 10.0),
            "agreement": (Quantity(found.agreement_z, 1.0), 0.0),
        }

    assert_draws_cover(draw, 400)


def test_planted_faults_of_patterns_fail() -> None:
    """Cables of cV and dH exchanged make allowed patterns of forbidden ones; accidentals left in lower V."""
    assert not failed(_patterns(np.random.default_rng(202), 0.95).checks())
    hom = "visibility against the HOM scan"
    assert hom in failed(_patterns(np.random.default_rng(202), 0.95, swap=("cV", "dH")).checks())
    assert hom in failed(_patterns(np.random.default_rng(202), 0.95, subtract=False).checks())


def test_an_efficiency_off_by_two_fails_the_symmetry_only_if_it_can_be_seen() -> None:
    """Psi+ is cH cV + dH dV, Psi- cH dV + cV dH: one wrong efficiency cancels, two on a diagonal do not."""
    counts = dict.fromkeys((*PSI_PLUS, *PSI_MINUS), 5000)
    one = {name: Quantity(0.8, 0.008) for name in DETECTORS}
    assert not failed(bell_patterns(counts, one, 1.0).checks())
    two = one | {"cH": Quantity(0.4, 0.004), "cV": Quantity(0.4, 0.004)}
    assert failed(bell_patterns(counts, two, 1.0).checks()) == {"Psi+ against Psi-"}


def test_more_than_two_clicks_are_counted_as_discarded() -> None:
    one = {name: Quantity(1.0, 0.0) for name in DETECTORS}
    found = bell_patterns({("cH", "cV"): 90, ("cH", "dV"): 90}, one, 1.0, more_than_two=20)
    assert found.discarded_share == pytest.approx(0.1)
    assert found.agreement_z is None
    with pytest.raises(LocalMisuse, match="unknown patterns"):
        bell_patterns({("cV", "cH"): 1}, one, 1.0)
    with pytest.raises(NoEstimate, match="no allowed pattern"):
        bell_patterns({("cH", "dH"): 4}, one, 1.0)


@pytest.mark.parametrize("index", range(4))
def test_signs_of_correlations_are_those_of_the_bell_states(index: int) -> None:
    state = qutip.bell_state(BELL_NAMES[index])
    signs = [round(qutip.expect(qutip.tensor(p, p), state)) for p in PAULIS]
    assert tuple(signs) == CORRELATION_SIGNS[index]


def _basis(chance: np.random.Generator, total: int, error: float, sign: int) -> BasisCounts:
    wrong = int(chance.binomial(total, error))
    return BasisCounts(total - wrong, wrong) if sign > 0 else BasisCounts(wrong, total - wrong)


def test_quality_figures_are_covered() -> None:
    """400 draws; exact intervals of the errors hold more than they must, and so do their sums."""
    chance = np.random.default_rng(203)

    def draw() -> Draw:
        index, total = int(chance.integers(4)), int(chance.integers(200, 3000))
        e = chance.uniform(0.005, 0.1, 3)
        x, y, z = (_basis(chance, total, e[k], CORRELATION_SIGNS[index][k]) for k in range(3))
        found = link_quality(x, z, y, bell_index=index)
        assert found.fidelity is not None
        return {
            "e_x": (found.errors["x"], e[0]),
            "V_y": (found.visibilities["y"], 1.0 - 2.0 * e[1]),
            "F": (found.fidelity, 1.0 - e.sum() / 2.0),
            "bound": (found.fidelity_bound, 1.0 - e[0] - e[2]),
        }

    assert_draws_cover(draw, 400, conservative=frozenset({"e_x", "V_y", "F", "bound"}))


def test_the_fidelity_is_that_of_qutip_and_not_below_its_bound() -> None:
    rho = 0.9 * qutip.ket2dm(qutip.bell_state("10")) + 0.1 * qutip.ket2dm(qutip.bell_state("11"))
    counts = []
    for pauli in PAULIS:
        same = round(10_000 * (1.0 + qutip.expect(qutip.tensor(pauli, pauli), rho)) / 2.0)
        counts.append(BasisCounts(same, 10_000 - same))
    found = link_quality(counts[0], counts[2], counts[1], bell_index=2)
    assert found.fidelity is not None
    assert found.fidelity.value == pytest.approx(0.9, abs=1e-9)
    assert found.fidelity_bound.value == pytest.approx(0.9, abs=1e-9)
    assert not failed(found.checks())


def test_the_wrong_bell_state_and_unsubtracted_noise_fail() -> None:
    chance = np.random.default_rng(204)
    x, y, z = (_basis(chance, 2000, 0.03, CORRELATION_SIGNS[2][k]) for k in range(3))
    assert not failed(link_quality(x, z, y, bell_index=2).checks())
    for wrong in (0, 1, 3):
        assert "lower end of the fidelity" in failed(link_quality(x, z, y, bell_index=wrong).checks())
    noisy = BasisCounts(z.same + 300, z.different + 300)
    assert failed(link_quality(x, noisy, y, bell_index=2).checks()) == {"QBER in z"}
    with pytest.raises(NoEstimate, match="no coincidences in x"):
        link_quality(BasisCounts(0, 0), z, bell_index=2)


ANGLES = (
    (0.0, math.pi / 4),
    (0.0, 3 * math.pi / 4),
    (math.pi / 2, math.pi / 4),
    (math.pi / 2, 3 * math.pi / 4),
)
"""(a, b), (a, b'), (a', b), (a', b') in the plane of Z and X, with the signs of S for Phi+."""


def _outcomes(chance: np.random.Generator, visibility: float, total: int) -> list[OutcomeCounts]:
    state = qutip.ket2dm(qutip.bell_state("00"))
    rho = visibility * state + (1.0 - visibility) * qutip.tensor(qutip.qeye(2), qutip.qeye(2)) / 4.0
    found = []
    for a, b in ANGLES:
        sides = [math.cos(t) * qutip.sigmaz() + math.sin(t) * qutip.sigmax() for t in (a, b)]
        chances = [
            float(qutip.expect(qutip.tensor((1 + s * sides[0]) / 2, (1 + t * sides[1]) / 2), rho))
            for s in (1, -1)
            for t in (1, -1)
        ]
        found.append(OutcomeCounts(*(int(n) for n in chance.multinomial(total, chances))))
    return found


def test_chsh_of_a_werner_state_is_that_of_qutip() -> None:
    """Expected S = 2.828 V; 4 x 100 000 counts, 4 sigma (6e-5)."""
    found = chsh(*_outcomes(np.random.default_rng(205), 0.9, 100_000))
    assert abs(found.s.value - 2.0 * math.sqrt(2.0) * 0.9) < 4.0 * found.s.sigma
    one = found.correlations[0]
    assert one.sigma == pytest.approx(math.sqrt((1.0 - one.value**2) / 100_000), rel=1e-3)
    assert not failed(found.checks())


def test_chsh_is_covered() -> None:
    """400 draws from the closed form E = +-V/sqrt(2)."""
    chance = np.random.default_rng(206)

    def draw() -> Draw:
        v, four = chance.uniform(0.6, 1.0), []
        for sign in (1, -1, 1, 1):
            same = (1.0 + sign * v / math.sqrt(2.0)) / 4.0
            four.append(
                OutcomeCounts(
                    *(int(n) for n in chance.multinomial(500, [same, 0.5 - same, 0.5 - same, same]))
                )
            )
        return {"S": (chsh(*four).s, 2.0 * math.sqrt(2.0) * v)}

    assert_draws_cover(draw, 400, conservative=frozenset({"S"}))


def test_chsh_fails_without_entanglement_with_swapped_settings_and_beyond_quantum_physics() -> None:
    good = _outcomes(np.random.default_rng(207), 0.95, 2000)
    assert not failed(chsh(*good).checks())
    assert failed(chsh(good[1], good[0], good[2], good[3]).checks()) == {"CHSH above 2"}
    assert failed(chsh(*_outcomes(np.random.default_rng(208), 0.65, 2000)).checks()) == {"CHSH above 2"}
    perfect, against = OutcomeCounts(500, 0, 0, 500), OutcomeCounts(0, 500, 500, 0)
    assert failed(chsh(perfect, against, perfect, perfect).checks()) == {"CHSH above 2.828"}


def test_a_swap_multiplies_visibilities() -> None:
    out = swapped_visibility(Quantity(0.9, 0.009), Quantity(0.8, 0.0), Quantity(0.95, 0.0))
    assert (out.value, out.sigma) == pytest.approx((0.684, 0.00684))
