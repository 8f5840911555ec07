"""Requests of every kind on an emulated lab of real processes: each ends as its terms say.

One start of the lab for all of them. What is asserted holds whatever chance does: counts, order, words and
states; rates only where a reservation of all lanes leaves none for others.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.core.plans import EntanglementRequest, SequencePair
from bellwire.planner.plans import predict
from bellwire.runtime.control import ask
from tests.hosts.live import LiveLab, lab_up, live_lab, wait_for

pytestmark = pytest.mark.slow

SECOND = 1_000_000_000
PAIRS = (("g1", "alice", "bob"), ("g2", "bob", "carol"), ("g3", "alice", "carol"), ("g4", "alice", "bob"))


def no_requests(sections: dict[str, Any]) -> None:
    """Nor corrective actions: what a loaded machine makes of a rate is another test's."""
    sections["requests"] = []
    sections["monitoring"] = {"enabled": False}


def pairs(request_id: str, **terms: Any) -> EntanglementRequest:
    return EntanglementRequest(request_id=request_id, target_nodes=("alice", "bob"), **terms)


async def submitted(live: LiveLab, request: EntanglementRequest, wait_s: float = 20.0) -> dict[str, Any]:
    """What the source answers: the word of admission."""
    answer: dict[str, Any] = await ask(
        live.supervisor.state_dir,
        request.target_nodes[0],
        "submit",
        within_s=60.0,
        request=msgspec.to_builtins(request),
        wait_s=wait_s,
    )
    return answer


async def standing(live: LiveLab, request_id: str) -> dict[str, Any]:
    found = await ask(live.supervisor.state_dir, "alice", "request", request=request_id)
    told: dict[str, Any] = found["standing"]
    return told


def count(live: LiveLab, request_id: str) -> int:
    """Of the last notification."""
    told = [
        report["fields"]["generated_count"]
        for report in live.reports
        if report["name"] == "request_status" and report["request"] == request_id
    ]
    return int(told[-1])


async def test_every_kind_of_request_ends_as_it_says(tmp_path: Path) -> None:
    lab = live_lab(tmp_path, "ghz_star", no_requests)
    async with lab_up(lab, tmp_path / "state", ready_s=120.0) as live:
        await wait_for(live.is_ready, "the lab is ready")
        # A fixed number above a fidelity: accepted, and complete with exactly that many.
        answer = await submitted(live, pairs("number", count=10, fidelity_threshold=0.8))
        assert (answer["admission"], answer["offer"]) == ("accepted", None)
        assert await live.ended("number") == "completed"
        assert count(live, "number") == 10
        # A rate at the best fidelity that runs until it is withdrawn: it reserves lanes for itself.
        most = best_rate_hz(lab)
        answer = await submitted(live, pairs("rate", rate_threshold_hz=0.9 * most, until_cancelled=True))
        assert answer["admission"] == "accepted"
        # Rate and fidelity beside it: no room, so it is turned away with what could be had ...
        greedy = pairs("both", count=5, rate_threshold_hz=0.9 * most, fidelity_threshold=0.8)
        answer = await submitted(live, msgspec.structs.replace(greedy, request_id="now", when_full="reject"))
        assert answer["admission"] == "rejected"
        assert "no room" in answer["reason"]
        assert answer["offer"] is None or answer["offer"]["rate_hz"] < 0.9 * most
        assert await live.ended("now") == "failed"
        # ... or it waits, and is served when the other one is withdrawn, which is complete then.
        answer = await submitted(live, greedy)
        assert answer["admission"] == "queued"
        assert (await standing(live, "both"))["state"] == "queued"
        await live.until(lambda: live.delivered("alice", "rate") > 0, "pairs of the standing request")
        await live.supervisor.cancel("alice", "rate")
        assert await live.ended("rate") == "completed"
        assert await live.ended("both") == "completed"
        assert count(live, "both") == 5
        # Graph states whose vertices have names of their own.
        graph = EntanglementRequest(
            request_id="graph",
            target_nodes=("alice", "bob", "carol"),
            entanglement_type="graph",
            generation_mode="score",
            edges=(("x", "y"), ("x", "z")),
            vertices=(("x", "bob"), ("y", "alice"), ("z", "carol")),
            count=2,
        )
        assert (await submitted(live, graph))["admission"] == "accepted"
        assert await live.ended("graph") == "completed"
        # A circuit: its pairs in their order, each used once by both of its nodes.
        circuit = EntanglementRequest(
            request_id="circuit",
            target_nodes=("alice", "bob", "carol"),
            entanglement_sequence=tuple(
                SequencePair(pair_id=name, nodes=(one, other)) for name, one, other in PAIRS
            ),
            deadline_ns=50 * SECOND,
        )
        assert (await submitted(live, circuit))["admission"] == "accepted"
        assert await live.ended("circuit") == "completed"
        assert count(live, "circuit") == len(PAIRS)
        await live.until(lambda: len(used(live)) == 2 * len(PAIRS), "both nodes have used every pair")
        assert sorted(used(live)) == sorted(
            (name, node) for name, one, other in PAIRS for node in (one, other)
        )
        # Said again it is the same request, and its answer is the same.
        again = await submitted(live, circuit)
        assert again["admission"] == "accepted"
        await wait_for(live.all_slots_free, "all slots are free after the requests")


def used(live: LiveLab) -> list[tuple[str, str]]:
    return [
        (report["fields"]["pair_id"], report["node"])
        for report in live.reports
        if report["name"] == "pair_consumed" and report["request"] == "circuit"
    ]


def best_rate_hz(lab: Any) -> float:
    """What all lanes make between alice and bob."""
    expected = predict(lab.network, pairs("any", count=1))
    assert not isinstance(expected, str)
    return expected.rate_hz
