"""What changes by itself: temperature of fibres, and the polarisation that wanders.

Owns the laws of drift, as functions of time alone: two readers that ask at other moments meet the same
weather. Refuses what drifts (passive.py).
"""

from collections.abc import Mapping
from math import pi, sin, sqrt

import numpy as np
from numpy.random import SeedSequence, default_rng

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.photons.elements import Drift
from bellwire.simulator_backend.photons.jones import IDENTITY, Jones, rotations
from bellwire.simulator_backend.photons.passive import Fibre

STEP_NS = 100_000_000
"""Step of the random walk; drift stands still in between."""

STEPS_AHEAD_MAX = 10_000_000
"""Longest jump in one call (11 days): a walk has to be walked."""

_BLOCK = 256


class Wander:
    """A random walk on SU(2): each step turns about a random vector of rms `step_rad` per axis.

    Mean overlap of a state with where it was: <n.n0> = exp(-step_rad^2 steps) for the Stokes vector, to
    second order in a step.
    """

    def __init__(self, step_rad: float, seed: SeedSequence) -> None:
        self._step_rad = step_rad
        self._generator = default_rng(seed)
        self._turn: Jones = IDENTITY
        self._steps = 0
        self._queue: list[Jones] = []

    def at(self, steps: int) -> Jones:
        """The turn after so many steps. Asked for an earlier one, it stays where it is."""
        if steps - self._steps > STEPS_AHEAD_MAX:
            raise LocalMisuse(f"drift of {steps - self._steps} steps at once; the limit is {STEPS_AHEAD_MAX}")
        while self._steps < steps:
            if not self._queue:
                drawn = self._generator.normal(0.0, self._step_rad, (_BLOCK, 3))
                self._queue = list(rotations(drawn[::-1]))
            self._turn = np.asarray(self._queue.pop() @ self._turn, dtype=np.complex128)
            self._steps += 1
        return self._turn


class Weather:
    """Drift of every fibre of a bench. Times in ns from the moment the bench was built."""

    def __init__(self, fibres: Mapping[str, Fibre], seed: SeedSequence) -> None:
        step_s = STEP_NS * 1e-9
        seeds = SeedSequence(entropy=seed.entropy, spawn_key=seed.spawn_key).spawn(len(fibres))
        self._fibres = dict(fibres)
        self._wanders = {
            name: Wander(fibre.wander_rad_per_root_s * sqrt(step_s), child)
            for (name, fibre), child in zip(sorted(fibres.items()), seeds, strict=True)
            if fibre.wander_rad_per_root_s > 0.0
        }
        self.moving = bool(self._wanders) or any(fibre.swing_k != 0.0 for fibre in fibres.values())

    def step(self, age_ns: int) -> int:
        """Number of the step of the drift, 0 for good where nothing drifts."""
        return age_ns // STEP_NS if self.moving else 0

    def drift(self, name: str, step: int) -> Drift:
        """Of one component during a step."""
        fibre = self._fibres.get(name)
        if fibre is None:
            return Drift()
        age_s = step * STEP_NS * 1e-9
        warming_k = fibre.swing_k * sin(2.0 * pi * age_s / fibre.swing_period_s) if fibre.swing_k else 0.0
        wander = self._wanders.get(name)
        return Drift(warming_k, IDENTITY if wander is None else wander.at(step))
