"""The rows of an evaluation put beside each other, as a claim or a figure asks for them.

Owns pairing: runs of two policies on the same route, gathered by network. Refuses statistics
(evaluation_statistics.py) and verdicts (evaluation_claims.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_jobs import Setting, Stock
from bellwire.study.evaluation_statistics import Groups, Sample
from bellwire.study.experiments import DEFAULT, Experiment, Point


def paired(
    rows: Sequence[Row], first: str, second: str, *, hops_min: int = 1
) -> dict[int, list[tuple[Row, Row]]]:
    """Rows of two policies on the same routes, by network."""
    others = {(row["seed"], row["route_index"]): row for row in rows if row["policy"] == second}
    found: dict[int, list[tuple[Row, Row]]] = {}
    for row in rows:
        other = others.get((row["seed"], row["route_index"]))
        if row["policy"] == first and other is not None and row["hops"] >= hops_min:
            found.setdefault(row["seed"], []).append((row, other))
    return found


def rate_groups(rows: Sequence[Row], first: str, second: str, *, hops_min: int = 1) -> Groups:
    """The paired deliveries of two policies."""
    return [
        [(_sample(row), _sample(other)) for row, other in group]
        for group in paired(rows, first, second, hops_min=hops_min).values()
    ]


def _sample(row: Row) -> Sample:
    return Sample(int(row["delivered"]), float(row["duration_s"]))


def number_groups(rows: Sequence[Row], policy: str, column: str) -> list[list[float]]:
    """A number of one policy, by network; runs without it are left out."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row["policy"] == policy and row.get(column) is not None:
            found.setdefault(row["seed"], []).append(float(row[column]))
    return list(found.values())


def chain_rows(seen: Evaluated, hops: Sequence[int]) -> list[Row]:
    """Rows of chains of these lengths; a network is a seed with its chains of all lengths."""
    (chains,) = [one for one in seen.experiments if one.name == "chains"]
    return [
        {**row, "route_index": row["hops"]}
        for point in chains.points
        for row in seen.of(point.setting)
        if row["hops"] in hops
    ]


def rate_points(seen: Evaluated) -> Iterator[tuple[Experiment, Point]]:
    """Data points at which rates are measured, each setting once."""
    settings: set[Setting] = set()
    for experiment in seen.experiments:
        for point in experiment.points:
            if not experiment.stocks and point.setting not in settings:
                settings.add(point.setting)
                yield experiment, point


def latency_groups(
    seen: Evaluated, first: tuple[str, Stock], second: tuple[str, Stock]
) -> list[list[tuple[float, float]]]:
    """The mean latencies (seconds) of two policies, each with its stock of pairs, on routes of the default
    network; a group a network."""

    def by_route(policy: str, stock: Stock) -> dict[tuple[int, int], Any]:
        return {
            (row["seed"], row["route_index"]): row["latency_mean_s"]
            for row in seen.of(DEFAULT, stock)
            if row["policy"] == policy
        }

    one, other = by_route(*first), by_route(*second)
    groups: dict[int, list[tuple[float, float]]] = {}
    for (seed, route), latency_s in one.items():
        if (seed, route) in other:
            groups.setdefault(seed, []).append((float(latency_s), float(other[seed, route])))
    return list(groups.values())
