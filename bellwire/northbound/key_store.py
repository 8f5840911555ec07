"""Secret key between pairs of nodes, on the disk until it is delivered: one SQLite file of a lab.

Owns the bits, which of them are taken, and the keys that were cut from them and wait for their second
reader. Refuses to make key and to know HTTP. The file is readable by its owner only; bits that were cut into
a key are deleted, and a key that both of its applications have read is deleted too.

In a lab one operator holds both ends of every key, so one file stands for the stores of all key management
entities: what the source and the destination hold is equal, which the comparing hash has shown.
"""

import os
import sqlite3
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId

FILE: Final = "keys.sqlite"
APPLICATION: Final = 0x4257_4B53
"""What SQLite keeps in the file's header to say whose it is: "BWKS"."""

KEYS_WAITING_MAX: Final = 10_000
"""Keys of one pair of applications that only one of them has read; more are refused."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS blocks (
  number INTEGER PRIMARY KEY AUTOINCREMENT, one TEXT NOT NULL, other TEXT NOT NULL, run TEXT NOT NULL UNIQUE,
  material BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS applications (sae TEXT PRIMARY KEY, node TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS keys (
  key_id TEXT NOT NULL, master TEXT NOT NULL, slave TEXT NOT NULL, material BLOB NOT NULL,
  PRIMARY KEY (key_id, slave));
CREATE INDEX IF NOT EXISTS keys_by_pair ON keys (master, slave);
"""


class NotEnoughKey(ConfigError):
    """The store has less key between these nodes than was asked for."""


class UnknownKey(ConfigError):
    """No key of this id waits for this application."""


@dataclass(frozen=True, slots=True)
class DeliveredKey:
    """One key. `material`: whole octets."""

    key_id: str  # a UUID
    material: bytes


class KeyStore:
    """The keys of one lab. Safe to use from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when the file there is not a key store."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
        try:
            found = self._base.execute("PRAGMA application_id").fetchone()[0]
            if found not in (0, APPLICATION):
                raise ConfigError("this SQLite file is no key store", where=str(path))
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA secure_delete = ON")
            self._base.execute(f"PRAGMA application_id = {APPLICATION}")
            self._base.executescript(TABLES)
        except sqlite3.DatabaseError as problem:
            self._base.close()
            raise ConfigError(f"not a key store: {problem}", where=str(path)) from problem
        except ConfigError:
            self._base.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    # ---- the side of those who make key

    def add(self, one: NodeId, other: NodeId, run: str, material: bytes) -> bool:
        """Put key between two nodes into the store. False: the run has put its key here before."""
        one, other = sorted((one, other))
        with self._lock:
            done = self._base.execute(
                "INSERT OR IGNORE INTO blocks (one, other, run, material) VALUES (?, ?, ?, ?)",
                (one, other, run, material),
            )
            return done.rowcount == 1

    def register(self, sae: str, node: NodeId) -> None:
        """An application gets its keys at this node; without this, an application is named like its node."""
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO applications VALUES (?, ?)", (sae, node))

    # ---- the side of those who use it

    def node_of(self, sae: str) -> NodeId:
        """Where an application gets its keys."""
        with self._lock:
            found = self._base.execute("SELECT node FROM applications WHERE sae = ?", (sae,)).fetchone()
        return sae if found is None else str(found[0])

    def stored_octets(self, one: NodeId, other: NodeId) -> int:
        """Key between two nodes that nobody has taken."""
        one, other = sorted((one, other))
        with self._lock:
            return self._stored(one, other)

    def _stored(self, one: NodeId, other: NodeId) -> int:
        found = self._base.execute(
            "SELECT COALESCE(SUM(LENGTH(material)), 0) FROM blocks WHERE one = ? AND other = ?", (one, other)
        )
        return int(found.fetchone()[0])

    def take(self, master: str, slaves: Sequence[str], number: int, octets: int) -> tuple[DeliveredKey, ...]:
        """Cut keys for a master application; each of its slaves may read every one of them once.

        With several slaves the key is that between the master and the first of them. Nothing is cut unless
        all of it is there.

        Raises:
            NotEnoughKey: the store has less, or too many keys wait for these applications.
        """
        one, other = sorted((self.node_of(master), self.node_of(slaves[0])))
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                keys = self._cut(one, other, number, octets)
                for slave in slaves:
                    self._keep(master, slave, keys)
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
        return keys

    def _cut(self, one: NodeId, other: NodeId, number: int, octets: int) -> tuple[DeliveredKey, ...]:
        wanted, stored = number * octets, self._stored(one, other)
        if stored < wanted:
            raise NotEnoughKey(
                f"{number} keys of {8 * octets} bits are asked for; {8 * stored} bits are in store between "
                f"{one} and {other}"
            )
        cut = b""
        for row, material in self._base.execute(
            "SELECT number, material FROM blocks WHERE one = ? AND other = ? ORDER BY number", (one, other)
        ).fetchall():
            piece = material[: wanted - len(cut)]
            cut += piece
            if len(piece) == len(material):  # the row stays: its run must not be put here again
                self._base.execute("UPDATE blocks SET material = x'' WHERE number = ?", (row,))
            else:
                rest = material[len(piece) :]
                self._base.execute("UPDATE blocks SET material = ? WHERE number = ?", (rest, row))
            if len(cut) == wanted:
                break
        return tuple(
            DeliveredKey(str(uuid.uuid4()), cut[at : at + octets]) for at in range(0, wanted, octets)
        )

    def _keep(self, master: str, slave: str, keys: Sequence[DeliveredKey]) -> None:
        waiting = self._base.execute(
            "SELECT COUNT(*) FROM keys WHERE master = ? AND slave = ?", (master, slave)
        ).fetchone()[0]
        if waiting + len(keys) > KEYS_WAITING_MAX:
            raise NotEnoughKey(f"{waiting} keys wait for {slave} to read them; {KEYS_WAITING_MAX} may")
        self._base.executemany(
            "INSERT INTO keys VALUES (?, ?, ?, ?)",
            [(key.key_id, master, slave, key.material) for key in keys],
        )

    def read(self, master: str, slave: str, key_ids: Sequence[str]) -> tuple[DeliveredKey, ...]:
        """The keys of these ids, which their master has given to this slave; each can be read once.

        Raises:
            UnknownKey: one of them is not there; then none is read.
        """
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                keys: list[DeliveredKey] = []
                for key_id in key_ids:
                    found = self._base.execute(
                        "DELETE FROM keys WHERE key_id = ? AND master = ? AND slave = ? RETURNING material",
                        (key_id, master, slave),
                    ).fetchone()
                    if found is None:
                        raise UnknownKey(f"no key {key_id} of {master} waits for {slave}")
                    keys.append(DeliveredKey(key_id, found[0]))
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
        return tuple(keys)
