"""The error rates of a polarisation link as a function of its paddle angles, learned from noisy counts.

Owns the model: a fibre turns polarisation somehow before and after a row of waveplates of nearly known
retardance, so that e_b = (1 - c u_b . M(angles) v_b)/2, M the rotation of the row on the Poincare sphere. In
each angle a this is a polynomial of second order in the sine and cosine of 2a. Given the retardances it is
linear in the nine elements of each c u v^T, which is what makes it quick to learn. Refuses to choose where to
measure (paddle_search.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import leastsq

from bellwire.calibration.estimates.likelihood import Floats
from bellwire.core.errors import LocalMisuse


@dataclass(frozen=True, slots=True)
class Paddles:
    """A row of waveplates, first met first. `retardances`: nominal, in turns (0.25 a quarter-wave plate).

    `low_deg`, `high_deg`: limits of every angle.
    """

    retardances: tuple[float, ...] = (0.25, 0.5, 0.25)
    low_deg: float = 0.0
    high_deg: float = 170.0

    def __post_init__(self) -> None:
        if len(self.retardances) < 3 or not self.high_deg - self.low_deg > 20.0:
            raise LocalMisuse(f"{self}: at least three plates over more than 20 degrees are needed")


def rotations(angles_deg: Floats, retardances: Sequence[float] | Floats) -> Floats:
    """Rotation (n, 3, 3) of (S1, S2, S3) by plates at `angles_deg` (n, plates), retardances in turns.

    A plate turns by its retardance about (cos 2a, sin 2a, 0).
    """
    whole = np.broadcast_to(np.eye(3), (angles_deg.shape[0], 3, 3))
    for index, turns in enumerate(retardances):
        double = 2.0 * np.deg2rad(angles_deg[:, index])
        c, s = np.cos(double), np.sin(double)
        turned = 2.0 * math.pi * float(turns)
        cd, sd = math.cos(turned), math.sin(turned)
        one = np.empty((angles_deg.shape[0], 3, 3))
        one[:, 0, 0], one[:, 0, 1], one[:, 0, 2] = cd + (1 - cd) * c * c, (1 - cd) * c * s, sd * s
        one[:, 1, 0], one[:, 1, 1], one[:, 1, 2] = (1 - cd) * c * s, cd + (1 - cd) * s * s, -sd * c
        one[:, 2, 0], one[:, 2, 1], one[:, 2, 2] = -sd * s, sd * c, cd
        whole = one @ whole
    return np.asarray(whole)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """`retardances` in turns, `links` (2, 3, 3): c u v^T of Z and X. `goodness`: reduced chi square."""

    retardances: tuple[float, ...]
    links: Floats
    goodness: float

    def errors(self, angles_deg: Floats) -> Floats:
        """Expected (e_Z, e_X) at angles (n, plates): (n, 2), 0..1."""
        flat = rotations(angles_deg, self.retardances).reshape(-1, 9)
        return np.asarray(np.clip(0.5 - 0.5 * flat @ self.links.reshape(2, 9).T, 0.0, 1.0))


def learn(
    angles_deg: Floats, wrong: Floats, total: Floats, paddles: Paddles, nearness: Floats | None = None
) -> Learned:
    """The likeliest model of `wrong` of `total` counts (n, 2; columns Z and X) at `angles_deg` (n, plates).

    n of 10 or more. `nearness` (n,): weights of points, below 1 where the model is not trusted to reach.
    Retardances may leave their nominal values by a few per cent.
    """
    shares = (wrong + 0.5) / (total + 1.0)
    roots = np.sqrt((total + 1.0) / (shares * (1.0 - shares)))
    if nearness is not None:
        roots = roots * np.sqrt(nearness)[:, None]
    nominal = np.array(paddles.retardances)

    def linear(retardances: Floats) -> Floats:
        """Best links (2, 3, 3) at given retardances, each of rank one, as fibres make them."""
        flat = rotations(angles_deg, retardances).reshape(-1, 9)
        links = np.empty((2, 3, 3))
        for column in range(2):
            weight = roots[:, column, None]
            # A weak pull towards zero keeps unmeasured elements quiet while points are few.
            rows = np.vstack((0.5 * flat * weight, np.eye(9)))
            goal = np.concatenate(((0.5 - shares[:, column]) * weight[:, 0], np.zeros(9)))
            links[column] = np.linalg.lstsq(rows, goal, rcond=None)[0].reshape(3, 3)
        return links

    def factors(links: Floats) -> Floats:
        parts = []
        for link in links:
            u, s, vt = np.linalg.svd(link)
            parts += [u[:, 0] * math.sqrt(s[0]), vt[0] * math.sqrt(s[0])]
        return np.concatenate(parts)

    def outer(parts: Floats) -> Floats:
        u_z, v_z, u_x, v_x = parts.reshape(4, 3)
        return np.stack((np.outer(u_z, v_z), np.outer(u_x, v_x)))

    def distances(values: Floats) -> Floats:
        """Weighted distances of the counts, of retardances from nominal (2 % expected), and of u and v from
        orthogonal and from unit length."""
        retardances = nominal * (1.0 + 0.02 * values[: nominal.size])
        parts = values[nominal.size :]
        flat = rotations(angles_deg, retardances).reshape(-1, 9)
        away = (0.5 - 0.5 * flat @ outer(parts).reshape(2, 9).T - shares) * roots
        u_z, v_z, u_x, v_x = parts.reshape(4, 3)
        lengths = np.array([u_z @ u_z - v_z @ v_z, u_x @ u_x - v_x @ v_x, u_z @ u_z - 1.0, u_x @ u_x - 1.0])
        angles = np.array([u_z @ u_x, v_z @ v_x])
        return np.concatenate(
            (away.ravel(), values[: nominal.size], lengths * [10.0, 10.0, 20.0, 20.0], angles * 30.0)
        )

    start = np.concatenate((np.zeros(nominal.size), factors(linear(nominal))))
    found = np.asarray(leastsq(distances, start, full_output=True, maxfev=600)[0], dtype=np.float64)
    retardances = tuple(float(r) for r in nominal * (1.0 + 0.02 * found[: nominal.size]))
    links = outer(found[nominal.size :])
    flat = rotations(angles_deg, retardances).reshape(-1, 9)
    away = (0.5 - 0.5 * flat @ links.reshape(2, 9).T - shares) * roots
    degrees = max(away.size - found.size + 6, 1)
    return Learned(retardances, links, float(np.sum(away**2)) / degrees)


def lowest(
    learned: Learned,
    low_deg: float,
    high_deg: float,
    generator: np.random.Generator,
    *,
    candidates: int = 3000,
) -> tuple[Floats, Floats]:
    """Angles (plates,) inside the limits with the least e_Z + e_X, and the two errors there.

    Random candidates over the whole range, then boxes that shrink around the best of them.
    """
    plates = len(learned.retardances)
    places = generator.uniform(low_deg, high_deg, (candidates, plates))
    sums = learned.errors(places).sum(axis=1)
    best = places[np.argsort(sums)[:8]]
    reach = 1.5 * (high_deg - low_deg) / candidates ** (1.0 / plates)
    for _ in range(14):
        around = best[:, None, :] + generator.uniform(-reach, reach, (best.shape[0], 60, plates))
        around[:, 0, :] = best
        around = np.clip(around, low_deg, high_deg)
        values = learned.errors(around.reshape(-1, plates)).sum(axis=1).reshape(best.shape[0], -1)
        best = around[np.arange(best.shape[0]), np.argmin(values, axis=1)]
        reach *= 0.7
    errors = learned.errors(best)
    index = int(np.argmin(errors.sum(axis=1)))
    return best[index], errors[index]
