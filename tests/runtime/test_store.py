"""Incarnations and durable records."""

import os
import queue
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.events import Record
from bellwire.runtime.store import AgentLock, RecordStore, StoreFault, claim_incarnation


def record(key: str, body: bytes, kind: str = "request") -> Record:
    return Record(kind=kind, key=key, body=body)  # type: ignore[arg-type]


def test_every_life_of_an_agent_has_a_higher_incarnation(tmp_path: Path) -> None:
    assert [claim_incarnation(tmp_path, "alice") for _ in range(3)] == [1, 2, 3]
    assert claim_incarnation(tmp_path, "bob") == 1


def test_a_broken_incarnation_counter_is_never_reset(tmp_path: Path) -> None:
    claim_incarnation(tmp_path, "alice")
    (tmp_path / "alice.incarnation").write_text("seven")
    with pytest.raises(StoreFault, match="never reset"):
        claim_incarnation(tmp_path, "alice")


def test_a_second_agent_of_the_same_name_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    lock = AgentLock(tmp_path, "alice")
    with pytest.raises(ConfigError, match=f"alice already runs \\(process {os.getpid()}\\)"):
        AgentLock(tmp_path, "alice")
    lock.release()
    AgentLock(tmp_path, "alice").release()


def test_records_come_back_in_the_order_of_their_last_writing(tmp_path: Path) -> None:
    stored: queue.Queue[list[int]] = queue.Queue()
    store = RecordStore(tmp_path / "records.sqlite", stored.put, lambda fault: None)
    assert store.open() == ()
    for token, (key, body) in enumerate([("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4")], start=1):
        store.write(token, record(key, body))
    store.close()
    tokens = [token for batch in list(stored.queue) for token in batch]
    assert tokens == [1, 2, 3, 4]
    again = RecordStore(tmp_path / "records.sqlite", stored.put, lambda fault: None)
    assert again.open() == (record("b", b"2"), record("a", b"3"), record("c", b"4"))
    again.close()


def test_a_file_that_is_no_store_is_a_named_fault(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"this is not a database at all" * 100)
    store = RecordStore(tmp_path / "records.sqlite", lambda tokens: None, lambda fault: None)
    with pytest.raises(StoreFault, match="cannot be opened"):
        store.open()


def test_a_full_disk_is_told_and_nothing_is_confirmed(tmp_path: Path) -> None:
    confirmed: list[list[int]] = []
    faults: queue.Queue[StoreFault] = queue.Queue()
    store = RecordStore(tmp_path / "records.sqlite", confirmed.append, faults.put, bytes_max=40_960)
    store.open()
    store.write(1, record("a", b"x" * 1_000_000))
    fault = faults.get(timeout=20)
    store.close()
    assert "full" in str(fault)
    assert confirmed == []
