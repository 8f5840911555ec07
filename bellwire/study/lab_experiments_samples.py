"""One repetition in numbers: when pairs came, how good they were, and what follows from that.

Owns the row of a repetition. Refuses to compare repetitions (lab_experiments_figures.py).

Rates count from the first pair on, because before it hardware is armed and a plan is made: a repetition that
ends with its last pair has one interval less than pairs; one that ends by the clock has watched until then.
Neither asks that pairs come at random: the error that is told follows from how uneven the intervals were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Final

from bellwire.core.units import NS_PER_S
from bellwire.study.lab_experiments import Row

COMPLETED: Final = "completed"


@dataclass(slots=True)
class Pairs:
    """Pairs of one repetition as they come, those that were taken back left out. Times: one clock, ns."""

    submitted_ns: int
    ended_ns: int = 0  # of the last word about it
    ends_by_clock: bool = False  # the time was over, not the number reached
    status: str = "submitted"
    error: str | None = None
    predicted_rate_hz: float | None = None  # of the plan in force
    predicted_fidelity: float | None = None
    times_ns: dict[str, int] = field(default_factory=dict[str, int])  # by a name that is unique here
    fidelities: dict[str, float] = field(default_factory=dict[str, float])  # as the system estimates them
    true_fidelities: dict[str, float] = field(default_factory=dict[str, float])  # as the World knows them
    frame_errors: int = 0
    voided: int = 0

    def void(self, name: str) -> None:
        """A pair was taken back."""
        if self.times_ns.pop(name, None) is not None:
            self.voided += 1
        self.fidelities.pop(name, None)
        self.true_fidelities.pop(name, None)


def row_of(pairs: Pairs) -> Row:
    """The columns of a repetition.

    intervals, watched_s: what a rate is made of. interval_spread: standard deviation of the intervals over
    their mean (1 where pairs come at random). from_submission_hz: counts the beginning too.
    """
    times_ns = sorted(pairs.times_ns.values())
    gaps_s = [(later - earlier) / NS_PER_S for earlier, later in pairwise(times_ns)]
    last_ns = pairs.ended_ns
    if times_ns and (pairs.status == COMPLETED and not pairs.ends_by_clock):
        last_ns = times_ns[-1]
    watched_s = (last_ns - times_ns[0]) / NS_PER_S if times_ns else 0.0
    active_s = (last_ns - pairs.submitted_ns) / NS_PER_S
    known = [pairs.fidelities[name] for name in pairs.times_ns if name in pairs.fidelities]
    true = [pairs.true_fidelities[name] for name in pairs.times_ns if name in pairs.true_fidelities]
    return {
        "status": pairs.status,
        "error": pairs.error,
        "pairs": len(times_ns),
        "voided": pairs.voided,
        "intervals": len(gaps_s),
        "watched_s": watched_s,
        "active_s": active_s,
        "rate_hz": len(gaps_s) / watched_s if gaps_s and watched_s > 0.0 else None,
        "from_submission_hz": len(times_ns) / active_s if active_s > 0.0 else None,
        "interval_spread": spread(gaps_s),
        "predicted_rate_hz": pairs.predicted_rate_hz,
        "first_pair_s": (times_ns[0] - pairs.submitted_ns) / NS_PER_S if times_ns else None,
        "interval_p50_s": quantile(gaps_s, 0.5),
        "interval_p95_s": quantile(gaps_s, 0.95),
        "fidelity": mean(known),
        "fidelity_deviation": deviation(known),
        "fidelity_true": mean(true),
        "fidelity_true_deviation": deviation(true),
        "true_pairs": len(true),
        "predicted_fidelity": pairs.predicted_fidelity,
        "frame_errors": pairs.frame_errors,
    }


def mean(values: Sequence[float]) -> float | None:
    """The mean; None without values."""
    return sum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of the sample; None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = sum(values) / len(values)
    return sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def spread(gaps_s: Sequence[float]) -> float | None:
    """Standard deviation over mean; None for fewer than two intervals, or where all pairs came at once."""
    wide, centre = deviation(gaps_s), mean(gaps_s)
    return None if wide is None or not centre else wide / centre


def quantile(values: Sequence[float], share: float) -> float | None:
    """Linear interpolation between order statistics; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
