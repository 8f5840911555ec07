"""Where to turn the paddles next, until both error rates are low: ask, measure, tell.

Owns the order of the search of procedure 5: a coarse exploration, then the minimum of what was learned so
far, again and again, each time better known. Refuses instruments: angles go out, counts come in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from bellwire.calibration.estimates.counting import share
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.estimates.paddle_model import Learned, Paddles, learn, lowest
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

EXPLORATION: Final = 20
ONE_SIDED_95: Final = 1.645
TRUSTED_GOODNESS: Final = 3.0
MARGIN: Final = 0.1
"""Share of the range at each end that an actuator should not stand in (procedure 5)."""


@dataclass(frozen=True, slots=True)
class Compensation:
    """An independent measurement at the angles found. `error_z`, `error_x`: shares of wrong counts."""

    angles_deg: tuple[float, ...]
    error_z: Quantity
    error_x: Quantity
    paddles: Paddles

    def checks(self, *, error_max: float = 0.01) -> tuple[Check, ...]:
        """Below 1 % in each basis, no actuator within 10 % of its limit (procedure 5)."""
        span = self.paddles.high_deg - self.paddles.low_deg
        places = [(angle - self.paddles.low_deg) / span for angle in self.angles_deg]
        return (
            Check("error in Z", self.error_z.value, None, error_max),
            Check("error in X", self.error_x.value, None, error_max),
            *(
                Check(f"place of paddle {index + 1} in its range", place, MARGIN - 1e-9, 1.0 - MARGIN + 1e-9)
                for index, place in enumerate(places)
            ),
        )


def compensation(
    angles_deg: tuple[float, ...], wrong_z: int, total_z: int, wrong_x: int, total_x: int, paddles: Paddles
) -> Compensation:
    """From counts that the search has not seen."""
    if min(total_z, total_x) == 0:
        raise NoEstimate("no counts in one of the bases: check the light")
    return Compensation(angles_deg, share(wrong_z, total_z), share(wrong_x, total_x), paddles)


class PaddleSearch:
    """Ask for angles, measure there, tell the counts; ends by itself.

    `ask()` gives None once both errors are below `goal` (the upper 95 % ends, pooled over two or more
    measurements at one place), or after `evaluations_max`. `best` is then where to stay. Starts at `now_deg`
    if given, so that a link that is in order is left as it is after two measurements.
    """

    __slots__ = (
        "_angles",
        "_asked",
        "_generator",
        "_goal",
        "_learned",
        "_limit",
        "_now",
        "_paddles",
        "_stage",
        "_total",
        "_wrong",
    )

    def __init__(
        self,
        paddles: Paddles,
        generator: np.random.Generator,
        *,
        goal: float = 0.01,
        evaluations_max: int = 200,
        now_deg: tuple[float, ...] | None = None,
    ) -> None:
        if evaluations_max < EXPLORATION + 10 or not 0.0 < goal < 0.5:
            raise LocalMisuse(
                f"goal {goal} must lie in 0..0.5, evaluations_max {evaluations_max} >= {EXPLORATION + 10}"
            )
        self._paddles = paddles
        self._generator = generator
        self._goal = goal
        self._limit = evaluations_max
        self._now = now_deg
        self._angles: list[tuple[float, ...]] = []
        self._wrong: list[tuple[int, int]] = []
        self._total: list[tuple[int, int]] = []
        self._asked: tuple[float, ...] | None = None
        self._learned: Learned | None = None
        self._stage = 0

    @property
    def evaluations(self) -> int:
        """How many measurements were told."""
        return len(self._angles)

    @property
    def reached(self) -> bool:
        """Whether some place was measured below the goal in both bases, twice or more."""
        return any(self._good(angles, 2) for angles in set(self._angles))

    @property
    def best(self) -> tuple[float, ...]:
        """The place with the lowest sum of the upper ends of its errors. LocalMisuse before any."""
        if not self._angles:
            raise LocalMisuse("nothing was measured yet: ask and tell first")
        return min(set(self._angles), key=lambda angles: sum(self._pooled(angles)))

    @property
    def history(self) -> tuple[tuple[tuple[float, ...], float, float], ...]:
        """Angles, e_Z and e_X as measured, in order."""
        return tuple(
            (angles, wrong[0] / total[0], wrong[1] / total[1])
            for angles, wrong, total in zip(self._angles, self._wrong, self._total, strict=True)
        )

    def ask(self) -> tuple[float, ...] | None:
        """Where to measure next; None when done. Asking again before telling gives the same place."""
        if self._asked is None and self.evaluations < self._limit and not self.reached:
            self._asked = self._next()
        return self._asked

    def tell(self, wrong_z: int, total_z: int, wrong_x: int, total_x: int) -> None:
        """Counts at the place that was asked for."""
        if self._asked is None:
            raise LocalMisuse("told counts of a place that was not asked for")
        for wrong, total in ((wrong_z, total_z), (wrong_x, total_x)):
            if not 0 <= wrong <= total or total == 0:
                raise LocalMisuse(f"{wrong} wrong of {total}: wrong must lie in 0..total, total above 0")
        self._angles.append(self._asked)
        self._wrong.append((wrong_z, wrong_x))
        self._total.append((total_z, total_x))
        self._asked = None

    def _next(self) -> tuple[float, ...]:
        if not self._angles and self._now is not None:
            return self._now
        if self._angles and self._good(self._angles[-1], 1):
            return self._angles[-1]  # once more, before it is believed
        explored = self.evaluations - (self._now is not None)
        if explored < EXPLORATION:
            low, high = self._paddles.low_deg, self._paddles.high_deg
            # Each angle takes every one of its strata once: golden-ratio steps, apart for each plate.
            steps = [(0.5 + (explored + 1) * ratio) % 1.0 for ratio in self._ratios()]
            return self._rounded(np.array([low + (high - low) * step for step in steps]))
        place = self._minimum()
        self._stage += 1
        if (
            self._stage % 3 != 0
            and self._stage > 1
            and self._learned is not None
            and self._learned.goodness > 1.5
        ):
            # Where the model does not fit everywhere, learn how it goes around its minimum.
            reach = max(2.0, 15.0 * 0.93**self._stage)
            place = place + self._generator.normal(0.0, reach, place.size)
        return self._rounded(place)

    def _minimum(self) -> Floats:
        """The lowest place of what was learned, away from the ends of the range if that costs little."""
        angles = np.array(self._angles)
        wrong, total = np.array(self._wrong, dtype=np.float64), np.array(self._total, dtype=np.float64)
        learned = learn(angles, wrong, total, self._paddles)
        if learned.goodness > TRUSTED_GOODNESS:
            # Real plates also twist the fibre: trust the model near the best place only.
            away = np.linalg.norm(angles - np.array(self.best), axis=1)
            width = max(25.0, 60.0 * 0.95**self._stage)
            learned = learn(
                angles, wrong, total, self._paddles, np.maximum(np.exp(-((away / width) ** 2)), 1e-3)
            )
        self._learned = learned
        low, high = self._paddles.low_deg, self._paddles.high_deg
        margin = 1.02 * MARGIN * (high - low)
        inside, errors = lowest(learned, low + margin, high - margin, self._generator)
        anywhere, least = lowest(learned, low, high, self._generator)
        costs_little = errors.max() < 0.5 * self._goal or errors.sum() < least.sum() + 0.2 * self._goal
        return inside if costs_little else anywhere

    def _ratios(self) -> list[float]:
        """Steps of a low-discrepancy sequence (Roberts 2018: powers of the root of x^(d+1) = x + 1)."""
        plates = len(self._paddles.retardances)
        root = 1.5
        for _ in range(60):
            root = (1.0 + root) ** (1.0 / (plates + 1))
        return [root ** -(index + 1) for index in range(plates)]

    def _rounded(self, place: Floats) -> tuple[float, ...]:
        clipped = np.clip(place, self._paddles.low_deg, self._paddles.high_deg)
        return tuple(round(float(angle), 2) for angle in clipped)

    def _pooled(self, angles: tuple[float, ...]) -> tuple[float, float]:
        """Upper 95 % ends of the errors at a place, from all that was measured there."""
        here = [index for index, other in enumerate(self._angles) if other == angles]
        found = []
        for column in range(2):
            wrong = sum(self._wrong[index][column] for index in here)
            total = sum(self._total[index][column] for index in here)
            found.append(wrong / total + ONE_SIDED_95 * math.sqrt(max(wrong, 1.0)) / total)
        return found[0], found[1]

    def _good(self, angles: tuple[float, ...], repeats: int) -> bool:
        return self._angles.count(angles) >= repeats and max(self._pooled(angles)) < self._goal
