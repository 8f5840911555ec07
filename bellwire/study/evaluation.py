"""An evaluation from its experiments to its rows: routes are prepared, then every policy runs on each.

Owns the two rounds of tasks and the table of rows. Refuses to judge (evaluation_claims.py), to draw
(figures.py) and to word (report.py).

Random numbers are common: all policies meet the same network, the same request and the same World.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bellwire.study.evaluation_jobs import Prepared, PrepareTask, RunTask, Setting, Stock
from bellwire.study.evaluation_parts import Parts
from bellwire.study.evaluation_policies import ComparedPolicy, words_for
from bellwire.study.evaluation_running import Progress, Workers, run_all
from bellwire.study.experiments import Effort, Experiment, places

Row = Mapping[str, Any]
Place = tuple[Setting, int, int]
"""Setting, seed of the network, number of the route in it."""

SERIES_SHARE = 0.5
"""Virtual time of a series of single pairs, as a share of that of a run for the rate: requests are seldom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """All rows of an evaluation."""

    experiments: tuple[Experiment, ...]
    policies: tuple[ComparedPolicy, ...]
    effort: Effort
    rows: tuple[Row, ...]
    by_setting: Mapping[tuple[Setting, Stock | None], tuple[Row, ...]]

    def of(self, setting: Setting, stock: Stock | None = None) -> tuple[Row, ...]:
        """Rows of one data point."""
        return self.by_setting.get((setting, stock), ())


def evaluate(
    experiments: Sequence[Experiment],
    policies: Sequence[ComparedPolicy],
    effort: Effort,
    workers: Workers,
    folder: Path,
    told: Callable[[str, Progress], None],
) -> Evaluated:
    """Run what is not yet in the folder, and gather everything.

    Raises:
        ConfigError: a setting without routes, or a folder that cannot be written.
    """
    parts = Parts(folder)
    where = list(places(experiments, effort))
    found = run_all(
        list(prepare_tasks(experiments, policies, effort, where)),
        workers,
        parts,
        lambda progress: told("routes", progress),
    )
    prepared = {place: msgspec.convert(result, Prepared) for place, result in zip(where, found, strict=True)}
    tasks = list(dict.fromkeys(run_tasks(experiments, policies, effort, prepared)))
    rows = run_all(tasks, workers, parts, lambda progress: told("runs", progress))
    by_setting: dict[tuple[Setting, Stock | None], list[Row]] = {}
    for task, row in zip(tasks, rows, strict=True):
        by_setting.setdefault((task.setting, task.stock), []).append(row)
    return Evaluated(
        experiments=tuple(experiments),
        policies=tuple(policies),
        effort=effort,
        rows=tuple(rows),
        by_setting={key: tuple(value) for key, value in by_setting.items()},
    )


def prepare_tasks(
    experiments: Sequence[Experiment],
    policies: Sequence[ComparedPolicy],
    effort: Effort,
    where: Sequence[Place],
) -> Iterator[PrepareTask]:
    """For every route, what the policies need to know that run there."""
    for place in where:
        yield prepare_task(place, [policy for _, policy in _wanted(experiments, policies, place[0])], effort)


def prepare_task(place: Place, policies: Sequence[ComparedPolicy], effort: Effort) -> PrepareTask:
    """What must be known of a route before these policies run on it."""
    setting, seed, route_index = place
    return PrepareTask(
        setting=setting,
        seed=seed,
        route_index=route_index,
        strongest_tree=any(policy.searched for policy in policies),
        tuning=any(policy.tuned for policy in policies),
        deliveries=effort.deliveries,
    )


def run_tasks(
    experiments: Sequence[Experiment],
    policies: Sequence[ComparedPolicy],
    effort: Effort,
    prepared: Mapping[Place, Prepared],
) -> Iterator[RunTask]:
    """Every run, route by route, so that an interrupted evaluation has whole pairs."""
    for (setting, seed, route_index), known in prepared.items():
        for stock, policy in _wanted(experiments, policies, setting):
            mode, tree = words_for(policy, known)
            yield RunTask(
                setting=setting,
                seed=seed,
                route_index=route_index,
                policy=policy.name,
                mode=mode,
                tree=tree,
                centralised=policy.centralised,
                route=known.route,
                lengths_km=known.lengths_km,
                duration_s=effort.duration_s * (1.0 if stock is None else SERIES_SHARE),
                stock=stock,
            )


def _wanted(
    experiments: Sequence[Experiment], policies: Sequence[ComparedPolicy], setting: Setting
) -> Iterator[tuple[Stock | None, ComparedPolicy]]:
    for experiment in experiments:
        if all(point.setting != setting for point in experiment.points):
            continue
        for policy in policies:
            if experiment.policies and policy.name not in experiment.policies:
                continue
            for stock in experiment.stocks or (None,):
                yield stock, policy


def write_table(rows: Sequence[Row], path: Path) -> None:
    """All rows as a Parquet table. A column of values of several kinds is written as text."""
    import pyarrow
    from pyarrow import parquet

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: _column([row.get(name) for row in rows]) for name in names})
    parquet.write_table(table, path)


def _column(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return values
    return [None if value is None else str(value) for value in values]
