"""State tomography with receivers that choose between Z and X by chance and reach Y by a quarter-wave plate.

Owns which states four detectors project on at each position of the plate, the weights of the detectors, and
the way to the 36 settings of tomography.py. Refuses plates: which knob turns how is the procedure's.

A quarter-wave plate whose fast axis lies along H or V belongs to the turn that paddles undo: behind it h and
v project on Z, d and a on X. Turned by 45 degrees either way it takes Z to X and X to Y: then h and v project
on X, d and a on Y, X with one sign for each way. So five positions of two plates hold all 36 settings, and X
is seen by either pair of detectors with either sign, which tells polarisation from efficiency.

Which axis is the fast one and which way a plate turns, seen along the light, is not known of a lab. Of the
eight ways (a sign of X for each receiver, one for Y of both; Y of both together is the state mirrored, with
the same fidelity to a Bell state, concurrence and purity) the one is taken that some state fits best.
A wrong sign makes of an entangled state no state at all. Of a state that is not entangled several ways may
fit, and none of them makes it one that is: its fidelity to a Bell state is not above 1/2 in any.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import xlogy

from bellwire.calibration.estimates.curves import counted
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.estimates.tomography import (
    SETTINGS_36,
    Matrices,
    Tomography,
    likeliest_states,
    projectors,
    tomography,
)
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

LABELS: Final = ("h", "v", "d", "a")
POSITIONS: Final = ((0, 0), (0, 1), (1, 0), (1, 1), (-1, -1))
"""Turns of both plates, by 45 degrees each: every pair of bases, and X with both signs."""
LEAD_MIN: Final = 16.0
"""How much better than the next a way of turning must fit, as deviance: 4 standard deviations."""
ROUNDS_TO_RANK: Final = 4
"""So many rounds tell a wrong way of turning from the right one; only that is followed to the end."""
ROUNDS_MAX: Final = 40
CHANGE_MAX: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Senses:
    """Signs, 1 or -1. `x`: of X at h and v after a turn by +45 degrees, by receiver; `y`: of Y at d and a of
    the second receiver, that of the first being 1."""

    x: tuple[int, int] = (1, 1)
    y: int = 1

    def states(self, receiver: int, turn: int) -> tuple[str, str, str, str]:
        """What h, v, d and a project on, as tomography.py calls it. `turn`: -1, 0 or 1 times 45 degrees."""
        if turn == 0:
            return ("z+", "z-", "x+", "x-")
        x = "+-" if self.x[receiver] * turn > 0 else "-+"
        y = "-+" if receiver == 1 and self.y < 0 else "+-"
        return (f"x{x[0]}", f"x{x[1]}", f"y{y[0]}", f"y{y[1]}")


SENSES: Final = tuple(Senses((one, other), y) for one, other, y in itertools.product((1, -1), repeat=3))


@dataclass(frozen=True, slots=True, eq=False)
class TurnedTomography:
    """`found`: from the counts of the 36 settings. `weights` (2, 4): of the detectors of both receivers, in
    the order of `LABELS`, mean 1. `lead`: deviance by which the next way of turning fits worse.
    """

    found: Tomography
    senses: Senses
    weights: Floats
    lead: float

    def checks(self, *, fidelity_min: float = 0.5, bound: Quantity | None = None) -> tuple[Check, ...]:
        """As of the tomography; and the way in which the plates turn is beyond doubt."""
        return (
            *self.found.checks(fidelity_min=fidelity_min, bound=bound),
            Check("lead of the way the plates turn", self.lead, LEAD_MIN),
        )


def turned_tomography(
    counts: object,
    positions: Sequence[tuple[int, int]],
    *,
    bell_index: int,
    generator: np.random.Generator,
    bootstraps: int = 200,
) -> TurnedTomography:
    """From `counts` (positions, 4, 4) of the first receiver's detectors by the second's, in `LABELS`.

    Weights of the detectors and the light at each position are found with the state, each from all counts:
    they move the correlations in second order only, so that their errors are not part of the intervals. That
    holds of states whose bases paddles have brought together; far from it (a fidelity below 1/2 to every Bell
    state) weights and marginals are told apart slowly, and may not be within `ROUNDS_MAX`.
    Raises NoEstimate when nothing was counted by some detector or at some position.
    """
    n = len(positions)
    cells = counted(np.ravel(np.asarray(counts)), "counts").reshape(-1, 4, 4)
    if cells.shape[0] != n or any(turn not in (-1, 0, 1) for pair in positions for turn in pair):
        raise LocalMisuse(f"{cells.shape[0]} tables of counts for the positions {tuple(positions)}")
    for axes in ((1, 2), (0, 2), (0, 1)):
        if np.any(cells.sum(axis=axes) == 0.0):
            raise NoEstimate("a detector, or a position of the plates, counted no pairs at all")
    deviances = {senses: _fitted(cells, positions, senses, ROUNDS_TO_RANK).deviance for senses in SENSES}
    likeliest, second = sorted(SENSES, key=lambda senses: deviances[senses])[:2]
    best = _fitted(cells, positions, likeliest, ROUNDS_MAX)
    pooled, exposures = _pooled(cells, best.exposures, positions, likeliest)
    found = tomography(
        pooled,
        SETTINGS_36,
        bell_index=bell_index,
        generator=generator,
        bootstraps=bootstraps,
        exposures=exposures,
    )
    return TurnedTomography(found, likeliest, best.weights, deviances[second] - deviances[likeliest])


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """`exposures` (positions, 4, 4): pairs that a setting of chance 1 would have counted."""

    weights: Floats
    exposures: Floats
    deviance: float


def _fitted(cells: Floats, positions: Sequence[tuple[int, int]], senses: Senses, rounds: int) -> _Fit:
    """State, weights and light by turns, each the likeliest for the others."""
    effects = projectors(_settings(positions, senses))
    chances = np.full(cells.shape, 0.25)
    light = cells.sum(axis=(1, 2))
    weights = np.ones((2, 4))
    exposures = _exposures(light, weights)
    state: Matrices | None = None
    for _ in range(rounds):
        before = weights
        weights, light = _scaled(cells, chances, weights, light)
        exposures = _exposures(light, weights)
        scaled = effects * exposures.reshape(-1, 1, 1)
        likely = likeliest_states(cells.reshape(1, -1), scaled, start=state, tolerance=1e-6)[0]
        state = likely
        chances = np.real(np.einsum("nij,ji->n", effects, likely)).clip(1e-12).reshape(cells.shape)
        if float(np.max(np.abs(weights - before))) < CHANGE_MAX:
            break
    means = exposures * chances
    deviance = 2.0 * float(np.sum(xlogy(cells, cells / means) - cells + means))
    return _Fit(weights, exposures, deviance)


def _exposures(light: Floats, weights: Floats) -> Floats:
    return np.asarray(light[:, None, None] * weights[0][None, :, None] * weights[1][None, None, :])


def _scaled(cells: Floats, chances: Floats, weights: Floats, light: Floats) -> tuple[Floats, Floats]:
    """The likeliest light and weights for a state: each sum of counts as expected, as in a fit of margins."""
    first, second = weights
    for _ in range(20):
        light = cells.sum(axis=(1, 2)) / np.einsum("cij,i,j->c", chances, first, second)
        first = cells.sum(axis=(0, 2)) / np.einsum("cij,c,j->i", chances, light, second)
        first = first / first.mean()
        light = cells.sum(axis=(1, 2)) / np.einsum("cij,i,j->c", chances, first, second)
        second = cells.sum(axis=(0, 1)) / np.einsum("cij,c,i->j", chances, light, first)
        second = second / second.mean()
    light = cells.sum(axis=(1, 2)) / np.einsum("cij,i,j->c", chances, first, second)
    return np.stack((first, second)), light


def _settings(positions: Sequence[tuple[int, int]], senses: Senses) -> list[tuple[str, str]]:
    """Of every cell, position by position."""
    return [
        (one, other)
        for turns in positions
        for one, other in itertools.product(senses.states(0, turns[0]), senses.states(1, turns[1]))
    ]


def _pooled(
    cells: Floats, exposures: Floats, positions: Sequence[tuple[int, int]], senses: Senses
) -> tuple[Floats, Floats]:
    """Counts and exposures of the 36 settings: cells of one setting are one longer measurement of it."""
    places = {setting: place for place, setting in enumerate(SETTINGS_36)}
    at = [places[setting] for setting in _settings(positions, senses)]
    pooled, exposed = np.zeros(36), np.zeros(36)
    np.add.at(pooled, at, cells.ravel())
    np.add.at(exposed, at, exposures.ravel())
    return pooled, exposed
