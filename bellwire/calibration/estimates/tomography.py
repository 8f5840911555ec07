"""Two-qubit state tomography: the likeliest physical density matrix, fidelity and concurrence with errors.

Owns procedure 9's tomography from 16 or 36 projections (James et al., Phys. Rev. A 64, 052312 (2001)), the
likelihood's maximum over all physical states, and its bootstrap. Refuses outcomes that are not counts.

The states of the settings: "z+", "z-" = |0>, |1>; "x+", "x-" and "y+", "y-" = the eigenstates of X and Y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import xlogy

from bellwire.calibration.estimates.curves import counted
from bellwire.calibration.estimates.likelihood import Floats, Goodness, NoEstimate
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

Matrices = NDArray[np.complex128]

_ROOT_HALF: Final = 2.0**-0.5
KETS: Final[dict[str, Matrices]] = {
    "z+": np.array([1.0, 0.0], dtype=np.complex128),
    "z-": np.array([0.0, 1.0], dtype=np.complex128),
    "x+": np.array([_ROOT_HALF, _ROOT_HALF], dtype=np.complex128),
    "x-": np.array([_ROOT_HALF, -_ROOT_HALF], dtype=np.complex128),
    "y+": np.array([_ROOT_HALF, 1j * _ROOT_HALF], dtype=np.complex128),
    "y-": np.array([_ROOT_HALF, -1j * _ROOT_HALF], dtype=np.complex128),
}
SETTINGS_36: Final = tuple((one, other) for one in KETS for other in KETS)
"""All pairs: over-complete, and even in all directions."""
SETTINGS_16: Final = tuple(
    (one, other) for one in ("z+", "z-", "x+", "y+") for other in ("z+", "z-", "x+", "y+")
)
"""The fewest that determine a state of two qubits."""
BELL_KETS: Final = (
    np.array([1, 0, 0, 1], dtype=np.complex128) * _ROOT_HALF,
    np.array([1, 0, 0, -1], dtype=np.complex128) * _ROOT_HALF,
    np.array([0, 1, 1, 0], dtype=np.complex128) * _ROOT_HALF,
    np.array([0, 1, -1, 0], dtype=np.complex128) * _ROOT_HALF,
)
"""Phi+, Phi-, Psi+, Psi-, the order of bell.py."""


@dataclass(frozen=True, slots=True, eq=False)
class Tomography:
    """`state` (4, 4), basis |00>, |01>, |10>, |11>. `fidelity` to the Bell state asked for."""

    state: Matrices
    fidelity: Quantity
    concurrence: Quantity
    purity: Quantity
    counts: Floats
    expected: Floats
    goodness: Goodness

    def checks(self, *, fidelity_min: float = 0.5, bound: Quantity | None = None) -> tuple[Check, ...]:
        """Entangled; settings that fit one state; agreement with the bound of two bases (procedure 9)."""
        checks = [
            Check("lower end of the fidelity", self.fidelity.interval[0], fidelity_min),
            Check("lower end of the concurrence", self.concurrence.interval[0], 1e-9),
        ]
        if self.goodness.degrees > 0:
            checks.append(self.goodness.check(None, 2.5))
        if bound is not None:
            sigma = float(np.hypot(bound.sigma, self.fidelity.sigma))
            distance = (self.fidelity.value - bound.value) / sigma
            checks.append(Check("fidelity over the bound of two bases", distance, -3.0, None, "sigma"))
        return tuple(checks)


def projectors(settings: Sequence[tuple[str, str]]) -> Matrices:
    """|ab><ab| of each setting, (n, 4, 4)."""
    unknown = {name for pair in settings for name in pair} - set(KETS)
    if unknown:
        raise LocalMisuse(f"unknown states {sorted(unknown)}; known are {sorted(KETS)}")
    kets = np.stack([np.kron(KETS[one], KETS[other]) for one, other in settings])
    return np.asarray(np.einsum("ni,nj->nij", kets, kets.conj()))


def tomography(
    counts: object,
    settings: Sequence[tuple[str, str]],
    *,
    bell_index: int,
    generator: np.random.Generator,
    bootstraps: int = 200,
    exposures: object | None = None,
) -> Tomography:
    """The likeliest state behind `counts` (n,) of `settings`, and the scatter of `bootstraps` repetitions.

    `exposures` (n,): relative dwell x rate of each setting; absent: all alike. Intervals come from the errors
    that repetitions make, which takes off the bias that physical states bring near pure ones. That of the
    fidelity also holds the one of linear inversion; concurrence and purity reach down to what such a fidelity
    at least means, 2F - 1 and F^2 + (1 - F)^2/3: with 16 settings of a few hundred counts both are estimated
    too high, and repetitions do not show all of that. The interval of the purity then still covers only 89 %
    (Werner states, 200 to 1500 counts per setting): prefer 36 settings where it matters.

    Raises NoEstimate when the settings do not determine a state or when nothing was counted.
    """
    measured = counted(counts, "counts", minimum=len(settings))
    if measured.size != len(settings) or not 0 <= bell_index <= 3:
        raise LocalMisuse(f"{measured.size} counts for {len(settings)} settings, Bell index {bell_index}")
    effects = projectors(settings)
    if exposures is not None:
        exposure = counted(exposures, "exposures", like=measured)
        effects = effects * (exposure / exposure.mean())[:, None, None]
    if np.linalg.matrix_rank(effects.reshape(len(settings), 16), tol=1e-9) < 16:
        raise NoEstimate("the settings do not determine a two-qubit state: measure all of the 16 or 36")
    if measured.sum() <= 0.0:
        raise NoEstimate("nothing was counted at any setting")
    likely = likeliest_states(measured[None, :], effects)
    state = _polish(measured, effects, likely[0])
    expected = _means(effects, state, measured)
    centre = _centre(state, effects, measured, generator)
    draws = generator.poisson(_means(effects, centre, measured), (bootstraps, measured.size))
    again = likeliest_states(draws.astype(np.float64), effects, start=centre)
    deviance = 2.0 * float(np.sum(xlogy(measured, measured / expected) - measured + expected))
    degrees = measured.size - 16
    ket = BELL_KETS[bell_index]

    def overlap(states: Matrices) -> Floats:
        return np.real(np.einsum("i,bij,j->b", ket.conj(), states, ket))

    fidelity = _widened(
        _from_bootstrap(overlap, state, centre, again), *_by_inversion(measured, effects, ket).interval
    )
    least = fidelity.interval[0]
    return Tomography(
        state,
        fidelity,
        _widened(_from_bootstrap(concurrences, state, centre, again), 2.0 * least - 1.0),
        _widened(
            _from_bootstrap(_purities, state, centre, again), max(0.25, least**2 + (1.0 - least) ** 2 / 3.0)
        ),
        measured,
        expected,
        Goodness(deviance / degrees if degrees > 0 else float("nan"), degrees),
    )


def _purities(states: Matrices) -> Floats:
    return np.real(np.einsum("bij,bji->b", states, states))


def concurrences(states: Matrices) -> Floats:
    """Wootters' concurrence of each state (b, 4, 4), 0..1 (Phys. Rev. Lett. 80, 2245 (1998))."""
    flip = np.fliplr(np.diag([-1.0, 1.0, 1.0, -1.0])).astype(np.complex128)
    squares = np.linalg.eigvals(states @ flip @ states.conj() @ flip)
    roots = np.sort(np.sqrt(np.maximum(np.real(squares), 0.0)), axis=-1)
    return np.asarray(np.maximum(0.0, roots[:, 3] - roots[:, 2] - roots[:, 1] - roots[:, 0]))


def likeliest_states(
    counts: Floats, effects: Matrices, *, start: Matrices | None = None, tolerance: float = 1e-5
) -> Matrices:
    """States (b, 4, 4) of greatest likelihood for counts (b, n), all together, by the R rho R iteration.

    In coordinates where the effects sum to one (Hradil et al., in Quantum State Estimation (2004), ch. 3).
    Stops when no element of any state moves by more than `tolerance` in ten steps, or after 2000 steps.
    """
    values, vectors = np.linalg.eigh(effects.sum(axis=0))
    root = (vectors * np.sqrt(values)) @ vectors.conj().T
    inverse = (vectors / np.sqrt(values)) @ vectors.conj().T
    rows = (inverse @ effects @ inverse).reshape(-1, 16)
    columns = rows.conj().T  # tr(E rho) = sum conj(E_ij) rho_ij for Hermitian E
    shares = counts / counts.sum(axis=1, keepdims=True)
    first = np.eye(4, dtype=np.complex128) / 4.0 if start is None else 0.98 * start + 0.02 * np.eye(4) / 4.0
    states = np.broadcast_to(root @ first @ root, (counts.shape[0], 4, 4)).copy()
    states /= np.trace(states, axis1=1, axis2=2)[:, None, None]
    before = states
    for step in range(2000):
        chances = np.real(states.reshape(-1, 16) @ columns)
        ratios = shares / np.maximum(chances, 1e-15)
        pull = (ratios @ rows).reshape(-1, 4, 4)
        states = pull @ states @ pull
        states /= np.trace(states, axis1=1, axis2=2)[:, None, None]
        if step % 10 == 9:
            if np.max(np.abs(states - before)) < tolerance:
                break
            before = states
    found = inverse @ states @ inverse
    found = (found + found.conj().transpose(0, 2, 1)) / 2.0
    return np.asarray(found / np.trace(found, axis1=1, axis2=2).real[:, None, None])


def _polish(counts: Floats, effects: Matrices, state: Matrices) -> Matrices:
    """To the maximum itself: rho = T T^dagger / tr, the flux free, by quasi-Newton steps."""
    values, vectors = np.linalg.eigh(0.999 * state + 0.001 * np.eye(4) / 4.0)
    size = np.trace(effects.sum(axis=0) @ state).real
    factor = (vectors * np.sqrt(np.maximum(values, 0.0))) * np.sqrt(counts.sum() / size)
    total = effects.sum(axis=0)
    rows = effects.reshape(-1, 16)

    def cost(parts: Floats) -> tuple[float, Floats]:
        t = (parts[:16] + 1j * parts[16:]).reshape(4, 4)
        rho = t @ t.conj().T
        means = np.maximum(np.real(rows.conj() @ rho.reshape(16)), 1e-12)
        value = float(np.sum(means - xlogy(counts, means)))
        slope = 2.0 * (total - ((counts / means) @ rows).reshape(4, 4)) @ t
        flat = slope.reshape(16)
        return value / counts.sum(), np.concatenate((flat.real, flat.imag)) / counts.sum()

    scale = np.sqrt(counts.sum())
    start = np.concatenate((factor.reshape(16).real, factor.reshape(16).imag)) / scale

    def scaled(parts: Floats) -> tuple[float, Floats]:
        value, slope = cost(parts * scale)
        return value, slope * scale

    found = minimize(
        scaled, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-8}
    )
    t = (found.x[:16] + 1j * found.x[16:]).reshape(4, 4)
    rho = t @ t.conj().T
    return np.asarray(rho / np.trace(rho).real)


def _means(effects: Matrices, state: Matrices, counts: Floats) -> Floats:
    """Expected counts of each setting, as many in all as were counted."""
    chances = np.maximum(np.real(np.einsum("nij,ji->n", effects, state)), 1e-12)
    return np.asarray(chances * counts.sum() / chances.sum())


def _centre(state: Matrices, effects: Matrices, counts: Floats, generator: np.random.Generator) -> Matrices:
    """The state to repeat the measurement with: the estimate, mixed until its estimates are as pure as it is.

    Noise spreads the eigenvalues of an estimate, so that it is purer than the truth; repetitions of the
    estimate itself would hide that. The share of white noise is found by bisection on repetitions that share
    their chance.
    """
    seed = int(generator.integers(2**63))
    goal = float(_purities(state[None])[0])
    low, high = 0.0, 0.5
    for _ in range(7):
        share = (low + high) / 2.0
        mixed = (1.0 - share) * state + share * np.eye(4) / 4.0
        draws = np.random.default_rng(seed).poisson(_means(effects, mixed, counts), (60, counts.size))
        found = likeliest_states(draws.astype(np.float64), effects, start=mixed, tolerance=1e-4)
        if float(np.mean(_purities(found))) > goal:
            low = share
        else:
            high = share
    share = (low + high) / 2.0
    return np.asarray((1.0 - share) * state + share * np.eye(4) / 4.0)


def _by_inversion(counts: Floats, effects: Matrices, ket: Matrices) -> Quantity:
    """Fidelity by linear inversion: unbiased, and its error is that of sums of counts, whatever the state."""
    rows = effects.reshape(-1, 16).conj()
    # All settings weigh alike: weights taken from the counts themselves would bring a bias.
    inverse = np.linalg.pinv(rows)  # (16, n): flux x rho from counts
    overlaps = np.real(np.outer(ket, ket.conj()).reshape(16).conj() @ inverse)
    traces = np.real(np.eye(4).reshape(16) @ inverse)
    flux = float(traces @ counts)
    value = float(overlaps @ counts) / flux
    sigma = float(np.sqrt(np.sum(counts * (overlaps - value * traces) ** 2))) / flux
    return Quantity(value, sigma)


def _widened(quantity: Quantity, *places: float) -> Quantity:
    """The same, its interval stretched to hold `places` inside 0..1."""
    low, high = quantity.interval
    return Quantity(
        quantity.value, quantity.sigma, "", max(0.0, min((low, *places))), min(1.0, max((high, *places)))
    )


def _from_bootstrap(
    figure: Callable[[Matrices], Floats], state: Matrices, centre: Matrices, again: Matrices
) -> Quantity:
    """The figure of the estimate, and where the truth lies by the errors that repetitions make."""
    value, truth = float(figure(state[None])[0]), float(figure(centre[None])[0])
    scatter = figure(again)
    low, high = np.quantile(scatter, [0.025, 0.975])
    return Quantity(
        value,
        float(scatter.std(ddof=1)),
        "",
        max(0.0, min(value, value + truth - float(high))),
        min(1.0, max(value, value + truth - float(low))),
    )
