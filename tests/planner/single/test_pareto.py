"""The Pareto search against enumeration: whatever limit is set, no purification-augmented tree is faster.

Owns the tests of single/pareto.py, steps.py, prospects.py and eigenvalue_rounds.py. The fidelity step is made
tiny, so that the search drops nothing that is better.
"""

import math
from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest

from bellwire.core.bell import Bell, eigenvalues, from_eigenvalues
from bellwire.planner.assessment import PairPlan, purification
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.eigenvalue_rounds import decayed, purified_values
from bellwire.planner.single.finishing import finished
from bellwire.planner.single.pareto import STEPS_MAX, ParetoSearch
from bellwire.planner.single.purified import plan
from bellwire.planner.structures import LinkLeaf, PurifyNode, Scheme, SwapNode, Tree
from bellwire.planner.topology import Topology, pair_of
from tests.planner.random_trees import drawn_network, drawn_state
from tests.planner.single.brute_force import link_latency_s
from tests.planner.single.past_brute_force import Enumeration

SCHEMES: tuple[Scheme, ...] = ("dejmps", "recurrence", "bbpssw")
FINE = 1e-9


def best(topology: Topology, fidelity: float | None, **options: object) -> PairPlan | None:
    """The plan of the search from the first node to the last, or None."""
    names = list(topology.nodes)
    limits = Limits(fidelity=fidelity, age_s=math.inf)
    request = PairRequest(request="r", source=names[0], destination=names[-1], limits=limits)
    try:
        return plan(Residual(topology), request, Options(fidelity_step=FINE, **options))  # type: ignore[arg-type]
    except NoPlan:
        return None


@pytest.mark.parametrize("seed", range(45))
def test_no_tree_with_a_round_per_level_is_faster_at_any_fidelity(seed: int) -> None:
    """Up to four nodes and some millions of trees each; without decay, where throttling changes no state."""
    chance = np.random.default_rng(seed)
    topology = drawn_network(chance, int(chance.integers(2, 5)), 0.7, decay=0.0)
    scheme = SCHEMES[seed % 3]
    ends = next(iter(topology.nodes)), list(topology.nodes)[-1]
    every = Enumeration(topology, scheme)
    plain = every.fidelities(*ends)
    if not len(plain):
        assert best(topology, None, scheme=scheme, rounds=1) is None
        return
    top = float(plain[-1])
    wanted = [
        0.0,
        float(chance.choice(plain)),
        top,
        *(top + share * (1.0 - top) for share in (0.1, 0.3, 0.5, 0.8)),
    ]
    wanted = [fidelity - 1e-9 for fidelity in wanted if fidelity > 0.0]
    for fidelity, latency_s in zip(wanted, every.best_latency_s(*ends, wanted), strict=True):
        found = best(topology, fidelity, scheme=scheme, rounds=1)
        assert (math.inf if found is None else found.latency_s) == pytest.approx(latency_s, rel=1e-9)


def test_a_pair_with_rarer_errors_of_one_kind_is_not_dropped_for_one_with_greater_eigenvalues() -> None:
    """The bug (seed 15): states were compared by eigenvalues, and the best tree was lost, 1.5 % slower."""
    chance = np.random.default_rng(15)
    topology = drawn_network(chance, int(chance.integers(2, 5)), 0.7, decay=0.0)
    every = Enumeration(topology, "dejmps")
    top = float(every.fidelities("A", "D")[-1])
    wanted = top + 0.3 * (1.0 - top) - 1e-9
    found = best(topology, wanted, scheme="dejmps", rounds=1)
    assert found is not None
    assert found.latency_s == pytest.approx(1.3963495511941246, rel=1e-9)
    assert every.best_latency_s("A", "D", [wanted]) == pytest.approx([found.latency_s], rel=1e-9)


# --- throttled trees that decay -----------------------------------------------------------------------


def trees_with_a_round(
    topology: Topology, a: str, b: str, copies: int, allowed: frozenset[str]
) -> Iterator[Tree]:
    """Trees from a to b over allowed nodes with at most one round per level, still to be timed."""
    plain = list(trees_without_a_round(topology, a, b, copies, allowed))
    yield from plain
    yield from (_round(kept, measured, True) for kept, measured in product(plain, plain))
    half = list(trees_without_a_round(topology, a, b, 2 * copies, allowed))
    yield from (_round(kept, measured, False) for kept, measured in product(half, half))


def trees_without_a_round(
    topology: Topology, a: str, b: str, copies: int, allowed: frozenset[str]
) -> Iterator[Tree]:
    """The same without a round at the top."""
    if pair_of(a, b) in topology.links:
        yield LinkLeaf(a, b, link_latency_s(topology, a, b) * copies)
    for at in sorted(allowed - {a, b}):
        for one in trees_with_a_round(topology, a, at, copies, allowed - {b}):
            for other in trees_with_a_round(topology, at, b, copies, allowed - {a}):
                if nodes_of(one) & nodes_of(other) == {at}:
                    yield SwapNode(one, other, 0.0)


def _round(kept: Tree, measured: Tree, pumping: bool) -> Tree:
    return PurifyNode(kept, measured, "dejmps", pumping, 1.0, 0.0)


def nodes_of(tree: Tree) -> set[str]:
    """All nodes on all routes."""
    match tree:
        case SwapNode():
            return nodes_of(tree.one) | nodes_of(tree.other)
        case PurifyNode():
            return nodes_of(tree.kept) | nodes_of(tree.measured)
        case _:
            return {tree.left, tree.right}


@pytest.mark.parametrize("seed", range(24))
def test_no_throttled_tree_that_decays_is_faster_at_its_fidelity(seed: int) -> None:
    """Three nodes, every tree with a round per level: settled, throttled and assessed one by one."""
    chance = np.random.default_rng(seed)
    topology = drawn_network(chance, 3, 0.85, decay=1.0)
    residual, options = Residual(topology), Options(rounds=1)
    plans = [
        finished(tree, residual, options, Limits(age_s=math.inf))
        for tree in trees_with_a_round(topology, "A", "C", 1, frozenset("ABC"))
    ]
    if not plans:
        assert best(topology, None, rounds=1) is None
        return
    for quantile in (0.0, 0.3, 0.6, 0.9, 0.97, 1.0):
        fidelity = float(np.quantile([each.fidelity for each in plans], quantile)) * (1.0 - 1e-12)
        found = best(topology, fidelity, rounds=1)
        assert found is not None
        assert found.fidelity >= fidelity
        fastest_s = min(each.latency_s for each in plans if each.fidelity >= fidelity)
        assert found.latency_s <= fastest_s * (1.0 + 1e-9)
        if "side by side over two routes" not in _kinds(found.tree):
            assert found.latency_s == pytest.approx(fastest_s, rel=1e-9)


def _kinds(tree: Tree) -> str:
    """The one kind of tree that the enumeration above leaves out: two whole routes at full capacity."""
    apart = (
        isinstance(tree, PurifyNode) and not tree.pumping and nodes_of(tree.kept) != nodes_of(tree.measured)
    )
    return "side by side over two routes" if apart else "any"


@pytest.mark.parametrize("seed", range(36))
def test_no_random_tree_with_two_rounds_per_level_is_faster_at_its_fidelity(seed: int) -> None:
    """Four and five nodes, decay, pumping and recurrence in any order: each random tree sets the limit."""
    chance = np.random.default_rng(seed)
    size = int(chance.integers(4, 6))
    topology = drawn_network(chance, size, 0.8, decay=1.0)
    names = list(topology.nodes)
    residual, options = Residual(topology), Options(rounds=2)
    for _ in range(3):
        inner = [str(each) for each in chance.permutation(names[1:-1])[: int(chance.integers(0, size - 1))]]
        route = [names[0], *inner, names[-1]]
        if any(pair_of(a, b) not in topology.links for a, b in pairwise(route)):
            continue
        tree = _grown(chance, topology, route, 1)
        tried = finished(tree, residual, options, Limits(age_s=math.inf))
        limits = Limits(fidelity=tried.fidelity * (1.0 - 1e-12), age_s=math.inf)
        request = PairRequest(request="r", source=names[0], destination=names[-1], limits=limits)
        found = plan(residual, request, Options(rounds=2, fidelity_step=1e-6))
        assert found.latency_s <= tried.latency_s * (1.0 + 1e-6)


def _grown(
    chance: np.random.Generator, topology: Topology, route: list[str], copies: int, rounds: int = 0
) -> Tree:
    """A random tree over a route with 1/copies of the capacity and up to two rounds per level."""
    if rounds < 2 and chance.random() < 0.4:
        pumping = bool(chance.random() < 0.5)
        shared = copies if pumping else 2 * copies
        if shared <= 8:
            parts = [_grown(chance, topology, route, shared, rounds + 1) for _ in range(2)]
            return _round(parts[0], parts[1], pumping)
    if len(route) == 2:
        return LinkLeaf(route[0], route[1], link_latency_s(topology, route[0], route[1]) * copies)
    at = int(chance.integers(1, len(route) - 1))
    one = _grown(chance, topology, route[: at + 1], copies)
    return SwapNode(one, _grown(chance, topology, route[at:], copies), 0.0)


# --- parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rounds_on_eigenvalues_are_those_on_probabilities(scheme: Scheme) -> None:
    chance = np.random.default_rng(7)
    for _ in range(200):
        kept, measured = drawn_state(chance, 6.0), drawn_state(chance, 6.0)
        g1, g2, m1, m2 = (float(each) for each in chance.uniform(0.5, 1.0, 4))
        known = purification(kept, measured, scheme, gate_fidelities=(g1, g2), readout_fidelities=(m1, m2))
        keep, values = purified_values(
            eigenvalues(kept), eigenvalues(measured), scheme, g1 * g2, (2 * m1 - 1) * (2 * m2 - 1)
        )
        assert keep == pytest.approx(known.success_probability, abs=1e-12)
        assert from_eigenvalues(values) == pytest.approx(known.state, abs=1e-12)


def test_a_round_that_cannot_succeed_has_no_chance_and_decay_needs_time() -> None:
    odd: Bell = (0.0, 0.0, 1.0, 0.0)
    assert purified_values(eigenvalues(odd), (1.0, 1.0, 1.0), "recurrence", 1.0, 1.0)[0] == 0.0
    assert decayed((0.5, 0.4, 0.3), (1.0, 2.0, 3.0), 0.0) == (0.5, 0.4, 0.3)
    assert decayed((0.5, 0.4, 0.3), (1.0, 2.0, 3.0), 0.1) == pytest.approx(
        (0.5 * math.exp(-0.1), 0.4 * math.exp(-0.2), 0.3 * math.exp(-0.3))
    )


def test_candidates_come_by_latency_and_each_is_better_than_those_before() -> None:
    topology = drawn_network(np.random.default_rng(3), 4, 1.0, decay=0.0)
    request = PairRequest(request="r", source="A", destination="D")
    found = list(ParetoSearch(Residual(topology), request, Options(rounds=1)).candidates())
    assert len(found) > 3
    latencies = [each.latency_s for each in found]
    assert latencies == sorted(latencies)
    for index, each in enumerate(found):
        for earlier in found[:index]:
            served = not earlier.nodes & ~each.nodes and earlier.rounds <= each.rounds
            if served and earlier.ends_whole <= each.ends_whole:
                mine, its = from_eigenvalues(each.values), from_eigenvalues(earlier.values)
                better = mine[0] > its[0] or any(a < b for a, b in zip(mine[1:], its[1:], strict=True))
                lighter = any(count < earlier.memories.get(node, 0) for node, count in each.memories.items())
                assert better or lighter


def test_a_search_that_is_told_an_answer_looks_at_nothing_slower() -> None:
    topology = drawn_network(np.random.default_rng(3), 4, 1.0, decay=0.0)
    request = PairRequest(request="r", source="A", destination="D")
    free = ParetoSearch(Residual(topology), request, Options())
    known_s = next(free.candidates()).latency_s * 1.5
    told = ParetoSearch(Residual(topology), request, Options())
    told.latest_s = known_s
    seen = list(told.candidates())
    assert all(each.latency_s <= known_s for each in seen)
    assert told.steps < STEPS_MAX
    assert not told.stopped
