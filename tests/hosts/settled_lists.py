"""What the stores of both ends say was delivered, for tests of what must not be lost."""

from pathlib import Path
from typing import Any

from bellwire.runtime.control import ask
from tests.hosts.live import wait_for

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
