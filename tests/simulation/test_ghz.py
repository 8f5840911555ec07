"""GHZ states from link pairs to the applications of all members, beside the World's truth."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from bellwire.core.effects import Report
from bellwire.core.ids import End, NodeId
from bellwire.labs import Lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import simulate
from bellwire.simulator_backend.world_fusions import GroupTruth
from tests.simulation.ghz_labs import CHAIN, COMB, PERIOD_US, STAR, checked_run, tree_lab
from tests.simulation.textbook import two_segments

TREES = {
    "star": (STAR, ("a", "b", "c")),
    "chain": (CHAIN, ("a", "b", "c", "d")),
    "comb": (COMB, ("a", "b", "c", "d")),
}


@dataclass
class Seen:
    """What came of a run: told and true fidelities of each delivery at the head, and reports by name."""

    host: VirtualHost
    told: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)
    sizes: Counter[int] = field(default_factory=Counter)
    reports: Counter[str] = field(default_factory=Counter)

    def report(self, now_ns: int, node: NodeId, report: Report) -> None:
        self.reports[report.name] += 1
        if report.name == "pair_delivered" and report.fields["role"] == "head":
            self.told.append(float(report.fields["fidelity"] or 0.0))

    def witness(self, now_ns: int, node: NodeId, truth: GroupTruth) -> None:
        if node == self.host.lab.requests[0].target_nodes[0]:
            self.at_ns.append(now_ns)
            self.true.append(truth.ghz_fidelity())
            self.sizes[len(truth.ends)] += 1

    def nodes(self) -> dict[NodeId, QuantumNode]:
        return {name: one for name, one in self.host.machines.items() if isinstance(one, QuantumNode)}


def run(lab: Lab, seconds: float, seed: int = 1) -> Seen:
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
    seen = Seen(host)
    host.reports.append(seen.report)
    host.bindings.group_witnesses.append(seen.witness)
    host.start()
    host.run(round(seconds * 1e9))
    return seen


@pytest.mark.parametrize("mode", ["swap_asap", "score", "fixed_tree"])
@pytest.mark.parametrize("tree", TREES)
def test_every_state_that_is_delivered_is_the_ghz_state_of_its_members(tree: str, mode: str) -> None:
    """Perfect qubits: one wrong frame of one delivery would make the fidelity 0."""
    edges, members = TREES[tree]
    seen = run(tree_lab(edges, members, mode=mode, delay="fibre"), 0.5)
    assert len(seen.true) > 15
    assert min(seen.true) > 1.0 - 1e-9
    assert seen.sizes.keys() == {len(members)}


@pytest.mark.parametrize("mode", ["swap_asap", "fixed_tree"])
@pytest.mark.parametrize("tree", TREES)
def test_the_ledger_tells_the_fidelity_that_the_density_matrix_has(tree: str, mode: str) -> None:
    """T1, T2, gates, readouts, phase flips and mixed pairs, delivery by delivery.

    The tails' corrections are perfect here, and no time passes between the offer and the head's estimate.
    """
    edges, members = TREES[tree]
    seen = run(tree_lab(edges, members, mode=mode, noisy=True), 0.5)
    assert len(seen.true) > 15
    assert seen.told == pytest.approx(seen.true, abs=1e-9)
    assert 0.6 < min(seen.true) < max(seen.true) < 0.95


def test_three_members_on_two_links_come_as_often_as_two_segments_do() -> None:
    """(3 - 2p) / (p (2 - p) p_f) attempts a state: both links are needed, and a failure begins anew.

    2,700 states, each after a number of attempts that is spread like its mean at most: 6 % are more than
    three standard errors, false alarms below 0.3 % for a seed that is not looked at.
    """
    p, success = 0.1, 0.5
    path = (("a", "b"), ("b", "c"))
    lab = tree_lab(
        path, ("a", "b", "c"), fusion_success=success, link_success=p, fusion_us=0.0, duration_s=20.0
    )
    seen = run(lab, 8.0, seed=5)
    attempts = 8.0 / (PERIOD_US * 1e-6)
    expected = attempts / two_segments(p, success)
    assert len(seen.true) == pytest.approx(expected, rel=0.06)
    assert expected > 2_500


def test_a_failed_fusion_ends_all_qubits_of_its_state_everywhere() -> None:
    """Every fusion fails: nothing is delivered, and no dead qubit is held longer than news take."""
    seen = run(tree_lab(CHAIN, ("a", "b", "c", "d"), fusion_success=0.001, delay="fibre"), 0.5)
    failed = sum(node.fusion.counters["failed"] for node in seen.nodes().values())
    assert failed > 100
    assert seen.true == []
    for node in seen.nodes().values():
        for slot in node.slots.slots():
            if slot.end is not None and slot.state == "held":
                chain = node.replica.fold.chain(slot.end)
                assert chain is not None
                assert not chain.dead or seen.host.clock.now_ns - slot.born_ns < 10_000_000


@pytest.mark.parametrize("mode", ["score", "fixed_tree"])
def test_several_lanes_never_mix_two_states(mode: str) -> None:
    edges, members = TREES["comb"]
    seen = run(tree_lab(edges, members, mode=mode, lanes=2, link_success=0.05, delay="fibre"), 0.4)
    assert len(seen.true) > 15
    assert min(seen.true) > 1.0 - 1e-9
    assert seen.sizes.keys() == {4}


WIDE = (("a", "r"), ("b", "r"), ("r", "s"), ("s", "t"), ("t", "c"), ("t", "d"))


@pytest.mark.parametrize("mode", ["score", "fixed_tree", "swap_asap"])
def test_no_stall_is_longer_than_fifteen_mean_times_of_a_state(mode: str) -> None:
    """Nodes that wait for what is worth it never wait for each other: one memory a link, all of them in use.

    Times between states are spread like exponential ones at most, of which one in 3e6 is that long.
    """
    seen = run(tree_lab(WIDE, ("a", "b", "c", "d"), mode=mode, delay="fibre"), 0.6)
    gaps = [later - earlier for earlier, later in pairwise(seen.at_ns)]
    assert len(gaps) > 15
    assert max(gaps) < 15 * sum(gaps) / len(gaps)


@pytest.mark.parametrize("mode", ["score", "fixed_tree", "swap_asap"])
def test_no_rule_of_the_hosts_is_broken_while_states_are_fused(mode: str) -> None:
    """Orders end once, slots agree with the World, equal facts with each other, no dead qubit stays."""
    lab = tree_lab(COMB, ("a", "b", "c", "d"), mode=mode, delay="fibre", duration_s=0.4)
    rules = checked_run(lab)
    assert rules.counts["Fused"] > 100
    assert rules.counts["Released delivered"] > 40
    assert rules.counts["ledgers compared"] > 10


def lists(seen: Seen, members: tuple[NodeId, ...]) -> list[list[tuple[int, End, str]]]:
    """The delivery records of each member, as they may be compared."""
    found: list[list[tuple[int, End, str]]] = []
    for name in members:
        delivery = seen.nodes()[name].delivery
        assert delivery is not None
        found.append([(one.number, one.head_end, one.state) for one in delivery.records("ghz")])
    return found


FAULTS: dict[str, dict[str, Any]] = {
    "lossy": {
        "message_loss_probability": 0.05,
        "duplicate_probability": 0.05,
        "delay_jitter_us": 200,
        "reorder": True,
    },
    "crashes": {
        "crashes": (
            {"node": "b", "at_s": 0.3, "down_s": 0.2},
            {"node": "a", "at_s": 1.1, "down_s": 0.2},
            {"node": "d", "at_s": 1.9, "down_s": 0.3},
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_all_members_have_equal_lists_after_losses_and_crashes(fault: str, seed: int) -> None:
    members = ("a", "b", "c", "d")
    lab = tree_lab(CHAIN, members, link_success=0.05, delay="fibre", scenario=FAULTS[fault])
    seen = run(lab, 12.0, seed)
    head, *tails = lists(seen, members)
    assert len(head) > 15
    assert all(state in ("settled", "void") for _, _, state in head)
    for tail in tails:
        assert [one for one in tail if one[2] == "settled"] == [one for one in head if one[2] == "settled"]
    assert seen.reports["frame_mismatch"] == 0


def test_a_run_tells_true_fidelities_of_ghz_states_beside_the_predicted_one() -> None:
    edges, members = TREES["star"]
    told = simulate(tree_lab(edges, members, noisy=True), 1.0, 3)["requests"]["ghz"]
    assert told["delivered"] > 50
    assert told["frame_errors"] == 0
    assert told["fidelity_mean"] == pytest.approx(told["fidelity_true_mean"], abs=1e-9)
    assert told["fidelity_predicted"] == pytest.approx(told["fidelity_true_mean"], abs=0.02)
