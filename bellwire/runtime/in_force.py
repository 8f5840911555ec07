"""The configuration that the processes of a run obey: frozen, so that a file edited meanwhile changes
nothing.

Owns `in_force.json` of a run directory and the list of what was in force before. Refuses to read lab files
and to say what a change takes (bellwire.labs.changes).

Without it a process that crashed and was started again would read a file that somebody edits at that moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.runtime.store import write_synced

IN_FORCE = "in_force.json"
CHANGES = "changes.json"


class InForce(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration as processes read it."""

    lab: str
    path: str | None  # of the lab file
    digest: str
    document: dict[str, Any]  # canonical
    text: str  # of the lab file as it was, for the lines of what differs


class ChangeMade(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that came into force within a run."""

    configuration: str  # file beside this one
    since: dict[NodeId, int]  # agents that obey it, from which incarnation on


def frozen_of(name: str, path: str | None, digest: str, document: Mapping[str, Any]) -> InForce:
    """A lab's configuration as of now."""
    try:
        text = "" if path is None else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""  # lines of differences are a comfort
    return InForce(lab=name, path=path, digest=digest, document=dict(document), text=text)


def put_in_force(run_dir: Path, configuration: InForce) -> None:
    """Processes that start from now on obey it. Raises StoreFault."""
    write_synced(run_dir / IN_FORCE, msgspec.json.encode(configuration))


def in_force(run_dir: Path) -> InForce | None:
    """What processes of a run obey; None: what the lab file says. Raises ConfigError."""
    return read_configuration(path) if (path := run_dir / IN_FORCE).is_file() else None


def read_configuration(path: Path) -> InForce:
    """A configuration of a file. Raises ConfigError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=InForce)
    except (OSError, msgspec.DecodeError) as problem:
        raise ConfigError(f"not a configuration in force: {problem}", where=str(path)) from problem


def note_change(run_dir: Path, configuration: InForce, since: Mapping[NodeId, int]) -> None:
    """Remember for replay who obeys a configuration from which life on. Raises StoreFault."""
    made = changes_made(run_dir)
    name = f"configuration-{len(made) + 2}.json"
    write_synced(run_dir / name, msgspec.json.encode(configuration))
    made.append(ChangeMade(configuration=name, since=dict(since)))
    write_synced(run_dir / CHANGES, json.dumps(msgspec.to_builtins(made), indent=1).encode())


def changes_made(run_dir: Path) -> list[ChangeMade]:
    """All changes of a run, in order."""
    path = run_dir / CHANGES
    return msgspec.json.decode(path.read_bytes(), type=list[ChangeMade]) if path.is_file() else []
