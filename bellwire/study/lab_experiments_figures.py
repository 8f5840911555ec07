"""Figures of a point: rate, fidelity and waiting time over all repetitions, with errors and intervals.

Owns the formulas and what each error rests on. Refuses to draw and to print.

A rate is all intervals between pairs over all the time in which they were watched. Its error is told twice:
from the arrivals (how uneven the intervals were, as of independent intervals) and from the scatter of the
repetitions; when the second is much larger, something drifted. The 95 % interval rests on the repetitions
where there are enough of them for a bootstrap (evaluation_statistics.NETWORKS_MIN), else on the arrivals,
and below COUNTS_MIN intervals on the Poisson law of the count, which needs no estimate of an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, Literal

from scipy import stats

from bellwire.study.evaluation_statistics import CONFIDENCE, NETWORKS_MIN
from bellwire.study.evaluation_statistics import mean as bootstrap_mean
from bellwire.study.lab_experiments import LabExperiment, Row
from bellwire.study.lab_experiments_samples import COMPLETED, deviation, mean

COUNTS_MIN: Final = 10
"""Fewer intervals than this say too little about their own unevenness."""

Basis = Literal["repetitions", "arrivals", "counts", "pairs"]
"""What an interval rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with its standard errors and 95 % interval. None: it cannot be said from what was measured."""

    value: float
    error_within: float | None  # from what happened within repetitions: arrivals, or pairs
    error_between: float | None  # from the scatter of repetitions, None for a single one
    low: float | None
    high: float | None
    interval_from: Basis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSummary:
    """One target at one point over all repetitions."""

    values: tuple[Any, ...]  # in the order of the keys
    target: str
    swap: str  # on, off
    repetitions: int
    pairs: int
    voided: int
    frame_errors: int
    rate_hz: Figure | None
    fidelity: Figure | None  # as the system estimates it
    fidelity_true: Figure | None  # as the World knows it, None: nobody does
    first_pair_s: Figure | None  # from submission
    interval_p95_s: float | None  # 95 of 100 intervals between pairs are shorter; mean over repetitions
    predicted_rate_hz: float | None
    predicted_fidelity: float | None
    statuses: tuple[str, ...]
    errors: tuple[str, ...]


def summarise(experiment: LabExperiment, rows: Sequence[Row]) -> list[PointSummary]:
    """All points of which there is a repetition, in the order of what was typed, however it was shuffled."""
    groups: dict[str, list[Row]] = {
        repr(((*combination.values, *setting), target.name)): []
        for combination in experiment.combinations
        for setting in experiment.settings
        for target in combination.targets
    }
    for row in rows:
        groups[repr((values_of(experiment, row), row["target"]))].append(row)
    return [_point(experiment, group) for group in groups.values() if group]


def values_of(experiment: LabExperiment, row: Row) -> tuple[Any, ...]:
    """The point of a row; lists of a stored row are tuples again."""
    return tuple(tuple(row[key]) if isinstance(row[key], list) else row[key] for key in experiment.keys)


def _point(experiment: LabExperiment, group: Sequence[Row]) -> PointSummary:
    def known(name: str) -> list[float]:
        return [float(row[name]) for row in group if row[name] is not None]

    return PointSummary(
        values=values_of(experiment, group[0]),
        target=group[0]["target"],
        swap=group[0]["swap"],
        repetitions=len(group),
        pairs=sum(row["pairs"] for row in group),
        voided=sum(row["voided"] for row in group),
        frame_errors=sum(row["frame_errors"] for row in group),
        rate_hz=rate_figure(group),
        fidelity=_mean_figure(group, "fidelity", "fidelity_deviation", "pairs"),
        fidelity_true=_mean_figure(group, "fidelity_true", "fidelity_true_deviation", "true_pairs"),
        first_pair_s=_repetition_figure(known("first_pair_s")),
        interval_p95_s=mean(known("interval_p95_s")),
        predicted_rate_hz=mean(known("predicted_rate_hz")),
        predicted_fidelity=mean(known("predicted_fidelity")),
        statuses=tuple(dict.fromkeys(str(row["status"]) for row in group)),
        errors=tuple(
            dict.fromkeys(str(row["error"] or row["status"]) for row in group if row["status"] != COMPLETED)
        ),
    )


# ---- rate


def rate_figure(group: Sequence[Row]) -> Figure | None:
    """Pairs per second. Where a repetition had fewer than two pairs, all count from submission on, or the
    slow ones would be left out; None when no time has passed."""
    from_first = all(row["intervals"] > 0 and row["watched_s"] > 0.0 for row in group)
    counts = [row["intervals" if from_first else "pairs"] for row in group]
    times_s = [row["watched_s" if from_first else "active_s"] for row in group]
    events, watched_s = sum(counts), sum(times_s)
    if watched_s <= 0.0:
        return None
    rate_hz = events / watched_s
    spread = _pooled_spread(group)
    within = None
    if events:
        within = rate_hz * (1.0 if spread is None else spread) / sqrt(events)
    rates = [count / time_s for count, time_s in zip(counts, times_s, strict=True) if time_s > 0.0]
    between = None if len(rates) < 2 else (deviation(rates) or 0.0) / sqrt(len(rates))
    low: float | None
    high: float | None
    basis: Basis
    if events < COUNTS_MIN:
        (low, high), basis = _poisson(events, watched_s), "counts"
    elif len(rates) >= NETWORKS_MIN:
        low, high = _bootstrapped(counts, times_s)
        basis = "repetitions"
    else:
        assert within is not None
        low, high = _normal(rate_hz, within)
        basis = "arrivals"
    return Figure(
        value=rate_hz, error_within=within, error_between=between, low=low, high=high, interval_from=basis
    )


def _pooled_spread(group: Sequence[Row]) -> float | None:
    """Relative deviation of the intervals of all repetitions that can say something about it."""
    found = [
        (row["interval_spread"], row["intervals"]) for row in group if row["interval_spread"] is not None
    ]
    weight = sum(count - 1 for _, count in found)
    return sqrt(sum(spread**2 * (count - 1) for spread, count in found) / weight) if weight else None


def _poisson(events: int, watched_s: float) -> tuple[float, float]:
    """Exact interval of a Poisson rate (Garwood, Biometrika 28, 437 (1936))."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if events == 0 else float(stats.chi2.ppf(tail, 2 * events)) / 2.0
    high = float(stats.chi2.ppf(1.0 - tail, 2 * (events + 1))) / 2.0
    return low / watched_s, high / watched_s


def _bootstrapped(counts: Sequence[int], times_s: Sequence[float]) -> tuple[float | None, float | None]:
    """Interval of the rate from whole repetitions drawn anew. The mean time per interval is bootstrapped,
    each repetition with all its intervals; where one had none, the mean of the rates is."""
    if all(counts):
        found = bootstrap_mean(
            [[time_s / count] * count for count, time_s in zip(counts, times_s, strict=True)]
        )
        if found is None or found.low is None or found.high is None:
            return None, None
        return 1.0 / found.high, 1.0 / found.low
    plain = bootstrap_mean([[count / time_s] for count, time_s in zip(counts, times_s, strict=True)])
    return (None, None) if plain is None else (plain.low, plain.high)


def _normal(value: float, error: float) -> tuple[float, float]:
    far = float(stats.norm.ppf((1.0 + CONFIDENCE) / 2.0)) * error
    return max(0.0, value - far), value + far


# ---- means


def _mean_figure(group: Sequence[Row], name: str, deviation_name: str, count_name: str) -> Figure | None:
    """Mean over all pairs of all repetitions."""
    found = [row for row in group if row[name] is not None and row[count_name]]
    pairs = sum(row[count_name] for row in found)
    if not pairs:
        return None
    value = sum(row[name] * row[count_name] for row in found) / pairs
    squares = [
        (row[deviation_name] or 0.0) ** 2 * (row[count_name] - 1) + row[count_name] * (row[name] - value) ** 2
        for row in found
    ]
    within = sqrt(sum(squares) / (pairs - 1) / pairs) if pairs > 1 else None
    means = [row[name] for row in found]
    between = None if len(means) < 2 else (deviation(means) or 0.0) / sqrt(len(means))
    estimate = bootstrap_mean([[row[name]] * row[count_name] for row in found])
    if estimate is not None and estimate.low is not None and estimate.high is not None:
        low, high, basis = estimate.low, estimate.high, "repetitions"
    elif within is not None:
        low, high = _normal(value, within)
        high, basis = min(1.0, high), "pairs"
    else:
        return Figure(
            value=value, error_within=None, error_between=between, low=None, high=None, interval_from=None
        )
    return Figure(
        value=value,
        error_within=within,
        error_between=between,
        low=low,
        high=high,
        interval_from="repetitions" if basis == "repetitions" else "pairs",
    )


def _repetition_figure(values: Sequence[float]) -> Figure | None:
    """Mean of one number a repetition."""
    estimate = bootstrap_mean([[value] for value in values])
    if estimate is None:
        return None
    wide = deviation(values)
    return Figure(
        value=estimate.value,
        error_within=None,
        error_between=None if wide is None else wide / sqrt(len(values)),
        low=estimate.low,
        high=estimate.high,
        interval_from=None if estimate.low is None else "repetitions",
    )
