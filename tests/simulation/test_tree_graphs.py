"""Graph states of paths and trees from link pairs to the applications, beside the World's density matrix."""

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from bellwire.core.graph_states import GraphEdges
from bellwire.core.ids import End, NodeId
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.clusters import PAULIS
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import simulate
from bellwire.simulator_backend.world_fusions import GroupTruth
from tests.simulation.ghz_labs import CHAIN, checked_run, tree_lab
from tests.simulation.test_ghz import FAULTS
from tests.simulation.test_star_graphs import run

HUB = (("a", "h"), ("b", "h"), ("c", "h"), ("d", "h"))
RELAYED = (("a", "r"), ("r", "b"), ("b", "c"), ("c", "s"), ("s", "d"))
FORK = (("a", "b"), ("b", "c"), ("b", "r"), ("r", "d"), ("d", "e"))


def edges(text: str) -> GraphEdges:
    return tuple((edge[0], edge[1]) for edge in text.split())


GRAPHS = {
    "path on its links": (CHAIN, "abcd", "ab bc cd"),
    "path over relays": (RELAYED, "abcd", "ab bc cd"),
    "path around a hub": (HUB, "abcd", "ab bc cd"),
    "star around another member": (HUB, "abcd", "ba bc bd"),
    "source in the middle of a path": (CHAIN, "bacd", "ab bc cd"),
    "tree with two centres": (FORK, "abcde", "ab bc bd de"),
    "source that the links of a star pass": ((("c", "a"), ("a", "b")), "abc", "ba bc"),
}
"""Links, members with the source first, and the edges that are wanted."""

ONE_MODE_IS_ENOUGH = {"tree with two centres", "path over relays"}
"""The largest density matrices: a second mode would take longer than it can tell."""


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (name, mode)
        for name in GRAPHS
        for mode in ("score", "swap_asap")
        if mode == "score" or name not in ONE_MODE_IS_ENOUGH
    ],
)
def test_every_state_that_is_delivered_is_the_graph_state_of_the_edges(name: str, mode: str) -> None:
    """Perfect qubits: one wrong frame, or one gate that is missing, would make a fidelity 1/2 at most."""
    links, members, graph = GRAPHS[name]
    lab = tree_lab(links, tuple(members), mode=mode, delay="fibre", graph=edges(graph), link_success=0.3,
                   fusion_success=0.7)  # fmt: skip
    _, true = run(lab, 0.1)
    assert len(true) > 5
    assert min(true) > 1.0 - 1e-9


@pytest.mark.parametrize("name", GRAPHS)
def test_the_ledger_tells_the_fidelity_of_the_graph_state(name: str) -> None:
    """T1, T2, gates, readouts and mixed pairs. Gates of one qubit are perfect: those of the last turns and
    corrections are not in the estimate, and what those before cost is told by test_fusion_noise.py."""
    links, members, graph = GRAPHS[name]
    lab = tree_lab(links, tuple(members), noisy=True, delay="fibre", graph=edges(graph), link_success=0.3,
                   fusion_success=0.7)  # fmt: skip
    told, true = run(lab, 0.1)
    assert len(true) > 5
    assert told == pytest.approx(true, abs=1e-9)
    assert 0.4 < min(true) < max(true) < 0.95


def test_a_fixed_order_makes_paths_along_their_links() -> None:
    lab = tree_lab(CHAIN, tuple("abcd"), mode="fixed_tree", delay="fibre", graph=edges("ab bc cd"))
    _, true = run(lab, 0.5)
    assert len(true) > 15
    assert min(true) > 1.0 - 1e-9


def test_several_lanes_never_mix_two_graph_states() -> None:
    lab = tree_lab(HUB, tuple("abcd"), mode="score", lanes=2, link_success=0.05, delay="fibre",
                   graph=edges("ab bc cd"))  # fmt: skip
    _, true = run(lab, 0.4)
    assert len(true) > 15
    assert min(true) > 1.0 - 1e-9


def test_a_simulation_compares_graph_states_with_the_world() -> None:
    lab = tree_lab(CHAIN, tuple("abcd"), noisy=True, graph=edges("ab bc cd"))
    found = simulate(lab, 0.4, 3)["requests"]["graph"]
    assert found["delivered"] > 15
    assert found["frame_errors"] == 0
    assert found["fidelity_mean"] == pytest.approx(found["fidelity_true_mean"], abs=1e-9)


@pytest.mark.parametrize("mode", ["swap_asap", "score"])
def test_no_rule_of_the_hosts_is_broken_while_states_are_turned_and_joined(mode: str) -> None:
    lab = tree_lab(HUB, tuple("abcd"), mode=mode, delay="fibre", duration_s=0.4, graph=edges("ab bc cd"))
    rules = checked_run(lab)
    assert rules.counts["Released delivered"] > 40
    assert rules.counts["ledgers compared"] > 10


@pytest.mark.parametrize("graph", ["", "ab bc cd"])
def test_uncorrected_frames_of_several_tails_are_no_mismatch(graph: str) -> None:
    """Each tail of a state has a frame of its own, and the head's commit can name but one. With
    `correct_frames: false` every other tail took it for its own and reported a mismatch."""
    lab = tree_lab(HUB, tuple("abcd"), delay="fibre", graph=edges(graph), correct_frames=False)
    host = VirtualHost(lab, 1, partial(compute_plan, lab.network))
    mismatches: list[NodeId] = []
    true: list[GroupTruth] = []
    host.reports.append(
        lambda _, node, said: mismatches.append(node) if said.name == "frame_mismatch" else None
    )
    host.bindings.group_witnesses.append(lambda _, node, truth: true.append(truth) if node == "a" else None)
    host.start()
    host.run(200_000_000)
    assert mismatches == []
    tails: dict[End, dict[End, int]] = {}
    for name in "bcd":
        node = host.machines[name]
        assert isinstance(node, QuantumNode)
        assert node.delivery is not None
        for record in node.delivery.records(lab.requests[0].request_id):
            tails.setdefault(record.head_end, {})[record.tail_end] = record.frame
    assert len(true) > 10
    whole = [(truth, frames) for truth in true for frames in tails.values() if set(frames) < set(truth.ends)]
    assert len(whole) > 10
    for truth, frames in whole:
        assert fidelity_after(truth, frames, edges(graph)) == pytest.approx(1.0, abs=1e-9)
    assert len({frame for _, frames in whole for frame in frames.values()}) > 1


def fidelity_after(truth: GroupTruth, frames: dict[End, int], graph: GraphEdges) -> float:
    """To the wanted state, when every tail has applied the Pauli of its record."""
    operator: npt.NDArray[np.complex128] = np.ones((1, 1), dtype=np.complex128)
    for end in truth.ends:
        operator = np.asarray(np.kron(operator, PAULIS[frames.get(end, 0)]), dtype=np.complex128)
    mended = truth._replace(density=np.asarray(operator @ truth.density @ operator.conj().T))
    return mended.of_graph(graph)[0] if graph else mended.ghz_fidelity()


@pytest.mark.parametrize("fault", FAULTS)
def test_all_members_of_a_path_have_equal_lists_after_losses_and_crashes(fault: str) -> None:
    lab = tree_lab(HUB, tuple("abcd"), link_success=0.05, delay="fibre", graph=edges("ab bc cd"),
                   duration_s=5.0, scenario=FAULTS[fault])  # fmt: skip
    host = VirtualHost(lab, 3, partial(compute_plan, lab.network))
    reports: list[str] = []
    host.reports.append(lambda _, node, said: reports.append(said.name))
    host.start()
    host.run(10_000_000_000)
    head, *tails = (settled(host, name) for name in "abcd")
    assert len(head) > 15
    assert tails == [head] * 3
    assert "frame_mismatch" not in reports


def settled(host: VirtualHost, name: NodeId) -> list[tuple[int, End]]:
    """What counts at a node, by number and by the head's end."""
    node = host.machines[name]
    assert isinstance(node, QuantumNode)
    assert node.delivery is not None
    return [(one.number, one.head_end) for one in node.delivery.records("graph") if one.state == "settled"]


def test_a_graph_that_links_cannot_carry_is_refused_with_the_reason() -> None:
    links = (("a", "r"), ("c", "r"), ("r", "s"), ("s", "b"), ("s", "d"))
    lab = tree_lab(links, tuple("abcd"), graph=edges("ab bc cd"))
    told = simulate(lab, 0.1, 1)["requests"]["graph"]
    assert told["delivered"] == 0
    assert "the edge b-c has no route beside those of the other edges" in told["error"]


def test_a_lab_that_wants_too_many_members_is_refused_by_its_limit() -> None:
    links = tuple((name, "h") for name in "abcdefg")
    lab = tree_lab(links, tuple("abcdefg"))
    told = simulate(lab, 0.1, 1)["requests"]["ghz"]
    assert told["delivered"] == 0
    assert "a state of 7 members; at most 6 are possible: leave members out" in told["error"]
