"""The way back from a backup: all verified first, then put in place, with counters that cannot repeat.

Owns the order (verify, lock, set aside, place, raise counters). Refuses a state in which anybody runs, one
that holds something (unless it is to be set aside), and archives that are not what their manifest says.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bellwire.core.errors import ConfigError
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.backup import check_store
from bellwire.runtime.backup_manifest import (
    MANIFEST,
    PARTS,
    Manifest,
    decoded,
    is_counter,
    is_secret,
    is_store,
    wanted_in,
)
from bellwire.runtime.control import SUPERVISOR
from bellwire.runtime.incarnations import counter_path, raise_counter, read_counter
from bellwire.runtime.lab_words import LabEntry
from bellwire.runtime.store import AgentLock, StoreFault

MANIFEST_BYTES_MAX = 64 * 1024 * 1024


def read_manifest(archive: Path) -> Manifest:
    """What an archive says that it holds. Raises ConfigError when it is none."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            first = tar.next()
            if (
                first is None
                or first.name != MANIFEST
                or not first.isreg()
                or first.size > MANIFEST_BYTES_MAX
            ):
                raise ConfigError("not a backup of bellwire: no manifest", where=str(archive))
            file = tar.extractfile(first)
            assert file is not None, "a regular file"
            return decoded(file.read(), str(archive))
    except (tarfile.TarError, OSError, EOFError) as problem:
        raise ConfigError(f"not a backup of bellwire: {problem}", where=str(archive)) from problem


def restore(
    lab: LabEntry, state: Path, archive: Path, *, force: bool = False, now_ns: int | None = None
) -> dict[str, object]:
    """Put the state back as the archive has it; returns what was done, ready for JSON.

    force: what lies in the state folder is set aside (not removed) and replaced. now_ns: unix time.

    Raises:
        ConfigError: not a backup, of another lab, damaged, of a newer bellwire, an agent runs, the folder is
            not empty, or the clock is wrong.
        StoreFault: a file cannot be written, or a store in the archive is damaged.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    manifest = read_manifest(archive)
    _refuse_another(lab, manifest, archive, now_ns)
    with ExitStack() as held:
        for name in (SUPERVISOR, *dict.fromkeys((*manifest.nodes, *lab.network.nodes))):
            held.callback(AgentLock(state / "agents", name).release)
        present = list(wanted_in(state))
        if present and not force:
            raise ConfigError(
                f"{len(present)} files of a state lie here ({present[0]} ...): --force sets them aside first",
                where=str(state),
            )
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix=".restore-", dir=state))
        _extract(archive, manifest, Path(folder))
        # Counters first: whatever stops this restore, no agent can begin with a number that peers have seen.
        agents, copies = state / "agents", Path(folder) / "agents"
        raised = {
            name: raise_counter(agents, name, read_counter(counter_path(copies, name)), now_ns=now_ns)
            for name in dict.fromkeys((*manifest.nodes, *lab.network.nodes))
        }
        aside = _set_aside(state, present, now_ns) if present else None
        for member in manifest.members:
            if not is_counter(member.name):
                _place(Path(folder) / member.name, state / member.name)
        for part in PARTS:
            _sync_folder(state / part)
    return {
        "lab": manifest.lab,
        "made_ns": manifest.made_ns,
        "bellwire": manifest.bellwire,
        "files": len(manifest.members),
        "keys": sum(is_secret(member.name) for member in manifest.members),
        "set_aside": None if aside is None else str(aside),
        "incarnations": raised,
    }


def _refuse_another(lab: LabEntry, manifest: Manifest, archive: Path, now_ns: int) -> None:
    where = str(archive)
    if manifest.lab != lab.name:
        raise ConfigError(f'a backup of the lab "{manifest.lab}", not of "{lab.name}"', where=where)
    if manifest.schema > SCHEMA_VERSION:
        raise ConfigError(
            f"made by bellwire {manifest.bellwire} with schema {manifest.schema}, this one knows "
            f"{SCHEMA_VERSION}: install that version first",
            where=where,
        )
    if manifest.made_ns > now_ns:
        early_s = (manifest.made_ns - now_ns) / 1e9
        raise ConfigError(
            f"the clock of this computer is {early_s:.0f} s before the backup was made: set it first, "
            "because incarnations follow it",
            where=where,
        )


def _extract(archive: Path, manifest: Manifest, folder: Path) -> None:
    """Every file beside its place, with the content that the manifest names; nothing else is read."""
    wanted = {member.name: member for member in manifest.members}
    where = str(archive)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                if entry.name == MANIFEST:
                    continue
                member = wanted.pop(entry.name, None)
                file = tar.extractfile(entry) if entry.isreg() else None
                if member is None or file is None or entry.size != member.bytes:
                    raise ConfigError(f"{entry.name} is not what the manifest says", where=where)
                content = file.read()
                if hashlib.sha256(content).hexdigest() != member.sha256:
                    raise ConfigError(f"{entry.name} is damaged: its hash is another", where=where)
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode(member.name))
                with os.fdopen(descriptor, "wb") as out:
                    out.write(content)
                    out.flush()
                    os.fsync(out.fileno())
                if is_store(member.name):
                    check_store(path, Path(member.name))
    except (tarfile.TarError, OSError, EOFError) as problem:
        raise ConfigError(f"the archive cannot be read to its end: {problem}", where=where) from problem
    if wanted:
        raise ConfigError(f"{next(iter(wanted))} is missing in the archive", where=where)


def _mode(name: str) -> int:
    return 0o600 if is_secret(name) or name.startswith("agents/") else 0o644


def _set_aside(state: Path, present: list[str], now_ns: int) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_ns // 1_000_000_000))
    aside = state / f"before-restore-{stamp}-{now_ns % 1_000_000_000:09d}"
    aside.mkdir(mode=0o700)
    for name in present:
        if is_counter(name):
            continue  # it only ever grows
        for beside in (name, f"{name}-wal", f"{name}-shm"):  # SQLite's own files go with theirs
            if (state / beside).exists():
                _place(state / beside, aside / beside)
    return aside


def _place(source: Path, target: Path) -> None:
    try:
        folder = target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if folder.name == "keys":
            folder.chmod(0o700)
        source.replace(target)
    except OSError as problem:
        raise StoreFault(str(target), f"cannot be put in place: {problem.strerror}") from problem


def _sync_folder(folder: Path) -> None:
    if not folder.is_dir():
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
