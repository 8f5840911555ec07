"""The key store: whole octets go in once and come out once, whatever happens in between."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.northbound.key_store import FILE, DeliveredKey, KeyStore, NotEnoughKey, UnknownKey


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path)
    store.add("bob", "alice", "run-1", bytes(range(64)))
    store.add("alice", "bob", "run-2", bytes(range(64, 128)))
    yield store
    store.close()


def test_keys_are_cut_in_the_order_in_which_they_were_made_across_runs(keys: KeyStore) -> None:
    first, second, third = keys.take("alice", ["bob"], 3, 40)
    assert first.material + second.material + third.material == bytes(range(120))
    assert len({first.key_id, second.key_id, third.key_id}) == 3
    assert keys.stored_octets("alice", "bob") == keys.stored_octets("bob", "alice") == 8


def test_a_key_is_read_once_by_the_slave_that_it_is_for_and_by_nobody_else(keys: KeyStore) -> None:
    (key,) = keys.take("alice", ["bob"], 1, 32)
    for master, slave in (("alice", "carol"), ("bob", "alice"), ("carol", "bob")):
        with pytest.raises(UnknownKey):
            keys.read(master, slave, [key.key_id])
    assert keys.read("alice", "bob", [key.key_id]) == (key,)
    with pytest.raises(UnknownKey):
        keys.read("alice", "bob", [key.key_id])


def test_of_several_ids_all_are_read_or_none(keys: KeyStore) -> None:
    one, two = keys.take("alice", ["bob"], 2, 8)
    with pytest.raises(UnknownKey):
        keys.read("alice", "bob", [one.key_id, "00000000-0000-0000-0000-000000000000"])
    assert keys.read("alice", "bob", [one.key_id, two.key_id]) == (one, two)


def test_nothing_is_cut_when_there_is_too_little(keys: KeyStore) -> None:
    with pytest.raises(NotEnoughKey, match="1024 bits are in store between alice and bob"):
        keys.take("alice", ["bob"], 5, 32)
    assert keys.stored_octets("alice", "bob") == 128
    with pytest.raises(NotEnoughKey):
        keys.take("alice", ["carol"], 1, 8)


def test_a_run_puts_its_key_there_once_even_when_it_was_taken(keys: KeyStore) -> None:
    assert not keys.add("alice", "bob", "run-1", bytes(range(64)))
    keys.take("alice", ["bob"], 2, 64)
    assert not keys.add("alice", "bob", "run-2", bytes(64))
    assert keys.stored_octets("alice", "bob") == 0


def test_every_additional_slave_reads_the_same_key(keys: KeyStore) -> None:
    (key,) = keys.take("alice", ["bob", "carol"], 1, 16)
    assert keys.read("alice", "bob", [key.key_id]) == keys.read("alice", "carol", [key.key_id]) == (key,)


def test_applications_get_the_key_of_their_nodes(keys: KeyStore) -> None:
    keys.register("vpn-a", "alice")
    keys.register("vpn-b", "bob")
    (key,) = keys.take("vpn-a", ["vpn-b"], 1, 16)
    assert keys.read("vpn-a", "vpn-b", [key.key_id]) == (key,)
    assert keys.stored_octets("alice", "bob") == 112


def test_what_was_taken_stays_taken_after_the_store_was_opened_again(keys: KeyStore, tmp_path: Path) -> None:
    (key,) = keys.take("alice", ["bob"], 1, 32)
    again = KeyStore(tmp_path)
    try:
        assert again.stored_octets("alice", "bob") == 96
        assert again.read("alice", "bob", [key.key_id]) == (key,)
        (following,) = again.take("alice", ["bob"], 1, 32)
    finally:
        again.close()
    assert following.material == bytes(range(32, 64))


def test_two_stores_over_one_file_never_give_the_same_bits(keys: KeyStore, tmp_path: Path) -> None:
    other = KeyStore(tmp_path)
    taken: list[DeliveredKey] = []

    def take(store: KeyStore) -> None:
        for _ in range(16):
            taken.extend(store.take("alice", ["bob"], 1, 4))

    threads = [threading.Thread(target=take, args=(store,)) for store in (keys, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(key.material[0] for key in taken) == list(range(0, 128, 4))


def test_used_bits_leave_no_trace_in_the_file_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    secret = os.urandom(64)
    store.add("alice", "bob", "run", secret)
    (key,) = store.take("alice", ["bob"], 1, 64)
    store.read("alice", "bob", [key.key_id])
    store.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret[:16] not in left
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_another_file_is_not_taken_for_a_store(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="not a key store"):
        KeyStore(tmp_path)
    (tmp_path / FILE).unlink()
    base = sqlite3.connect(tmp_path / FILE)
    base.execute("PRAGMA application_id = 7")
    base.execute("CREATE TABLE t (x)")
    base.close()
    with pytest.raises(ConfigError, match="no key store"):
        KeyStore(tmp_path)
