"""Fusion trees: latencies, throttling, and the two searches for an order against all orders.

Owns the tests of ghz_trees.py and ghz_orders.py.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.planner.multipartite.ghz_orders import (
    PARTS_MAX,
    balanced_order,
    best_order,
    count_parts,
    fusion_order,
)
from bellwire.planner.multipartite.ghz_trees import (
    FusionLeaf,
    FusionNode,
    FusionTree,
    busy_s,
    fused,
    leaves,
    star_fused,
    success_probability,
    throttled,
)
from bellwire.planner.topology import Topology
from tests.planner.multipartite.ghz_brute_force import connected, fusion_latencies_s
from tests.planner.multipartite.ghz_networks import random_network
from tests.planner.single.test_exact import chain


@st.composite
def trees_of_pairs(draw: st.DrawFn, most: int = 5) -> tuple[Topology, list[FusionLeaf], set[str]]:
    """A random tree of pairs with random latencies over a random network; its ends are all members."""
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng(seed)
    size = int(chance.integers(2, most + 2))
    topology = random_network(seed, size)
    names = list(topology.nodes)
    pairs = [
        FusionLeaf(index, names[int(chance.integers(0, index + 1))], names[index + 1], float(latency_s))
        for index, latency_s in enumerate(chance.uniform(1e-3, 1e-1, size - 1))
    ]
    ends = [end for pair in pairs for end in (pair.left, pair.right)]
    members = {name for name in names if ends.count(name) == 1 or chance.random() < 0.5}
    return topology, pairs, members


@given(given_tree=trees_of_pairs())
@settings(max_examples=250, derandomize=True, deadline=None)
def test_no_fusion_order_is_faster_than_the_exact_programme(
    given_tree: tuple[Topology, list[FusionLeaf], set[str]],
) -> None:
    topology, pairs, members = given_tree
    edges = [(pair.left, pair.right, pair.latency_s) for pair in pairs]
    fastest_s = min(fusion_latencies_s(topology, edges, members))
    found = best_order(topology, pairs, members)
    assert found.latency_s == pytest.approx(fastest_s, rel=1e-12)
    assert found.owners == members


@given(given_tree=trees_of_pairs())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_the_balanced_order_is_one_of_the_orders_and_leaves_only_members(
    given_tree: tuple[Topology, list[FusionLeaf], set[str]],
) -> None:
    topology, pairs, members = given_tree
    found = balanced_order(topology, pairs, members)
    edges = [(pair.left, pair.right, pair.latency_s) for pair in pairs]
    possible_s = list(fusion_latencies_s(topology, edges, members))
    assert min(abs(found.latency_s - each) / each for each in possible_s) < 1e-12
    assert found.owners == members
    assert sorted(leaf.pair for leaf in leaves(found)) == [pair.pair for pair in pairs]


@pytest.mark.parametrize("hops", range(1, 10))
def test_on_a_line_of_equal_pairs_the_balanced_order_is_as_deep_as_it_must_be(hops: int) -> None:
    line = chain(*[10.0] * hops)
    names = list(line.nodes)
    pairs = [FusionLeaf(index, names[index], names[index + 1], 1.0) for index in range(hops)]
    for members in (names, [names[0], names[-1]]):
        found = balanced_order(line, pairs, members)
        assert _depth(found) == math.ceil(math.log2(hops))
        assert found.latency_s >= best_order(line, pairs, members).latency_s * (1.0 - 1e-12)


def test_branches_of_one_node_are_split_by_subset_sum() -> None:
    """Branches of 3, 3, 2, 2 and 2 links at a hub: 6 + 6, which taking them in turn by size would miss."""
    sizes = (3, 3, 2, 2, 2)
    topology = random_network(1, sum(sizes) + 1)
    hub, *names = topology.nodes
    pairs: list[FusionLeaf] = []
    for size in sizes:
        here = hub
        for _ in range(size):
            there = names.pop()
            pairs.append(FusionLeaf(len(pairs), here, there, 1.0))
            here = there
    found = balanced_order(topology, pairs, topology.nodes)
    assert isinstance(found, FusionNode)
    assert [sum(1 for _ in leaves(part)) for part in found.parts] == [6, 6]


def test_a_hub_that_is_no_member_stays_until_its_last_fusion() -> None:
    topology = random_network(2, 5)
    pairs = [FusionLeaf(index, "A", other, 1.0) for index, other in enumerate("BCDE")]
    for order in (best_order, balanced_order):
        found = order(topology, pairs, {"B", "C", "D", "E"})
        assert _retained_at(found, "A") == [False, True, True]
        assert _retained_at(order(topology, pairs, set("ABCDE")), "A") == [True, True, True]


@given(given_tree=trees_of_pairs(8), slower=st.floats(1.0, 100.0))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_a_throttled_fusion_tree_read_from_its_pairs_upwards_has_the_same_latencies(
    given_tree: tuple[Topology, list[FusionLeaf], set[str]], slower: float
) -> None:
    topology, pairs, members = given_tree
    tree = balanced_order(topology, pairs, members)
    slow = throttled(tree, topology, tree.latency_s * slower)
    again = _retimed(slow, topology)
    assert again.latency_s == pytest.approx(tree.latency_s * slower, rel=1e-9)
    for paced, own in zip(leaves(slow), leaves(tree), strict=True):
        assert paced.latency_s >= own.latency_s * (1.0 - 1e-9)


def test_a_star_of_many_states_has_the_latency_of_the_baseline_and_throttles_to_its_slowest() -> None:
    topology = random_network(2, 5)
    parts = [FusionLeaf(index, "A", other, float(index + 1)) for index, other in enumerate("BCDE")]
    node = topology.nodes["A"]
    found = star_fused(topology, "A", parts, retained=True)
    assert found.latency_s == pytest.approx((4.0 + node.t_f) / node.p_f * 4 / 2)
    assert success_probability(topology, "A", "star", 4) == pytest.approx(node.p_f / 2)
    assert [leaf.latency_s for leaf in leaves(throttled(found, topology))] == pytest.approx([4.0] * 4)
    assert found.owners == set("ABCDE")


def test_words_go_to_the_farthest_owner_of_either_state() -> None:
    line = chain(10.0, 30.0, 20.0)
    near, far = FusionLeaf(0, "A", "B", 1.0), FusionLeaf(1, "B", "C", 1.0)
    long = fused(line, "C", far, FusionLeaf(2, "C", "D", 1.0), retained=True)
    assert busy_s(line, "B", near, long) == pytest.approx(10e-6 + 50.0 / 2e5)


def test_what_is_no_tree_of_pairs_is_refused() -> None:
    line = chain(10.0, 10.0, 10.0)
    apart = [FusionLeaf(0, "A", "B", 1.0), FusionLeaf(1, "C", "D", 1.0)]
    circle = [FusionLeaf(0, "A", "B", 1.0), FusionLeaf(1, "B", "C", 1.0), FusionLeaf(2, "C", "A", 1.0)]
    for order in (best_order, balanced_order):
        with pytest.raises(LocalMisuse, match="form 2 trees instead of one"):
            order(line, apart, set("ABCD"))
        with pytest.raises(LocalMisuse, match="pair C-A closes a circle"):
            order(line, circle, set("ABC"))
    with pytest.raises(LocalMisuse, match="do not meet at B alone"):
        fused(line, "B", circle[0], circle[2], retained=True)


def test_the_exact_programme_stops_where_parts_are_too_many_and_the_balanced_order_goes_on() -> None:
    topology = random_network(4, 13)
    hub, *ends = topology.nodes
    star = [FusionLeaf(index, hub, end, 1.0) for index, end in enumerate(ends)]
    assert count_parts(star) == 2**12 - 1 > PARTS_MAX
    with pytest.raises(LocalMisuse, match="4095 connected parts are too many"):
        best_order(topology, star, ends)
    assert fusion_order(topology, star, ends) == balanced_order(topology, star, ends)
    assert fusion_order(topology, star[:5], ends[:5]) == best_order(topology, star[:5], ends[:5])


@given(given_tree=trees_of_pairs(7))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_connected_parts_are_counted_right(
    given_tree: tuple[Topology, list[FusionLeaf], set[str]],
) -> None:
    _, pairs, _ = given_tree
    subsets = itertools.chain.from_iterable(
        itertools.combinations(pairs, count) for count in range(1, len(pairs) + 1)
    )
    wanted = sum(connected([(pair.left, pair.right) for pair in part]) for part in subsets)
    assert count_parts(pairs) == wanted


def _depth(tree: FusionTree) -> int:
    return 0 if isinstance(tree, FusionLeaf) else 1 + max(_depth(part) for part in tree.parts)


def _retained_at(tree: FusionTree, node: str) -> list[bool]:
    """Whether a node stays, fusion by fusion from the root down."""
    if isinstance(tree, FusionLeaf):
        return []
    own = [tree.retained] if tree.node == node else []
    return own + [each for part in tree.parts for each in _retained_at(part, node)]


def _retimed(tree: FusionTree, topology: Topology) -> FusionTree:
    if isinstance(tree, FusionLeaf):
        return tree
    one, other = (_retimed(part, topology) for part in tree.parts)
    return fused(topology, tree.node, one, other, retained=tree.retained)
