"""Where the two sides of a comparison come from: what is in force, the lab file, a snapshot.

Owns the look at the running lab and the order to its supervisor. Refuses to print.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.cli.places import find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.labs import Lab
    from bellwire.labs.changes import Taken
    from bellwire.labs.document import LabDocument
    from bellwire.labs.snapshots import Snapshot
    from bellwire.runtime.in_force import InForce

CARRY_OUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Side:
    """One configuration: as hosts get it, as processes read it, and the lines of its file (None: unknown)."""

    lab: Lab
    frozen: InForce
    text: LabDocument | None


def running(lab: str, state: Path) -> Side:
    """What is in force in a lab that is up. Raises ConfigError when it is not up."""
    found = asyncio.run(_supervisor_run(state))
    if isinstance(found, ConfigError):
        where = str(state)
        raise ConfigError(f"the lab is not up: {found.problem}; bellwire up {lab}", where=where) from found
    return _obeyed(found, state)


def in_force_or_file(lab: str, state: Path) -> Side:
    """What is in force; of a lab that is not up, what its file says."""
    found = asyncio.run(_supervisor_run(state))
    return of_file(lab, None) if isinstance(found, ConfigError) else _obeyed(found, state)


def in_force_or_snapshot(lab: str, state: Path) -> Side:
    """What is in force; of a lab that is not up, its latest snapshot. Raises ConfigError: there is none."""
    from bellwire.labs.snapshots import all_of

    found = asyncio.run(_supervisor_run(state))
    if not isinstance(found, ConfigError):
        return _obeyed(found, state)
    name = of_file(lab, None).lab.name
    numbers = [one.number for one in all_of(state) if one.configuration.lab == name]
    if not numbers:
        raise ConfigError(
            f"the lab is not up, and no snapshot is kept: bellwire config snapshot {lab}", where=str(state)
        )
    return of_snapshot(state, numbers[-1])


def of_file(lab: str, old: Side | None) -> Side:
    """The file as it is now, with the figures of calibrations that are in force in `old`."""
    from bellwire.labs import load_lab
    from bellwire.labs.calibrated import as_frozen
    from bellwire.labs.document import read_document
    from bellwire.runtime.in_force import frozen_of

    path = find_lab(lab)
    loaded = load_lab(path, live=True)
    if old is not None and set(old.lab.network.links) >= set(loaded.network.links):
        loaded = as_frozen(loaded, old.frozen.document, where=str(path))
    absolute = str(path.absolute())
    return Side(loaded, frozen_of(loaded.name, absolute, loaded.digest, loaded.document), read_document(path))


def of_snapshot(state: Path, number: int) -> Side:
    """A snapshot. Raises ConfigError."""
    from bellwire.cli.calibrated_runs import obeyed
    from bellwire.labs.snapshots import read, text_of

    frozen = read(state, number).configuration
    return Side(obeyed(frozen), frozen, text_of(state, number))


def latest_other(state: Path, old: Side) -> int:
    """The latest snapshot of the lab that is not what is in force."""
    from bellwire.labs.changes import configuration_digest
    from bellwire.labs.snapshots import all_of

    digest = configuration_digest(old.lab.document)
    for one in reversed(all_of(state)):
        kept = one.configuration
        if kept.lab == old.lab.name and configuration_digest(kept.document) != digest:
            return one.number
    raise ConfigError("no snapshot differs from what is in force: bellwire config list", where=str(state))


def keep(side: Side, state: Path, note: str) -> Snapshot:
    """A snapshot of it, with what instruments answer now and the calibrations in force."""
    from bellwire.calibration.store import store_in
    from bellwire.labs.snapshots import calibrations_in_force, take
    from bellwire.study.lab_experiments_snapshots import snapshot as read_equipment

    equipment = asyncio.run(read_equipment(side.lab, state)) if side.lab.equipment else {}
    calibrations = calibrations_in_force(side.lab, store_in(state), time.time_ns())
    return take(state, side.frozen, note=note, equipment=equipment, calibrations=calibrations)


async def carry_out(new: Side, takes: Taken, state: Path, within_s: float) -> dict[str, Any]:
    """Give the work to the supervisor, and wait for what came of it."""
    import msgspec

    from bellwire.runtime.control import ask
    from bellwire.runtime.reconfiguring import Work
    from bellwire.runtime.supervisor_commands import SUPERVISOR

    with tempfile.TemporaryDirectory(prefix="bellwire-config-") as folder:
        path = Path(folder) / "configuration.json"
        path.write_bytes(msgspec.json.encode(new.frozen))
        work = Work(
            configuration=str(path),
            settings=takes.settings,
            emulator=takes.emulator,
            agents=takes.agents,
            together=takes.together,
            ready_s=within_s,
        )
        done: dict[str, Any] = await ask(
            state, SUPERVISOR, "reconfigure", within_s=CARRY_OUT_S, work=msgspec.to_builtins(work)
        )
    return done


async def _supervisor_run(state: Path) -> Path | ConfigError:
    from bellwire.runtime.control import NoAnswer, ask
    from bellwire.runtime.supervisor_commands import SUPERVISOR

    try:
        return Path((await ask(state, SUPERVISOR, "status"))["run"])
    except NoAnswer as silence:
        return silence


def _obeyed(run: Path, state: Path) -> Side:
    from bellwire.cli.calibrated_runs import obeyed
    from bellwire.labs.document import read_document
    from bellwire.runtime.in_force import in_force

    frozen = in_force(run)
    if frozen is None:
        problem = "its processes obey the lab file itself; stop the lab and start it again"
        raise ConfigError(problem, where=str(run))
    text = None
    if frozen.text:
        with tempfile.TemporaryDirectory(prefix="bellwire-config-") as folder:
            path = Path(folder) / f"{Path(frozen.path or frozen.lab).stem}.in_force.yaml"
            path.write_text(frozen.text, encoding="utf-8")
            text = read_document(path)
    return Side(obeyed(frozen), frozen, text)
