"""What plans promise about states and success, against density matrices of the executed trees.

Owns the tests of assessment.py, settling.py and tree_use.py. The oracle is density.py.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from bellwire.core.bell import Bell, werner
from bellwire.core.errors import LocalMisuse
from bellwire.planner.assessment import (
    assess,
    max_age_s,
    outlook,
    purification,
    purify_waits_s,
    round_chance,
    stored,
    swapped_state,
    waits_s,
)
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.requests import Limits
from bellwire.planner.settling import settled
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    Scheme,
    StoredLeaf,
    SwapNode,
    Tree,
    leaves,
    purified,
    swapped,
    throttled,
)
from bellwire.planner.topology import PERFECT, Node, Topology, link_between, pair_of
from bellwire.planner.tree_use import use_of
from tests.planner import density
from tests.planner.random_trees import drawn_line, drawn_state, drawn_tree

SCHEMES: tuple[Scheme, ...] = ("bbpssw", "dejmps", "recurrence")


def subtrees(tree: Tree) -> Iterator[Tree]:
    """A tree and all below it."""
    yield tree
    match tree:
        case SwapNode():
            yield from subtrees(tree.one)
            yield from subtrees(tree.other)
        case PurifyNode():
            yield from subtrees(tree.kept)
            yield from subtrees(tree.measured)
        case _:
            return


def triangle(**own: object) -> Topology:
    """A, B and C, each linked with each, 10 km apart by fibre."""
    nodes = [Node(name=name, **own) for name in "ABC"]  # type: ignore[arg-type]
    links = [link_between(a, b, 10.0, fidelity=0.9) for a, b in ((nodes[0], nodes[1]), (nodes[1], nodes[2]))]
    links.append(link_between(nodes[0], nodes[2], 10.0, fidelity=0.9))
    return Topology.of(nodes, links)


# --- against density matrices -------------------------------------------------------------------------


@pytest.mark.parametrize("throttle", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_a_plan_promises_what_its_tree_gives_on_density_matrices(seed: int, throttle: bool) -> None:
    """Swaps, rounds side by side and in turn, stored pairs, unlike noisy nodes; two to four links."""
    chance = np.random.default_rng(seed)
    topology = drawn_line(chance, int(chance.integers(2, 5)))
    tree = settled(drawn_tree(chance, topology), topology, throttle=throttle)
    done, seen = density.execute(tree, topology), outlook(tree, topology)
    assert density.diagonal(done.state) == pytest.approx(seen.state, abs=1e-9)
    assert done.success_probability == pytest.approx(seen.success_probability, abs=1e-9)
    assert abs(done.state - density.bell_diagonal(seen.state)).max() < 1e-9  # nothing beside the diagonal


@pytest.mark.parametrize("throttle", [True, False])
@pytest.mark.parametrize("seed", range(60, 100))
def test_every_latency_of_a_plan_follows_from_the_success_that_density_matrices_give(
    seed: int, throttle: bool
) -> None:
    chance = np.random.default_rng(seed)
    topology = drawn_line(chance, int(chance.integers(1, 4)))
    tree = settled(drawn_tree(chance, topology, purify=0.7), topology, throttle=throttle)
    for part in subtrees(tree):
        done = density.execute(part, topology)
        assert done.latency_s == pytest.approx(part.latency_s, rel=1e-9)
        if isinstance(part, PurifyNode):
            assert round_chance(part, topology) == pytest.approx(part.success_probability, rel=1e-12)


def test_the_random_trees_hold_every_kind_of_node() -> None:
    """The two tests above would prove nothing about a kind that is never drawn."""
    kinds: dict[str, int] = {}
    for seed in range(100):
        chance = np.random.default_rng(seed)
        topology = drawn_line(chance, int(chance.integers(2, 5)))
        for part in subtrees(drawn_tree(chance, topology)):
            name = type(part).__name__
            if isinstance(part, PurifyNode):
                name = f"{part.scheme} {'in turn' if part.pumping else 'side by side'}"
            kinds[name] = kinds.get(name, 0) + 1
    assert len(kinds) == 9
    assert min(kinds.values()) >= 20


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_round_is_its_circuit(scheme: Scheme, seed: int) -> None:
    chance = np.random.default_rng(seed)
    kept, measured = drawn_state(chance, 8.0), drawn_state(chance, 8.0)
    g1, g2, m1, m2 = (float(each) for each in chance.uniform(0.8, 1.0, 4))
    ends = [
        Node(name="A", gate_fidelity=g1, readout_fidelity=m1),
        Node(name="B", gate_fidelity=g2, readout_fidelity=m2),
    ]
    agree, state = density.purified_pair(
        density.bell_diagonal(kept), density.bell_diagonal(measured), scheme, ends[0], ends[1]
    )
    found = purification(kept, measured, scheme, gate_fidelities=(g1, g2), readout_fidelities=(m1, m2))
    assert found.success_probability == pytest.approx(agree, abs=1e-12)
    assert found.state == pytest.approx(density.diagonal(state), abs=1e-12)


# --- worked numbers of algorithms.md 2.1, 11.5 and 11.6 ---------------------------------------------------

A: Bell = (0.9, 0.05, 0.03, 0.02)
B: Bell = (0.85, 0.08, 0.05, 0.02)


def still(**own: object) -> Topology:
    """A, B and C in a line; nothing takes time or spoils anything unless it is said."""
    calm: dict[str, object] = {
        "swap_s": 0.0,
        "purification_s": 0.0,
        "decay_hz": (0.0, 0.0, 0.0),
        "swap_noise": PERFECT,
    }
    nodes = [Node(name=name, **(calm | own)) for name in "ABC"]  # type: ignore[arg-type]
    links = [link_between(nodes[0], nodes[1], 1.0), link_between(nodes[1], nodes[2], 1.0)]
    return Topology.of(nodes, links, delays_s={("A", "B"): 0.0, ("A", "C"): 0.0, ("B", "C"): 0.0})


def test_swaps_have_the_worked_numbers() -> None:
    line = still()
    assert swapped_state(line, "A", "B", "C", A, B, 0.0, 0.0) == pytest.approx(
        (0.7709, 0.1161, 0.0731, 0.0399), abs=1e-12
    )
    both = swapped_state(line, "A", "B", "C", werner(0.9), werner(0.85), 0.0, 0.0)
    assert both[0] == pytest.approx(0.77, abs=1e-12)


@pytest.mark.parametrize(
    ("scheme", "kept", "measured", "chance", "state"),
    [
        ("bbpssw", werner(0.8), werner(0.8), 0.768888889, (0.838150289,)),
        ("bbpssw", werner(0.9), werner(0.7), 0.76, (0.833333333,)),
        ("recurrence", A, B, 0.887, (0.8669673055, 0.1290868095, 0.0021420519, 0.0018038331)),
        ("dejmps", A, B, 0.8108, (0.9440059201, 0.0431672422, 0.0067834238, 0.0060434139)),
    ],
)
def test_rounds_have_the_worked_numbers(
    scheme: Scheme, kept: Bell, measured: Bell, chance: float, state: tuple[float, ...]
) -> None:
    found = purification(kept, measured, scheme)
    assert found.success_probability == pytest.approx(chance, abs=5e-10)
    digits = 5e-10 if scheme == "bbpssw" else 5e-11
    assert found.state[: len(state)] == pytest.approx(state, abs=digits)


@pytest.mark.parametrize("fixed", [0.25, 0.5, 1.0])
def test_bbpssw_leaves_its_fixed_points_alone(fixed: float) -> None:
    assert purification(werner(fixed), werner(fixed), "bbpssw").state[0] == pytest.approx(fixed, abs=1e-12)


def test_a_bbpssw_round_has_the_success_and_the_werner_parameter_of_the_closed_form() -> None:
    for f, g in ((0.8, 0.8), (0.9, 0.7), (0.6, 0.95)):
        w1, w2 = (4 * f - 1) / 3, (4 * g - 1) / 3
        found = purification(werner(f), werner(g), "bbpssw")
        assert found.success_probability == pytest.approx((1 + w1 * w2) / 2, abs=1e-12)
        w = (w1 + w2 + 4 * w1 * w2) / (6 * found.success_probability)
        assert found.state == pytest.approx(werner((1 + 3 * w) / 4), abs=1e-12)


def test_storage_at_both_ends_has_the_worked_numbers() -> None:
    """11.5: depolarise both, T = 1 s, t = 0.3 s; and both decay with T1 = 10 s, T2 = 1 s, twirled."""
    mixing, both = still(decay_hz=(1.0, 1.0, 1.0)), still(decay_hz=(1.0, 0.1, 1.0))
    assert stored(mixing, "A", "B", A, 0.3) == pytest.approx(
        (0.6067275635, 0.1402376728, 0.1292614401, 0.1237733237), abs=5e-11
    )
    assert stored(both, "A", "B", A, 0.3) == pytest.approx(
        (0.6951419654, 0.2286520747, 0.0408470381, 0.0353589218), abs=5e-11
    )


@pytest.mark.parametrize(("links", "fidelity"), [(2, 0.9033333), (4, 0.8191259), (8, 0.6818724)])
def test_a_plan_over_werner_links_has_the_worked_fidelity(links: int, fidelity: float) -> None:
    """11.6: F = (1 + 3 w^n)/4 for F0 = 0.95, n = 2, 4, 8, in a tree of halves without noise of its own."""
    names = [chr(ord("A") + index) for index in range(links + 1)]
    nodes = [Node(name=name, swap_noise=PERFECT, decay_hz=(0.0, 0.0, 0.0)) for name in names]
    pairs = pairwise(nodes)
    topology = Topology.of(nodes, [link_between(a, b, 1.0, fidelity=0.95) for a, b in pairs])

    def halves(left: int, right: int) -> Tree:
        if right - left == 1:
            return LinkLeaf(names[left], names[right], 0.1)
        middle = (left + right) // 2
        return swapped(topology, halves(left, middle), halves(middle, right))

    found = assess(throttled(halves(0, links), topology), Residual(topology), "test")
    assert found.fidelity == pytest.approx(fidelity, abs=5e-8)


# --- ages and waits of 1.3 --------------------------------------------------------------------------------


def test_ages_grow_by_half_the_latency_of_the_children() -> None:
    topology = triangle()
    t_s = topology.links["A", "B"].success_s
    assert t_s == pytest.approx(50e-6 + 35e-6, abs=1e-15)  # t_g + tau of 10 km
    tree = throttled(swapped(topology, LinkLeaf("A", "B", 0.02), LinkLeaf("B", "C", 0.02)), topology)
    seen = outlook(tree, topology)
    assert (seen.left_age_s, seen.right_age_s) == pytest.approx((t_s + 0.01, t_s + 0.01), rel=1e-12)
    assert max_age_s(tree, topology) == pytest.approx(t_s + 0.01, rel=1e-12)


def test_unequal_children_wait_by_the_mean_excess_of_two_exponential_times() -> None:
    """E[(T2 - T1)+] = T_r^2/(T_l + T_r): 200,000 draws, seed 1; five standard errors, false alarm 6e-7."""
    chance = np.random.default_rng(1)
    one, other = chance.exponential(0.02, 200_000), chance.exponential(0.07, 200_000)
    for wait_s, draws in zip(
        waits_s(0.02, 0.07), (np.maximum(other - one, 0), np.maximum(one - other, 0)), strict=True
    ):
        assert abs(draws.mean() - wait_s) < 5.0 * draws.std() / math.sqrt(len(draws))


def test_a_pair_waits_for_the_whole_making_of_the_next_when_pumping() -> None:
    assert purify_waits_s(0.3, 0.2, pumping=True) == (0.2, 0.0)
    assert purify_waits_s(0.3, 0.3, pumping=False) == pytest.approx((0.15, 0.15))
    assert waits_s(0.0, 0.2) == (0.2, 0.0)
    assert waits_s(0.0, 0.0) == (0.0, 0.0)


def test_inner_qubits_count_for_the_age_of_a_tree() -> None:
    """C's half of the fast link B-C waits for A-B, and then again for C-D, before it is measured."""
    topology = drawn_line(np.random.default_rng(0), 3)
    inner = swapped(topology, LinkLeaf("A", "B", 0.5), LinkLeaf("B", "C", 0.01))
    tree = swapped(topology, inner, LinkLeaf("C", "D", 2.0))
    seen = outlook(tree, topology)
    assert max_age_s(tree, topology) > max(seen.left_age_s, seen.right_age_s)


def test_the_werner_parameter_of_a_plan_is_the_product_of_all_its_losses() -> None:
    """1.3: w = w0^k w_op^(k-1) exp(-waiting/T_coh), over both qubits of every pair, words included."""
    w0, w_op, rate_hz = (4 * 0.97 - 1) / 3, (4 * 0.99 - 1) / 3, 0.8
    line = still(swap_noise=werner(0.99), decay_hz=(rate_hz,) * 3, swap_s=0.003)
    line = Topology(
        line.nodes,
        {pair: replace(link, state=werner(0.97)) for pair, link in line.links.items()},
        line.delays_s,
    )
    tree = throttled(swapped(line, LinkLeaf("A", "B", 0.1), LinkLeaf("B", "C", 0.1)), line)
    waiting_s = 4 * 0.1 / 2 + 2 * 0.003
    w = w0**2 * w_op * math.exp(-rate_hz * waiting_s)
    assert outlook(tree, line).state == pytest.approx(werner((1 + 3 * w) / 4), abs=1e-12)


# --- settling ---------------------------------------------------------------------------------------------


def test_a_throttled_round_succeeds_as_often_as_its_longer_waits_let_it() -> None:
    """The bug: p_pur stayed that of the least waits, and a slowed plan promised more pairs than come."""
    topology = triangle(decay_hz=(2.0, 2.0, 2.0))
    fast = PurifyNode(LinkLeaf("A", "B", 0.01), LinkLeaf("A", "B", 0.01), "dejmps", True, 1.0, 0.0)
    tree = settled(SwapNode(fast, LinkLeaf("B", "C", 0.3), 0.0), topology)
    assert isinstance(tree, SwapNode)
    assert isinstance(tree.one, PurifyNode)
    hasty = settled(fast, topology)
    assert isinstance(hasty, PurifyNode)
    assert tree.one.success_probability < hasty.success_probability - 0.05
    assert tree.one.success_probability == pytest.approx(round_chance(tree.one, topology), rel=1e-12)
    assert density.execute(tree.one, topology).latency_s == pytest.approx(tree.one.latency_s, rel=1e-9)


def test_no_leaf_of_a_settled_tree_runs_faster_than_its_link() -> None:
    for seed in range(40):
        chance = np.random.default_rng(seed)
        topology = drawn_line(chance, 3)
        tree = drawn_tree(chance, topology)
        slow = settled(tree, topology)
        for before, after in zip(leaves(tree), leaves(slow), strict=True):
            assert after.latency_s >= before.latency_s * (1.0 - 1e-12)
        fastest = [b.latency_s for b in leaves(tree)], [a.latency_s for a in leaves(slow)]
        if any(fastest[0]):  # the slowest part of a tree is not slowed at all
            assert min(a / b for b, a in zip(*fastest, strict=True) if b > 0.0) == pytest.approx(
                1.0, rel=1e-9
            )


def test_a_tree_that_decays_faster_than_it_purifies_still_settles_honestly() -> None:
    """Everything mixed: a round succeeds half of the time, and the promise is a fidelity of a quarter."""
    topology = triangle(decay_hz=(1e5, 1e5, 1e5))
    slow = settled(
        PurifyNode(LinkLeaf("A", "B", 0.1), LinkLeaf("A", "B", 0.1), "dejmps", True, 1.0, 0.0), topology
    )
    assert isinstance(slow, PurifyNode)
    assert slow.success_probability == pytest.approx(0.5, abs=1e-12)
    assert outlook(slow, topology).state == pytest.approx((0.25,) * 4, abs=2e-6)  # a word takes 50 us


def test_a_swapping_tree_settles_to_its_throttled_self() -> None:
    topology = triangle()
    tree = swapped(topology, LinkLeaf("A", "B", 0.02), LinkLeaf("B", "C", 0.01))
    assert settled(tree, topology) == throttled(tree, topology)
    assert settled(tree, topology, throttle=False) == tree


# --- use --------------------------------------------------------------------------------------------------


def rounds_over(kept: Tree, measured: Tree, topology: Topology, pumping: bool) -> Tree:
    return purified(topology, kept, measured, 0.8, scheme="dejmps", pumping=pumping)


def test_two_pairs_made_in_turn_over_one_link_need_it_at_the_rate_of_one() -> None:
    topology = triangle()
    q = topology.links["A", "B"].success_probability
    one, other = LinkLeaf("A", "B", 0.02), LinkLeaf("A", "B", 0.04)
    in_turn = use_of(rounds_over(one, other, topology, True), topology)
    assert in_turn.links_hz == {("A", "B"): 50.0}
    assert in_turn.attempts_hz == pytest.approx({"A": 50.0 / q, "B": 50.0 / q})
    assert in_turn.memories == {"A": 2, "B": 2}
    at_once = use_of(rounds_over(one, other, topology, False), topology)
    assert at_once.links_hz == {("A", "B"): 75.0}
    assert at_once.memories == {"A": 2, "B": 2}


def test_pumping_over_two_routes_loads_a_node_with_one_route_at_a_time() -> None:
    """The bug: rates of both phases were added at their common node, and plans that fit were refused."""
    topology = triangle()
    direct = LinkLeaf("A", "C", 0.02)
    around = throttled(swapped(topology, LinkLeaf("A", "B", 0.01), LinkLeaf("B", "C", 0.01)), topology)
    use = use_of(rounds_over(direct, around, topology, True), topology)
    q = topology.links["A", "B"].success_probability
    assert use.attempts_hz == pytest.approx({"A": 100.0 / q, "B": 200.0 / q, "C": 100.0 / q})
    assert use.memories == {"A": 2, "B": 2, "C": 2}
    whole = replace(topology.nodes["A"], attempts_hz=100.0 / q)
    tight = Topology({**topology.nodes, "A": whole}, topology.links)
    assert Residual(tight).lacks(use) is None
    beside = use_of(rounds_over(direct, around, topology, False), topology)
    assert "A makes" in (Residual(tight).lacks(beside) or "")


def test_pumping_three_times_holds_two_qubits_and_recurrence_twice_holds_four() -> None:
    topology = triangle()
    link = LinkLeaf("A", "B", 0.01)
    pumped: Tree = link
    for _ in range(3):
        pumped = rounds_over(pumped, link, topology, True)
    assert use_of(pumped, topology).memories == {"A": 2, "B": 2}
    once = rounds_over(link, link, topology, False)
    assert use_of(rounds_over(once, once, topology, False), topology).memories == {"A": 4, "B": 4}
    assert use_of(rounds_over(once, once, topology, True), topology).memories == {"A": 3, "B": 3}


def test_the_qubits_of_a_stored_pair_are_not_counted_twice_when_it_is_pumped() -> None:
    """The bug: the ledger holds them already, and the plan held them once more while it waited."""
    topology = triangle()
    kept = StoredLeaf("A", "B", "old", werner(0.9), 0.0, 9.0)
    use = use_of(rounds_over(kept, LinkLeaf("A", "B", 0.01), topology, True), topology)
    assert use.memories == {"A": 1, "B": 1}
    assert use.stored == ("old",)
    joined = swapped(topology, kept, LinkLeaf("B", "C", 0.01))
    around = swapped(topology, LinkLeaf("A", "B", 0.01), LinkLeaf("B", "C", 0.01))
    assert use_of(rounds_over(joined, around, topology, True), topology).memories == {"A": 1, "B": 2, "C": 2}


# --- refusals ---------------------------------------------------------------------------------------------


def test_a_tree_that_breaks_a_limit_is_refused_with_its_figure() -> None:
    topology = triangle()
    residual = Residual(topology)
    tree = throttled(swapped(topology, LinkLeaf("A", "B", 0.02), LinkLeaf("B", "C", 0.02)), topology)
    for limits, words in (
        (Limits(age_s=0.01), r"waits 0\.01009 s on average, limit 0\.01 s"),
        (Limits(leaves=1), "2 leaves, limit 1"),
    ):
        with pytest.raises(NoPlan, match=words):
            assess(tree, residual, "test", limits)
    with pytest.raises(FidelityMissed, match=r"fidelity 0\.95 is not reached: at most 0\.8"):
        assess(tree, residual, "test", Limits(fidelity=0.95))


def test_a_stored_pair_that_dies_while_it_waits_for_a_round_is_refused() -> None:
    topology = triangle()
    kept = StoredLeaf("A", "B", "old", werner(0.9), 0.0, 0.005)
    tree = settled(PurifyNode(kept, LinkLeaf("A", "B", 0.01), "dejmps", True, 1.0, 0.0), topology)
    with pytest.raises(NoPlan, match=r"stored pair old would wait 0\.01 s and lives 0\.005 s"):
        assess(tree, Residual(topology), "test")


def test_a_tree_without_a_rate_is_refused() -> None:
    topology = triangle(swap_probability=0.0)
    tree = swapped(topology, LinkLeaf("A", "B", 0.02), LinkLeaf("B", "C", 0.02))
    with pytest.raises(NoPlan, match="the tree has no rate"):
        assess(tree, Residual(topology), "test")


def test_a_tree_over_a_link_that_does_not_exist_is_our_own_mistake() -> None:
    line = still()
    assert pair_of("C", "A") not in line.links
    with pytest.raises(LocalMisuse, match="uses the link A-C, which does not exist"):
        outlook(LinkLeaf("A", "C", 1.0), line)
