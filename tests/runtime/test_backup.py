"""Backups: what is in them, what is refused, that counters never repeat, and a lab that goes on after one."""

import asyncio
import io
import json
import shutil
import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.core.events import Record
from bellwire.labs import Lab, load_lab
from bellwire.runtime.backup import back_up
from bellwire.runtime.backup_manifest import is_wanted, wanted_in
from bellwire.runtime.incarnations import PER_S, raised
from bellwire.runtime.keys import Keyring
from bellwire.runtime.restore import read_manifest, restore
from bellwire.runtime.store import AgentLock, RecordStore, StoreFault, claim_incarnation
from tests.hosts.kill_points import durable
from tests.hosts.live import LABS, asked, lab_up, live_lab
from tests.hosts.settled_lists import settled_lists

NODES = ("alice", "bob", "midpoint")


@pytest.fixture
def lab() -> Lab:
    return load_lab(LABS / "two_node_link.yaml")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a record, a counter and keys of every node."""
    folder = tmp_path / "state"
    for name in NODES:
        Keyring(folder / "keys").make(name)
        claim_incarnation(folder / "agents", name)
        put(folder, name, f"of {name}")
    return folder


def put(folder: Path, name: str, body: str) -> None:
    store = RecordStore(folder / "agents" / f"{name}.sqlite", lambda _: None, lambda fault: None)
    store.open()
    store.write(1, Record(kind="kind", key="key", body=body.encode()))
    store.close()


def bodies(folder: Path) -> dict[str, bytes]:
    return {name: durable(folder / "agents" / f"{name}.sqlite")[0].body for name in NODES}


def repacked(archive: Path, change: dict[str, bytes]) -> Path:
    """The archive with other content under some names."""
    other = archive.with_name("other.tgz")
    with tarfile.open(archive) as old, tarfile.open(other, "w:gz") as new:
        for entry in old:
            file = old.extractfile(entry)
            assert file is not None
            content = change.get(entry.name, file.read())
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return other


def test_a_restored_state_has_records_keys_and_higher_counters(lab: Lab, state: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    made = back_up(lab, state, archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    secrets = {name: (state / "keys" / f"{name}.key").read_bytes() for name in NODES}
    assert not any(secret.strip() in made.encoded() for secret in secrets.values())
    before = bodies(state)
    shutil.rmtree(state)
    done = restore(lab, state, archive)
    assert done["set_aside"] is None
    assert bodies(state) == before
    for name in NODES:
        path = state / "keys" / f"{name}.key"
        assert path.read_bytes() == secrets[name]
        assert path.stat().st_mode & 0o777 == 0o600
        assert Keyring(state / "keys").secret_of(name)
        assert claim_incarnation(state / "agents", name) > 1_000_000
    assert (state / "keys").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in state.iterdir()) == ["agents", "keys"]


def test_a_second_restore_of_the_same_backup_on_an_empty_machine_counts_on(
    lab: Lab, state: Path, tmp_path: Path
) -> None:
    archive, now_ns = tmp_path / "a.tgz", 0
    now_ns = back_up(lab, state, archive).made_ns + 10**9
    seen = []
    for pause_s in (0, 1, 60):
        shutil.rmtree(state)
        now_ns += pause_s * 10**9
        restore(lab, state, archive, now_ns=now_ns)
        # as many lives as a node can have in that time
        seen += [claim_incarnation(state / "agents", "alice") for _ in range(PER_S - 1)]
    assert seen == sorted(set(seen))


@given(lives=st.lists(st.integers(0, 1000), min_size=1, max_size=6), start_ns=st.integers(10**18, 2 * 10**18))
def test_counters_of_any_chain_of_restores_never_repeat(lives: list[int], start_ns: int) -> None:
    """Each restore is on an empty machine that knows only the first backup, and starts as often as time lets
    it."""
    now_ns, used = start_ns, {1, 2, 3}
    for count in lives:
        counter = raised((3,), now_ns)
        fresh = set(range(counter + 1, counter + 1 + count))
        assert used.isdisjoint(fresh)
        used |= fresh
        now_ns += (count + 1) * 10**9 // PER_S


def test_a_clock_behind_the_counter_or_the_backup_is_refused(lab: Lab, state: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set the clock first"):
        raised((17_000_000_000,), 10**18)
    archive = tmp_path / "a.tgz"
    made = back_up(lab, state, archive)
    with pytest.raises(ConfigError, match="60 s before the backup was made"):
        restore(lab, state, archive, force=True, now_ns=made.made_ns - 60 * 10**9)


def test_a_state_in_use_or_not_empty_is_refused_and_force_sets_it_aside(
    lab: Lab, state: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.tgz"
    back_up(lab, state, archive)
    put(state, "alice", "later")
    with pytest.raises(ConfigError, match="--force"):
        restore(lab, state, archive)
    lock = AgentLock(state / "agents", "bob")
    with pytest.raises(ConfigError, match="bob already runs"):
        restore(lab, state, archive, force=True)
    lock.release()
    done = restore(lab, state, archive, force=True)
    assert bodies(state)["alice"] == b"of alice"
    assert bodies(Path(str(done["set_aside"]))) == {
        "alice": b"later",
        "bob": b"of bob",
        "midpoint": b"of midpoint",
    }


def test_an_archive_that_exists_an_empty_state_and_another_lab_are_refused(
    lab: Lab, state: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.tgz"
    back_up(lab, state, archive)
    with pytest.raises(ConfigError, match="--force"):
        back_up(lab, state, archive)
    back_up(lab, state, archive, force=True)
    with pytest.raises(ConfigError, match="nothing to back up"):
        back_up(lab, tmp_path / "nowhere", tmp_path / "b.tgz")
    assert not (tmp_path / "nowhere").exists()
    other = load_lab(LABS / "three_node_repeater.yaml")
    with pytest.raises(ConfigError, match='not of "three_node_repeater"'):
        restore(other, tmp_path / "fresh", archive)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(ConfigError):
        restore(lab, tmp_path / "fresh", archive)
    assert list(wanted_in(tmp_path / "fresh")) == []


def test_a_changed_file_in_the_archive_is_refused_before_anything_is_placed(
    lab: Lab, state: Path, tmp_path: Path
) -> None:
    archive, fresh = tmp_path / "a.tgz", tmp_path / "fresh"
    back_up(lab, state, archive)
    other = repacked(archive, {"agents/alice.incarnation": b"2\n"})
    with pytest.raises(ConfigError, match="damaged: its hash"):
        restore(lab, fresh, other)
    manifest = json.loads(read_manifest(archive).encoded())
    manifest["members"][0]["name"] = "../elsewhere"
    other = repacked(archive, {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(ConfigError, match="does not belong"):
        restore(lab, fresh, other)
    assert list(wanted_in(fresh)) == []


def test_without_keys_no_secret_is_in_the_archive(lab: Lab, state: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    back_up(lab, state, archive, keys=False)
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert "keys/alice.key" not in names
    assert "keys/public/alice.key" in names


def test_a_damaged_store_stops_the_backup(lab: Lab, state: Path, tmp_path: Path) -> None:
    path = state / "agents" / "bob.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreFault, match=r"bob\.sqlite"):
        back_up(lab, state, tmp_path / "a.tgz")
    assert not (tmp_path / "a.tgz").exists()


@pytest.mark.parametrize(
    "name", ["agents/../keys/a.key", "/agents/a.sqlite", "agents/a.sqlite/b", "keys/.a.key", "x.sqlite", ""]
)
def test_names_that_lead_elsewhere_are_not_wanted(name: str) -> None:
    assert not is_wanted(name)
    assert is_wanted("agents/a.sqlite")
    assert is_wanted("calibrations/data/a/b.npz")


def test_stores_are_copied_as_of_one_moment(lab: Lab, state: Path, tmp_path: Path) -> None:
    """A writer puts each number into bob's store first and then into alice's, as a tail and its head do: no
    copy has alice ahead of bob."""
    ended = threading.Event()
    failed: list[sqlite3.Error] = []

    def write() -> None:
        try:
            with (
                closing(sqlite3.connect(state / "agents" / "alice.sqlite", timeout=20)) as alice,
                closing(sqlite3.connect(state / "agents" / "bob.sqlite", timeout=20)) as bob,
            ):
                number = 0
                while not ended.is_set():
                    number += 1
                    for store in (bob, alice):
                        with store:
                            store.execute("UPDATE records SET body = ?", (str(number).encode(),))
        except sqlite3.Error as problem:
            failed.append(problem)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            archive = tmp_path / f"{number}.tgz"
            back_up(lab, state, archive)
            folder = tmp_path / str(number)
            restore(lab, folder, archive)
            found = bodies(folder)
            if b"of" not in found["alice"]:
                assert int(found["bob"]) - int(found["alice"]) in (0, 1)
    finally:
        ended.set()
        writer.join()
    assert failed == []


async def test_a_lab_backed_up_at_work_and_wiped_goes_on_with_equal_lists(tmp_path: Path) -> None:
    """Back up while pairs are delivered, wipe, restore, start: the request is known, is completed, and both
    ends list the same pairs."""
    lab = live_lab(tmp_path)
    state, archive = tmp_path / "state", tmp_path / "lab.tgz"
    request = asked(lab, "long", count=60)
    async with lab_up(lab, state) as live:
        await live.supervisor.submit(request)
        await live.until(lambda: live.delivered("alice", "long") >= 5, "5 pairs")
        await asyncio.to_thread(back_up, lab, state, archive)
        copied = live.delivered("alice", "long")
        await live.until(lambda: live.delivered("alice", "long") >= copied + 3, "work goes on after the copy")
        highest = max(one["incarnation"] for one in (await live.statuses()).values())
    shutil.rmtree(state)
    restore(lab, state, archive)
    async with lab_up(lab, state) as again:
        assert min(one["incarnation"] for one in (await again.statuses()).values()) > highest + 1_000_000
        assert await again.ended("long") == "completed"
        lists = await settled_lists(state, "long", 60)
    assert len(lists["alice"]) == 60
    assert lists["alice"] == lists["bob"]
