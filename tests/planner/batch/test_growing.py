"""Optima over hypergraphs that grow where it pays, against those over all of the hypergraph.

Owns the tests of batch/growing.py and prices.py, and of what plans on large networks owe to them.
"""

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.planner.batch.growing import CLOSE, FAR, corridor, grown_flow, is_large
from bellwire.planner.batch.hyperflow import decompose
from bellwire.planner.batch.optimum import plan_levels
from bellwire.planner.batch.prices import cheapest_trees, swaps_along
from bellwire.planner.batch.solvers import Flow, Objective, Solver
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.sources.waxman import draw_pairs, waxman
from bellwire.planner.structures import leaves
from bellwire.planner.topology import Pair, Topology, pair_of
from tests.planner.batch.test_levels import SOLVERS, ask, batches, network, optimum


def quiet(_: str) -> None:
    """Told of parts, and does nothing."""


def grown(
    topology: Topology, asked: list[PairRequest], objective: Objective = "total", solver: Solver = "highs"
) -> Flow:
    return grown_flow(Residual(topology), asked, Options(), objective, solver, quiet)[1]


@settings(deadline=None, derandomize=True, max_examples=80)
@given(batches(7), st.sampled_from(["total", "max_min"]), st.sampled_from([None, 5.0, 60.0]))
def test_what_grows_comes_within_half_a_percent_of_the_whole_optimum_and_never_above_it(
    batch: tuple[Topology, list[PairRequest]], objective: Objective, wanted_hz: float | None
) -> None:
    topology, asked = batch
    asked[0] = replace(asked[0], rate_hz=wanted_hz)
    _, whole = optimum(topology, asked, objective)
    flow = grown(topology, asked, objective)
    assert flow.optimum_hz <= whole.optimum_hz * (1.0 + 1e-7)
    assert flow.optimum_hz >= whole.optimum_hz * (1.0 - CLOSE)
    if whole.optimum_hz > 0.0:
        assert flow.bound_hz is not None
        assert whole.optimum_hz * (1.0 - 1e-7) <= flow.bound_hz
        assert flow.bound_hz <= flow.optimum_hz * (1.0 + CLOSE) or objective == "max_min"


@pytest.mark.parametrize("objective", ["total", "max_min"])
@pytest.mark.parametrize("seed", [1, 2])
def test_five_requests_on_thirty_nodes_lose_less_than_half_a_percent(objective: Objective, seed: int) -> None:
    topology = waxman(30, 0.15, 50.0, seed)
    asked = [ask(a, b, f"r{number}") for number, (a, b) in enumerate(draw_pairs(topology, 5, seed))]
    _, whole = optimum(topology, asked, objective)
    flow = grown(topology, asked, objective)
    assert whole.optimum_hz * (1.0 - CLOSE) <= flow.optimum_hz <= whole.optimum_hz * (1.0 + 1e-7)
    assert flow.bound_hz is not None
    assert whole.optimum_hz <= flow.bound_hz * (1.0 + 1e-9) <= flow.optimum_hz * (1.0 + CLOSE) * (1.0 + 1e-9)


@pytest.mark.parametrize("objective", ["total", "max_min"])
def test_where_only_links_have_limits_raised_prices_prove_a_bound_near_the_optimum(
    objective: Objective,
) -> None:
    """As in a lab with memories of their own for every lane. Most links carry nothing and are worth nothing:
    by the programme's own prices the pairs of some request would cost nothing, and no bound would follow."""
    limited = waxman(30, 0.15, 50.0, 3)
    nodes = [replace(node, attempts_hz=math.inf) for node in limited.nodes.values()]
    topology = Topology.of(nodes, limited.links.values())
    asked = [ask(a, b, f"r{number}") for number, (a, b) in enumerate(draw_pairs(topology, 3, 3))]
    _, whole = optimum(topology, asked, objective)
    flow = grown(topology, asked, objective)
    assert whole.optimum_hz * (1.0 - FAR) <= flow.optimum_hz <= whole.optimum_hz * (1.0 + 1e-7)
    assert flow.bound_hz is not None
    assert whole.optimum_hz <= flow.bound_hz * (1.0 + 1e-9) <= flow.optimum_hz * (1.0 + FAR) * (1.0 + 1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_grown_flow_is_made_of_trees_whatever_solver_has_the_last_word(solver: Solver) -> None:
    """A line of three links, of which both orders of swaps are used: 11.50279207/s (algorithms.md 1.7)."""
    asked = [ask("A", "B")]
    graph, flow = grown_flow(Residual(network("AR", "RS", "SB")), asked, Options(), "total", solver, quiet)
    assert flow.optimum_hz == pytest.approx(11.50279207, abs=5e-9)
    trees = decompose(graph, flow, {"r": ("A", "B")})
    assert math.fsum(tree.rate_hz for tree in trees) == pytest.approx(flow.optimum_hz, rel=1e-9)


def test_requests_that_nothing_serves_get_nothing_and_others_are_served() -> None:
    topology = network("AR", "RB", "CD")
    flow = grown(topology, [ask("A", "B", "r0"), ask("A", "C", "r1")])
    assert sum(flow.delivered_hz["r0"].values()) == pytest.approx(35.22730072, abs=5e-9)
    assert flow.delivered_hz["r1"] == {}
    assert grown(topology, [ask("A", "C", "r1")]).optimum_hz == 0.0


# ---- the cheapest trees


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data())
def test_cheapest_trees_are_those_of_trying_all_trees(data: st.DataObject) -> None:
    """All trees by their last swap, without what was found before: at most as many swaps as there are nodes
    less one. Costs are above 0, so the cheapest has no pair below itself."""
    names = "ABCDE"
    pairs = [(a, b) for a in names for b in names if a < b]
    links = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    costs = {pair: data.draw(st.sampled_from([0.1, 1.0, 1.5, 7.0])) for pair in links}
    gains = {name: data.draw(st.sampled_from([0.1, 0.27, 2.0 / 3.0])) for name in names if name != "C"}

    @cache
    def least(pair: Pair, above: frozenset[Pair]) -> float:
        found = costs.get(pair, math.inf)
        for at, gain in gains.items():
            parts = [pair_of(pair[0], at), pair_of(at, pair[1])]
            if at not in pair and not above.intersection(parts):
                below = above | {pair}
                found = min(found, sum(least(part, below) for part in parts) / gain)
        return found

    trees = cheapest_trees(costs, gains)
    for pair in pairs:
        expected = least(pair, frozenset({pair}))
        assert trees.cost(*pair) == pytest.approx(expected, rel=1e-12)
        if math.isinf(expected):
            assert trees.last_swaps(*pair) == []
        else:
            cheapest, at = trees.last_swaps(*pair)[0]
            assert cheapest == pytest.approx(expected, rel=1e-12)
            route = trees.nodes_through(pair[0], at, pair[1])
            assert (route[0], route[-1]) == pair
            assert {pair_of(a, b) for a, b in pairwise(route)} <= costs.keys()


def test_a_route_of_five_nodes_has_ten_swaps_of_neighbouring_stretches() -> None:
    swaps = swaps_along("ABCDE")
    assert len(swaps) == len(set(swaps)) == 10
    assert (("A", "B"), ("B", "E"), ("A", "E"), "B") in swaps


# ---- large networks


@pytest.fixture(scope="module")
def large() -> tuple[Topology, list[PairRequest]]:
    """60 nodes, which have 102,660 swaps, and three requests."""
    topology = waxman(60, 0.1, 80.0, 5)
    return topology, [ask(a, b, f"r{number}") for number, (a, b) in enumerate(draw_pairs(topology, 3, 5))]


def test_a_large_network_is_planned_without_looking_at_most_of_its_swaps(
    large: tuple[Topology, list[PairRequest]],
) -> None:
    topology, asked = large
    residual = Residual(topology)
    assert is_large(residual)
    graph, flow = grown_flow(residual, asked, Options(), "max_min", "highs", quiet)
    assert len(graph.arcs) < 10_000
    plan = plan_levels(residual, asked, "max_min")
    assert plan.bound_hz == flow.bound_hz
    assert plan.bound_hz is not None
    assert plan.bound_hz * 0.5 < plan.min_rate_hz <= plan.bound_hz
    assert residual.lacks(plan.use) is None


def test_fidelity_limits_on_a_large_network_are_planned_along_the_cheapest_routes(
    large: tuple[Topology, list[PairRequest]],
) -> None:
    topology, asked = large
    residual = Residual(topology)
    limited = [replace(request, limits=Limits(fidelity=0.9)) for request in asked]
    plan = plan_levels(residual, limited, "total", options=Options(rounds=0), allow_unserved=True)
    assert plan.bound_hz is None
    links = corridor(residual, limited, Options(), 8)
    assert 0 < len(links) < len(topology.links)
    assert plan.shares
    for share in plan.shares:
        for tree in share.trees:
            assert tree.fidelity >= 0.9
            assert {pair_of(leaf.left, leaf.right) for leaf in leaves(tree.tree)} <= links
