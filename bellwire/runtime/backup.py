"""A backup: everything durable of a lab's state folder in one archive, as it was at one moment.

Owns what goes in and the common moment of all stores. Refuses to write into the state: agents go on working.
The way back is `restore.py`, the list of what is inside `backup_manifest.py`.

All record stores are locked for writing together, for as long as their copies take. So the copies are of
one moment: a pair that its head has committed is never without the record of its tail, written before.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bellwire import __version__
from bellwire.core.errors import ConfigError
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.backup_manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    Member,
    is_secret,
    is_store,
    wanted_in,
)
from bellwire.runtime.lab_words import LabEntry
from bellwire.runtime.runs import versions
from bellwire.runtime.store import StoreFault

LOCK_S = 5.0
"""A store that its agent does not let go within this stops the backup."""


def back_up(lab: LabEntry, state: Path, archive: Path, *, keys: bool = True, force: bool = False) -> Manifest:
    """Write the archive (mode 0600) and return what is in it. Agents may run meanwhile.

    keys: without them the nodes get new keys on another computer, and are strangers until these are trusted.

    Raises:
        ConfigError: there is nothing to back up, or the archive exists (force: it is replaced).
        StoreFault: a store cannot be read, stays locked, or the archive cannot be written.
    """
    if archive.exists() and not force:
        raise ConfigError("this file exists; name another one, or replace it by --force", where=str(archive))
    names = [name for name in wanted_in(state) if keys or not is_secret(name)]
    if not any(is_store(name) for name in names):
        raise ConfigError("no store lies here: nothing to back up (--state says where)", where=str(state))
    with tempfile.TemporaryDirectory(prefix="bellwire-backup-") as folder:
        copies = _copied(state, [name for name in names if is_store(name)], Path(folder))
        members: list[tuple[Member, bytes]] = []
        for name in names:
            try:
                content = (copies[name] if name in copies else state / name).read_bytes()
            except FileNotFoundError:
                continue  # removed meanwhile, as runs and refused keys are
            except OSError as problem:
                raise StoreFault(str(state / name), f"cannot be read: {problem.strerror}") from problem
            digest = hashlib.sha256(content).hexdigest()
            members.append((Member(name=name, bytes=len(content), sha256=digest), content))
    manifest = Manifest(
        format=FORMAT,
        lab=lab.name,
        digest=lab.digest,
        made_ns=time.time_ns(),
        bellwire=__version__,
        schema=SCHEMA_VERSION,
        versions=versions(),
        nodes=tuple(lab.network.nodes),
        members=tuple(member for member, _ in members),
    )
    _write(archive, manifest, [(member.name, content) for member, content in members])
    return manifest


def _copied(state: Path, stores: list[str], folder: Path) -> dict[str, Path]:
    """Copies of all stores as they are at one moment."""
    copies: dict[str, Path] = {}
    with ExitStack() as locks:
        for name in stores:
            locks.enter_context(_locked(state / name))
        for number, name in enumerate(stores):
            copies[name] = folder / f"{number}.sqlite"
            try:
                with (
                    closing(sqlite3.connect(state / name)) as source,
                    closing(sqlite3.connect(copies[name])) as copy,
                ):
                    source.backup(copy)
            except sqlite3.Error as problem:
                raise StoreFault(str(state / name), f"cannot be copied: {problem}") from problem
    for name, copy_path in copies.items():
        check_store(copy_path, state / name)
    return copies


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody else writes into this store; whoever wants to waits, as SQLite lets them."""
    try:
        database = sqlite3.connect(path, timeout=LOCK_S, isolation_level=None)
        with closing(database):
            database.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                database.execute("ROLLBACK")
    except sqlite3.Error as problem:
        raise StoreFault(str(path), f"cannot be locked for the backup: {problem}") from problem


def check_store(path: Path, said: Path) -> None:
    """Raises StoreFault unless SQLite finds nothing wrong in the file; `said`: its name in the message."""
    try:
        with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as database:
            found = [row[0] for row in database.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as problem:
        raise StoreFault(str(said), f"does not open: {problem}") from problem
    if found != ["ok"]:
        raise StoreFault(str(said), f"is damaged: {'; '.join(found)}")


def _write(archive: Path, manifest: Manifest, contents: list[tuple[str, bytes]]) -> None:
    beside = archive.with_name(f".{archive.name}.new")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz") as tar:
                for name, content in ((MANIFEST, manifest.encoded()), *contents):
                    entry = tarfile.TarInfo(name)
                    entry.size, entry.mode = len(content), 0o600
                    entry.mtime = manifest.made_ns // 1_000_000_000
                    tar.addfile(entry, io.BytesIO(content))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(archive)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise StoreFault(str(archive), f"cannot be written: {problem.strerror}") from problem
