"""The directory of one experiment: frozen lab, finished repetitions, sittings, tables.

Owns the files. `parts/` has one small file for each finished repetition, so that the same command goes on
where it was interrupted; `experiment.json` says what was measured, by whom, with which software and on which
instruments. A sitting is one run of the command. Refuses another experiment in the same directory.
"""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import yaml

from bellwire.core.errors import ConfigError
from bellwire.runtime.runs import versions
from bellwire.runtime.store import write_synced
from bellwire.study.evaluation import write_table
from bellwire.study.evaluation_jobs import code_version
from bellwire.study.evaluation_parts import Parts
from bellwire.study.lab_experiments import (
    Combination,
    LabExperiment,
    Planned,
    Row,
    measurement_key,
    measurements,
)
from bellwire.study.lab_experiments_figures import PointSummary

DOCUMENT: Final = "experiment.json"
TABLE: Final = "runs.parquet"
PICTURE: Final = "experiment.png"
LAB: Final = "lab.yaml"


class ExperimentFolder:
    """What is kept of an experiment, and what is left to do."""

    def __init__(
        self, experiment: LabExperiment, folder: Path, operator: str, command: Sequence[str]
    ) -> None:
        """Raises ConfigError: the folder holds another experiment, or cannot be written."""
        # others: finished repetitions that do not count here, of other values, repetitions or sources
        self.path = folder
        self.rows: dict[str, Row] = {}
        self._experiment = experiment
        self._code = "" if experiment.mode == "live" else code_version()
        self._earlier = self._earlier_sittings()
        self._parts = Parts(folder)
        self._keyed = {measurement_key(one.measurement, self._code): one for one in measurements(experiment)}
        for key in self._keyed:
            kept = self._parts.get(key)
            if kept is not None:
                self.rows[key] = kept
        self.kept = len(self.rows)
        self.others = sum(1 for _ in folder.glob("parts/*/*.json")) - self.kept
        self._sitting: dict[str, Any] = {
            "operator": operator,
            "host": platform.node(),
            "command": list(command),
            "began_ns": time.time_ns(),
            "ended_ns": None,
            "interrupted": None,
            "versions": versions() | {"sources": code_version()},
            "kept": self.kept,
            "measured": 0,
            "labs": [],
        }
        if not (folder / LAB).exists():
            (folder / LAB).write_bytes(experiment.path.read_bytes())

    @property
    def total(self) -> int:
        """Repetitions of the whole experiment."""
        return len(self._keyed)

    @property
    def left(self) -> dict[str, Planned]:
        """What is not measured yet, by key, in its order."""
        return {key: one for key, one in self._keyed.items() if key not in self.rows}

    def kept_of(self, combination: Combination) -> int:
        """Repetitions of a combination that are there."""
        return sum(key in self.rows for key, one in self._keyed.items() if one.combination is combination)

    def put(self, key: str, found: Row) -> Row:
        """Keep a finished repetition; returns its row."""
        row = self._keyed[key].row(found)
        self._parts.put(key, row)
        self.rows[key] = row
        self._sitting["measured"] += 1
        return row

    def note_lab(self, **what: Any) -> dict[str, Any]:
        """A lab on which this sitting measures; what is added to the result stays in experiment.json."""
        self._sitting["labs"].append(what)
        return what

    def ordered_rows(self) -> list[Row]:
        """Rows in the order of the measurements."""
        return [self.rows[key] for key in self._keyed if key in self.rows]

    def write_lab(self, combination: Combination, seed: int) -> Path:
        """A combination as a lab file that other processes can read. Raises ConfigError."""
        values = _plain(combination.document)
        if not any(one.path == ("seed",) for one in self._experiment.scans):
            values["seed"] = seed
        path = self.path / "labs" / f"{combination.lab.name}-{combination.lab.digest[:8]}-{seed}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    def close(self, interrupted: bool, summaries: Sequence[PointSummary]) -> dict[str, Any]:
        """Write table and document; returns the document."""
        self._sitting |= {"ended_ns": time.time_ns(), "interrupted": interrupted}
        rows = self.ordered_rows()
        if rows:
            write_table(rows, self.path / TABLE)
        document = self._document(summaries)
        write_synced(self.path / DOCUMENT, json.dumps(document, indent=1).encode())
        return document

    def _document(self, summaries: Sequence[PointSummary]) -> dict[str, Any]:
        experiment = self._experiment
        return {
            "experiment": experiment.identity,
            "lab": experiment.lab.name,
            "mode": experiment.mode,
            "request": experiment.request_id,
            "scans": {
                **{one.key: list(one.values) for one in experiment.scans},
                **{one.key: list(one.values) for one in experiment.device_scans},
            },
            "swap": ["on" if one else "off" for one in experiment.swaps],
            "repetitions": experiment.repetitions,
            "pairs": experiment.pairs,
            "duration_s": experiment.duration_s,
            "seed": experiment.seed,
            "settle_s": experiment.settle_s,
            "random_order": experiment.random_order,
            "complete": not self.left,
            "finished": len(self.rows),
            "planned": self.total,
            "frozen": {
                "path": str(experiment.path),
                "digest": experiment.lab.digest,
                "document": experiment.lab.document,
            },
            "points": [asdict(one) for one in summaries],
            "sittings": [*self._earlier, self._sitting],
        }

    def _earlier_sittings(self) -> list[dict[str, Any]]:
        path = self.path / DOCUMENT
        if not path.exists():
            return []
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
            identity, sittings = document["experiment"], document["sittings"]
        except (ValueError, KeyError, TypeError) as problem:
            raise ConfigError(f"this is no experiment of bellwire ({problem})", where=str(path)) from None
        if identity != self._experiment.identity:
            raise ConfigError(
                f"this directory holds another experiment ({document.get('lab')}, {document.get('mode')}, "
                f"scans of {', '.join(document.get('scans', {})) or 'nothing'}): give another --out",
                where=str(self.path),
            )
        found: list[dict[str, Any]] = sittings
        return found


def _plain(value: Any) -> Any:
    """Lists for tuples, as YAML writes them."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
