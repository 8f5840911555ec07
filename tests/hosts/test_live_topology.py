"""The map of a running lab: a node joins late, is pinged, leaves in order and returns, and all maps agree."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

from bellwire.cli.topology import maps_of
from bellwire.link_layer.estimation.ping import PingTest
from bellwire.link_layer.quantum_ping import QuantumPing, readout_contrast
from bellwire.runtime.control import ask
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.pings import ping
from bellwire.runtime.replay import replay_run
from tests.hosts.live import LiveLab, asked, lab_up, live_lab, wait_for

LINK = "relay-bob"


def states(document: dict[str, Any], kind: str, name: str) -> set[str]:
    return {one[kind][name]["state"] for observer, one in document["maps"].items() if observer != name}


async def test_a_node_joins_late_is_pinged_leaves_in_order_and_returns_and_all_maps_agree(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path)
    state = tmp_path / "state"

    async def agreed(**wanted: str) -> bool:
        document = await maps_of(lab, state)
        links = {name: states(document, "links", name) for name in lab.network.links}
        return (
            document["agree"]
            and document["silent"] == []
            and len(set(document["digests"].values())) == 1
            and all(links[name.replace("_", "-")] == {one} for name, one in wanted.items())
        )

    async with lab_up(lab, state, absent=("bob",)) as live:
        assert live.supervisor.degraded == {}
        document = await maps_of(lab, state)
        assert document["silent"] == ["bob"]
        assert states(document, "nodes", "bob") == {"unheard"}
        assert states(document, "links", LINK) == {"half_announced"}

        await live.supervisor.join("bob")
        await wait_for(
            lambda: agreed(relay_bob="unverified", alice_relay="unverified"), "bob is on every map"
        )

        link = lab.network.links[LINK]
        contrast = readout_contrast(lab.network, link)
        # Far below what the link gives (0.975) and far above noise: a wrong answer has a chance below 1e-4.
        test = PingTest(
            fidelity=0.85, margin=0.4, false_no=1e-5, false_yes=1e-5, pairs_max=240, contrast=contrast
        )
        assert test.chances(0.93).yes > 0.9999
        chance = Random(3)
        pinged = QuantumPing(network=lab.network, link=link, origin="bob", test=test, first_create=100)
        found = await ping(state, pinged, iter(lambda: chance.randrange(3), None), 60.0)
        assert (found.verdict, found.pairs) == ("yes", pinged.counts.tests)
        assert found.pairs >= 24
        await wait_for(
            lambda: agreed(relay_bob="verified", alice_relay="unverified"), "the ping is on every map"
        )

        await live.supervisor.submit(asked(lab, "long", duration_ns=300_000_000_000))
        await live.until(lambda: live.delivered("alice", "long") >= 1, "a pair over both links")
        told = await ask(state, "bob", "leave", reason="goes home")
        assert told == {"node": "bob", "reason": "goes home", "untold": []}
        assert await live.ended("long") == "failed"
        assert live.error("long") == "bob left the network: goes home"

        async def left() -> bool:
            return live.supervisor.absent == {"bob"} and await agreed(relay_bob="down")

        await wait_for(left, "bob's process has ended and is not started again")
        document = await maps_of(lab, state)
        assert document["left"] == ["bob"]
        assert {one["nodes"]["bob"]["reason"] for one in document["maps"].values()} == {
            "left the network: goes home"
        }
        assert live.supervisor.restarts == {}

        await live.supervisor.join("bob")
        await wait_for(lambda: agreed(alice_relay="unverified"), "bob is back")
        document = await maps_of(lab, state)
        assert {one["nodes"]["bob"]["incarnation"] for one in document["maps"].values()} == {2}
        assert states(document, "nodes", "bob") == {"up"}
        await served_again(live)
        run_dir = live.supervisor.run_dir
    report = await asyncio.to_thread(replay_run, run_dir, lab.network, machine_factory(lab))
    assert report["same"], report


async def served_again(live: LiveLab) -> None:
    await live.supervisor.submit(asked(live.supervisor.lab, "after", count=1))
    assert await live.ended("after") == "completed"
