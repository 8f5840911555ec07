"""What a pair costs in link attempts.

Owns the tests of `attempts_per_pair`; rates, attempts per second and memories are held against enumerations
in tests/planner/single and test_structures.py.
"""

import math

import numpy as np
import pytest

from bellwire.core.bell import werner
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, swapped
from bellwire.planner.topology import Node, Topology
from bellwire.planner.tree_use import attempts_per_pair
from tests.planner.single.test_exact import asked, chain


def test_two_links_of_10_km_cost_378_attempts() -> None:
    """Algorithms.md, section 3: 2 (1/.4)/.0132102 = 378.494."""
    topology = chain(10.0, 10.0)
    found = plan_pair(Residual(topology), asked("A", "C"))
    assert attempts_per_pair(found.tree, topology) == pytest.approx(378.494, abs=1e-3)
    q = topology.links["A", "B"].success_probability
    assert attempts_per_pair(LinkLeaf("A", "B", 1.0), topology) == pytest.approx(1.0 / q, rel=1e-12)
    assert attempts_per_pair(LinkLeaf("A", "B", 1.0), topology, 7.0) == pytest.approx(7.0 / q, rel=1e-12)


def test_stored_pairs_cost_nothing_and_rounds_cost_as_they_succeed() -> None:
    topology = chain(10.0, 10.0)
    link, stored = LinkLeaf("A", "B", 1.0), StoredLeaf("B", "C", "kept", werner(0.9), 0.0, 1.0)
    q = topology.links["A", "B"].success_probability
    assert attempts_per_pair(swapped(topology, link, stored), topology) == pytest.approx(1.0 / (0.4 * q))
    purified = PurifyNode(link, link, "bbpssw", False, 0.8, 1.0)
    assert attempts_per_pair(purified, topology) == pytest.approx(2.0 / (0.8 * q))


def test_what_never_succeeds_costs_without_end() -> None:
    line = chain(10.0, 10.0)
    never = Node(name="B", swap_probability=0.0, position_km=(10.0, 0.0))
    topology = Topology.of([line.nodes["A"], never, line.nodes["C"]], line.links.values())
    tree = SwapNode(LinkLeaf("A", "B", 1.0), LinkLeaf("B", "C", 1.0), math.inf)
    assert attempts_per_pair(tree, topology) == math.inf


def test_the_cost_is_what_a_count_of_attempts_finds() -> None:
    """1,500 pairs over three links made attempt by attempt; 5 standard errors (false alarm 6e-7), seed 5."""
    topology = chain(1.0, 2.0, 3.0, generation_probability=0.9, swap_probability=0.5)
    found = plan_pair(Residual(topology), asked("A", "D"))
    chance = np.random.default_rng(5)

    def spent(tree: object) -> int:
        if isinstance(tree, LinkLeaf):
            pair = (min(tree.left, tree.right), max(tree.left, tree.right))
            return int(chance.geometric(topology.links[pair].success_probability))
        assert isinstance(tree, SwapNode)
        attempts = 0
        while True:
            attempts += spent(tree.one) + spent(tree.other)
            if chance.random() < 0.5:
                return attempts

    counts = np.array([spent(found.tree) for _ in range(1500)])
    error = counts.std(ddof=1) / math.sqrt(len(counts))
    assert abs(counts.mean() - attempts_per_pair(found.tree, topology)) < 5.0 * error
