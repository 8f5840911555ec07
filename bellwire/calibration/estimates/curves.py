"""Shapes that several estimators fit, averaged over bins where they are sharp, and the curve for a plot.

Owns formulas without parameters of their own. Refuses fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from bellwire.calibration.estimates.likelihood import Floats
from bellwire.core.errors import LocalMisuse

FWHM_PER_SIGMA: Final = 2.3548200450309493
SINC2_HALF: Final = 1.3915573782515098
"""sin(x)^2/x^2 is one half here."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What to draw: measured points with their errors, and the fitted curve on a finer grid."""

    x: Floats
    measured: Floats
    errors: Floats
    fine_x: Floats
    fitted: Floats
    x_label: str
    y_label: str


def floats(values: object, name: str, *, like: Floats | None = None, minimum: int = 1) -> Floats:
    """A one-dimensional array of finite floats. Raises LocalMisuse for anything else."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < minimum:
        raise LocalMisuse(f"{name} has shape {array.shape}: one dimension of at least {minimum} is needed")
    if not np.all(np.isfinite(array)):
        raise LocalMisuse(f"{name} holds a value that is not finite")
    if like is not None and array.size != like.size:
        raise LocalMisuse(f"{name} has {array.size} values, {like.size} belong to it")
    return array


def counted(values: object, name: str, *, like: Floats | None = None, minimum: int = 1) -> Floats:
    """As `floats`, none negative."""
    array = floats(values, name, like=like, minimum=minimum)
    if np.any(array < 0.0):
        raise LocalMisuse(f"{name} holds a negative count")
    return array


def bin_edges(edges: object, counts: Floats) -> Floats:
    """Edges (n_counts + 1,), rising. Raises LocalMisuse otherwise."""
    array = floats(edges, "edges")
    if array.size != counts.size + 1 or np.any(np.diff(array) <= 0.0):
        raise LocalMisuse(f"{array.size} edges for {counts.size} bins: one more is needed, rising")
    return array


def sinc2(x: Floats) -> Floats:
    """sin(x)^2/x^2."""
    return np.asarray(np.sinc(x / np.pi) ** 2)


def gaussian_bins(edges: Floats, centre: float, sigma: float) -> Floats:
    """Share of a Gaussian that falls into each bin (n_edges - 1,)."""
    return np.asarray(np.diff(ndtr((edges - centre) / sigma)))


def peaked_bins(edges: Floats, centre: float, sigma: float, kurtosis: float) -> Floats:
    """The same of a peak with an excess kurtosis: the first term that a mixture of unlike Gaussians with one
    centre adds (Gram and Charlier), which leaves area, centre and variance."""
    z = (edges - centre) / sigma
    density = np.exp(-0.5 * np.minimum(z * z, 1400.0)) / np.sqrt(2.0 * np.pi)
    return np.asarray(np.diff(ndtr(z) - kurtosis / 24.0 * (z**3 - 3.0 * z) * density))


def rising_edge_bins(edges: Floats, at: float, sigma: float) -> Floats:
    """Average over each bin of a step from 0 to 1 at `at`, smeared by a Gaussian of `sigma`."""
    z = (edges - at) / sigma
    integral = sigma * (z * ndtr(z) + np.exp(-0.5 * np.minimum(z * z, 1400.0)) / np.sqrt(2.0 * np.pi))
    return np.asarray(np.diff(integral) / np.diff(edges))
