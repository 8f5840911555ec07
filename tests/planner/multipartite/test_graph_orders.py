"""The order of fusions is the best of all orders, and a finished plan runs at the pace that it promises.

Owns optimality against plain enumeration, throttling and fitting. Refuses states (test_graph_execution.py).
"""

import itertools
import math
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.graph_equivalents import Equivalent, equivalents
from bellwire.planner.multipartite.graph_finishing import Candidate, Planning, finished
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_pairs import PairTrees, crowded
from bellwire.planner.multipartite.graph_parts import PairPart, Spot, pairs_of, slowed, stretched
from bellwire.planner.multipartite.graph_pieces import in_pieces
from bellwire.planner.multipartite.graph_programme import Programme, TooManySets
from bellwire.planner.multipartite.graph_rules import Graph, complemented, graph_of
from bellwire.planner.multipartite.graph_stars import centre_of, ghz_parts, star_seeds
from bellwire.planner.multipartite.graph_target import GraphRequest, TargetGraph
from bellwire.planner.multipartite.graph_tree import links_of
from bellwire.planner.multipartite.methods import plan_graph
from bellwire.planner.requests import Options
from bellwire.planner.structures import LinkLeaf
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.multipartite.ghz_networks import random_network
from tests.planner.multipartite.graph_brute_force import Edge, Place, all_latencies, spanning_trees
from tests.planner.multipartite.graph_networks import Kind, asked_graphs, random_target
from tests.planner.single.test_exact import chain


def path_over(*nodes: str) -> TargetGraph:
    """A path with one vertex, called like its node in small letters, at each of some nodes."""
    names = [node.lower() for node in nodes]
    return TargetGraph(dict(zip(names, nodes, strict=True)), tuple(pairwise(names)))


@st.composite
def blocks(draw: st.DrawFn, kind: Kind) -> tuple[Topology, list[Edge], list[set[str]]]:
    """Pairs of any latencies that make a path with repeaters, a tree or a graph of any shape."""
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng([seed, 4])
    topology = random_network(seed, 7)
    size = int(chance.integers(2, {"path": 7, "tree": 6, "general": 5}[kind] + 1))
    target = random_target(seed, list(topology.nodes), size, kind, crowded=bool(chance.random() < 0.3))
    through = {each for each in target.places if len(target.graph.of(each)) == 2 and chance.random() < 0.4}
    if kind == "general":
        through.clear()
    inside = Inside(target)
    for name in through.copy():  # nothing local at a repeater
        if any(target.places[name] == target.places[other] for other in target.graph.of(name)):
            through.remove(name)
    places = {name: Place(name, node, name not in through) for name, node in target.places.items()}
    edges = [
        Edge(places[a.name], places[b.name], float(chance.choice([0.001, 0.01, chance.uniform(0.001, 0.1)])))
        for a, b in inside.remote
    ][:6]
    return topology, edges, [{spot.name for spot in group} for group in inside.joins]


@pytest.mark.parametrize("kind", ["path", "tree", "general"])
def test_no_order_of_fusions_is_faster(kind: Kind) -> None:
    found, slow = 0, 0

    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(blocks(kind), st.booleans())
    def every_case(drawn: tuple[Topology, list[Edge], list[set[str]]], exponential: bool) -> None:
        nonlocal found, slow
        topology, edges, joins = drawn
        latencies = list(all_latencies(topology, edges, joins, exponential))
        if not latencies:  # cut off at six edges, it may have come apart
            return
        found += 1
        slow += min(latencies) < max(latencies) * (1.0 - 1e-6)
        spots = {place: Spot(*place) for edge in edges for place in (edge.one, edge.other)}
        parts = [
            PairPart(spots[a], spots[b], LinkLeaf(a.node, b.node, latency_s)) for a, b, latency_s in edges
        ]
        by_name = {spot.name: spot for spot in spots.values()}
        groups = [frozenset(by_name[name] for name in group if name in by_name) for group in joins]
        options = Options(waiting="exponential" if exponential else "three_halves")
        made = Programme(topology, options, parts, joins=[group for group in groups if group]).fastest()
        best_s = min(latencies)
        assert (math.inf if made is None else made.latency_s) == pytest.approx(best_s, rel=1e-12)
        if made is not None:
            again = stretched(made, topology, 1.0, options.waiting)
            assert again.latency_s == pytest.approx(best_s, rel=1e-12)

    every_case()
    assert found >= 120
    assert slow >= 40


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.booleans())
def test_no_ghz_star_is_faster(seed: int, size: int, exponential: bool) -> None:
    """Over all trees of pairs and all orders of their fusions."""
    topology = random_network(seed, 6, density=0.8)
    options = Options(waiting="exponential" if exponential else "three_halves")
    pairs = PairTrees(Residual(topology), options)
    members = [Spot(node.lower(), node) for node in list(topology.nodes)[:size]]
    best_s = math.inf
    for tree in spanning_trees([spot.node for spot in members]):
        parts = [(a, b, pairs.tree(a, b)) for a, b in tree]
        if all(part[2] is not None for part in parts):
            edges = [
                Edge(Place(a, a), Place(b, b), each.latency_s) for a, b, each in parts if each is not None
            ]
            best_s = min(best_s, *all_latencies(topology, edges, (), exponential))
    made = ghz_parts(topology, options, pairs, members).get((1 << size) - 1)
    assert (math.inf if made is None else made.latency_s) == pytest.approx(best_s, rel=1e-12)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(asked_graphs("path", 5), st.booleans())
def test_a_path_plan_is_the_best_over_all_orders_of_its_links(
    asked: tuple[Topology, TargetGraph], exponential: bool
) -> None:
    """Swaps at repeaters may come after fusions. Where capacity is lacking, it is slowed as far as needed."""
    topology, target = asked
    residual = Residual(topology)
    options = Options(waiting="exponential" if exponential else "three_halves")
    inside = Inside(target)
    try:
        pairs = PairTrees(residual, options).needed(inside.remote)
    except NoPlan:
        with pytest.raises(NoPlan):
            plan_graph(residual, "r", target, "graph-path", options)
        return
    links = [link for pair in pairs for link in links_of(pair)]
    if len(links) > 6:
        return
    edges = [Edge(Place(*link.left), Place(*link.right), link.latency_s) for link in links]
    best_s = min(
        all_latencies(topology, edges, [{spot.name for spot in g} for g in inside.joins], exponential)
    )
    if best_s == math.inf:
        with pytest.raises(NoPlan, match="never succeed"):
            plan_graph(residual, "r", target, "graph-path", options)
        return
    plan = plan_graph(residual, "r", target, "graph-path", options)
    part = Programme(topology, options, links, joins=inside.joins).fastest()
    assert part is not None
    same = Candidate(part, Equivalent(target.edges, ()))
    own = finished(Planning(GraphRequest(request="r", target=target), residual, options, "own"), same)
    assert part.latency_s == pytest.approx(best_s, rel=1e-12)
    assert plan.latency_s <= own.latency_s
    if own.latency_s > best_s * (1.0 + 1e-9):
        assert residual.lacks(own.use.scaled(1.0 + 1e-6)) is not None
    if not crowded(pairs):  # else trees that share no repeater are tried too
        assert plan.latency_s == own.latency_s


@settings(deadline=None, derandomize=True, max_examples=100)
@given(asked_graphs("general", 5), st.floats(1.0, 5.0))
def test_a_slowed_plan_runs_at_one_pace(asked: tuple[Topology, TargetGraph], factor: float) -> None:
    """Bottom-up, every operation of a throttled plan has the latency that it was given (1.2)."""
    topology, target = asked
    options, inside = Options(), Inside(target)
    pairs = PairTrees(Residual(topology), options)
    try:
        part = in_pieces(topology, options, pairs.needed(inside.remote), inside, pairs)
    except NoPlan:
        return
    if part is None:
        return
    slow = slowed(part, topology, part.latency_s * factor)
    again = stretched(slow, topology, 1.0, "three_halves")
    assert again.latency_s == pytest.approx(part.latency_s * factor, rel=1e-9)
    for one, other in zip(pairs_of(slow), pairs_of(again), strict=True):
        assert one.latency_s == pytest.approx(other.latency_s, rel=1e-9)


def test_three_vertices_on_two_links_take_a_swap() -> None:
    """Section 4.2: fused and retained at the middle, 28.53707 ms; five vertices take a balanced tree."""
    line = Residual(chain(10.0, 10.0))
    plan = plan_graph(line, "r", path_over("A", "B", "C"))
    assert 1e3 * plan.latency_s == pytest.approx(28.53707422, abs=5e-9)
    assert plan.success_probability == pytest.approx(0.4, rel=1e-12)
    longer = plan_graph(Residual(chain(10.0, 10.0, 10.0, 10.0)), "r", path_over(*"ABCDE"))
    assert 1e3 * longer.latency_s == pytest.approx(107.28902833, abs=5e-9)
    assert longer.use.memories == {"A": 1, "B": 2, "C": 2, "D": 2, "E": 1}


def test_a_swap_may_follow_a_fusion_where_that_is_flatter() -> None:
    """A-r-s-t-u-B-C-D-E: the pair A-B alone takes three levels, so that fusing it first would make four."""
    topology = chain(*[10.0] * 8)
    target = TargetGraph(
        {"a": "A", "b": "F", "c": "G", "d": "H", "e": "I"}, (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))
    )
    whole = plan_graph(Residual(topology), "r", target, "graph-path")
    balanced = plan_graph(Residual(topology), "r", path_over(*"ABCDEFGHI"), "graph-path")
    assert whole.latency_s == pytest.approx(balanced.latency_s, rel=1e-12)
    assert any(operation.action == "graph_swap" for operation in whole.operations)
    inside, pairs = Inside(target), PairTrees(Residual(topology), Options())
    pairs_first = Programme(topology, Options(), pairs.needed(inside.remote)).fastest()
    assert pairs_first is not None
    assert whole.latency_s < 0.5 * pairs_first.latency_s


def star_network(leaves: int, memories: int = 9) -> Topology:
    """A hub and leaves at 10 km around it, with fusions that always work."""
    hub = Node(name="hub", memories=memories, fusion_probability=1.0)
    others = [Node(name=f"leaf{index}", memories=memories, fusion_probability=1.0) for index in range(leaves)]
    return Topology.of([hub, *others], [link_between(hub, each, 10.0) for each in others])


def test_a_hub_shares_its_attempts_among_all_its_links() -> None:
    """Five links at half of the hub's capacity each do not fit: the plan is slowed until they just do."""
    topology = star_network(5)
    target = TargetGraph(
        {name: name for name in topology.nodes}, tuple(("hub", f"leaf{i}") for i in range(5))
    )
    plan = plan_graph(Residual(topology), "r", target, "graph-tree")
    assert plan.use.attempts_hz["hub"] == pytest.approx(topology.nodes["hub"].attempts_hz, rel=1e-9)
    assert Residual(topology).lacks(plan.use) is None
    assert Residual(topology).lacks(plan.use.scaled(1.0 + 1e-6)) is not None


def test_what_runs_already_slows_a_plan_or_refuses_it() -> None:
    residual = Residual(star_network(3))
    target = TargetGraph(
        {"h": "hub", "a": "leaf0", "b": "leaf1", "c": "leaf2"}, (("h", "a"), ("h", "b"), ("h", "c"))
    )
    first = plan_graph(residual, "r", target)
    residual.claim("first", first.use.scaled(0.2))
    second = plan_graph(residual, "r", target)
    assert second.latency_s > first.latency_s
    assert residual.lacks(second.use) is None


def test_repeaters_with_few_memories_are_shared_out() -> None:
    """Both pairs would go by the short way over r, which can serve but one; the other takes the long way."""
    nodes = [Node(name=name, memories=2 if name == "r" else 5) for name in ("A", "B", "C", "r", "s")]
    by_name = {node.name: node for node in nodes}
    ways = [
        ("A", "r", 5.0),
        ("r", "B", 5.0),
        ("r", "C", 5.0),
        ("A", "s", 15.0),
        ("s", "B", 15.0),
        ("s", "C", 15.0),
    ]
    topology = Topology.of(nodes, [link_between(by_name[a], by_name[b], km) for a, b, km in ways])
    target = TargetGraph({"a": "A", "b": "B", "c": "C"}, (("a", "b"), ("a", "c")))
    plan = plan_graph(Residual(topology), "r", target)
    assert Residual(topology).lacks(plan.use) is None
    assert plan.use.memories["r"] == 2
    assert plan.use.memories["s"] == 2


def test_a_complete_graph_is_made_as_a_star() -> None:
    """Four vertices on a chain: local Cliffords turn a GHZ state over three links into all six edges."""
    names = "abcd"
    target = TargetGraph(dict(zip(names, "ABCD", strict=True)), tuple(itertools.combinations(names, 2)))
    plan = plan_graph(Residual(chain(10.0, 10.0, 10.0)), "r", target)
    assert 1e3 * plan.latency_s == pytest.approx(107.28902833, abs=5e-9)
    assert len(plan.pairs) == 3


@pytest.mark.parametrize("size", [3, 4, 5, 6])
def test_the_orbit_of_a_star_is_all_stars_and_the_complete_graph(size: int) -> None:
    star = graph_of(map(str, range(size)), (("0", str(index)) for index in range(1, size)))
    found = equivalents(star)
    assert len(found) == size + 1
    assert sorted(len(each.edges) for each in found) == [size - 1] * size + [size * (size - 1) // 2]


@settings(deadline=None, derandomize=True, max_examples=40)
@given(asked_graphs("general", 6))
def test_every_equivalent_leads_back_to_its_target(asked: tuple[Topology, TargetGraph]) -> None:
    target: Graph[str] = asked[1].graph
    found = equivalents(target)
    assert found[0] == (found[0].edges, ())
    orbit = {frozenset(map(frozenset, each.edges)) for each in found}
    assert len(orbit) == len(found)
    for edges, back in found:
        graph = graph_of(target, edges)
        for vertex in back:
            graph = complemented(graph, vertex).graph
        assert graph == target
        if len(found) < 1000:
            around = [complemented(graph_of(target, edges), vertex).graph.edges() for vertex in target]
            assert all(each in orbit for each in around)


def test_a_graph_with_too_many_connected_parts_is_cut_into_stars() -> None:
    names = "abcdef"
    nodes = [Node(name=name.upper(), memories=20, fusion_probability=1.0) for name in names]
    topology = Topology.of(nodes, [link_between(a, b, 5.0) for a, b in itertools.combinations(nodes, 2)])
    target = TargetGraph({name: name.upper() for name in names}, tuple(itertools.combinations(names, 2)))
    options, inside = Options(), Inside(target)
    pairs = PairTrees(Residual(topology), options).needed(inside.remote)
    with pytest.raises(TooManySets):
        Programme(topology, options, pairs)
    part = in_pieces(topology, options, pairs, inside)
    assert part is not None
    assert len(list(pairs_of(part))) == 15


def test_stars_of_a_graph_have_the_centre_that_their_edges_share() -> None:
    topology = star_network(4)
    spots = [Spot(name, name) for name in topology.nodes]
    edges = [(spots[0], leaf) for leaf in spots[1:]]
    seeds = star_seeds(topology, Options(), PairTrees(Residual(topology), Options()), edges)
    assert len(seeds) == 2**4 - 1 - 4
    for chosen, part in seeds.items():
        assert centre_of(part) == spots[0]
        assert part.spots == {spots[0], *(leaf for i, (_, leaf) in enumerate(edges) if chosen >> i & 1)}


def test_without_throttling_links_run_at_their_best_and_the_plan_is_no_faster() -> None:
    topology = chain(10.0, 5.0)
    free = plan_graph(Residual(topology), "r", path_over("A", "B", "C"), options=Options(throttle=False))
    slow = plan_graph(Residual(topology), "r", path_over("A", "B", "C"))
    assert free.latency_s == pytest.approx(slow.latency_s, rel=1e-12)
    assert [1e3 * pair.latency_s for pair in free.pairs] == pytest.approx(
        [7.569886459, 5.895433502], abs=5e-9
    )
    assert [1e3 * pair.latency_s for pair in slow.pairs] == pytest.approx([7.569886459] * 2, abs=5e-9)
