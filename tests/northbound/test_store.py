"""The memory of the API: what is awaited is on the disk, and foreign files are refused."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import ConfigError
from bellwire.northbound import store as stores
from bellwire.northbound.store import ApiStore
from bellwire.runtime.store import StoreFault


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ApiStore]:
    made = ApiStore(tmp_path / "api.sqlite")
    await made.open()
    yield made
    await made.close()


def standing(name: str, state: str = "queued") -> dict[str, Any]:
    return {"request": {"request_id": name}, "state": state}


async def test_a_key_is_fresh_once_and_then_stands_for_its_answer(store: ApiStore) -> None:
    assert await store.reserve("me", "k", "f", "r1", 0) is None
    kept = await store.reserve("me", "k", "g", "r2", 1)
    assert kept is not None
    assert (kept.fingerprint, kept.request_id, kept.status) == ("f", "r1", None)
    await store.answered("me", "k", 202, {"a": 1})
    kept = await store.reserve("me", "k", "f", "r3", 2)
    assert kept is not None
    assert (kept.status, kept.body) == (202, {"a": 1})
    assert await store.reserve("you", "k", "f", "r4", 3) is None
    await store.release("me", "k")
    assert await store.reserve("me", "k", "f", "r5", 4) is None


async def test_a_key_is_forgotten_after_a_day_and_not_before(store: ApiStore) -> None:
    await store.reserve("me", "k", "f", "r1", 0)
    assert await store.reserve("me", "k", "f", "r2", stores.KEYS_KEPT_NS) is not None
    assert await store.reserve("me", "k", "f", "r3", stores.KEYS_KEPT_NS + 1) is None


async def test_news_and_how_far_they_were_read_are_kept_together(
    store: ApiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.take_news("alice", 3, 7, [(1, "request_status", "r", {"n": 1}), (2, "report", None, {})])
    assert await store.cursor("alice") == (3, 7)
    with pytest.raises(StoreFault):
        await store.take_news("alice", 3, 8, [(3, "report", None, {}), (None, "report", None, {})])  # type: ignore[list-item]
    assert await store.cursor("alice") == (3, 7)
    assert await store.span() == (1, 2)
    monkeypatch.setattr(stores, "NOTIFICATIONS_KEPT", 2)
    await store.take_news("alice", 3, 9, [(4, "report", "r", {"n": 4})])
    oldest, newest = await store.span()
    assert newest - oldest == 1
    (told,) = await store.notifications(0, 10, ("report",), "r")
    assert (told.number, told.body) == (newest, {"n": 4})


async def test_requests_come_newest_first_and_an_owner_once_known_stays(store: ApiStore) -> None:
    for name in ("a", "b", "c"):
        assert not await store.put_request("alice", standing(name), 1)
    assert await store.put_request("alice", standing("a", "failed"), 2, "me")
    assert await store.put_request("alice", standing("a", "failed"), 3)
    found = await store.requests(None, 10)
    assert [one.request_id for one in found] == ["c", "b", "a"]
    assert found[-1].submitted_by == "me"
    assert [one.request_id for one in await store.requests(found[0].number, 1)] == ["b"]
    assert [one.request_id for one in await store.requests(None, 10, ["failed"])] == ["a"]
    assert await store.requests(None, 10, (), "bob") == ()


async def test_a_file_of_another_program_or_of_a_newer_bellwire_is_refused(tmp_path: Path) -> None:
    for number, (statement, refusal, told) in enumerate(
        (
            ("CREATE TABLE theirs (a)", StoreFault, "another program's file"),
            (f"PRAGMA application_id = {stores.APPLICATION}", ConfigError, "schema 0"),
        )
    ):
        path = tmp_path / f"{number}.sqlite"
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE any_table (a)")
            database.execute(statement)
            database.commit()
        store = ApiStore(path)
        with pytest.raises(refusal, match=told):
            await store.open()
        await store.close()


async def test_a_disk_that_does_not_take_it_is_a_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    store = ApiStore(tmp_path / "folder")
    with pytest.raises(StoreFault, match="cannot be written"):
        await store.open()
    await store.close()
