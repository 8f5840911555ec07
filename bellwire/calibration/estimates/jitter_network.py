"""Jitter of single detectors from joint jitters of pairs of them, and what such pairs cannot tell.

Owns the three-cornered hat (Gray and Allan, Proc. 28th Annual Symposium on Frequency Control, 243 (1974))
where pairs exist only between two receivers. Refuses histograms: joint variances come in.

A pair of detectors i and j shows v_ij = x_i + y_j: variances of both, each with its tagger and its clock.
Where all pairs are between an x and a y, any c may be added to every x and taken from every y: no pair
notices. The differences within a receiver are found; of the rest only that no variance is below zero, so that
x_i lies between x_i - min(x) and x_i + min(y) of any one solution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.records import Quantity

SIGMAS_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class JitterShares:
    """By detector. `above_mean`: its variance above the mean of its receiver, ps^2, which pairs tell. `fwhm`:
    when both receivers are taken to be alike in the mean; its interval holds whatever split is possible.
    `misfit_z`: worst joint variance against the sum of two, in sigma.
    """

    above_mean: Mapping[str, Quantity]
    fwhm: Mapping[str, Quantity]
    misfit_z: float


def jitter_shares(
    joint: Mapping[tuple[str, str], Quantity], first: Sequence[str], second: Sequence[str]
) -> JitterShares:
    """`joint`: variances in ps^2 by a detector of `first` and one of `second`; not every pair is needed.

    Raises NoEstimate when the pairs do not join all detectors.
    """
    names = [*first, *second]
    place = {name: index for index, name in enumerate(names)}
    n, pairs = len(first), list(joint)
    design = np.zeros((len(pairs), len(names)))
    for row, (one, other) in enumerate(pairs):
        design[row, [place[one], place[other]]] = 1.0
    if np.linalg.matrix_rank(design) < len(names) - 1:
        raise NoEstimate(
            f"{len(pairs)} pairs of detectors have a peak, which do not join all of {', '.join(names)}: more "
            "light, or other settings of the paddles"
        )
    values = np.array([joint[pair].value for pair in pairs])
    sigmas = np.array([joint[pair].sigma for pair in pairs])
    information = (design / sigmas[:, None] ** 2).T @ design
    # Of the solutions, which differ in c, that with the least squares.
    covariance = np.linalg.pinv(information, hermitian=True)
    solved = covariance @ (design / sigmas[:, None] ** 2).T @ values
    means = np.zeros((len(names), len(names)))
    means[:n, :n], means[n:, n:] = 1.0 / n, 1.0 / (len(names) - n)
    within = np.eye(len(names)) - means
    differences, spread = within @ solved, within @ covariance @ within.T
    # The mean of all joint variances, half of it to either receiver.
    halves = np.where(np.arange(len(names)) < n, 1.0 / n, 1.0 / (len(names) - n)) / 2.0
    alike = within + halves[None, :]
    sums = alike @ solved
    errors = np.sqrt(np.diag(alike @ covariance @ alike.T))
    low_first, low_second = float(sums[:n].min()), float(sums[n:].min())
    return JitterShares(
        {
            name: Quantity(float(differences[index]), float(np.sqrt(spread[index, index])), "ps^2")
            for name, index in place.items()
        },
        {
            name: _fwhm(
                float(sums[index]),
                float(errors[index]),
                (low_first, low_second) if index < n else (low_second, low_first),
            )
            for name, index in place.items()
        },
        _worst(design @ solved - values, sigmas),
    )


def _fwhm(variance: float, error: float, room: tuple[float, float]) -> Quantity:
    """`room`: so much less, and so much more, this variance may be when the other receiver has the rest."""
    low = max(variance - max(room[0], 0.0) - SIGMAS_95 * error, 0.0) ** 0.5 * FWHM_PER_SIGMA
    high = max(variance + max(room[1], 0.0) + SIGMAS_95 * error, 0.0) ** 0.5 * FWHM_PER_SIGMA
    value = max(variance, 0.0) ** 0.5 * FWHM_PER_SIGMA
    return Quantity(value, (high - low) / (2.0 * SIGMAS_95), "ps", low, high)


def _worst(residuals: Floats, sigmas: Floats) -> float:
    return float(np.max(np.abs(residuals) / sigmas))
