"""Star graph states from link pairs to the applications, beside the World's density matrix."""

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from bellwire.core.effects import Report
from bellwire.core.graph_states import GraphEdges
from bellwire.core.ids import NodeId
from bellwire.labs import Lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import simulate
from bellwire.simulator_backend.world_fusions import GroupTruth
from tests.simulation.ghz_labs import CHAIN, COMB, STAR, checked_run, tree_lab

TREES = {
    "star": (STAR, ("a", "b", "c")),
    "chain": (CHAIN, ("b", "a", "c", "d")),
    "comb": (COMB, ("d", "a", "b", "c")),
}
"""Links, and members with the centre first: on the chain it is an inner node, on the comb a leaf."""


def graph_vector(nodes: tuple[NodeId, ...], edges: GraphEdges) -> npt.NDArray[np.float64]:
    """prod CZ |+>^n: equal weights, and a sign for each edge of which both bits are 1 (algorithms.md 4.3)."""
    size = len(nodes)
    vector = np.full(1 << size, 2.0 ** (-size / 2.0))
    place = {node: size - 1 - index for index, node in enumerate(nodes)}
    for number in range(1 << size):
        both = sum((number >> place[one] & 1) & (number >> place[other] & 1) for one, other in edges)
        vector[number] *= (-1.0) ** both
    return vector


def run(lab: Lab, seconds: float) -> tuple[list[float], list[float]]:
    """Told and true fidelities of each delivery at the head."""
    host = VirtualHost(lab, 1, partial(compute_plan, lab.network))
    told: list[float] = []
    true: list[float] = []
    (request,) = lab.requests

    def report(now_ns: int, node: NodeId, said: Report) -> None:
        if said.name == "pair_delivered" and said.fields["role"] == "head":
            told.append(float(said.fields["fidelity"] or 0.0))

    def witness(now_ns: int, node: NodeId, truth: GroupTruth) -> None:
        if node == request.target_nodes[0]:
            assert set(truth.nodes) == set(request.target_nodes)
            graph = graph_vector(truth.nodes, request.edges)
            true.append(float(np.real(graph @ truth.density @ graph)))

    host.reports.append(report)
    host.bindings.group_witnesses.append(witness)
    host.start()
    host.run(round(seconds * 1e9))
    return told, true


@pytest.mark.parametrize("mode", ["swap_asap", "fixed_tree"])
@pytest.mark.parametrize("tree", TREES)
def test_every_state_that_is_delivered_is_the_star_graph_around_the_source(tree: str, mode: str) -> None:
    """Perfect qubits: one wrong frame, or one gate that is missing, would make the fidelity 1/2 at most."""
    edges, members = TREES[tree]
    _, true = run(tree_lab(edges, members, mode=mode, delay="fibre", star=True), 0.5)
    assert len(true) > 15
    assert min(true) > 1.0 - 1e-9


@pytest.mark.parametrize("delay", ["zero", "fibre"])
@pytest.mark.parametrize("tree", TREES)
def test_the_ledger_tells_the_fidelity_of_the_graph_state(tree: str, delay: str) -> None:
    """T1, T2, gates, readouts and mixed pairs. With delays the tails' qubits decay after their Hadamard
    gates, where phase noise has become noise of the other kind; the persisting of the head takes no time."""
    edges, members = TREES[tree]
    told, true = run(tree_lab(edges, members, noisy=True, delay=delay, star=True), 0.3)
    assert len(true) > 15
    assert told == pytest.approx(true, abs=1e-9)
    assert 0.6 < min(true) < max(true) < 0.95


def test_a_simulation_compares_star_graphs_with_the_world() -> None:
    found = simulate(tree_lab(STAR, ("a", "b", "c"), noisy=True, star=True), 0.4, 3)["requests"]["star"]
    assert found["delivered"] > 15
    assert found["frame_errors"] == 0
    assert found["fidelity_mean"] == pytest.approx(found["fidelity_true_mean"], abs=1e-9)


def test_no_rule_of_the_hosts_is_broken_while_qubits_are_turned() -> None:
    lab = tree_lab(COMB, ("d", "a", "b", "c"), delay="fibre", duration_s=0.4, star=True)
    rules = checked_run(lab)
    assert rules.counts["Released delivered"] > 40
    assert rules.counts["ledgers compared"] > 10
