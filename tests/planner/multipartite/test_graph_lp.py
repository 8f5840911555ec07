"""The linear programme of graph states: worked rates, bounds, and plans that use the whole capacity.

Owns properties of `optimum_hz` and of method "graph-lp". Refuses states (test_graph_execution.py).
"""

from dataclasses import replace
from itertools import combinations, pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.graph_lp import optimum_hz
from bellwire.planner.multipartite.graph_programme import TooManySets
from bellwire.planner.multipartite.graph_target import GraphRequest, TargetGraph
from bellwire.planner.multipartite.methods import plan_graph
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.multipartite.ghz_networks import random_network
from tests.planner.multipartite.graph_networks import asked_graphs
from tests.planner.multipartite.test_graph_execution import assert_right, itself
from tests.planner.single.test_exact import chain


def rate_hz(topology: Topology, target: TargetGraph) -> float | None:
    """The optimum on an idle network; None where there is none."""
    try:
        return optimum_hz(Residual(topology), GraphRequest(request="r", target=target), Options())
    except NoPlan:
        return None


def planned(topology: Topology, target: TargetGraph, method: str | None) -> MultipartitePlan | None:
    """The plan, or None when there is none."""
    try:
        return plan_graph(Residual(topology), "r", target, method)
    except NoPlan:
        return None


def timeless(topology: Topology) -> Topology:
    """The same network with operations and words that take no time."""
    nodes = [replace(node, swap_s=0.0, fusion_s=0.0, memories=40) for node in topology.nodes.values()]
    names = [node.name for node in nodes]
    still = {pair_of(a, b): 0.0 for a, b in combinations(names, 2)}
    return Topology.of(nodes, topology.links.values(), delays_s=still)


def path_over(nodes: str) -> TargetGraph:
    """A path with one vertex at each of some nodes."""
    return TargetGraph({node.lower(): node for node in nodes}, tuple(pairwise(nodes.lower())))


@pytest.mark.parametrize(
    ("nodes", "expected_hz"), [("ABC", 35.22730072), ("ABCD", 11.50279207)], ids=["line", "longer line"]
)
def test_paths_have_the_worked_rates_of_pairs(nodes: str, expected_hz: float) -> None:
    """Section 1.7: a vertex that fuses costs what a repeater costs that swaps."""
    topology = chain(*[10.0] * (len(nodes) - 1))
    assert rate_hz(topology, path_over(nodes)) == pytest.approx(expected_hz, abs=5e-9 * expected_hz)


def test_a_triangle_pays_for_the_fusion_that_closes_it() -> None:
    """Three links of one rate r each: 2/3 p r for the first fusion, 2/3 p^2 for the other two at once."""
    nodes = [Node(name=name, fusion_probability=0.5, memories=9) for name in "ABC"]
    topology = Topology.of(nodes, [link_between(a, b, 10.0) for a, b in combinations(nodes, 2)])
    target = TargetGraph({"a": "A", "b": "B", "c": "C"}, (("a", "b"), ("b", "c"), ("c", "a")))
    link_hz = Residual(topology).link_rate_hz(topology.links["A", "B"], 0.5, 0.5)
    # x of the path from two links, x = 2/3 p g; closed with the third link at rate x: g = x / (2/3 p) each
    # for two links, x for the third; by symmetry over the three choices all links carry the same
    path_hz = 3.0 * link_hz / (2.0 / (2.0 / 3.0 * 0.5) + 1.0)
    assert rate_hz(topology, target) == pytest.approx(2.0 / 3.0 * 0.25 * path_hz, rel=1e-9)


def test_no_plan_of_the_edges_themselves_beats_the_optimum() -> None:
    """Without equivalent graphs and GHZ states, which may be cheaper than the edges that were asked for."""
    found, close = 0, 0

    @settings(deadline=None, derandomize=True, max_examples=80)
    @given(asked_graphs("general", 4))
    def every_case(asked: tuple[Topology, TargetGraph]) -> None:
        nonlocal found, close
        topology, target = timeless(asked[0]), asked[1]
        best_hz, plan = rate_hz(topology, target), itself(topology, target, stars=False)
        if best_hz is None or plan is None:
            return
        found += 1
        close += plan.rate_hz > 0.5 * best_hz
        assert plan.rate_hz <= best_hz * (1.0 + 1e-6)

    every_case()
    assert found >= 50
    assert close >= 10


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_rates_scale_with_all_capacities(seed: int, factor: float) -> None:
    topology = random_network(seed, 5, density=0.8)
    target = path_over("ABC")
    slow_hz = rate_hz(topology, target)
    nodes = [replace(node, attempts_hz=node.attempts_hz * factor) for node in topology.nodes.values()]
    links = [replace(link, capacity_hz=link.capacity_hz * factor) for link in topology.links.values()]
    fast_hz = rate_hz(Topology.of(nodes, links), target)
    assert (slow_hz is None) == (fast_hz is None)
    if slow_hz is not None:
        assert fast_hz == pytest.approx(slow_hz * factor, rel=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_another_link_never_lowers_the_optimum(seed: int) -> None:
    topology = random_network(seed, 5, density=0.5)
    chance = np.random.default_rng(seed)
    absent = [pair for pair in combinations(topology.nodes, 2) if pair not in topology.links]
    if not absent:
        return
    a, b = absent[int(chance.integers(0, len(absent)))]
    more = Topology.of(
        topology.nodes.values(),
        (*topology.links.values(), link_between(topology.nodes[a], topology.nodes[b], 7.0)),
    )
    target = TargetGraph({"a": "A", "b": "B", "c": "C", "d": "D"}, (("a", "b"), ("a", "c"), ("a", "d")))
    before_hz = rate_hz(topology, target)
    if before_hz is not None:
        after_hz = rate_hz(more, target)
        assert after_hz is not None
        assert after_hz >= before_hz * (1.0 - 1e-6)


def test_plans_of_the_programme_are_right_and_never_slower() -> None:
    found, faster = 0, 0

    @settings(deadline=None, derandomize=True, max_examples=60)
    @given(asked_graphs("general", 4))
    def every_case(asked: tuple[Topology, TargetGraph]) -> None:
        nonlocal found, faster
        topology, target = asked
        plan, half = planned(topology, target, "graph-lp"), planned(topology, target, "graph-pieces")
        if plan is None:
            assert half is None
            return
        found += 1
        assert_right(plan, *asked)
        if half is not None:
            assert plan.latency_s <= half.latency_s * (1.0 + 1e-9)
            faster += plan.latency_s < half.latency_s * (1.0 - 1e-6)

    every_case()
    assert found >= 40
    assert faster >= 15


def test_a_pair_takes_all_of_both_its_nodes() -> None:
    """Section 1.7: 3.784943229 ms at share 1, 7.569886459 ms at half of both nodes."""
    line = chain(10.0)
    target = path_over("AB")
    whole = plan_graph(Residual(line), "r", target, "graph-lp")
    half = plan_graph(Residual(line), "r", target)
    assert 1e3 * whole.latency_s == pytest.approx(3.784943229, abs=5e-9)
    assert 1e3 * half.latency_s == pytest.approx(7.569886459, abs=5e-9)
    assert whole.use.attempts_hz["A"] <= line.nodes["A"].attempts_hz * (1.0 + 1e-11)  # no room of rounding


def test_where_links_have_no_end_operations_and_words_set_the_pace() -> None:
    """T p_f = 1.5 T_link + t_f + t_c, and T_link is next to nothing."""
    line = chain(10.0, 10.0)
    nodes = [replace(node, attempts_hz=1e13) for node in line.nodes.values()]
    links = [replace(link, capacity_hz=1e9) for link in line.links.values()]
    topology = Topology.of(nodes, links)
    plan = plan_graph(Residual(topology), "r", path_over("ABC"), "graph-lp")
    busy_s = topology.nodes["B"].t_f + topology.delay_s("B", "A")
    assert plan.latency_s * 0.4 == pytest.approx(1.5e-9 + busy_s, rel=1e-9)


def test_pairs_that_compete_go_by_different_ways() -> None:
    """Both pairs are fastest through r, but there they would share its attempts; s is nearly as good."""
    nodes = [Node(name=name, memories=9) for name in ("A", "B", "C", "r", "s")]
    by_name = {node.name: node for node in nodes}
    ways = [(end, middle, km) for middle, km in (("r", 5.0), ("s", 6.0)) for end in "ABC"]
    topology = Topology.of(nodes, [link_between(by_name[a], by_name[b], km) for a, b, km in ways])
    target = TargetGraph({"a": "A", "b": "B", "c": "C"}, (("a", "b"), ("a", "c")))
    for method in ("graph-path", "graph-lp"):
        plan = plan_graph(Residual(topology), "r", target, method)
        assert {"r", "s"} <= set(plan.use.attempts_hz)
        assert plan.use.attempts_hz["r"] < 2.0 * plan.use.attempts_hz["s"]
    only_r = plan_graph(Residual(topology), "r", target, options=Options(avoid=frozenset({"s"})))
    assert plan_graph(Residual(topology), "r", target, "graph-path").latency_s < 0.8 * only_r.latency_s


def test_a_large_network_is_an_error_of_the_optimum_alone() -> None:
    topology = chain(*[1.0] * 60)
    first, *_, last = list(topology.nodes)[:6]
    target = TargetGraph({"a": first, "b": last}, (("a", "b"),))
    with pytest.raises(NoPlan, match="networks of 60 nodes at most, not of 61"):
        optimum_hz(Residual(topology), GraphRequest(request="r", target=target), Options())
    assert plan_graph(Residual(topology), "r", target, "graph-lp").latency_s > 0.0


def test_too_many_connected_parts_are_an_error_of_the_optimum_alone() -> None:
    nodes = [Node(name=name, memories=20) for name in "ABCDE"]
    topology = Topology.of(nodes, [link_between(a, b, 5.0) for a, b in combinations(nodes, 2)])
    target = TargetGraph({name.lower(): name for name in "ABCDE"}, tuple(combinations("abcde", 2)))
    with pytest.raises(TooManySets, match="more than 300 connected parts"):
        optimum_hz(Residual(topology), GraphRequest(request="r", target=target), Options())
    assert plan_graph(Residual(topology), "r", target, "graph-lp").latency_s > 0.0
