"""Sweeps: one lab file, some of its values varied, every combination run with several seeds.

Owns the combinations, their tasks, and the summary with its picture. Refuses the meaning of values: each
combination is checked as a lab file before anything runs.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from bellwire.core.errors import ConfigError
from bellwire.labs import build_lab, load_lab
from bellwire.labs.crosscheck import cross_check
from bellwire.labs.document import LabDocument, read_document
from bellwire.labs.models import LabFile
from bellwire.labs.problems import LabProblems, ProblemList, add_schema_errors
from bellwire.study.evaluation_jobs import SweepTask
from bellwire.study.evaluation_parts import Parts
from bellwire.study.evaluation_running import Progress, Workers, run_all
from bellwire.study.evaluation_statistics import Estimate, mean
from bellwire.study.sweeps_keys import Variation, parse_variation, with_value

Row = Mapping[str, Any]
Values = tuple[Any, ...]
"""One combination, in the order of the variations."""

COMBINATIONS_MAX: Final = 10_000
SEEDS_MAX: Final = 10_000

QUANTITIES: Final = ("rate_hz", "fidelity", "latency_mean_s")
"""Columns that are summarised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What shall be run."""

    lab: str
    variations: tuple[Variation, ...]
    tasks: tuple[SweepTask, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """What is varied."""
        return tuple(one.key for one in self.variations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One request at one combination of values, over all seeds."""

    request: str
    values: Values
    figures: Mapping[str, Estimate | None]
    statuses: tuple[str, ...]
    errors: tuple[str, ...]


def plan_sweep(path: Path, settings: Sequence[str], seeds: int, duration_s: float) -> Sweep:
    """Every combination with every seed; all are checked before anything runs.

    Raises:
        ConfigError: a lab, key or value that is not right, or more combinations than COMBINATIONS_MAX.
    """
    if not settings:
        raise ConfigError("nothing is varied: give --set key=value,value")
    if not 1 <= seeds <= SEEDS_MAX:
        raise ConfigError(f"{seeds} seeds are outside 1..{SEEDS_MAX}")
    lab = load_lab(path)
    if not lab.requests:
        raise ConfigError("this lab has no requests, and a sweep measures what requests get", where=str(path))
    variations = tuple(parse_variation(text, lab.document) for text in settings)
    paths = [one.path for one in variations]
    for one, other in itertools.combinations(paths, 2):
        if one == other[: len(one)] or other == one[: len(other)]:
            raise ConfigError(f"--set {'.'.join(map(str, one))} is given twice, or holds another one")
    count = 1
    for variation in variations:
        count *= len(variation.values)
    if count > COMBINATIONS_MAX:
        raise ConfigError(f"{count} combinations are more than {COMBINATIONS_MAX}: vary fewer values")
    document = read_document(path)
    tasks: list[SweepTask] = []
    for values in itertools.product(*(one.values for one in variations)):
        checked = _checked(document, variations, values)
        tasks += [
            SweepTask(
                document=checked,
                values=tuple(zip((one.key for one in variations), values, strict=True)),
                seed=lab.seed + number,
                duration_s=duration_s,
            )
            for number in range(seeds)
        ]
    return Sweep(lab=lab.name, variations=variations, tasks=tuple(tasks))


def _checked(document: LabDocument, variations: Sequence[Variation], values: Values) -> dict[str, Any]:
    """The canonical configuration of a combination."""
    changed: dict[str, Any] = document.values
    for variation, value in zip(variations, values, strict=True):
        changed = with_value(changed, variation.path, value)
    problems = ProblemList(document)
    try:
        try:
            file = LabFile.model_validate(changed)
        except ValidationError as invalid:
            add_schema_errors(problems, invalid.errors(include_url=False), LabFile)
            problems.raise_if_any()
            raise  # not reached: an invalid file has at least one problem
        cross_check(file, problems)
        problems.raise_if_any()
    except LabProblems as found:
        said = ", ".join(f"{one.key}={value}" for one, value in zip(variations, values, strict=True))
        raise ConfigError(f"with {said}: {found.lines[0]}") from None
    return build_lab(file).document


def run_sweep(
    sweep: Sweep, workers: Workers, folder: Path, told: Callable[[str, Progress], None]
) -> list[Row]:
    """One row for each request, combination and seed; what is in the folder is not run again."""
    results = run_all(sweep.tasks, workers, Parts(folder), lambda progress: told("runs", progress))
    return [row for result in results for row in result["rows"]]


def summarise(sweep: Sweep, rows: Sequence[Row]) -> list[Summary]:
    """Means over seeds with their intervals, in the order of the combinations."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["request"], repr(_values(sweep, row))), []).append(row)
    return [
        Summary(
            request=request,
            values=_values(sweep, group[0]),
            figures={
                name: mean([[float(row[name])] for row in group if row[name] is not None])
                for name in QUANTITIES
            },
            statuses=tuple(dict.fromkeys(str(row["status"]) for row in group)),
            errors=tuple(dict.fromkeys(str(row["error"]) for row in group if row["error"] is not None)),
        )
        for (request, _), group in found.items()
    ]


def _values(sweep: Sweep, row: Row) -> Values:
    return tuple(tuple(row[key]) if isinstance(row[key], list) else row[key] for key in sweep.keys)
