"""Run directories and the index of runs.

Owns `create_run` (frozen configuration with hash and software versions) and the SQLite index, one writer.
Refuses to change a run afterwards: its directory is only added to.
"""

import json
import platform
import sqlite3
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bellwire import __version__
from bellwire.core.errors import ConfigError
from bellwire.runtime.lab_words import LabEntry
from bellwire.runtime.store import StoreFault, write_synced

PACKAGES = ("msgspec", "pyzmq", "numpy", "networkx", "pyserial", "pyvisa-py")
CONFIGURATION = "configuration.json"


def create_run(runs_dir: Path, lab: LabEntry) -> Path:
    """Make the directory of a new run, freeze the configuration in it, and enter it into the index."""
    began_ns = time.time_ns()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began_ns // 1_000_000_000))
    for attempt in range(1, 1000):
        run_dir = runs_dir / f"{stamp}-{lab.name}-{attempt}"
        try:
            run_dir.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as problem:
            raise StoreFault(str(run_dir), f"cannot be made: {problem.strerror}") from problem
    else:
        raise ConfigError("a thousand runs began within one second", where=str(runs_dir))
    frozen = {
        "lab": lab.name,
        "path": lab.path,
        "digest": lab.digest,
        "began_ns": began_ns,
        "versions": versions(),
        "document": lab.document,
    }
    write_synced(run_dir / CONFIGURATION, json.dumps(frozen, indent=1, sort_keys=True).encode())
    with _index(runs_dir) as database:
        database.execute(
            "INSERT INTO runs (run, lab, digest, began_ns) VALUES (?, ?, ?, ?)",
            (run_dir.name, lab.name, lab.digest, began_ns),
        )
    database.close()
    return run_dir


def end_run(run_dir: Path, summary: dict[str, Any]) -> None:
    """Enter the end of a run and its summary."""
    write_synced(run_dir / "summary.json", json.dumps(summary, indent=1).encode())
    with _index(run_dir.parent) as database:
        database.execute(
            "UPDATE runs SET ended_ns = ?, summary = ? WHERE run = ?",
            (time.time_ns(), json.dumps(summary), run_dir.name),
        )
    database.close()


def list_runs(runs_dir: Path) -> list[dict[str, Any]]:
    """All runs, the latest last."""
    with _index(runs_dir) as database:
        rows = database.execute(
            "SELECT run, lab, digest, began_ns, ended_ns FROM runs ORDER BY began_ns"
        ).fetchall()
    database.close()
    return [dict(zip(("run", "lab", "digest", "began_ns", "ended_ns"), row, strict=True)) for row in rows]


def versions() -> dict[str, str]:
    """Software that took part."""
    found = {"bellwire": __version__, "python": sys.version.split()[0], "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def _index(runs_dir: Path) -> sqlite3.Connection:
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(runs_dir / "index.sqlite")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(_TABLE)
    except (sqlite3.Error, OSError) as problem:
        raise StoreFault(str(runs_dir), f"the index of runs cannot be opened: {problem}") from problem
    return database


_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, lab TEXT NOT NULL, digest TEXT NOT NULL, began_ns INTEGER NOT NULL,
    ended_ns INTEGER, summary TEXT
)
"""
