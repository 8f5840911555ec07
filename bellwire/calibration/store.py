"""The store of calibration records: one SQLite file with raw data and plots beside it, only ever added to.

Owns the file `calibrations.sqlite`, its schema and its queries. Refuses to change or remove a record, to be
written by two processes at once, and judgement: what a record means to a link is said in standing.py.

"Newest" is the one that was put last: clocks may be set back, and what was found out last is what is known.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from bellwire.calibration.records import CalibrationRecord
from bellwire.calibration.standing import in_force
from bellwire.calibration.store_files import (
    DATA,
    StoreFault,
    checked_name,
    remove,
    sweep,
    write_whole,
    writing,
)
from bellwire.core.errors import ConfigError, LocalMisuse

__all__ = ["CalibrationStore", "Signature", "StoreFault", "store_in"]

FILE: Final = "calibrations.sqlite"
SCHEMA: Final = 1
APPLICATION: Final = 0x4257_4341
"""What SQLite keeps in the file's header to say whose it is: "BWCA"."""

LOCK_WAIT_S: Final = 10.0
"""Calibrations of two links may end at the same moment; the second waits so long for the first."""
BUSY_S: Final = 5.0

Signature = tuple[tuple[int, int, int] | None, ...]
"""What the files look like from outside: inode, size and time of the last change (ns); None: absent or
empty."""


def store_in(state: Path) -> CalibrationStore:
    """The store of a lab's state folder."""
    return CalibrationStore(state / "calibrations")


class CalibrationStore:
    """Records of all links of a lab. Cheap to make: nothing is opened before it is asked for something."""

    def __init__(self, folder: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._lock_wait_s = lock_wait_s

    # ---- writing

    def prepare(self) -> None:
        """Make sure at the start of a calibration, not at its end, that its record can be written.

        Raises:
            ConfigError: somebody else writes, or the store is of a newer bellwire.
            StoreFault: full, read-only, or no calibration store.
        """
        with writing(self.folder, self._lock_wait_s):
            sweep(self.folder)
            with self._changing() as database:
                database.execute("UPDATE checks SET count = count + 1")
            trial = self.folder / DATA / "trial"
            write_whole(trial, b"can be written\n")
            remove(trial)

    def keep_file(self, record_id: str, suffix: str, content: bytes) -> str:
        """Bring raw data or a plot to the disk, before the record that will name it; returns what `data` or
        `plot` of the record call it. `suffix`: such as ".npz".

        Raises:
            LocalMisuse: the record has such a file with another content.
            ConfigError: somebody else writes.
            StoreFault: it could not be written.
        """
        name = checked_name(f"{DATA}/{record_id}{suffix}")
        with writing(self.folder, self._lock_wait_s):
            write_whole(self.folder / name, content)
        return str(name)

    def put(self, record: CalibrationRecord) -> None:
        """Add a record, whose files are on the disk already. Putting the same again changes nothing.

        Raises:
            LocalMisuse: another record has this id, or it names a file that is nowhere.
            ConfigError: somebody else writes, or the store is of a newer bellwire.
            StoreFault: it could not be stored; what was stored before stays in force.
        """
        if not (record.record_id and record.link and record.procedure):
            raise LocalMisuse(f"a record needs an id, a link and a procedure: {record}")
        for name in filter(None, (record.data, record.plot)):
            if not self.file(name).is_file():
                raise LocalMisuse(f"record {record.record_id} names {name}, which is no file")
        body = _encoded(record)
        row = (record.record_id, record.link, record.procedure, record.outcome.value, record.ended_ns, body)
        with writing(self.folder, self._lock_wait_s), self._changing() as database:
            held = "SELECT body FROM records WHERE record_id = ?"
            found = database.execute(held, (record.record_id,)).fetchone()
            if found is None:
                database.execute(_PUT, row)
            elif found[0] != body:
                raise LocalMisuse(f"record {record.record_id} is stored, and records are never changed")

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the context ends."""
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as database:
                fresh = self._is_fresh(database)
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute("BEGIN IMMEDIATE")
                if fresh:
                    for statement in _SCHEMA:
                        database.execute(statement)
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as problem:
            raise StoreFault(
                str(self.path), f"cannot be written: {problem}; what was stored before stays in force"
            ) from problem

    # ---- reading

    def latest(self, link: str, procedure: str) -> CalibrationRecord | None:
        """The newest record, whatever its outcome; None: there is none."""
        return next(iter(self.history(link, procedure, 1)), None)

    def in_force(self, link: str, procedure: str, now_ns: int) -> CalibrationRecord | None:
        """The record that may be believed now (unix time), see `standing.in_force`; None: there is none."""
        found = self._read(_DECISIVE + " AND procedure = ?" + _DECISIVE_END, (link, procedure))
        return in_force(found, now_ns)

    def history(self, link: str, procedure: str, limit: int | None = None) -> tuple[CalibrationRecord, ...]:
        """The newest `limit` records (None: all), the newest first."""
        text = "SELECT body FROM records WHERE link = ? AND procedure = ? ORDER BY number DESC LIMIT ?"
        return self._read(text, (link, procedure, -1 if limit is None else limit))

    def decisive(self, link: str) -> tuple[CalibrationRecord, ...]:
        """Of every procedure the newest record of each outcome, the oldest first: enough for a standing."""
        return self._read(_DECISIVE + _DECISIVE_END, (link,))

    def links(self) -> tuple[str, ...]:
        """Links with records, by name."""
        rows = self._rows("SELECT DISTINCT link FROM records ORDER BY link", ())
        return tuple(str(name) for (name,) in rows)

    def procedures(self, link: str) -> tuple[str, ...]:
        """Procedures of which a link has records, in the order in which they were first put."""
        text = "SELECT procedure FROM records WHERE link = ? GROUP BY procedure ORDER BY min(number)"
        return tuple(str(name) for (name,) in self._rows(text, (link,)))

    def file(self, name: str) -> Path:
        """Where a file that a record names lies."""
        return self.folder / checked_name(name)

    def signature(self) -> Signature:
        """Changes with every record that anybody puts. Reads no content."""
        return tuple(_identity(self.folder / name) for name in (FILE, f"{FILE}-wal"))

    def _read(self, text: str, values: Sequence[object]) -> tuple[CalibrationRecord, ...]:
        return tuple(self._decoded(str(body)) for (body,) in self._rows(text, values))

    def _rows(self, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Rows of a store that may be absent, written at this moment, or on a disk that cannot be written."""
        try:
            if not self.path.exists():
                return []
            try:
                return self._query("mode=ro", text, values)
            except sqlite3.OperationalError:
                # Beside a file in WAL mode SQLite must make two more, which a full or read-only disk refuses.
                # Where the log is empty, before and after, the file is complete and was not written.
                before = self.signature()
                rows = self._query("mode=ro&immutable=1", text, values)
                if before != self.signature() or before[1] is not None:
                    raise
                return rows
        except (sqlite3.Error, OSError) as problem:
            raise StoreFault(str(self.path), f"cannot be read: {problem}") from problem

    def _query(self, mode: str, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        address = f"file:{quote(str(self.path.absolute()))}?{mode}"
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)) as database:
            database.execute("BEGIN")  # all of it as of one moment: somebody may be making the store
            if self._is_fresh(database):
                return []
            return database.execute(text, values).fetchall()

    def _is_fresh(self, database: sqlite3.Connection) -> bool:
        """Whether the file is empty yet. Raises ConfigError and StoreFault when it is not ours to read."""
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        if application == 0 and not database.execute("SELECT 1 FROM sqlite_master").fetchall():
            return True
        if application != APPLICATION:
            raise StoreFault(str(self.path), "is a database, but no calibration store: move it away")
        if schema > SCHEMA:
            raise ConfigError(
                f"this store has version {schema} and was written by a newer bellwire, this one knows "
                f"{SCHEMA}: update bellwire, or move the folder away",
                where=str(self.path),
            )
        return False

    def _decoded(self, body: str) -> CalibrationRecord:
        try:
            return msgspec.convert(json.loads(body), CalibrationRecord)
        except (ValueError, msgspec.ValidationError) as problem:
            raise StoreFault(str(self.path), f"holds what is no record: {problem}") from problem


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if not found.st_size:  # an empty log is left by whoever reads
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _encoded(record: CalibrationRecord) -> str:
    """As JSON, for whoever opens the file with `sqlite3`. Raises LocalMisuse for what cannot be kept."""
    try:
        return json.dumps(msgspec.to_builtins(record, enc_hook=_plain))
    except (TypeError, ValueError) as problem:
        raise LocalMisuse(f"record {record.record_id} cannot be stored: {problem}") from problem


def _plain(value: object) -> object:
    """Numbers of numpy and mappings of any kind, which procedures hand over as they have them."""
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    raise TypeError(f"{type(value).__name__} is neither number, text nor mapping")


_PUT = """
INSERT INTO records (record_id, link, procedure, outcome, ended_ns, body) VALUES (?, ?, ?, ?, ?, ?)
"""
_DECISIVE = """
SELECT body FROM records WHERE number IN (SELECT max(number) FROM records WHERE link = ?
"""
_DECISIVE_END = " GROUP BY procedure, outcome) ORDER BY number"
_SCHEMA = (
    """
    CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT, record_id TEXT NOT NULL UNIQUE, link TEXT NOT NULL,
        procedure TEXT NOT NULL, outcome TEXT NOT NULL, ended_ns INTEGER NOT NULL, body TEXT NOT NULL
    )
    """,
    "CREATE INDEX by_procedure ON records (link, procedure, number)",
    """
    CREATE TRIGGER never_changed BEFORE UPDATE ON records
    BEGIN SELECT RAISE(ABORT, 'records are never changed'); END
    """,
    """
    CREATE TRIGGER never_removed BEFORE DELETE ON records
    BEGIN SELECT RAISE(ABORT, 'records are never removed'); END
    """,
    "CREATE TABLE checks (count INTEGER NOT NULL)",  # written by `prepare`, to see whether it can be
    "INSERT INTO checks (count) VALUES (0)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {SCHEMA}",
)
