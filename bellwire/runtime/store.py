"""What an agent must not forget: its incarnation counter and its durable records.

Owns `claim_incarnation` (written and synced before the first event of a process) and `RecordStore`, a table
of the latest record per kind and key, written by one thread in batches. Refuses meaning: a record is a kind,
a key and bytes.
"""

import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.core.events import Record
from bellwire.core.ids import NodeId

PENDING_RECORDS_MAX = 65_536
"""More records waiting for the disk than this end the agent with StoreFault: the disk does not follow."""
BATCH_RECORDS_MAX = 512
INCARNATION_MAX = 1 << 43
"""A run number is incarnation * 2**20 + counter and must fit 63 bits."""


class StoreFault(DeviceFault):
    """The disk is full, gone or broken: nothing durable can be promised any more."""


class AgentLock:
    """Held while an agent of this name runs on this state directory;

    the kernel frees it when the process dies.
    """

    def __init__(self, state_dir: Path, node: NodeId) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        path = state_dir / f"{node}.lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            problem = f"{node} already runs (process {holder}); stop it first"
            raise ConfigError(problem, where=str(path)) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let the next agent of this name start."""
        os.close(self._descriptor)


def claim_incarnation(state_dir: Path, node: NodeId) -> int:
    """The number of this process's life: one more than any before, on stable storage when this returns.

    Raises:
        StoreFault: the counter cannot be read or written.
    """
    path = state_dir / f"{node}.incarnation"
    try:
        latest = int(path.read_text(encoding="ascii")) if path.exists() else 0
    except ValueError as problem:
        raise StoreFault(str(path), f"not a number ({problem}); restore it, never reset it") from problem
    incarnation = latest + 1
    if not 1 <= incarnation < INCARNATION_MAX:
        raise StoreFault(str(path), f"incarnation {incarnation} is outside 1..{INCARNATION_MAX}")
    write_synced(path, f"{incarnation}\n".encode("ascii"))
    return incarnation


def write_synced(path: Path, content: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new content. Raises StoreFault."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as problem:
        raise StoreFault(str(path), f"cannot be written: {problem.strerror}") from problem


class RecordStore:
    """The durable records of one agent."""

    def __init__(
        self,
        path: Path,
        on_stored: Callable[[list[int]], None],
        on_fault: Callable[[StoreFault], None],
        *,
        bytes_max: int | None = None,
    ) -> None:
        """`on_stored(tokens)` and `on_fault` are called in the writer's thread: hand them to the loop there.

        bytes_max: the file may not grow beyond this; None: as far as the disk goes.
        """
        self.path = path
        self._on_stored = on_stored
        self._on_fault = on_fault
        self._bytes_max = bytes_max
        self._orders: queue.Queue[tuple[int, Record] | None] = queue.Queue(PENDING_RECORDS_MAX)
        self._writer: threading.Thread | None = None

    def open(self) -> tuple[Record, ...]:
        """Open the file, start the writer; returns the records in the order in which they were last written.

        Raises:
            StoreFault: not a record store, or not writable.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path)) as database, database:
                _prepare(database)
                rows = database.execute("SELECT kind, key, body FROM records ORDER BY written").fetchall()
        except (sqlite3.Error, OSError) as problem:
            raise StoreFault(str(self.path), f"cannot be opened: {problem}") from problem
        self._writer = threading.Thread(target=self._write_batches, name="record-store", daemon=True)
        self._writer.start()
        return tuple(Record(kind=kind, key=key, body=body) for kind, key, body in rows)

    def write(self, token: int, record: Record) -> None:
        """Order a record to be written. Raises StoreFault when too many wait already."""
        try:
            self._orders.put_nowait((token, record))
        except queue.Full:
            raise StoreFault(str(self.path), f"{PENDING_RECORDS_MAX} records wait for the disk") from None

    def close(self) -> None:
        """Write what was ordered and end the writer."""
        if self._writer is None:
            return
        while self._writer.is_alive():  # it may have ended by a fault, with its queue full
            try:
                self._orders.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._writer.join()
        self._writer = None

    def _write_batches(self) -> None:
        database = sqlite3.connect(self.path)
        try:
            _prepare(database)
            if self._bytes_max is not None:
                (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
                database.execute(f"PRAGMA max_page_count = {max(1, self._bytes_max // page_bytes)}")
            while True:
                batch, last = self._next_batch()
                if batch:
                    with database:
                        database.executemany(_WRITE, [(r.kind, r.key, r.body) for _, r in batch])
                    self._on_stored([token for token, _ in batch])
                if last:
                    break
        except sqlite3.Error as problem:
            self._on_fault(StoreFault(str(self.path), f"cannot be written: {problem}"))
        finally:
            database.close()

    def _next_batch(self) -> tuple[list[tuple[int, Record]], bool]:
        batch: list[tuple[int, Record]] = []
        order = self._orders.get()
        while order is not None:
            batch.append(order)
            if len(batch) >= BATCH_RECORDS_MAX:
                return batch, False
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True


_WRITE = """
INSERT INTO records (kind, key, body, written)
VALUES (?, ?, ?, (SELECT coalesce(max(written), 0) + 1 FROM records))
ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, written = excluded.written
"""
_TABLE = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, written INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
)
"""


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(_TABLE)
    database.execute("CREATE INDEX IF NOT EXISTS by_written ON records (written)")
