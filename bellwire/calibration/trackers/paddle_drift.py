"""What a small turn of the paddles would do to the error rates, learned by looking around where they stand.

Owns the pattern of places to look at, and the model that is fitted to what was seen there. With the model of
estimates/paddle_model.py, e_b = (1 - c_b u_b . M(angles) v_b)/2, and a link that was in order at the angles
a0, v_b = M(a0)^T W u_b, where W is what the fibre has turned since. Unknown are W, the frame (u_z, u_x) of
the receiver behind the paddles, and the two c_b: eight numbers, against two counts at each of eleven places.
The frame stays as it is for long, so that it is learned once and then only refined. Refuses turns so large
that the link is no longer near its order: those are for a search over the whole range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
from scipy.optimize import least_squares, minimize
from scipy.spatial.transform import Rotation

from bellwire.calibration.estimates.likelihood import Floats
from bellwire.calibration.estimates.paddle_model import Paddles, rotations
from bellwire.core.errors import LocalMisuse

SIGNS: Final = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
FLOOR_SIGMA: Final = 0.01
"""How well the error rates of a link in order are known before anything was seen."""
FRAME_SIGMA_RAD: Final = 3.0
FRAME_KEPT_SIGMA_RAD: Final = 0.3
TURN_SIGMA_RAD: Final = 0.5
STEPS_MAX: Final = 150
"""Calls of the model from one start; one that needs more has begun in the wrong frame."""

Angles = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts at one place of the paddles."""

    angles_deg: Angles
    wrong_z: int
    total_z: int
    wrong_x: int
    total_x: int

    def __post_init__(self) -> None:
        for wrong, total in ((self.wrong_z, self.total_z), (self.wrong_x, self.total_x)):
            if not 0 <= wrong <= total or total == 0:
                raise LocalMisuse(f"{wrong} wrong of {total}: wrong must lie in 0..total, total above 0")

    @property
    def errors(self) -> tuple[float, float]:
        """Shares of wrong pairs in Z and X."""
        return self.wrong_z / self.total_z, self.wrong_x / self.total_x

    @property
    def sigmas(self) -> tuple[float, float]:
        """Of both, of half a pair more, never zero."""
        return (self.wrong_z + 0.5) ** 0.5 / self.total_z, (self.wrong_x + 0.5) ** 0.5 / self.total_x


@dataclass(frozen=True, slots=True, eq=False)
class LocalModel:
    """Error rates around `at_deg`. `frame` (2, 3): rows u_z and u_x. `turn_rad` (3,): W as a vector.

    `floors`: error rates where nothing is turned. `goodness`: reduced chi square.
    """

    at_deg: Angles
    retardances: tuple[float, ...]
    frame: Floats
    turn_rad: Floats
    floors: tuple[float, float]
    goodness: float

    def errors(self, angles_deg: Floats) -> Floats:
        """(e_Z, e_X) expected at angles (n, plates): (n, 2)."""
        return _errors(angles_deg, self.at_deg, self.retardances, self.frame, self.turn_rad, self.floors)


def places_around(now_deg: Sequence[float], dither_deg: float, paddles: Paddles) -> tuple[Angles, ...]:
    """Where to look, within the range: as they stand, each one turned to both sides, and four corners."""
    now = np.array(now_deg, dtype=np.float64)
    steps = [np.zeros(now.size)]
    for index in range(now.size):
        for sign in (1.0, -1.0):
            step = np.zeros(now.size)
            step[index] = sign * dither_deg
            steps.append(step)
    for corner in SIGNS:
        step = np.zeros(now.size)
        step[: len(corner)] = dither_deg * np.array(corner)
        steps.append(step)
    clipped = np.clip(now + np.array(steps), paddles.low_deg, paddles.high_deg)
    return tuple(tuple(round(float(angle), 2) for angle in place) for place in clipped)


def fit_around(
    seen: Sequence[Seen],
    paddles: Paddles,
    floors: tuple[float, float],
    before: LocalModel | None = None,
) -> LocalModel:
    """The likeliest model of what was seen; the first place is where the paddles stand.

    `floors`: error rates of the link in order. `before`: the last model, whose frame is still believed.
    """
    if len(seen) < 7:
        raise LocalMisuse(f"{len(seen)} places tell too little, at least 7 are needed")
    at_deg = seen[0].angles_deg
    angles = np.array([one.angles_deg for one in seen])
    shares = np.array([one.errors for one in seen])
    sigmas = np.array([one.sigmas for one in seen])
    sigma_frame = FRAME_SIGMA_RAD if before is None else FRAME_KEPT_SIGMA_RAD

    def unpacked(values: Floats, frame: Floats) -> tuple[Floats, Floats, tuple[float, float]]:
        turned = Rotation.from_rotvec(values[:3]).apply(frame)
        return np.asarray(turned), values[3:6], (float(values[6]), float(values[7]))

    def away(values: Floats, frame: Floats) -> Floats:
        found = _errors(angles, at_deg, paddles.retardances, *unpacked(values, frame))
        return np.concatenate(
            (
                ((found - shares) / sigmas).ravel(),
                values[:3] / sigma_frame,
                values[3:6] / TURN_SIGMA_RAD,
                (values[6:] - np.array(floors)) / FLOOR_SIGMA,
            )
        )

    best: tuple[float, Floats, Floats] | None = None
    for frame in _frames() if before is None else [before.frame]:
        start = np.concatenate((np.full(6, 0.02), floors))
        found = least_squares(away, start, args=(frame,), method="lm", max_nfev=STEPS_MAX)
        if best is None or found.cost < best[0]:
            best = (float(found.cost), np.asarray(found.x), frame)
    assert best is not None
    cost, values, frame = best
    turned, turn_rad, levels = unpacked(values, frame)
    goodness = 2.0 * cost / max(2 * len(seen) - 8, 1)
    return LocalModel(at_deg, paddles.retardances, turned, turn_rad, levels, goodness)


def lowest_near(model: LocalModel, paddles: Paddles, step_max_deg: float, margin: float) -> Angles:
    """Angles with the least e_Z + e_X, no paddle further than `step_max_deg` from where it stands, nor within
    the share `margin` of the ends of its range.
    """
    now = np.array(model.at_deg)
    span = paddles.high_deg - paddles.low_deg
    low = np.maximum(now - step_max_deg, paddles.low_deg + margin * span)
    high = np.minimum(now + step_max_deg, paddles.high_deg - margin * span)
    high = np.maximum(high, low)  # a paddle that stands too near an end goes to its margin
    start = np.clip(now, low, high)

    def total(angles: Floats) -> float:
        return float(model.errors(angles[None, :]).sum())

    spread = 0.5 * np.minimum(step_max_deg, (high - low) / 2)
    tries = [start, *(np.clip(start + spread * np.array(one[: now.size]), low, high) for one in SIGNS)]
    found = [
        minimize(total, one, method="L-BFGS-B", bounds=list(zip(low, high, strict=True))) for one in tries
    ]
    best = min(found, key=lambda one: float(one.fun))
    return tuple(round(float(angle), 2) for angle in best.x)


def _errors(
    angles_deg: Floats,
    at_deg: Angles,
    retardances: Sequence[float],
    frame: Floats,
    turn_rad: Floats,
    floors: tuple[float, float],
) -> Floats:
    here = rotations(np.array([at_deg]), retardances)[0]
    since = rotations(angles_deg, retardances) @ here.T  # (n, 3, 3): M(a) M(a0)^T
    turned = np.asarray(Rotation.from_rotvec(turn_rad).apply(frame))  # W u_b
    likeness = np.einsum("bi,nij,bj->nb", frame, since, turned)
    contrast = 1.0 - 2.0 * np.array(floors)
    return np.asarray(0.5 - 0.5 * contrast * likeness)


def _frames() -> list[Floats]:
    """Frames to begin with: axes in every order, as they are and turned half-way (signs do not matter)."""
    axes = np.eye(3)
    half = np.asarray(Rotation.from_rotvec(np.array([0.4, 0.5, 0.3])).as_matrix())
    orders = [axes[list(order)][:2] for order in permutations(range(3))]
    return [*orders, *(order @ half for order in orders)]
