"""Nodes stand where they are, or where their fibres let them stand.

Owns the tests of reports/layout.py.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from bellwire.planner.reports.layout import places_of
from bellwire.planner.sources.waxman import waxman
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.single.test_exact import chain


def without_places(topology: Topology) -> Topology:
    nodes = [replace(node, position_km=None) for node in topology.nodes.values()]
    return Topology.of(nodes, topology.links.values())


def test_true_positions_are_kept() -> None:
    topology = chain(10.0, 20.0)
    places, true = places_of(topology)
    assert true
    assert places == {"A": (0.0, 0.0), "B": (10.0, 0.0), "C": (30.0, 0.0)}


def test_a_line_without_positions_lies_flat_with_its_lengths() -> None:
    places, true = places_of(without_places(chain(10.0, 20.0, 15.0)))
    assert not true
    xs = [places[name][0] for name in "ABCD"]
    assert [b - a for a, b in pairwise(xs)] == pytest.approx([10.0, 20.0, 15.0], rel=0.02)
    assert max(abs(places[name][1]) for name in "ABCD") < 1.0


def test_a_ring_without_positions_is_round() -> None:
    nodes = [Node(name=f"n{index}") for index in range(6)]
    topology = Topology.of(nodes, [link_between(nodes[index], nodes[index - 1], 10.0) for index in range(6)])
    places, _ = places_of(topology)
    radii = [math.hypot(*place) for place in places.values()]
    assert max(radii) < 1.05 * min(radii)


def test_distances_of_a_random_network_are_found_again_without_its_positions() -> None:
    """Fibre is straight here, so links keep the order of their lengths: rank correlation above 0.7."""
    topology = waxman(40, 0.2, seed=2)
    places, _ = places_of(without_places(topology))
    lengths = sorted(topology.links, key=lambda pair: topology.links[pair].length_km)
    drawn = sorted(topology.links, key=lambda pair: math.dist(places[pair[0]], places[pair[1]]))
    rank = {pair: index for index, pair in enumerate(drawn)}
    n = len(lengths)
    squares = sum((index - rank[pair]) ** 2 for index, pair in enumerate(lengths))
    assert 1.0 - 6.0 * squares / (n * (n * n - 1)) > 0.7


def test_parts_without_a_link_stand_apart_and_one_node_stands_somewhere() -> None:
    nodes = [Node(name=name) for name in "ABCD"]
    topology = Topology.of(
        nodes, [link_between(nodes[0], nodes[1], 5.0), link_between(nodes[2], nodes[3], 5.0)]
    )
    places, _ = places_of(topology)
    assert len({(round(x, 3), round(y, 3)) for x, y in places.values()}) == 4
    assert places_of(Topology.of([Node(name="A")], [])) == ({"A": (0.0, 0.0)}, False)


def test_the_same_network_has_the_same_places() -> None:
    topology = without_places(waxman(20, 0.2, seed=5))
    assert places_of(topology) == places_of(without_places(waxman(20, 0.2, seed=5)))


def test_nodes_that_all_stand_at_one_place_are_laid_out_by_their_fibres() -> None:
    nodes = [Node(name=name, position_km=(1.0, 1.0)) for name in "ABC"]
    topology = Topology.of(
        nodes, [link_between(nodes[0], nodes[1], 5.0), link_between(nodes[1], nodes[2], 5.0)]
    )
    places, true = places_of(topology)
    assert not true
    assert math.dist(places["A"], places["C"]) == pytest.approx(10.0, rel=0.05)
