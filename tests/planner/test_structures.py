"""Latencies of trees, throttling, and the worked numbers of algorithms.md 1.2 and 2.2.

Owns the tests of structures.py.
"""

import math
from itertools import pairwise

import numpy as np
import pytest

from bellwire.core.bell import werner
from bellwire.core.errors import LocalMisuse
from bellwire.planner.assessment import outlook
from bellwire.planner.settling import settled
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    Scheme,
    StoredLeaf,
    SwapNode,
    Tree,
    is_simple,
    leaves,
    purified,
    purify_busy_s,
    retimed,
    route_of,
    swap_busy_s,
    swapped,
    throttled,
    turned,
    waiting_s,
)
from bellwire.planner.topology import PERFECT, Node, Topology, link_between
from tests.planner.random_trees import drawn_line, drawn_tree


def timeless(fidelity: float, *names: str) -> Topology:
    """A line whose operations take no time and make no errors; swaps succeed with 0.4."""
    nodes = [
        Node(name=name, swap_s=0.0, purification_s=0.0, decay_hz=(0.0, 0.0, 0.0), swap_noise=PERFECT)
        for name in names
    ]
    links = [link_between(a, b, 1.0, fidelity=fidelity) for a, b in pairwise(nodes)]
    return Topology.of(nodes, links, delays_s={(a, b): 0.0 for a in names for b in names if a < b})


def round_of(kept: Tree, measured: Tree, *, pumping: bool = False, scheme: Scheme = "bbpssw") -> PurifyNode:
    """A round that is still to be timed."""
    return PurifyNode(kept, measured, scheme, pumping, 1.0, 0.0)


# --- worked numbers of 2.2 --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "fidelity", "chance", "latency_s"),
    [(1, 0.884146, 0.82, 1.829268), (2, 0.913403, 0.857459, 3.200039), (3, 0.937091, 0.891204, 5.386040)],
)
def test_the_ladder_of_recurrence_has_the_worked_numbers(
    level: int, fidelity: float, chance: float, latency_s: float
) -> None:
    topology = timeless(0.85, "A", "B")
    tree: Tree = LinkLeaf("A", "B", 1.0)
    for _ in range(level):
        tree = round_of(tree, tree)
    for throttle in (True, False):
        found = settled(tree, topology, throttle=throttle)
        assert isinstance(found, PurifyNode)
        assert found.success_probability == pytest.approx(chance, abs=5e-7)
        assert found.latency_s == pytest.approx(latency_s, abs=5e-7)
        assert outlook(found, topology).state[0] == pytest.approx(fidelity, abs=5e-7)
        assert sum(1 for _ in leaves(found)) == 2**level


def test_purifying_before_the_swap_has_the_worked_numbers_and_wins() -> None:
    topology = timeless(0.9, "A", "B", "C")
    one, other = LinkLeaf("A", "B", 1.0), LinkLeaf("B", "C", 1.0)
    only = SwapNode(one, other, 0.0)
    after = round_of(only, only)
    before = SwapNode(round_of(one, one), round_of(other, other), 0.0)
    expected = (
        (only, 0.81333, 3.75, 5e-6),
        (after, 0.850782, 7.19232, 5e-7),
        (before, 0.860015, 6.42449, 5e-7),
    )
    for tree, fidelity, latency_s, digits in expected:
        found = settled(tree, topology)
        assert outlook(found, topology).state[0] == pytest.approx(fidelity, abs=digits)
        assert found.latency_s == pytest.approx(latency_s, abs=5e-6)


def test_pumping_adds_a_link_and_a_round_each_time() -> None:
    """F_k = Pur(F_(k-1), F_0), T_k = (T_(k-1) + T_0 + t_p + t_c)/p_k, worked out here with Werner states."""
    topology = Topology(
        {name: Node(name=name, purification_s=0.2, decay_hz=(0.0, 0.0, 0.0)) for name in "AB"},
        timeless(0.85, "A", "B").links,
        delays_s={("A", "B"): 0.1},
    )
    tree: Tree = LinkLeaf("A", "B", 1.0)
    fidelity, latency_s = 0.85, 1.0
    for _ in range(4):
        tree = round_of(tree, LinkLeaf("A", "B", 1.0), pumping=True)
        p = fidelity * 0.85 + fidelity * 0.15 / 3 + 0.85 * (1 - fidelity) / 3 + 5 * (1 - fidelity) * 0.15 / 9
        fidelity = (fidelity * 0.85 + (1 - fidelity) * 0.15 / 9) / p
        latency_s = (latency_s + 1.0 + 0.2 + 0.1) / p
        found = settled(tree, topology)
        assert found.latency_s == pytest.approx(latency_s, rel=1e-12)
        assert outlook(found, topology).state[0] == pytest.approx(fidelity, rel=1e-12)


# --- times ------------------------------------------------------------------------------------------------


def test_two_exponential_times_are_waited_for_as_long_as_their_greater_one() -> None:
    """1/a + 1/b - 1/(a + b) (12.1): 200,000 draws, seed 2; five standard errors, false alarm 6e-7."""
    chance = np.random.default_rng(2)
    draws = np.maximum(chance.exponential(0.3, 200_000), chance.exponential(0.5, 200_000))
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - waiting_s(0.3, 0.5, "exponential")) < 5.0 * error
    assert waiting_s(0.3, 0.5) == pytest.approx(0.75)
    assert waiting_s(0.4, 0.4, "exponential") == pytest.approx(waiting_s(0.4, 0.4))
    assert waiting_s(0.0, 0.5) == waiting_s(0.5, 0.0, "exponential") == 0.5


def test_the_word_of_a_swap_travels_to_the_farther_end_and_that_of_a_round_to_the_other() -> None:
    nodes = [
        Node(name=name, swap_s=0.5, purification_s=t) for name, t in (("A", 0.1), ("B", 0.2), ("C", 0.4))
    ]
    delays_s = {("A", "B"): 1.0, ("B", "C"): 2.0, ("A", "C"): 4.0}
    topology = Topology.of(nodes, [], delays_s=delays_s)
    assert swap_busy_s(topology, "A", "B", "C") == swap_busy_s(topology, "C", "B", "A") == 2.5
    assert purify_busy_s(topology, "A", "C") == 4.4
    assert purify_busy_s(topology, "A", "B") == 1.2


@pytest.mark.parametrize("seed", range(60))
def test_a_throttled_tree_reads_the_same_from_its_leaves_upwards(seed: int) -> None:
    """1.2: Eq. 1 and 2.2 evaluated bottom-up on a throttled tree give the same T at every node."""
    chance = np.random.default_rng(seed)
    topology = drawn_line(chance, int(chance.integers(1, 5)))
    tree = settled(drawn_tree(chance, topology), topology)
    target_s = tree.latency_s * float(chance.uniform(1.0, 3.0))
    slow = throttled(tree, topology, target_s)
    if any(isinstance(leaf, LinkLeaf) for leaf in leaves(tree)):
        assert slow.latency_s == pytest.approx(target_s, rel=1e-12)
    _assert_alike(slow, retimed(slow, topology))


def _assert_alike(one: Tree, other: Tree) -> None:
    assert one.latency_s == pytest.approx(other.latency_s, rel=1e-9)
    match one, other:
        case SwapNode(), SwapNode():
            _assert_alike(one.one, other.one)
            _assert_alike(one.other, other.other)
        case PurifyNode(), PurifyNode():
            _assert_alike(one.kept, other.kept)
            _assert_alike(one.measured, other.measured)
        case _:
            assert type(one) is type(other)


def test_both_phases_of_pumping_fill_the_time_that_is_given() -> None:
    topology = timeless(0.9, "A", "B")
    kept, measured = LinkLeaf("A", "B", 1.0), LinkLeaf("A", "B", 3.0)
    tree = purified(topology, kept, measured, 0.8, scheme="dejmps", pumping=True)
    assert tree.latency_s == pytest.approx(5.0)
    slow = throttled(tree, topology, 10.0)
    assert [leaf.latency_s for leaf in leaves(slow)] == pytest.approx([2.0, 6.0])


def test_what_is_made_of_stored_pairs_alone_is_not_slowed_but_waits() -> None:
    """The bug: it was taken to appear as late as its sibling, and so to wait half as long as it does."""
    names = "ABCD"
    topology = timeless(0.9, *names)
    pairs = [StoredLeaf(a, b, a + b, werner(0.9), 0.0, 9.0) for a, b in (("A", "B"), ("B", "C"))]
    nodes = {name: Node(name=name, swap_s=1e-3, swap_noise=PERFECT) for name in names}
    topology = Topology(nodes, topology.links, topology.delays_s)
    joined = swapped(topology, pairs[0], pairs[1])
    assert joined.latency_s == pytest.approx(1e-3 / 0.4)
    slow = throttled(swapped(topology, joined, LinkLeaf("C", "D", 0.5)), topology)
    assert isinstance(slow, SwapNode)
    assert slow.one.latency_s == joined.latency_s
    assert slow.other.latency_s == pytest.approx(0.5)
    seen, before = outlook(slow, topology), outlook(joined, topology)
    assert seen.left_age_s - before.left_age_s == pytest.approx(0.5**2 / (0.5 + 1e-3 / 0.4))


def test_a_swap_or_a_round_that_never_succeeds_takes_for_ever() -> None:
    topology = Topology({name: Node(name=name, swap_probability=0.0) for name in "ABC"}, {})
    assert swapped(topology, LinkLeaf("A", "B", 1.0), LinkLeaf("B", "C", 1.0)).latency_s == math.inf
    link = LinkLeaf("A", "B", 1.0)
    calm = timeless(0.9, "A", "B")
    assert purified(calm, link, link, 0.0, scheme="dejmps", pumping=True).latency_s == math.inf


# --- shapes -----------------------------------------------------------------------------------------------


def test_a_tree_turned_twice_is_itself_and_once_has_the_route_backwards() -> None:
    for seed in range(20):
        chance = np.random.default_rng(seed)
        topology = drawn_line(chance, 4)
        tree = settled(drawn_tree(chance, topology), topology)
        back = turned(tree)
        assert turned(back) == tree
        assert route_of(back) == tuple(reversed(route_of(tree)))
        assert (back.left, back.right) == (tree.right, tree.left)
        assert outlook(back, topology).state == pytest.approx(outlook(tree, topology).state, abs=1e-12)
        assert retimed(back, topology).latency_s == pytest.approx(tree.latency_s, rel=1e-9)


def test_a_route_that_meets_a_node_twice_is_not_simple() -> None:
    parts = [LinkLeaf(a, b, 1.0) for a, b in ("AB", "BC", "CB", "BD")]
    loop = SwapNode(SwapNode(parts[0], parts[1], 1.0), SwapNode(parts[2], parts[3], 1.0), 1.0)
    assert not is_simple(loop)
    assert is_simple(SwapNode(parts[0], parts[3], 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: swapped(t, LinkLeaf("A", "B", 1.0), LinkLeaf("A", "B", 1.0)), "do not meet at one node"),
        (
            lambda t: _round(t, LinkLeaf("A", "B", 1.0), LinkLeaf("B", "A", 1.0)),
            "cannot be purified with B-A",
        ),
        (
            lambda t: _round(t, LinkLeaf("A", "B", 1.0), StoredLeaf("A", "B", "x", werner(0.9), 0.0, 1.0)),
            "cannot be made after another one",
        ),
    ],
)
def test_parts_that_do_not_fit_are_our_own_mistake(call: object, words: str) -> None:
    with pytest.raises(LocalMisuse, match=words):
        call(timeless(0.9, "A", "B"))  # type: ignore[operator]


def _round(topology: Topology, kept: Tree, measured: Tree) -> PurifyNode:
    return purified(topology, kept, measured, 0.9, scheme="dejmps", pumping=True)
