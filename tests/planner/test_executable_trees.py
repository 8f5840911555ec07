"""Words of a request for planned trees with rounds: what nodes then do is what the plan told them to."""

from dataclasses import replace

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.plans import EntanglementRequest, PurificationPlan, RequestPlan
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import Residual
from bellwire.planner.distant_rounds import executable
from bellwire.planner.executable_trees import executable_tree, words_for
from bellwire.planner.instructions import instructions_of
from bellwire.planner.plans import compute_plan
from bellwire.planner.reports.any_plan import document_of, text_of
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.purified import front
from bellwire.planner.sources.settings import topology_of
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree
from tests.simulation.test_link_purification import NOISY, lab_of

LAB = lab_of(NOISY, lanes=5, nodes=("ann", "rex", "bob"))
TOPOLOGY = topology_of(LAB.network)
ASKED = PairRequest(request="r", source="ann", destination="bob", limits=Limits(fidelity=0.5))
FRONT = front(Residual(TOPOLOGY), ASKED, Options(rounds=2))

A, B = LinkLeaf("ann", "rex", 0.01), LinkLeaf("rex", "bob", 0.01)


def rounds(tree: Tree, other: Tree | None = None, *, pumping: bool = False) -> PurifyNode:
    return PurifyNode(tree, tree if other is None else other, "dejmps", pumping, 0.8, 0.05)


def swap(one: Tree = A, other: Tree = B) -> SwapNode:
    return SwapNode(one, other, 0.03)


def planned(tree: Tree) -> PairPlan:
    return replace(FRONT[0], tree=tree)


def test_nodes_do_for_a_request_with_these_words_what_the_planned_tree_tells_them() -> None:
    """All plans of the front over two links that a request can ask for; the others say why it cannot."""
    compared = refused = 0
    for plan in FRONT:
        words, why = words_for(plan, TOPOLOGY)
        if words is None:
            assert why
            refused += 1
            continue
        request = EntanglementRequest(
            request_id="r",
            target_nodes=("ann", "bob"),
            generation_mode="fixed_tree",
            count=1,
            tree=words.tree,
            purification=words.purification,
        )
        found = compute_plan(LAB.network, request, 1)
        assert isinstance(found, RequestPlan), found
        told = instructions_of(plan, TOPOLOGY, "r")
        for name, node in found.nodes.items():
            assert sorted(map(_what, node.purifications)) == sorted(map(_what, executable(told[name])))
        compared += words.purification is not None
    assert compared >= 3
    assert refused >= 3


def _what(plan: PurificationPlan) -> tuple[str, int, bool]:
    """One round by pumping is one of recurrence."""
    return plan.partner, plan.rounds, plan.pumping and plan.rounds > 1


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (swap(), None),
        (rounds(swap()), "2:1"),
        (rounds(swap(), pumping=True), "2:1"),
        (rounds(rounds(swap(), pumping=True), swap(), pumping=True), "2:2p"),
        (rounds(rounds(swap())), "2:2"),
        (swap(rounds(A), rounds(B)), "1:1"),
        (rounds(swap(rounds(A), rounds(B))), "1:1,2:1"),
    ],
)
def test_rounds_are_named_by_level(tree: Tree, words: str | None) -> None:
    assert executable_tree(planned(tree), TOPOLOGY) == ("((ann rex) (rex bob))", words)


@pytest.mark.parametrize(
    ("tree", "part"),
    [
        (swap(rounds(A), B), "pairs of 1 link get different rounds"),
        (rounds(rounds(swap()), swap()), "nested"),
        (replace(rounds(swap()), scheme="bbpssw"), "only dejmps"),
        (swap(StoredLeaf("ann", "rex", "s", (1.0, 0.0, 0.0, 0.0), 0.0, 1.0), B), "stored pair ann-rex"),
        (rounds(swap(rounds(A), rounds(B)), swap()), "made in two ways"),
    ],
)
def test_what_no_request_can_ask_for_is_said(tree: Tree, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        executable_tree(planned(tree), TOPOLOGY)


def test_reports_show_how_a_purified_tree_is_asked_for() -> None:
    plan = planned(rounds(swap()))
    line = 'bellwire request --mode fixed_tree --tree "((ann rex) (rex bob))" --purification 2:1'
    assert line in text_of(plan, TOPOLOGY)
    assert document_of(plan, TOPOLOGY)["executable"] == {
        "tree": "((ann rex) (rex bob))",
        "purification": "2:1",
        "reason": None,
    }
    refused = next(plan for plan in FRONT if words_for(plan, TOPOLOGY)[0] is None)
    assert "no request can ask for this: " in text_of(refused, TOPOLOGY)
