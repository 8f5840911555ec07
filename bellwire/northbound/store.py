"""What the server must not forget: requests as last heard, notifications, answers by Idempotency-Key, and how
far it has read the news of each node.

Owns one SQLite file, written by one thread; whoever awaits a change knows that it is on the disk. Refuses
meaning: standings and notifications are JSON to it. The truth about a request stays with its source.
"""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from bellwire.core.errors import ConfigError
from bellwire.runtime.store import StoreFault

FILE: Final = "northbound.sqlite"
SCHEMA: Final = 1
APPLICATION: Final = 0x4257_4E42
"""What SQLite keeps in the file's header to say whose it is: "BWNB"."""

NOTIFICATIONS_KEPT: Final = 100_000
KEYS_KEPT_NS: Final = 86_400 * 1_000_000_000
"""An Idempotency-Key is remembered for a day after its first use."""

READERS: Final = 2

TABLES: Final = """
CREATE TABLE requests (
  number INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE, source TEXT NOT NULL,
  submitted_by TEXT, state TEXT NOT NULL, standing TEXT NOT NULL, heard_ns INTEGER NOT NULL);
CREATE INDEX requests_by_source ON requests (source, number);
CREATE TABLE notifications (
  number INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, node TEXT NOT NULL, kind TEXT NOT NULL,
  request_id TEXT, body TEXT NOT NULL);
CREATE TABLE keys (
  principal TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, request_id TEXT NOT NULL,
  begun_ns INTEGER NOT NULL, status INTEGER, body TEXT, PRIMARY KEY (principal, key));
CREATE INDEX keys_by_age ON keys (begun_ns);
CREATE TABLE cursors (node TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, after INTEGER NOT NULL);
"""

Kind = Literal["request_status", "report", "missed"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A request as its source last told it."""

    number: int
    request_id: str
    source: str
    submitted_by: str | None  # None: not through this API
    standing: Mapping[str, Any]
    heard_ns: int


@dataclass(frozen=True, slots=True)
class KeptNotification:
    """One notification; `number` grows by time of hearing, over restarts of the server too."""

    number: int
    at_ns: int
    node: str
    kind: Kind
    request_id: str | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeptKey:
    """What an Idempotency-Key stands for. `status` None: its request was never answered."""

    fingerprint: str
    request_id: str
    status: int | None
    body: Any


class ApiStore:
    """The memory of one server. `open` before anything else; `close` when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = ThreadPoolExecutor(1, "northbound-writer")
        self._readers = ThreadPoolExecutor(READERS, "northbound-reader")
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []

    async def open(self) -> None:
        """Make the file or check that it is ours.

        Raises:
            StoreFault: it cannot be written, or is no store of this API.
            ConfigError: it is of a newer bellwire.
        """
        await self._write(_prepare)

    async def close(self) -> None:
        """Let go of the file; what was awaited is on the disk."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._readers.shutdown)
        await loop.run_in_executor(None, self._writer.shutdown)
        for connection in self._opened:
            connection.close()

    # ---- Idempotency-Key

    async def reserve(
        self, principal: str, key: str, fingerprint: str, request_id: str, now_ns: int
    ) -> KeptKey | None:
        """Keep a key before its request is acted on; None: it is fresh, else what it stands for already."""

        def work(database: sqlite3.Connection) -> KeptKey | None:
            database.execute("DELETE FROM keys WHERE begun_ns < ?", (now_ns - KEYS_KEPT_NS,))
            row = database.execute(
                "SELECT fingerprint, request_id, status, body FROM keys WHERE principal = ? AND key = ?",
                (principal, key),
            ).fetchone()
            if row is not None:
                return KeptKey(row[0], row[1], row[2], None if row[3] is None else json.loads(row[3]))
            database.execute(
                "INSERT INTO keys (principal, key, fingerprint, request_id, begun_ns) VALUES (?, ?, ?, ?, ?)",
                (principal, key, fingerprint, request_id, now_ns),
            )
            return None

        return await self._write(work)

    async def answered(self, principal: str, key: str, status: int, body: Any) -> None:
        """The answer that every repetition of the key gets."""
        row = (status, json.dumps(body), principal, key)
        await self._execute("UPDATE keys SET status = ?, body = ? WHERE principal = ? AND key = ?", row)

    async def release(self, principal: str, key: str) -> None:
        """Forget a key whose request came to nothing that would be worth repeating."""
        await self._execute("DELETE FROM keys WHERE principal = ? AND key = ?", (principal, key))

    # ---- requests

    async def put_request(
        self, source: str, standing: Mapping[str, Any], now_ns: int, submitted_by: str | None = None
    ) -> bool:
        """Keep what a source has told; True when the request was known before."""
        request_id = standing["request"]["request_id"]

        def work(database: sqlite3.Connection) -> bool:
            known = database.execute("SELECT 1 FROM requests WHERE request_id = ?", (request_id,)).fetchone()
            database.execute(
                "INSERT INTO requests (request_id, source, submitted_by, state, standing, heard_ns)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (request_id) DO UPDATE SET state = excluded.state,"
                " standing = excluded.standing, heard_ns = excluded.heard_ns,"
                " submitted_by = coalesce(submitted_by, excluded.submitted_by)",
                (request_id, source, submitted_by, standing["state"], json.dumps(standing), now_ns),
            )
            return known is not None

        return await self._write(work)

    async def request(self, request_id: str) -> KeptRequest | None:
        """A request by name."""
        found = await self._read(f"{_REQUESTS} WHERE request_id = ?", (request_id,))
        return _request(found[0]) if found else None

    async def requests(
        self, before: int | None, limit: int, states: Sequence[str] = (), source: str | None = None
    ) -> tuple[KeptRequest, ...]:
        """Requests with smaller numbers than `before` (None: all), the newest first."""
        where, values = ["number < ?"], [(1 << 62) if before is None else before]
        parameters: list[Any] = [*values]
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            parameters += states
        if source is not None:
            where.append("source = ?")
            parameters.append(source)
        query = f"{_REQUESTS} WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?"
        return tuple(map(_request, await self._read(query, (*parameters, limit))))

    # ---- news

    async def cursor(self, node: str) -> tuple[int, int] | None:
        """Incarnation and number up to which the news of a node were read; None: never."""
        found = await self._read("SELECT incarnation, after FROM cursors WHERE node = ?", (node,))
        return (found[0][0], found[0][1]) if found else None

    async def take_news(
        self, node: str, incarnation: int, after: int, told: Sequence[tuple[int, Kind, str | None, Any]]
    ) -> None:
        """Notifications (at_ns, kind, request_id, body) and how far they reach, all or none."""

        def work(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT INTO notifications (at_ns, node, kind, request_id, body) VALUES (?, ?, ?, ?, ?)",
                [(at_ns, node, kind, request, json.dumps(body)) for at_ns, kind, request, body in told],
            )
            database.execute(
                "INSERT INTO cursors (node, incarnation, after) VALUES (?, ?, ?)"
                " ON CONFLICT (node) DO UPDATE SET incarnation = excluded.incarnation,"
                " after = excluded.after",
                (node, incarnation, after),
            )
            database.execute(
                "DELETE FROM notifications WHERE number <= (SELECT max(number) FROM notifications) - ?",
                (NOTIFICATIONS_KEPT,),
            )

        await self._write(work)

    async def notifications(
        self, after: int, limit: int, kinds: Sequence[str], request_id: str | None = None
    ) -> tuple[KeptNotification, ...]:
        """Notifications with higher numbers, the oldest first."""
        query = (
            "SELECT number, at_ns, node, kind, request_id, body FROM notifications WHERE number > ?"
            f" AND kind IN ({', '.join('?' * len(kinds))})"
        )
        parameters: list[Any] = [after, *kinds]
        if request_id is not None:
            query += " AND request_id = ?"
            parameters.append(request_id)
        rows = await self._read(f"{query} ORDER BY number LIMIT ?", (*parameters, limit))
        return tuple(_notification(row) for row in rows)

    async def span(self) -> tuple[int, int]:
        """Numbers of the oldest notification that is kept and of the newest; (1, 0) before the first."""
        found = await self._read("SELECT min(number), max(number) FROM notifications", ())
        return (1, 0) if found[0][0] is None else (found[0][0], found[0][1])

    # ---- threads

    async def _execute(self, query: str, parameters: Sequence[Any]) -> None:
        def work(database: sqlite3.Connection) -> None:
            database.execute(query, parameters)

        await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                with self._connection() as database:
                    database.execute("BEGIN IMMEDIATE")
                    return work(database)
            except (sqlite3.Error, OSError) as problem:
                raise StoreFault(str(self.path), f"cannot be written: {problem}") from problem

        return await asyncio.get_running_loop().run_in_executor(self._writer, run)

    async def _read(self, query: str, parameters: Sequence[Any]) -> list[Any]:
        def run() -> list[Any]:
            try:
                return self._connection().execute(query, parameters).fetchall()
            except sqlite3.Error as problem:
                raise StoreFault(str(self.path), f"cannot be read: {problem}") from problem

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def _connection(self) -> sqlite3.Connection:
        """The one of this thread."""
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._opened.append(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._own.connection = connection
        return connection


_REQUESTS: Final = "SELECT number, request_id, source, submitted_by, standing, heard_ns FROM requests"


def _request(row: Sequence[Any]) -> KeptRequest:
    return KeptRequest(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5])


def _notification(row: Sequence[Any]) -> KeptNotification:
    return KeptNotification(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]))


def _prepare(database: sqlite3.Connection) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    schema = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables == 0:
        for statement in TABLES.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {SCHEMA}")
        return
    if application != APPLICATION:
        raise sqlite3.DatabaseError("another program's file")
    if schema != SCHEMA:
        raise ConfigError(
            f"the memory of the API has schema {schema}, this bellwire knows {SCHEMA}: use the newer bellwire"
        )
