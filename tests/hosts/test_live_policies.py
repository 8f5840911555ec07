"""Policies, baselines, purification between distant nodes and GHZ states on emulated instruments, live.

Each request must bring a number of pairs. What is asked of them holds for every single pair: both ends list
it alike, in the frame that the World knows. Only the comparison with virtual time is statistical: 60 live
pairs and at least 180 virtual ones, at 4 standard errors from 15 blocks or more; rate and fidelity each fail
by chance once in 700 runs at worst (Student's t, 14 degrees of freedom), less the model's stated error.
"""

import asyncio
import json
import shutil
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import pytest

from bellwire.cli.picture import LabPicture
from bellwire.core.events import PairPurified, QubitsFused
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.replay import replay_run
from bellwire.simulator_backend.world_fusions import GroupTruth
from tests.hosts.comparisons import disagreement, live_sample, virtual_sample, with_latencies
from tests.hosts.conftest import frames_tracked
from tests.hosts.latencies import latencies
from tests.hosts.live import LABS, asked, lab_up, live_lab, wait_for
from tests.hosts.recorded import RecordedRun

DEADLINE_NS = ns_from_s(50.0)
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "score": (8, {"generation_mode": "score"}),
    "oldest": (6, {"generation_mode": "oldest"}),
    "fixed-tree": (8, {"generation_mode": "fixed_tree(links=full)"}),
    "either": (6, {"generation_mode": "score if occupancy < 0.5 else longest_hop"}),
    "datagrams": (4, {"generation_mode": "connectionless"}),
    "circuit": (4, {"generation_mode": "virtual_circuit"}),
    "purified": (2, {"generation_mode": "fixed_tree(links=full)", "purification": "1:1"}),
}
"""Pairs and terms of each request; they come one after the other."""
TUNED = 60
GHZ_MODES = ("score", "fixed_tree", "swap_asap")
GHZ_STATES = 8
GRAPH_STATES = 3
GRAPHS = {
    "star around alice": (("alice", "bob"), ("alice", "carol")),
    "path from alice": (("alice", "bob"), ("bob", "carol")),
}
MEMBERS = ("alice", "bob", "carol")


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What came of a lab whose requests were asked one after the other."""

    lab: Lab
    run_dir: Path
    statuses: dict[str, str]
    taken: dict[str, dict[str, list[str]]]  # slots in use after each request, by node

    @property
    def recorded(self) -> RecordedRun:
        return RecordedRun(self.run_dir)


async def _one_by_one(lab: Lab, folder: Path, requests: dict[str, dict[str, Any]]) -> LiveRun:
    statuses: dict[str, str] = {}
    taken: dict[str, dict[str, list[str]]] = {}
    async with lab_up(lab, folder / "state") as live:
        for name, terms in requests.items():
            await live.supervisor.submit(asked(lab, name, deadline_ns=DEADLINE_NS, **terms))
            statuses[name] = await live.ended(name)
            await wait_for(live.all_slots_free, f"all slots are free after {name}")
            taken[name] = await live.taken_slots()
    return LiveRun(lab, live.supervisor.run_dir, statuses, taken)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """The shipped chain of five nodes, frames kept in the record."""
    folder = tmp_path_factory.mktemp("chain")
    shutil.copytree(LABS / "tunings", folder / "tunings")
    lab = live_lab(folder, "adaptive_chain", frames_tracked)
    plain: dict[str, Any] = {"tree": None, "route": None, "consumption": "keep"}
    requests = {name: {**plain, "count": count, **terms} for name, (count, terms) in WAYS.items()}
    requests["tuned"] = {"count": TUNED}  # as in the lab file: measured by both ends
    return asyncio.run(_one_by_one(lab, folder, requests))


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """The shipped star of three members, in every mode for GHZ states, and for two graph states."""
    folder = tmp_path_factory.mktemp("star")
    requests: dict[str, dict[str, Any]] = {
        mode: {"count": GHZ_STATES, "generation_mode": mode} for mode in GHZ_MODES
    }
    for name, edges in GRAPHS.items():
        requests[name] = {"count": GRAPH_STATES, "entanglement_type": "graph", "edges": edges,
                          "target_nodes": MEMBERS}  # fmt: skip
    return asyncio.run(_one_by_one(live_lab(folder, "ghz_star", _keeping_a_minute), folder, requests))


def _keeping_a_minute(sections: dict[str, Any]) -> None:
    """Memories in which the seconds that a busy machine adds to the age of a pair are nothing."""
    for node in sections["nodes"].values():
        node["memory"] = {"t2_s": 60.0}


@pytest.mark.parametrize("name", WAYS)
def test_both_ends_list_the_pairs_of_every_way_of_swapping_in_the_frames_of_the_world(
    chain: LiveRun, name: str
) -> None:
    count, _ = WAYS[name]
    assert chain.statuses[name] == "completed"
    head, tail = (chain.recorded.delivered(node, name) for node in ("alice", "bob"))
    assert sorted(head) == list(range(1, count + 1))
    assert {number: (pair.ends, pair.frame) for number, pair in tail.items()} == {
        number: (pair.ends, pair.frame) for number, pair in head.items()
    }
    assert len({pair.ends for pair in head.values()}) == count
    truths = chain.recorded.truths
    assert {number: truths[pair.ends].frame for number, pair in head.items()} == {
        number: pair.frame for number, pair in head.items()
    }
    assert not any(chain.taken[name].values())


def test_repeaters_swap_and_rounds_between_ends_of_a_link_are_carried_out(chain: LiveRun) -> None:
    run = chain.recorded
    assert {frame for name in WAYS for frame in _frames(run, name)} == {0, 1, 2, 3}
    results = [swap.result for swap in run.swaps()]
    assert results.count("ok") >= 3 * sum(count for count, _ in WAYS.values())
    assert results.count("failed") >= 40  # half of all fail
    rounds = [
        event for node in run.agents for _, _, event in run.steps(node) if isinstance(event, PairPurified)
    ]
    assert len(rounds) >= 2 * 4 * WAYS["purified"][0]  # both ends of four links, for every pair
    assert {event.ended for event in rounds} == {"done"}


@pytest.mark.slow  # ages, and with them fidelities, are those of a machine with nothing else to do
def test_a_tuned_request_is_as_fast_and_as_good_live_as_in_virtual_time(chain: LiveRun) -> None:
    assert chain.statuses["tuned"] == "completed"
    live = live_sample(chain.recorded, "tuned")
    assert live.pairs == TUNED
    measured = latencies(chain.lab, chain.recorded)
    # On a busy machine everything takes longer, and as many pairs need more time in both hosts.
    seconds = max(40, ceil(5 * TUNED * live.interval_s))
    virtual = virtual_sample(with_latencies(chain.lab, measured), seconds=seconds)
    assert virtual.pairs >= 3 * TUNED
    # Five blocks of the live run know little of their spread; if both are the same, it is the virtual one.
    more = sqrt(virtual.pairs / live.pairs)
    live = replace(
        live,
        interval_error_s=more * virtual.interval_error_s,
        fidelity_error=more * virtual.fidelity_error,
    )
    assert disagreement(live, virtual, repeaters=3) == []
    # One lane of four is another network, on a machine that is as busy, and is noticed.
    one_lane = virtual_sample(with_latencies(chain.lab, measured, lanes=1), seconds=seconds)
    assert any("rate" in line for line in disagreement(live, one_lane, repeaters=3))


@pytest.mark.parametrize(
    ("which", "name", "count"), [("chain", "tuned", TUNED), ("star", "score", GHZ_STATES)]
)
def test_the_summary_of_a_run_compares_measured_pairs_and_ghz_states_with_the_world(
    which: str, name: str, count: int, request: pytest.FixtureRequest
) -> None:
    run: LiveRun = request.getfixturevalue(which)
    picture = LabPicture(run.lab, (asked(run.lab, name),))
    picture.take_recorded(run.run_dir)
    picture.take_truth(run.run_dir / "truth.jsonl")
    row = picture.rows()[name]
    assert (row["delivered"], row["frames_checked"], row["frame_errors"]) == (count, count, 0)
    assert row["fidelity_true_mean"] == pytest.approx(row["fidelity_mean"], abs=0.03)


def _frames(run: RecordedRun, name: str) -> set[int]:
    return {pair.frame for pair in run.delivered("alice", name).values()}


@pytest.mark.parametrize("mode", GHZ_MODES)
def test_every_member_lists_the_ghz_states_that_the_world_knows(star: LiveRun, mode: str) -> None:
    assert star.statuses[mode] == "completed"
    run = star.recorded
    lists = [run.delivered(node, mode) for node in MEMBERS]
    assert [sorted(one) for one in lists] == [list(range(1, GHZ_STATES + 1))] * len(MEMBERS)
    groups = _groups(star.run_dir)
    head_ends = _head_ends(star.run_dir, mode)
    assert len(head_ends) == GHZ_STATES
    for end in head_ends:
        group = groups[end]
        assert len(group["ends"]) == len(MEMBERS)
        assert group["frame_zero"], f"the state of {end} was handed over uncorrected"
        assert group["ghz_fidelity"] > 0.5  # more than any state without entanglement of all three has
    assert not any(star.taken[mode].values())


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_states_are_those_of_their_edges_in_the_emulated_world(star: LiveRun, name: str) -> None:
    """On the path from alice it is she who turns her qubit, as soon as it is born; carol turns hers last."""
    assert star.statuses[name] == "completed"
    lists = [star.recorded.delivered(node, name) for node in MEMBERS]
    assert [sorted(one) for one in lists] == [list(range(1, GRAPH_STATES + 1))] * len(MEMBERS)
    groups = _groups(star.run_dir)
    true: list[float] = []
    for end in _head_ends(star.run_dir, name):
        group = groups[end]
        truth = GroupTruth.of_parts((), tuple(group["nodes"]), group["density"])
        fidelity, plain = truth.of_graph(GRAPHS[name])
        assert plain, f"the state of {end} was handed over uncorrected"
        assert fidelity > 0.5  # more than any state without entanglement of all three has
        true.append(fidelity)
    assert len(true) == GRAPH_STATES
    told = [one.fidelity for one in lists[0].values()]
    assert sum(true) / len(true) == pytest.approx(sum(told) / len(told), abs=0.03)
    assert not any(star.taken[name].values())


def _groups(run_dir: Path) -> dict[str, dict[str, Any]]:
    """The World's word on each state of three, by the end that was released first."""
    found: dict[str, dict[str, Any]] = {}
    for line in (run_dir / "truth.jsonl").read_bytes().splitlines():
        entry = json.loads(line)
        if "group" in entry and entry["operation"] == "release":
            for link, run, attempt, lane, side in entry["group"]["ends"]:
                found.setdefault(f"{link}/{run}.{attempt}.{lane}:{side}", entry["group"])
    return found


def _head_ends(run_dir: Path, mode: str) -> set[str]:
    reports = RecordedRun(run_dir).reports("alice")
    return {
        report["fields"]["head_end"]
        for report in reports
        if report["request"] == mode and report["name"] == "pair_delivered"
    }


def test_the_memory_controller_carries_the_order_to_fuse(star: LiveRun) -> None:
    fused = [event for _, _, event in star.recorded.steps("hub") if isinstance(event, QubitsFused)]
    done = [event for event in fused if event.ended == "done"]
    assert len(done) >= GHZ_STATES * len(GHZ_MODES)
    assert {event.bit for event in done} == {0, 1}


@pytest.mark.parametrize("which", ["chain", "star"])
def test_adaptive_runs_replay_step_by_step(which: str, request: pytest.FixtureRequest) -> None:
    run: LiveRun = request.getfixturevalue(which)
    report = replay_run(run.run_dir, run.lab.network, machine_factory(run.lab))
    assert report["same"], report
    assert report["steps"] >= 1000
