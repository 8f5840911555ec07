"""Steiner trees and estimates against exact ones, and the promises of whole GHZ plans.

Owns the tests of ghz_links.py, ghz_steiner_trees.py, ghz_exchange.py, ghz_steiner.py and ghz_star.py.
"""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings

from bellwire.planner.capacity import NoPlan, Residual, Use
from bellwire.planner.multipartite.ghz_exchange import neighbours
from bellwire.planner.multipartite.ghz_links import LinkGraph, degrees, link_graph, share_latency_s
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_steiner_trees import SteinerTree, estimate_s, steiner_trees
from bellwire.planner.multipartite.methods import plan_ghz
from bellwire.planner.requests import Options
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.multipartite.ghz_brute_force import (
    connected,
    fewest_links,
    fusion_latencies_s,
    trees_within,
)
from tests.planner.multipartite.ghz_networks import asked_states, random_network
from tests.planner.single.test_exact import chain


def roomy(topology: Topology) -> Topology:
    """The same network where every node relays and has memories for all its links."""
    nodes = {name: replace(node, memories=20, relays=True) for name, node in topology.nodes.items()}
    return replace(topology, nodes=nodes)


def graph_of(topology: Topology, members: tuple[str, ...]) -> LinkGraph:
    return link_graph(Residual(topology), GhzRequest(request="r", members=members), Options())


def hub_and_spokes(spokes: int, **node: int) -> Topology:
    """A hub H that every one of A, B, C, ... has a link of 10 km to."""
    hub = Node(name="H", position_km=(0.0, 0.0), **node)  # type: ignore[arg-type]
    ends = [
        Node(name=chr(ord("A") + index), position_km=(10.0 * math.cos(index), 10.0 * math.sin(index)))
        for index in range(spokes)
    ]
    return Topology.of([hub, *ends], [link_between(hub, end, 10.0) for end in ends])


@given(asked=asked_states(7, 5))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_steiner_trees_join_all_members_with_at_most_twice_the_links_of_an_exact_one(
    asked: tuple[Topology, tuple[str, ...]],
) -> None:
    topology, members = roomy(asked[0]), asked[1]
    graph = graph_of(topology, members)
    found = list(steiner_trees(graph))
    for tree in found:
        _check_tree(tree, graph)
    exact = fewest_links(list(topology.links), members)
    assert (exact is None) == (not found)
    if exact is not None:
        bound = 2.0 * (1.0 - 1.0 / len(members)) * exact
        assert exact <= min(len(tree) for tree in found) <= bound + 1e-9


@given(asked=asked_states(7, 5))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_every_prefix_of_fast_links_keeps_the_bound_for_the_links_that_it_has(
    asked: tuple[Topology, tuple[str, ...]],
) -> None:
    topology, members = roomy(asked[0]), asked[1]
    graph = graph_of(topology, members)
    found = list(steiner_trees(graph))
    rank = {link: index for index, link in enumerate(graph.links)}
    for count in range(1, len(graph.links) + 1):
        exact = fewest_links(graph.links[:count], members)
        if exact is not None:
            within = [len(tree) for tree in found if max(rank[link] for link in tree) < count]
            assert within
            assert min(within) <= 2.0 * (1.0 - 1.0 / len(members)) * exact + 1e-9


def test_a_circle_of_two_ways_is_opened_and_its_whole_loose_end_cut_off() -> None:
    """A and B are joined by way of Q, B and C by way of U; the slowest link of the circle is Q2-B."""
    order = [
        "P-Q1",
        "Q1-Q2",
        "P-U1",
        "U1-U2",
        "U2-B",
        "Q2-B",
        "P-C3",
        "C3-C2",
        "C2-C1",
        "C1-C",
        "P-A3",
        "A3-A2",
        "A2-A1",
        "A1-A",
    ]
    ways = [tuple(way.split("-")) for way in order]
    nodes = {end: Node(name=end) for way in ways for end in way}
    links = [link_between(nodes[a], nodes[b], 1.0 + index) for index, (a, b) in enumerate(ways)]
    (tree,) = steiner_trees(graph_of(Topology.of(nodes.values(), links), ("A", "B", "C")))
    assert len(tree) == 4 + 4 + 3
    assert not {"Q1", "Q2"} & set(degrees(tree))


@given(asked=asked_states(7, 5))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_within_few_memories_trees_stay_within_them(asked: tuple[Topology, tuple[str, ...]]) -> None:
    topology, members = asked
    graph = graph_of(topology, members)
    for tree in steiner_trees(graph):
        _check_tree(tree, graph)
        for name, count in degrees(tree).items():
            assert count <= topology.nodes[name].memories
            if name not in members:
                assert topology.nodes[name].relays


@given(asked=asked_states(6, 4))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_no_plan_is_faster_than_the_best_of_all_trees_and_orders(
    asked: tuple[Topology, tuple[str, ...]],
) -> None:
    topology, members = asked
    try:
        plan = plan_ghz(Residual(topology), "r", members, "ghz-steiner")
    except NoPlan:
        return
    assert plan.latency_s >= _best_of_all_s(topology, members) * (1.0 - 1e-9)


def test_exchanges_find_the_best_of_all_trees_and_orders_in_most_of_fifty_fixed_networks() -> None:
    """A heuristic: nothing is promised, and 48 of 50 is what it does on these unequal networks."""
    best = planned = 0
    for seed in range(60):
        topology = random_network(seed, 6, density=0.6)
        members = ("A", "B", "C", "D")[: 2 + seed % 3]
        try:
            plan = plan_ghz(Residual(topology), "r", members, "ghz-steiner")
        except NoPlan:
            continue
        planned += 1
        best += plan.latency_s <= _best_of_all_s(topology, members) * (1.0 + 1e-9)
        if planned == 50:
            break
    assert planned == 50
    assert best >= 48


def test_an_exchange_leads_round_a_node_that_fuses_badly() -> None:
    """Two hops over a node with p_f = 0.05, or three over good ones: the fewest links are not the fastest."""
    spots = {"A": (0.0, 0.0), "B": (20.0, 0.0), "P": (10.0, 0.0), "R": (5.0, 5.0), "S": (15.0, 5.0)}
    nodes = {
        name: Node(name=name, position_km=spot, fusion_probability=0.05 if name == "P" else 0.9)
        for name, spot in spots.items()
    }
    ways = (("A", "P"), ("P", "B"), ("A", "R"), ("R", "S"), ("S", "B"))
    topology = Topology.of(nodes.values(), [link_between(nodes[a], nodes[b], 10.0) for a, b in ways])
    graph = graph_of(topology, ("A", "B"))
    assert [len(tree) for tree in steiner_trees(graph)] in ([2], [3, 2])
    short = (("A", "P"), ("B", "P"))
    assert (("A", "R"), ("B", "S"), ("R", "S")) in set(neighbours(graph, short))
    plan = plan_ghz(Residual(topology), "r", ("A", "B"), "ghz-steiner")
    assert [pair.name for pair in plan.pairs] == ["A-R", "B-S", "R-S"]


@given(asked=asked_states(7, 5))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_neighbours_of_a_tree_are_trees_of_all_members_within_the_memories(
    asked: tuple[Topology, tuple[str, ...]],
) -> None:
    graph = graph_of(*asked)
    for tree in steiner_trees(graph):
        for near in neighbours(graph, tree):
            _check_tree(near, graph)
            assert near != tree


@pytest.mark.parametrize(("hops", "levels"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3)])
def test_the_estimate_counts_every_link_once(hops: int, levels: int) -> None:
    """P_f^h T + (t/p_f)(P_f^h - 1)/(P_f - 1) with h = ceil(log2 links), t = t_f + t_c (pitfall 14.9)."""
    line = chain(*[10.0] * hops)
    ends = (chr(ord("A")), chr(ord("A") + hops))
    (tree,) = steiner_trees(graph_of(line, ends))
    found_s = estimate_s(graph_of(line, ends), tree)
    link_s = 7.569886459e-3 if hops > 1 else 3.784943229e-3
    t_c = 10.0 * (hops - 1) / 2e5 if hops > 1 else 0.0  # the inner node beside one end tells the other end
    wanted_s = link_s
    for _ in range(levels):
        wanted_s = (1.5 * wanted_s + 10e-6 + t_c) / 0.4
    assert found_s == pytest.approx(wanted_s, rel=1e-9)


def test_few_fast_links_are_preferred_to_a_slow_direct_one() -> None:
    a, b, c = (Node(name=name, position_km=(x, 0.0)) for name, x in (("A", 0.0), ("B", 10.0), ("C", 20.0)))
    slow = link_between(a, c, 20.0, success_probability=1e-6)
    topology = Topology.of([a, b, c], [link_between(a, b, 10.0), link_between(b, c, 10.0), slow])
    plan = plan_ghz(Residual(topology), "r", ("A", "C"), "ghz-steiner")
    assert [pair.name for pair in plan.pairs] == ["A-B", "B-C"]
    fast = Topology(topology.nodes, topology.links | {("A", "C"): link_between(a, c, 20.0)})
    assert [pair.name for pair in plan_ghz(Residual(fast), "r", ("A", "C")).pairs] == ["A-C"]


def test_a_hub_shares_itself_equally_among_its_links_and_leaves_with_its_last_fusion() -> None:
    plan = plan_ghz(Residual(hub_and_spokes(4)), "r", tuple("ABCD"), "ghz-steiner")
    assert [pair.latency_s for pair in plan.pairs] == pytest.approx([4 * 3.784943229e-3] * 4)
    assert [each.action for each in plan.operations] == ["fuse_retain", "fuse_retain", "fuse_discard"]
    assert {each.node for each in plan.operations} == {"H"}
    assert plan.use.memories["H"] == 4
    assert plan.use.attempts_hz["H"] == pytest.approx(2e4)


def test_a_narrow_link_gives_what_its_channel_has_left_and_a_node_shares_what_it_has_left() -> None:
    line = chain(10.0)
    narrow = replace(line.links["A", "B"], capacity_hz=100.0)
    residual = Residual(Topology(line.nodes, {("A", "B"): narrow}))
    assert share_latency_s(residual, narrow, 1, 1) == pytest.approx(1 / 100.0)
    assert share_latency_s(residual, narrow, 4, 1) == pytest.approx(4 * 3.784943229e-3)
    residual.claim("other", Use(links_hz={("A", "B"): 60.0}, attempts_hz={"A": 15e3}, memories={}))
    assert share_latency_s(residual, narrow, 1, 1) == pytest.approx(1 / 40.0)
    assert share_latency_s(residual, narrow, 2, 1) == pytest.approx(1 / (2.5e3 * narrow.success_probability))
    residual.claim("all", Use(links_hz={("A", "B"): 40.0}, attempts_hz={}, memories={}))
    assert share_latency_s(residual, narrow, 1, 1) == math.inf


def test_a_star_expansion_fuses_everything_at_the_hub_at_once() -> None:
    plan = plan_ghz(Residual(hub_and_spokes(4)), "r", tuple("ABCD"), "ghz-star")
    (fusion,) = plan.operations
    assert fusion.consumes == (0, 1, 2, 3)
    assert plan.latency_s == pytest.approx((4 * 3.784943229e-3 + 10e-6) / 0.4 * 4 / 2)
    assert plan.success_probability == pytest.approx(0.4 * 2 / 4)


def test_a_star_expansion_goes_from_node_to_node_along_a_line() -> None:
    plan = plan_ghz(Residual(chain(10.0, 10.0, 10.0)), "r", ("A", "D"), "ghz-star")
    assert [each.node for each in plan.operations] == ["B", "C"]
    link_s = 7.569886459e-3
    assert plan.latency_s == pytest.approx(((link_s + 10e-6) / 0.4 + 10e-6) / 0.4)


def test_where_the_hub_lacks_memories_a_longer_tree_is_found() -> None:
    """Five members round a hub with three memories, and a ring of slower links between them."""
    star = hub_and_spokes(5, memories=3)
    ring = [
        link_between(star.nodes[a], star.nodes[b], 18.0)
        for a, b in itertools.pairwise(("A", "B", "C", "D", "E"))
    ]
    topology = Topology(star.nodes, star.links | {link.ends: link for link in ring})
    plan = plan_ghz(Residual(topology), "r", tuple("ABCDE"), "ghz-steiner")
    assert plan.use.memories.get("H", 0) <= 3
    with pytest.raises(NoPlan, match="no tree of links joins the members within the free memories"):
        plan_ghz(Residual(star), "r", tuple("ABCDE"), "ghz-steiner")


def test_a_member_that_relays_for_nobody_may_fuse_its_own_state() -> None:
    line = chain(10.0, 10.0)
    nodes = line.nodes | {"B": replace(line.nodes["B"], relays=False)}
    topology = Topology(nodes, line.links)
    assert plan_ghz(Residual(topology), "r", ("A", "B", "C")).operations[0].node == "B"
    with pytest.raises(NoPlan, match="no route between A and C is left"):
        plan_ghz(Residual(topology), "r", ("A", "C"))


def test_sixteen_members_on_a_grid_are_planned() -> None:
    names = [chr(ord("A") + index) for index in range(16)]
    nodes = [
        Node(name=name, position_km=(10.0 * (index % 4), 10.0 * (index // 4)))
        for index, name in enumerate(names)
    ]
    links = [
        link_between(one, other, 10.0)
        for one, other in itertools.combinations(nodes, 2)
        if one.position_km and other.position_km and math.dist(one.position_km, other.position_km) < 10.1
    ]
    plan = plan_ghz(Residual(Topology.of(nodes, links)), "r", names, "ghz-steiner")
    assert len(plan.pairs) == 15
    assert set(plan.operations[-1].nodes) == set(names)


def _best_of_all_s(topology: Topology, members: tuple[str, ...]) -> float:
    graph = graph_of(topology, members)
    return min(_fastest_s(graph, tuple(tree)) for tree in trees_within(graph.links, members))


def _check_tree(tree: SteinerTree, graph: LinkGraph) -> None:
    ends = [end for link in tree for end in link]
    assert connected(tree)
    assert len(set(ends)) == len(tree) + 1
    assert set(graph.members) <= set(ends)
    assert all(ends.count(end) > 1 or end in graph.members for end in set(ends))
    assert graph.fits(tree)


def _fastest_s(graph: LinkGraph, tree: SteinerTree) -> float:
    if not graph.fits(tree):
        return math.inf
    edges = [(leaf.left, leaf.right, leaf.latency_s) for leaf in graph.leaves(tree)]
    return min(fusion_latencies_s(graph.topology, edges, set(graph.members)))
