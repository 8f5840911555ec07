"""Plans of graph states: the tree of GHZ states where it can carry the graph, else routes along the edges."""

import msgspec
import pytest

from bellwire.core.graph_states import GraphEdges
from bellwire.core.plans import FusionStep, RequestPlan
from bellwire.planner.graph_knots import Placement, order_fault, placed
from bellwire.planner.plans import compute_plan
from tests.simulation.ghz_labs import tree_lab

BOTTLENECK = (("a", "r"), ("c", "r"), ("r", "s"), ("s", "b"), ("s", "d"))
"""The edges of the path a - b - c - d all cross r-s: one pair cannot carry them."""

AROUND = (("a", "x"), ("x", "b"), ("b", "y"), ("y", "c"), ("c", "z"), ("z", "d"))


def edges(text: str) -> GraphEdges:
    return tuple((edge[0], edge[1]) for edge in text.split())


def planned(links: GraphEdges, graph: str, mode: str = "score") -> RequestPlan | str:
    lab = tree_lab(links, tuple("abcd"), mode=mode, graph=edges(graph))
    return compute_plan(lab.network, lab.requests[0], 1)


def links_of(plan: RequestPlan | str) -> set[str]:
    assert not isinstance(plan, str), plan
    return {link.link for node in plan.nodes.values() for link in node.links}


def test_a_star_takes_the_tree_that_ghz_states_take() -> None:
    assert links_of(planned(BOTTLENECK + AROUND, "ab ac ad")) == links_of(planned(BOTTLENECK + AROUND, ""))


def test_a_path_that_this_tree_cannot_carry_goes_along_its_edges() -> None:
    for_ghz = links_of(planned(BOTTLENECK + AROUND, ""))
    ends = {link: (link[0], link[2]) for link in for_ghz}
    assert isinstance(placed(tuple("abcd"), edges("ab bc cd"), ends), str)
    assert links_of(planned(BOTTLENECK + AROUND, "ab bc cd")) == {f"{a}-{b}" for a, b in AROUND}


def test_where_there_is_no_way_around_the_edge_without_a_route_is_named() -> None:
    plan = planned(BOTTLENECK, "ab bc cd")
    assert isinstance(plan, str)
    assert "the edge b-c has no route beside those of the other edges" in plan


def test_only_parts_that_can_be_made_are_worth_anything() -> None:
    """Around a hub a meets b, and c meets d; no other two links are a part of the path."""
    plan = planned((("a", "h"), ("b", "h"), ("c", "h"), ("d", "h")), "ab bc cd")
    assert not isinstance(plan, str)
    fusion = plan.nodes["h"].fusion
    assert fusion is not None
    twos = [part for part, _ in fusion.worths if part.bit_count() == 2]
    names = [{fusion.links[index] for index in range(4) if part >> index & 1} for part in twos]
    assert sorted(map(sorted, names)) == [["a-h", "b-h"], ["c-h", "d-h"]]


@pytest.mark.parametrize(
    ("orders", "fault"),
    [
        ((("ah", "bh"), ("ch", "dh"), ("ah", "ch")), False),
        ((("ah", "ch"), ("bh", "dh"), ("ah", "bh")), True),
        ((("ah", "bh"), ("ah", "ch"), ("ah", "dh")), True),
    ],
)
def test_a_fixed_order_must_not_join_what_is_to_be_turned_first(
    orders: tuple[tuple[str, str], ...], fault: bool
) -> None:
    links = {f"{name}h": (name, "h") for name in "abcd"}
    placement = placed(tuple("abcd"), edges("ab bc cd"), links)
    assert isinstance(placement, Placement)
    steps = [FusionStep(one=one, other=other, one_nodes=(), other_nodes=()) for one, other in orders]
    told = order_fault({"h": steps}, placement)
    assert (told is not None) is fault
    assert told is None or 'take "swap_asap" or "score"' in told


def test_versions_of_a_plan_with_other_vertices_are_told_apart() -> None:
    """What a node holds for one graph is of no use for another on the same links."""
    from bellwire.swapping.fusion_executions import FusionExecution

    hub = (("a", "h"), ("b", "h"), ("c", "h"), ("d", "h"))
    plans = [planned(hub, graph) for graph in ("ab bc cd", "ab bc cd", "ac cb bd")]
    fusions = []
    for plan in plans:
        assert not isinstance(plan, str)
        fusion = plan.nodes["h"].fusion
        assert fusion is not None
        fusions.append(fusion)
    execution = FusionExecution(fusions[0], None)
    assert execution.follows(msgspec.structs.replace(fusions[1], rate_hz=7.0))
    assert not execution.follows(fusions[2])
