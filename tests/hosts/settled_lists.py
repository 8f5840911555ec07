"""What the stores of both ends say was delivered, for tests of what must not be lost."""

from pathlib import Path
from typing import Any

from bellwire.runtime.control import ask
from tests.hosts.live import FINAL, wait_for

Row = tuple[int, int, str, str]


async def settled_lists(state: Path, request: str, count: int) -> dict[str, list[Row]]:
    """Number, frame and ends of the settled pairs of a request, once both ends have so many."""
    found: dict[str, list[Row]] = {}

    async def enough() -> bool:
        for node in ("alice", "bob"):
            found[node] = await _settled(state, node, request)
        return all(len(rows) >= count for rows in found.values())

    await wait_for(enough, f"{count} settled pairs of {request} at both ends")
    return found


async def _settled(state: Path, node: str, request: str) -> list[Row]:
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await ask(state, node, "pairs", request=request, after=after)
        rows += page["pairs"]
        after = page["next"]
    return [
        (row["number"], row["frame"], row["head_end"], row["tail_end"])
        for row in rows
        if row["state"] == "settled"
    ]


async def standing(state: Path, request: str) -> dict[str, Any]:
    """What alice's store says of a request: unlike reports, it survives restarts."""
    told = (await ask(state, "alice", "request", request=request))["standing"]
    assert told is not None, f"{request} is forgotten"
    found: dict[str, Any] = told
    return found


async def works_on(state: Path, request: str) -> None:
    """Wait until a request that is under way has more pairs than now."""
    before = (await standing(state, request))["delivered"]

    async def more() -> bool:
        now = await standing(state, request)
        assert now["state"] not in FINAL, now
        return bool(now["delivered"] > before)

    await wait_for(more, f"further pairs of {request}")


async def withdrawn_lists(state: Path, request: str, count: int) -> dict[str, list[Row]]:
    """End a request that has no end of its own; the lists once both ends have the same number of pairs."""
    await ask(state, "alice", "cancel", request=request)

    async def ended() -> bool:
        return bool((await standing(state, request))["state"] == "completed")

    await wait_for(ended, f"{request} is closed")
    found: dict[str, list[Row]] = {}

    async def same() -> bool:
        for node in ("alice", "bob"):
            found[node] = await _settled(state, node, request)
        delivered = (await standing(state, request))["delivered"]
        return len(found["alice"]) == len(found["bob"]) == delivered >= count

    await wait_for(same, f"as many settled pairs of {request} at both ends, at least {count}")
    return found
