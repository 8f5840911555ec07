"""Graph-state plans executed: the target for every outcome, the promised fidelity, the right people told.

Owns the proofs by stim and by density matrices. Refuses optimality (test_graph_orders.py) and errors
(test_graph_requests.py).
"""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.graph_equivalents import Equivalent
from bellwire.planner.multipartite.graph_finishing import Candidate, Planning, finished
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_pairs import PairTrees
from bellwire.planner.multipartite.graph_pieces import in_pieces
from bellwire.planner.multipartite.graph_target import GraphRequest, TargetGraph
from bellwire.planner.multipartite.methods import plan_graph
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options
from bellwire.planner.topology import Topology
from tests.planner.multipartite.ghz_execution import outcome_strings
from tests.planner.multipartite.graph_execution import GraphRun, executed_fidelity, owners_of_inputs
from tests.planner.multipartite.graph_networks import Kind, asked_graphs


def planned(
    topology: Topology, target: TargetGraph, method: str | None = None, options: Options | None = None
) -> MultipartitePlan | None:
    """The plan, or None when there is none."""
    try:
        return plan_graph(Residual(topology), "r", target, method, options)
    except NoPlan:
        return None


def assert_right(plan: MultipartitePlan, topology: Topology, target: TargetGraph) -> None:
    """Every outcome leads to the target, all owners hear of failures, capacities hold, and sums agree."""
    assert plan.vertices == tuple(target.places.items())
    assert plan.edges == target.edges
    for outcomes in outcome_strings(plan, seed=5):
        run = GraphRun(plan)
        run.run(outcomes)
        run.assert_graph_state()
    for operation, owners in owners_of_inputs(plan):
        assert {operation.node, *operation.tell} == owners | {operation.node}
        assert operation.node not in operation.tell
        assert operation.steps  # also where states meet inside a node, through a vertex of the node's own
    assert Residual(topology).lacks(plan.use) is None
    chances = [pair.success_probability for pair in plan.pairs]
    chances += [operation.success_probability for operation in plan.operations]
    assert plan.success_probability == pytest.approx(math.prod(chances), rel=1e-12)
    memories = Counter[str]()
    for supply in plan.pairs:
        for name, count in supply.trees[0].use.memories.items():
            memories[name] += count
    memories.update(qubit.node for qubit in plan.qubits if qubit.side == "own")
    assert plan.use.memories == memories
    assert 0.0 <= plan.fidelity <= 1.0


@pytest.mark.parametrize(
    ("method", "kind", "most"),
    [
        (None, "path", 6),
        (None, "tree", 7),
        (None, "general", 6),
        ("graph-path", "path", 6),
        ("graph-tree", "path", 6),
        ("graph-tree", "tree", 7),
        ("graph-pieces", "tree", 7),
        ("graph-pieces", "general", 6),
    ],
)
def test_a_plan_ends_in_its_target_for_every_outcome(method: str | None, kind: Kind, most: int) -> None:
    found = 0

    @settings(deadline=None, derandomize=True, max_examples=60)
    @given(asked_graphs(kind, most))
    def every_case(asked: tuple[Topology, TargetGraph]) -> None:
        nonlocal found
        plan = planned(*asked, method)
        if plan is not None:
            found += 1
            assert_right(plan, *asked)

    every_case()
    assert found >= 30


def itself(
    topology: Topology, target: TargetGraph, *, stars: bool, options: Options | None = None
) -> MultipartitePlan | None:
    """The plan that makes the edges of the target itself, so that cycles have to be closed."""
    residual, options = Residual(topology), options or Options()
    inside, pairs = Inside(target), PairTrees(residual, options)
    request = GraphRequest(request="r", target=target)
    try:
        blocks = pairs.needed(inside.remote)
        part = in_pieces(topology, options, blocks, inside, pairs if stars else None)
        if part is None:
            return None
        same = Equivalent(target.edges, ())
        return finished(Planning(request, residual, options, "itself"), Candidate(part, same))
    except NoPlan:
        return None


@pytest.mark.parametrize("stars", [False, True])
def test_cycles_are_closed_for_every_outcome(stars: bool) -> None:
    closed, found = 0, 0

    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(asked_graphs("general", 6))
    def every_case(asked: tuple[Topology, TargetGraph]) -> None:
        nonlocal closed, found
        plan = itself(*asked, stars=stars)
        if plan is not None:
            found += 1
            closed += any(
                each.action == "fuse_retain" and len(each.consumes) == 1 for each in plan.operations
            )
            assert_right(plan, *asked)

    every_case()
    assert found >= 100
    assert closed >= 40


@pytest.mark.parametrize("kind", ["path", "tree", "general"])
def test_the_promised_fidelity_is_that_of_an_executed_round(kind: Kind) -> None:
    found = 0

    @settings(deadline=None, derandomize=True, max_examples=80)
    @given(asked_graphs(kind, 4, noisy=True), st.booleans(), st.booleans())
    def every_case(asked: tuple[Topology, TargetGraph], direct: bool, exponential: bool) -> None:
        nonlocal found
        topology, target = asked
        options = Options(waiting="exponential" if exponential else "three_halves")
        if direct:
            plan = itself(topology, target, stars=exponential, options=options)
        else:
            plan = planned(topology, target, None if exponential else "graph-tree", options)
        if plan is not None and len(target.edges) <= 5:
            found += 1
            assert plan.fidelity == pytest.approx(executed_fidelity(plan, topology), abs=1e-9)

    every_case()
    assert found >= 30
