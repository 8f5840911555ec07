"""A cumulative sum of log-likelihood ratios over shares of wrong pairs (Page, Biometrika 41, 100 (1954)).

Owns the sum, its limit, and the mean runs that follow from the limit: how many looks pass between false
alarms, and from a rise of the error rate to its alarm. Both come from the integral equation of Page with the
binomial steps themselves, on a grid (Brook and Evans, Biometrika 59, 539 (1972)); no normal approximation,
which errs where few pairs are wrong. Refuses what follows from an alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log, sqrt
from typing import Final

import numpy as np
from scipy.stats import binom

from bellwire.core.errors import LocalMisuse

CELLS: Final = 150
"""Of the grid; run lengths of up to 10^6 looks are then good to some per cent."""
LIMIT_MAX: Final = 60.0
LIMIT_STEP: Final = 0.005
TAIL: Final = 1e-12
ERROR_MIN: Final = 1e-4
"""A reference is never taken to be better, or its first wrong pair would weigh without bounds."""


@dataclass(frozen=True, slots=True)
class CusumPlan:
    """A sum that waits for a rise of an error rate from `reference` to `shifted`.

    `total`: pairs of a usual look. `limit`: of the sum. `false_alarm_looks`, `notice_looks`: mean looks to an
    alarm at `reference`, and from a rise to `shifted` while the sum is zero.
    """

    reference: float
    shifted: float
    total: int
    limit: float
    false_alarm_looks: float
    notice_looks: float

    def mean_looks(self, error: float) -> float:
        """Mean looks to an alarm, from zero, where the error rate is `error`."""
        return _mean_run(self.reference, self.shifted, self.total, self.limit, error)


def plan_cusum(reference: float, shifted: float, total: int, false_alarm_looks: float) -> CusumPlan:
    """The limit whose false alarms come on average once in so many looks of `total` pairs."""
    reference = max(reference, ERROR_MIN)
    if not reference < shifted < 1.0 or total < 1 or false_alarm_looks <= 1.0:
        raise LocalMisuse(
            f"a rise from {reference} to {shifted} in looks of {total} pairs, false alarms in "
            f"{false_alarm_looks} looks: rates rise, looks have pairs, alarms are rarer than looks"
        )
    low, high = 0.0, LIMIT_MAX
    for _ in range(40):
        middle = (low + high) / 2
        if _mean_run(reference, shifted, total, middle, reference) < false_alarm_looks:
            low = middle
        else:
            high = middle
        if high - low < LIMIT_STEP:
            break
    return CusumPlan(
        reference,
        shifted,
        total,
        high,
        _mean_run(reference, shifted, total, high, reference),
        _mean_run(reference, shifted, total, high, shifted),
    )


class Cusum:
    """The running sum of one plan."""

    def __init__(self, plan: CusumPlan) -> None:
        self.plan = plan
        self.value = 0.0

    @property
    def alarmed(self) -> bool:
        """Whether the limit is passed."""
        return self.value > self.plan.limit

    def add(self, wrong: int, total: int) -> bool:
        """One look, of however many pairs; whether the limit is passed."""
        if not 0 <= wrong <= total:
            raise LocalMisuse(f"{wrong} wrong of {total} pairs: wrong must lie in 0..total")
        up, down = _weights(self.plan.reference, self.plan.shifted)
        self.value = max(0.0, self.value + wrong * up + (total - wrong) * down)
        return self.alarmed

    def restart(self) -> None:
        """Forget what was summed."""
        self.value = 0.0


def _weights(reference: float, shifted: float) -> tuple[float, float]:
    """What a wrong pair adds to the sum, and what a right one takes away (negative)."""
    return log(shifted / reference), log((1.0 - shifted) / (1.0 - reference))


def _mean_run(reference: float, shifted: float, total: int, limit: float, error: float) -> float:
    """Mean number of looks until a sum that starts at zero passes its limit."""
    up, down = _weights(reference, shifted)
    spread = sqrt(total * error * (1.0 - error))
    low = max(0, floor(total * error - 9.0 * spread) - 9)
    high = min(total, ceil(total * error + 9.0 * spread) + 30)
    wrong = np.arange(low, high + 1)
    chance = binom.pmf(wrong, total, error)
    step = wrong * up + (total - wrong) * down
    width = limit / CELLS
    # the first state is zero itself, the others stand in the middle of their cells
    states = np.concatenate(([0.0], (np.arange(CELLS) + 0.5) * width))
    reached = states[:, None] + step[None, :]
    inside = reached <= limit
    cell = np.where(reached <= 0.0, 0, np.minimum(np.ceil(np.maximum(reached, TAIL) / width), CELLS))
    place = cell.astype(np.int64) + states.size * np.arange(states.size)[:, None]
    weight = np.broadcast_to(chance, reached.shape)[inside]
    passage = np.bincount(place[inside], weight, states.size**2).reshape(states.size, states.size)
    runs = np.linalg.solve(np.eye(states.size) - passage, np.ones(states.size))
    return float(runs[0])
