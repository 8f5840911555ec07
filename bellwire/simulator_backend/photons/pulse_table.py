"""Which detectors click in one pulse of down-conversion sources: every pattern with its exact probability.

Owns the closed form for Gaussian light. Refuses single photons of memories (emitter_sampler.py), continuous
light (poisson) and detectors' dead time: ends here only fire or stay silent.

A source makes exp(a+ T b+)|0> up to norm. That a set S of ends stays silent is the expectation of
:exp(-a+ W_S a): with W_S the click operators of S, and the pattern probabilities follow by inclusion and
exclusion. For one spectral mode

    G(S) = sqrt( det(1 - B+B) / det(1 - B+ Q B Q^T) ),   Q = 1 - W_S,   B = [[0, T], [T^T, 0]] per source;

K equal spectral modes raise it to the power K. It holds for every number of photons, with loss,
polarisation and two-photon interference (literature: threshold detection of Gaussian states; at one arm each
it is the known (1 + eta lambda)^-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.arms import Arm, cross_operator
from bellwire.simulator_backend.photons.jones import PAULIS, Jones

Floats: TypeAlias = NDArray[np.float64]

ENDS_MAX: Final = 10
"""Ends of sources that meet: a table has 2^n patterns."""


class PulsedPairs(NamedTuple):
    """One source in a pulse. pairs: mean number. amplitudes: psi[i, j] of signal and idler, norm one.
    error_weights: chances of I, Z, X, Y on the signal of a whole pulse."""

    pairs: float
    amplitudes: Jones
    error_weights: tuple[float, float, float, float]
    arms: tuple[Arm, Arm]


def squeezing(pairs: float, amplitudes: Jones) -> Jones:
    """T of one spectral mode with that mean number of pairs."""
    left, singular, right = np.linalg.svd(amplitudes)
    lam = pairs * singular**2
    return np.asarray(left @ np.diag(np.sqrt(lam / (1.0 + lam))) @ right, dtype=np.complex128)


def pattern_probabilities(
    sources: Sequence[PulsedPairs], ends: Sequence[str], overlaps: Floats, schmidt_number: float
) -> Floats:
    """Probability of every pattern, shape (2^len(ends),); bit k of the index says that ends[k] fires.

    overlaps: |<x|y>|^2 of the photons of all arms in order (source 0 signal, idler, source 1 ...), ones on
    the diagonal.

    Raises:
        ConfigError: more ends than a table can hold.
    """
    if len(ends) > ENDS_MAX:
        raise ConfigError(
            f"{len(ends)} detectors see light that meets; the limit is {ENDS_MAX}: split the bench"
        )
    silent = np.zeros(1 << len(ends))
    for errors in product(*(_errors(source) for source in sources)):
        weight = float(np.prod([share for share, _ in errors]))
        turned = [source.amplitudes for source in sources]
        turned = [np.asarray(pauli @ psi) for (_, pauli), psi in zip(errors, turned, strict=True)]
        silent += weight * _silent(sources, turned, ends, overlaps, schmidt_number)
    return fired_from_silent(silent, len(ends))


def _errors(source: PulsedPairs) -> list[tuple[float, Jones]]:
    return [(w, pauli) for w, pauli in zip(source.error_weights, PAULIS, strict=True) if w > 0.0]


def _silent(
    sources: Sequence[PulsedPairs],
    amplitudes: Sequence[Jones],
    ends: Sequence[str],
    overlaps: Floats,
    schmidt_number: float,
) -> Floats:
    size = 4 * len(sources)
    b = np.zeros((size, size), dtype=np.complex128)
    for number, (source, psi) in enumerate(zip(sources, amplitudes, strict=True)):
        t = squeezing(source.pairs / schmidt_number, psi)
        signal, idler = slice(4 * number, 4 * number + 2), slice(4 * number + 2, 4 * number + 4)
        b[signal, idler] = t
        b[idler, signal] = t.T
    arms = [arm for source in sources for arm in source.arms]
    q = np.eye(size) - _click_operators(arms, ends, overlaps)
    inner = b.conj().T @ q @ b @ np.swapaxes(q, -1, -2)
    seen = np.linalg.det(np.eye(size) - inner).real
    norm = np.linalg.det(np.eye(size) - b.conj().T @ b).real
    return np.asarray((norm / seen) ** (schmidt_number / 2.0), dtype=np.float64)


def _click_operators(arms: Sequence[Arm], ends: Sequence[str], overlaps: Floats) -> NDArray[np.complex128]:
    """W of every set of ends, shape (2^len(ends), 2 arms, 2 arms)."""
    size = 2 * len(arms)
    single = np.zeros((len(ends), size, size), dtype=np.complex128)
    for k, end in enumerate(ends):
        for x, one in enumerate(arms):
            single[k, 2 * x : 2 * x + 2, 2 * x : 2 * x + 2] = one.click_operator(end)
            for y, other in enumerate(arms):
                if x != y and overlaps[x, y] > 0.0:
                    block = np.sqrt(overlaps[x, y]) * cross_operator(one, other, end)
                    single[k, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2] = block
    # By doubling: no matrix product, for which numpy would wake the threads of its BLAS.
    operators = np.zeros((1 << len(ends), size, size), dtype=np.complex128)
    for k in range(len(ends)):
        operators[1 << k : 2 << k] = operators[: 1 << k] + single[k]
    return operators


def fired_from_silent(silent: Floats, ends: int) -> Floats:
    """Probability that exactly a set fires, from that of each set to be silent (others: whatever).

    Rounding leaves patterns of about 1e-16 uncertain, which are cut at zero.
    """
    # exactly F fires = sum over subsets R of F of (-1)^|R| G(complement of F, and R)
    fired = silent[::-1].copy()  # index F now holds G(complement of F)
    for k in range(ends):
        split = fired.reshape(-1, 2, 1 << k)
        split[:, 1] -= split[:, 0]
    fired = np.clip(fired, 0.0, None)
    return np.asarray(fired / fired.sum(), dtype=np.float64)
