"""The store of calibrations with several processes, on disks that are full, read-only or broken, and killed
at every step of writing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bellwire.calibration.store import CalibrationStore, StoreFault, store_in
from bellwire.calibration.store_files import writing
from bellwire.core.errors import ConfigError
from tests.calibration.made_records import NOW_NS, made, visible

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return store_in(tmp_path)


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that knows the house."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What a child printed, once it has ended well."""
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    return said


# --- other processes ----------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from bellwire.calibration.store import CalibrationStore
from tests.calibration.made_records import made
store = CalibrationStore(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}{number}"
    store.put(made(name, data=store.keep_file(name, ".npz", name.encode() * 1000)))
"""


def test_two_processes_write_and_a_third_reads_all_the_while(store: CalibrationStore) -> None:
    writers = [child(WRITER, store.folder, name, 25) for name in ("x", "y")]
    seen = [0]
    try:
        while any(writer.poll() is None for writer in writers):
            records = store.history("alice-bob", "hom_visibility")
            assert all(store.file(one.data).is_file() for one in records)
            seen.append(len(records))
    finally:
        said = [writer.communicate(timeout=60) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], said
    assert seen == sorted(seen)
    names = {one.record_id for one in store.history("alice-bob", "hom_visibility")}
    assert names == {f"{name}{number}" for name in ("x", "y") for number in range(25)}


def test_a_reader_that_comes_while_the_store_is_made_sees_none_of_it_or_all(store: CalibrationStore) -> None:
    """Once it read the header before the schema was there, the schema after, and took it for a stranger."""
    store.folder.mkdir(parents=True)
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:

        class Overtaken(sqlite3.Connection):
            """Another process makes the store between two questions."""

            def execute(self, text: str, *values: Any) -> sqlite3.Cursor:
                if "sqlite_master" in text:
                    patch.setattr(sqlite3, "connect", connect)
                    CalibrationStore(store.folder).put(made("one"))
                return super().execute(text, *values)

        patch.setattr(sqlite3, "connect", lambda *terms, **named: connect(*terms, factory=Overtaken, **named))
        assert store.latest("alice-bob", "hom_visibility") is None
    assert store.latest("alice-bob", "hom_visibility") == made("one")


HOLDER = """
import sys
from pathlib import Path
from bellwire.calibration.store_files import writing
with writing(Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_writer_that_does_not_end_is_named_and_one_that_dies_is_forgotten(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path, lock_wait_s=0.05)
    holder = child(HOLDER, tmp_path)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"process {holder.pid} has been writing"):
            store.put(made("one"))
        with pytest.raises(ConfigError, match=f"process {holder.pid} has been writing"):
            store.prepare()
    finally:
        holder.kill()
        holder.communicate(timeout=30)
    store.put(made("one"))
    assert store.latest("alice-bob", "hom_visibility") == made("one")


def test_a_writer_waits_for_another_of_its_own_process(tmp_path: Path) -> None:
    with (
        writing(tmp_path, 0.0),
        pytest.raises(ConfigError, match=f"process {os.getpid()} has been writing"),
        writing(tmp_path, 0.0),
    ):
        pass


# --- disks that fail ----------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
from bellwire.calibration.store import CalibrationStore, StoreFault
from tests.calibration.made_records import NOW_NS, made, visible

def refused(order):
    try:
        order()
    except StoreFault as fault:
        return str(fault)
    raise AssertionError("it was written")

store = CalibrationStore(Path(sys.argv[1]))
store.put(visible("old", 0.9))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
print(refused(lambda: store.keep_file("new", ".npz", bytes(3000))))
print(refused(lambda: store.put(visible("new", 0.5))))
print(refused(store.prepare))
assert store.in_force("alice-bob", "hom_visibility", NOW_NS) == visible("old", 0.9)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert [one.record_id for one in store.history("alice-bob", "hom_visibility")] == ["old"]
assert sorted(path.name for path in store.folder.rglob("*.npz*")) == []
store.put(visible("new", 0.5, data=store.keep_file("new", ".npz", bytes(3000))))
assert store.in_force("alice-bob", "hom_visibility", NOW_NS) is None
"""


def test_a_full_disk_is_a_fault_and_the_old_calibration_stays_in_force(tmp_path: Path) -> None:
    file, row, check = ended(child(FULL_DISK, tmp_path)).splitlines()
    assert "new.npz: cannot be written: File too large" in file
    assert "what was stored before stays in force" in row
    assert "cannot be written" in check


def test_a_store_with_no_room_for_another_page_is_a_fault_too(store: CalibrationStore) -> None:
    store.put(visible("old", 0.9))

    class Narrow(sqlite3.Connection):
        """As if the disk ended with the file."""

        def __init__(self, *terms: object, **named: object) -> None:
            super().__init__(*terms, **named)  # type: ignore[arg-type]  # whatever sqlite3.connect was given
            (pages,) = self.execute("PRAGMA page_count").fetchone()
            self.execute(f"PRAGMA max_page_count = {pages}")

    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *terms, **named: connect(*terms, factory=Narrow, **named))
        with pytest.raises(StoreFault, match="full; what was stored before stays in force"):
            store.put(visible("new", 0.5, reason="x" * 100_000))
    assert store.in_force("alice-bob", "hom_visibility", NOW_NS) == visible("old", 0.9)
    store.put(visible("new", 0.5, reason="x" * 100_000))
    assert store.in_force("alice-bob", "hom_visibility", NOW_NS) is None


READ_ONLY = """
import os, sys
from pathlib import Path
from bellwire.calibration.store import CalibrationStore, StoreFault
from tests.calibration.made_records import NOW_NS, made, visible
if os.geteuid() == 0:  # who may do everything cannot be refused
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
store = CalibrationStore(Path(sys.argv[1]), lock_wait_s=0.0)
assert store.in_force("alice-bob", "hom_visibility", NOW_NS) == visible("old", 0.9)
for order in (store.prepare, lambda: store.put(made("new")), lambda: store.keep_file("new", ".npz", b"")):
    try:
        order()
    except StoreFault as fault:
        print(fault)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_store_is_read_and_every_order_to_write_is_refused(open_folder: Path) -> None:
    store = store_in(open_folder)
    store.put(visible("old", 0.9))
    for path in (store.folder, *store.folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    said = ended(child(READ_ONLY, store.folder)).splitlines()
    store.folder.chmod(0o755)
    assert len(said) == 3
    assert all("cannot be written: Permission denied" in line for line in said)


def test_a_broken_file_is_a_fault_and_is_not_overwritten(store: CalibrationStore) -> None:
    store.put(made("one"))
    rubbish = b"not a database " * 1000
    store.path.write_bytes(rubbish)
    for order in (lambda: store.links(), lambda: store.put(made("two")), store.prepare):
        with pytest.raises(StoreFault, match="file is not a database"):
            order()
    assert store.path.read_bytes() == rubbish


def test_a_record_that_was_tampered_with_is_a_fault(store: CalibrationStore) -> None:
    store.put(made("one"))
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("DROP TRIGGER never_changed")
        database.execute("UPDATE records SET body = replace(body, 'valid_for_s', 'forever')")
    with pytest.raises(StoreFault, match="holds what is no record"):
        store.latest("alice-bob", "hom_visibility")


def test_a_store_of_a_newer_bellwire_is_refused_in_words(store: CalibrationStore) -> None:
    store.put(made("one"))
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA user_version = 9")
    for order in (lambda: store.links(), lambda: store.put(made("two")), store.prepare):
        with pytest.raises(ConfigError, match="version 9 and was written by a newer bellwire"):
            order()


def test_another_database_is_left_alone(store: CalibrationStore) -> None:
    store.folder.mkdir(parents=True)
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("CREATE TABLE wages (amount)")
    for order in (lambda: store.links(), lambda: store.put(made("two")), store.prepare):
        with pytest.raises(StoreFault, match="no calibration store"):
            order()
    with closing(sqlite3.connect(store.path)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("wages",)]


# --- killed -------------------------------------------------------------------------------------------------


def test_a_writer_killed_at_any_line_leaves_no_record_without_its_file(tmp_path: Path) -> None:
    """Every line of the store that a put runs through, once for a fresh folder and once for a used one."""
    script = "from tests.calibration.killed_writer import main; main()"
    fresh, used = ended(child(script, tmp_path)).splitlines()
    for said in (fresh, used):
        killed, stored = map(int, said.split())
        assert killed > 60
        assert 0 < stored < killed  # some were killed after the record was on the disk, most before
