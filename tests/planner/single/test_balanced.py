"""The balanced heuristic beside its own formula, beside the exact programme, and where a limit breaks it.

Owns the tests of single/balanced.py.
"""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.planner.assessment import max_age_s
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Limits, Options
from bellwire.planner.single import balanced, exact
from bellwire.planner.single.balanced import halved, labels_from, metric_s, plans_from, route_to
from bellwire.planner.structures import SwapNode, Tree, is_simple, leaves, retimed, route_of, throttled
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.single.brute_force import link_latency_s, networks
from tests.planner.single.test_exact import asked, chain

LINK_S = 7.569886459e-3


def height(tree: Tree) -> int:
    return 1 + max(height(tree.one), height(tree.other)) if isinstance(tree, SwapNode) else 0


@pytest.mark.parametrize(
    ("hops", "latency_ms"), [(1, 7.569886459), (2, 28.53707422), (3, 107.16402833), (4, 107.16402833)]
)
def test_the_metric_has_the_values_of_its_formula(hops: int, latency_ms: float) -> None:
    """P = 3.75 and busy = 60 us on 10 km links; with t_c alike at both levels, 4 hops cost 107.1640 ms.

    The worked table says 107.2890 because the words of the upper swap go 20 km.
    """
    found_s = metric_s(LINK_S, hops, 3.75, 60e-6, 0.4)
    assert 1e3 * found_s == pytest.approx(latency_ms, abs=5e-6)


@pytest.mark.parametrize("hops", [1, 2, 3, 5, 8, 9, 64])
@pytest.mark.parametrize("chance", [0.2, 0.4, 1.0])
def test_the_metric_is_one_swap_level_after_another(hops: int, chance: float) -> None:
    level_s, reach = 0.01, 1
    while reach < hops:
        level_s, reach = (1.5 * level_s + 3e-4) / chance, 2 * reach
    assert metric_s(0.01, hops, 1.5 / chance, 3e-4, chance) == pytest.approx(level_s, rel=1e-12)


def test_the_metric_without_growth_adds_its_levels() -> None:
    assert metric_s(0.01, 8, 1.0, 3e-4, 1.5) == pytest.approx(0.01 + 3 * 3e-4 / 1.5, rel=1e-12)
    assert metric_s(0.01, 0, 3.75, 3e-4, 0.4) == 0.0


@pytest.mark.parametrize("levels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("chance", [0.4, 1.0])
def test_on_a_uniform_chain_of_a_power_of_two_it_is_the_exact_programme(levels: int, chance: float) -> None:
    topology = chain(*[10.0] * 2**levels, swap_probability=chance)
    end = list(topology.nodes)[-1]
    residual = Residual(topology)
    found = plan_pair(residual, asked("A", end, age_s=1e9), "balanced")
    assert found.latency_s == pytest.approx(
        plan_pair(residual, asked("A", end, age_s=1e9)).latency_s, rel=1e-12
    )
    assert height(found.tree) == levels
    assert found.method == "balanced"


@pytest.mark.parametrize(("hops", "latency_ms"), [(3, 107.28902833), (4, 107.28902833)])
def test_chains_have_the_latencies_of_the_worked_table(hops: int, latency_ms: float) -> None:
    topology = chain(*[10.0] * hops)
    found = plan_pair(Residual(topology), asked("A", list(topology.nodes)[-1]), "balanced")
    assert 1e3 * found.latency_s == pytest.approx(latency_ms, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=600)
@given(networks())
def test_it_is_never_faster_than_the_exact_programme_and_obeys_eq_1(topology: Topology) -> None:
    residual = Residual(topology)
    best = exact.plans_from(residual, "A", limits=Limits(age_s=math.inf))
    found = plans_from(residual, "A", limits=Limits(age_s=math.inf))
    assert set(found) == set(best)  # whoever can be reached is reached
    for name, plan in found.items():
        assert plan.latency_s >= best[name].latency_s * (1.0 - 1e-12)
        assert is_simple(plan.tree)
        assert retimed(plan.tree, topology).latency_s == pytest.approx(plan.latency_s, rel=1e-9)
        assert residual.lacks(plan.use) is None
        alone = balanced.plan(residual, asked("A", name, age_s=math.inf), Options())
        assert alone.latency_s == pytest.approx(plan.latency_s, rel=1e-12)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(7, alike=True))
def test_labels_are_what_their_routes_have(topology: Topology) -> None:
    residual = Residual(topology)
    labels = labels_from(residual, "A", Options())
    for name, label in labels.items():
        route = route_to(labels, name)
        slowest_s = max((link_latency_s(topology, a, b) for a, b in pairwise(route)), default=0.0)
        assert (label.hops, label.bottleneck_s) == (len(route) - 1, pytest.approx(slowest_s, rel=1e-12))
        if name != "A":
            busy_s = 10e-6 + topology.delay_s("A", name) / 2.0
            own_s = metric_s(label.bottleneck_s, label.hops, 3.75, busy_s, 0.4)
            assert label.metric_s == pytest.approx(own_s, rel=1e-12)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(7, alike=True))
def test_without_classical_delays_no_label_can_be_relaxed_further(topology: Topology) -> None:
    """The metric then never falls along a route, so that the search is a true shortest-path search."""
    names = list(topology.nodes)
    still = {pair_of(a, b): 0.0 for a in names for b in names if a < b}
    quiet = Topology(topology.nodes, topology.links, still)
    labels = labels_from(Residual(quiet), "A", Options())
    for a, b in quiet.links:
        for here, there in ((a, b), (b, a)):
            if here in labels:
                hops = labels[here].hops + 1
                slowest_s = max(labels[here].bottleneck_s, link_latency_s(quiet, here, there))
                relaxed_s = metric_s(slowest_s, hops, 3.75, 10e-6, 0.4)
                assert labels[there].metric_s <= relaxed_s * (1.0 + 1e-12)


def test_halves_are_cut_with_the_shorter_one_on_the_left() -> None:
    topology = chain(*[1.0] * 5)
    tree = halved(Residual(topology), tuple(topology.nodes), Options())
    assert isinstance(tree, SwapNode)
    assert tree.at == "C"
    assert route_of(tree) == tuple("ABCDEF")
    assert [(leaf.left, leaf.right) for leaf in leaves(tree)] == list(pairwise("ABCDEF"))


def test_where_the_halved_tree_breaks_a_limit_the_best_tree_of_the_route_is_taken() -> None:
    """A slow first link deep in the tree makes the others wait; it had better be joined last."""
    topology = chain(25.0, 1.0, 1.0, 1.0, swap_probability=1.0)
    residual = Residual(topology)
    cut_in_half = throttled(halved(residual, tuple("ABCDE"), Options()), topology)
    best = plan_pair(residual, asked("A", "E"))
    oldest_s, least_s = max_age_s(cut_in_half, topology), max_age_s(best.tree, topology)
    assert least_s < oldest_s
    between_s = (oldest_s + least_s) / 2.0
    assert plan_pair(residual, asked("A", "E"), "balanced").tree == cut_in_half
    found = plan_pair(residual, asked("A", "E", age_s=between_s), "balanced")
    assert found.tree == best.tree
    assert found.method == "balanced"
    with pytest.raises(NoPlan, match="no other tree keeps the limits"):
        plan_pair(residual, asked("A", "E", age_s=least_s / 10.0), "balanced")


def detour() -> Topology:
    """A straight link of 60 km, and a way round of three links of 20 km."""
    places = {"A": (0.0, 0.0), "B": (20.0, 0.0), "C": (40.0, 0.0), "D": (60.0, 0.0)}
    nodes = {name: Node(name=name, position_km=place, swap_probability=0.9) for name, place in places.items()}
    pairs = [("A", "B", 20.0), ("B", "C", 20.0), ("C", "D", 20.0), ("A", "D", 100.0)]
    return Topology.of(
        nodes.values(), [link_between(nodes[a], nodes[b], km, fidelity=0.97) for a, b, km in pairs]
    )


@pytest.mark.parametrize("limits", [{"leaves": 2}, {"fidelity": 0.95}])
def test_limits_on_links_and_fidelity_steer_the_search(limits: dict[str, float]) -> None:
    residual = Residual(detour())
    assert route_of(plan_pair(residual, asked("A", "D"), "balanced").tree) == ("A", "B", "C", "D")
    found = plan_pair(residual, asked("A", "D", **limits), "balanced")
    assert route_of(found.tree) == ("A", "D")
    every = plans_from(residual, "A", limits=Limits(**limits))  # type: ignore[arg-type]
    assert route_of(every["D"].tree) == ("A", "D")


def test_destinations_that_break_a_limit_are_left_out_of_all_destinations() -> None:
    residual = Residual(chain(10.0, 10.0, 10.0))
    assert set(plans_from(residual, "A")) == {"B", "C", "D"}
    assert set(plans_from(residual, "A", limits=Limits(leaves=2))) == {"B", "C"}
    with pytest.raises(ConfigError, match='unknown node "Z"'):
        plans_from(residual, "Z")


def test_nodes_that_cannot_swap_end_a_way() -> None:
    line = chain(10.0, 10.0)
    for own in ({"relays": False}, {"memories": 1}, {"swap_probability": 0.0}):
        idle = Node(name="B", position_km=(10.0, 0.0), **own)  # type: ignore[arg-type]
        topology = Topology.of([line.nodes["A"], idle, line.nodes["C"]], line.links.values())
        assert set(labels_from(Residual(topology), "A", Options())) == {"A", "B"}
        with pytest.raises(NoPlan, match="no route between A and C is left"):
            plan_pair(Residual(topology), asked("A", "C"), "balanced")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(networks(6), st.floats(0.5, 1.0))
def test_promises_keep_the_fidelity_that_was_asked_for(topology: Topology, fidelity: float) -> None:
    residual = Residual(topology)
    for name, plan in plans_from(residual, "A", limits=Limits(fidelity=fidelity)).items():
        assert plan.fidelity >= fidelity
        assert plan.destination == name
