"""A store on real processes: filled while nothing is asked, emptied by requests, filled again."""

from pathlib import Path
from typing import Any

from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import NS_PER_S
from tests.hosts.live import LiveLab, lab_up, live_lab, wait_for

SUPER_LINK = "pre_distributed:alice~bob"
STOCK = 2


def with_a_store(sections: dict[str, Any]) -> None:
    sections["requests"] = []
    sections["predistribution"] = {
        "mode": "continuous",
        "super_links": [["alice", "bob"]],
        "stock": STOCK,
        "age_max_s": 60.0,
        "fidelity_min": None,
    }


async def stores(live: LiveLab, node: str) -> dict[str, Any]:
    told: dict[str, Any] = (await live.supervisor.status(node))["stores"]
    return told


async def filled(live: LiveLab) -> bool:
    return bool((await stores(live, "alice"))["pairs"][SUPER_LINK] == STOCK)


async def test_requests_take_pairs_out_of_a_store_that_is_filled_again(tmp_path: Path) -> None:
    """A pair over both links takes a swap; one that was there before its request is older than it."""
    lab = live_lab(tmp_path, "three_node_repeater", with_a_store)
    async with lab_up(lab, tmp_path / "state") as live:
        await wait_for(lambda: filled(live), "the store is full")
        for number in (1, 2, 3):
            name = f"taken-{number}"
            await live.supervisor.submit(
                EntanglementRequest(
                    request_id=name,
                    target_nodes=("alice", "bob"),
                    count=1,
                    deadline_ns=60 * NS_PER_S,
                    consumption="keep",
                )
            )
            assert await live.ended(name) == "completed"
            (pair,) = [
                one
                for one in live.reports
                if (one["name"], one["request"], one["node"]) == ("pair_delivered", name, "alice")
            ]
            begun_ns = min(one["at_ns"] for one in live.reports if one["request"] == name)
            assert pair["at_ns"] - pair["fields"]["age_ns"] < begun_ns, "it was made for the request"
            await wait_for(lambda: filled(live), "the store is full again")
        # One for each at least: a request that is not over when its pair was used may be given another.
        assert (await stores(live, "alice"))["claimed"] >= 3
        # Each agent in its first life: the head of a store once ended itself.
        assert {one["incarnation"] for one in (await live.statuses()).values()} == {1}
