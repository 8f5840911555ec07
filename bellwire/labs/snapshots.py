"""Snapshots of a lab's configuration: the file, what instruments said, and the calibrations in force.

Owns their files, `configurations/NUMBER.json` and `.yaml` of the state folder, each written whole or not at
all and checked by its hash when it is read. Refuses to change one: a later state is a later snapshot.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bellwire.calibration.records import NS_PER_S
from bellwire.calibration.store import CalibrationStore
from bellwire.core.errors import ConfigError
from bellwire.labs.document import LabDocument, read_document
from bellwire.labs.lab import Lab
from bellwire.runtime.in_force import InForce
from bellwire.runtime.runs import versions
from bellwire.runtime.store import write_synced

FOLDER = "configurations"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration as it was at a time."""

    number: int
    at_ns: int  # unix time
    note: str
    configuration: InForce
    versions: dict[str, str]
    equipment: dict[
        str, Any
    ]  # by instrument: condition, and parameters as read back; empty: nobody was asked
    calibrations: dict[str, dict[str, dict[str, Any]]]  # in force, by link and procedure


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: str  # of the bytes of `snapshot`
    snapshot: msgspec.Raw


def take(
    state: Path,
    configuration: InForce,
    *,
    note: str = "",
    equipment: Mapping[str, Any] | None = None,
    calibrations: Mapping[str, dict[str, dict[str, Any]]] | None = None,
) -> Snapshot:
    """Keep a snapshot under the next number. Raises StoreFault."""
    folder = state / FOLDER
    kept = Snapshot(
        number=max(_numbers(folder), default=0) + 1,
        at_ns=time.time_ns(),
        note=note,
        configuration=configuration,
        versions=versions(),
        equipment=dict(equipment or {}),
        calibrations=dict(calibrations or {}),
    )
    body = msgspec.json.encode(kept)
    sealed = _Sealed(sha256=hashlib.sha256(body).hexdigest(), snapshot=msgspec.Raw(body))
    # The text first: a snapshot is there when its JSON is.
    write_synced(folder / f"{kept.number:04d}.yaml", configuration.text.encode())
    write_synced(folder / f"{kept.number:04d}.json", msgspec.json.encode(sealed))
    return kept


def read(state: Path, number: int) -> Snapshot:
    """A snapshot. Raises ConfigError when there is none of that number, or it is damaged."""
    path = state / FOLDER / f"{number:04d}.json"
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        body = bytes(sealed.snapshot)
        if hashlib.sha256(body).hexdigest() != sealed.sha256:
            raise ConfigError("this snapshot is damaged: its hash is another", where=str(path))
        return msgspec.json.decode(body, type=Snapshot)
    except FileNotFoundError:
        known = ", ".join(map(str, sorted(_numbers(path.parent)))) or "none"
        raise ConfigError(f"there is no snapshot {number}; known: {known}", where=str(path.parent)) from None
    except (OSError, msgspec.DecodeError) as problem:
        raise ConfigError(f"this snapshot cannot be read: {problem}", where=str(path)) from problem


def all_of(state: Path) -> list[Snapshot]:
    """All snapshots, the latest last. Raises ConfigError when one is damaged."""
    return [read(state, number) for number in sorted(_numbers(state / FOLDER))]


def text_of(state: Path, number: int) -> LabDocument | None:
    """The lab file of a snapshot with its lines; None: it was not read from a file."""
    path = state / FOLDER / f"{number:04d}.yaml"
    return read_document(path) if path.is_file() and path.stat().st_size else None


def calibrations_in_force(
    lab: Lab, store: CalibrationStore, now_ns: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Of every link and procedure: record, values, and until when. Raises StoreFault, ConfigError."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for link in lab.network.links:
        for procedure in store.procedures(link):
            record = store.in_force(link, procedure, now_ns)
            if record is not None:
                found.setdefault(link, {})[procedure] = {
                    "record": record.record_id,
                    "ended_ns": record.ended_ns,
                    "expires_ns": record.ended_ns + min(int(record.valid_for_s * NS_PER_S), 1 << 61)
                    if record.valid_for_s < 1e9
                    else None,
                    "quantities": {
                        name: {"value": one.value, "sigma": one.sigma, "unit": one.unit}
                        for name, one in record.quantities.items()
                    },
                    "applied": dict(record.applied),
                }
    return found


def _numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("[0-9]*.json") if path.stem.isdecimal()]
