"""Random networks keep the recipe of algorithms.md 0.3, and drawn pairs keep their distances.

Owns the tests of sources/waxman.py.
"""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import chisquare, kstest

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import NoPlan
from bellwire.planner.sources.waxman import chosen_edges, draw_pairs, joining_edges, waxman
from bellwire.planner.topology import GENERATION_S, Node, Topology, link_between

Floats = NDArray[np.float64]


def pairs_of(nodes: int, side_km: float, seed: int) -> tuple[Floats, Floats]:
    """Distances and uniform numbers of all pairs of random places."""
    chance = np.random.default_rng(seed)
    places = chance.uniform(0.0, side_km, (nodes, 2))
    i, j = np.triu_indices(nodes, 1)
    return np.linalg.norm(places[i] - places[j], axis=1), 1.0 - chance.random(len(i))


def distance_density(s: float) -> float:
    """Probability density of the distance of two random points of the unit square (square line picking)."""
    if s <= 1.0:
        return 2.0 * s * (s * s - 4.0 * s + math.pi)
    root = math.sqrt(s * s - 1.0)
    return 2.0 * s * (4.0 * root - (s * s + 2.0 - math.pi) - 4.0 * math.atan(root))


def expected_density(reach_km: float, side_km: float, beta: float) -> float:
    """Mean of beta exp(-d/reach) over two random places in the square, borders and all."""
    found = 0.0
    for low, high in ((0.0, 1.0), (1.0, math.sqrt(2.0))):
        found += quad(lambda s: distance_density(s) * math.exp(-s * side_km / reach_km), low, high)[0]
    return beta * found


def distance_km(topology: Topology, a: str, b: str) -> float:
    one, other = topology.nodes[a].position_km, topology.nodes[b].position_km
    assert one is not None
    assert other is not None
    return math.dist(one, other)


@pytest.mark.parametrize(("nodes", "density"), [(50, 0.2), (100, 0.1), (100, 0.05), (200, 0.05), (400, 0.1)])
def test_the_density_is_the_wanted_one_within_two_thousandths(nodes: int, density: float) -> None:
    for seed in range(1, 6):
        found = waxman(nodes, density, seed=seed)
        added = int(found.notes[1].split()[0])
        share = (len(found.links) - added) / (nodes * (nodes - 1) / 2)
        assert abs(share - density) <= 0.002
        assert share == round(density * nodes * (nodes - 1) / 2) / (nodes * (nodes - 1) / 2)


@pytest.mark.parametrize(("density", "beta"), [(0.1, 1.0), (0.05, 0.5), (0.02, 1.0)])
def test_the_reach_has_the_density_of_the_closed_form(density: float, beta: float) -> None:
    """40 networks of 200 nodes: square line picking gives the wanted density at the found reach.

    Tolerance: five standard errors of the 40 values (false alarm below 1e-4), themselves below 2 %; without
    the borders of the square the reach at density 0.1 would be 12.6 instead of 15 km.
    """
    side_km = 100.0
    seen: list[float] = []
    for seed in range(40):
        distances_km, uniform = pairs_of(200, side_km, seed)
        reach_km = chosen_edges(distances_km, uniform, density, beta).reach_km
        seen.append(expected_density(reach_km, side_km, beta))
    error = float(np.std(seen, ddof=1)) / math.sqrt(len(seen))
    assert error < 0.02 * density
    assert abs(float(np.mean(seen)) - density) < 5.0 * error


def test_far_from_borders_the_reach_is_the_start_value_of_the_specification() -> None:
    """alpha L = sqrt(density area / (2 pi beta)). 1000 nodes, 500 edges: the reach spreads by 2.2 %, and the
    borders make it 1.6 % longer; within 9 %."""
    distances_km, uniform = pairs_of(1000, 100.0, 7)
    found = chosen_edges(distances_km, uniform, 0.001, 1.0)
    assert len(found.edges) == 500
    assert found.reach_km == pytest.approx(math.sqrt(0.001 * 1e4 / (2.0 * math.pi)), rel=0.09)
    assert math.sqrt(0.1 * 1e4 / (2.0 * math.pi)) == pytest.approx(12.6, abs=0.05)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.integers(2, 40),
    st.floats(0.01, 0.99),
    st.sampled_from([0.3, 0.6, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_chosen_edges_are_those_that_a_bisection_ends_with(
    nodes: int, density: float, beta: float, seed: int
) -> None:
    distances_km, uniform = pairs_of(nodes, 100.0, seed)
    wanted = round(density * len(distances_km))
    if wanted > np.count_nonzero(uniform < beta):
        with pytest.raises(ConfigError, match="raise beta"):
            chosen_edges(distances_km, uniform, density, beta)
        return
    found = chosen_edges(distances_km, uniform, density, beta)

    def joined(reach_km: float) -> Floats:
        return np.flatnonzero(uniform < beta * np.exp(-distances_km / reach_km))

    low_km, high_km = 0.0, 1.0
    while len(joined(high_km)) < wanted:
        high_km *= 2.0
    while len(joined(high_km)) != wanted and high_km - low_km > 1e-12 * high_km:
        middle_km = (low_km + high_km) / 2.0
        low_km, high_km = (low_km, middle_km) if len(joined(middle_km)) >= wanted else (middle_km, high_km)
    assert set(joined(high_km).tolist()) == set(found.edges.tolist())
    if 0 < wanted < np.count_nonzero(uniform < beta):
        assert set(joined(found.reach_km).tolist()) == set(found.edges.tolist())


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.integers(2, 14), st.floats(0.0, 0.2), st.integers(0, 2**32 - 1))
def test_components_are_joined_by_the_shortest_edge_between_any_two_again_and_again(
    nodes: int, density: float, seed: int
) -> None:
    distances_km, uniform = pairs_of(nodes, 100.0, seed)
    i, j = np.triu_indices(nodes, 1)
    edges = chosen_edges(distances_km, uniform, density, 1.0).edges
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from((int(i[edge]), int(j[edge])) for edge in edges)
    expected: list[int] = []
    while not nx.is_connected(graph):
        part = {node: index for index, nodes in enumerate(nx.connected_components(graph)) for node in nodes}
        best = min(
            (index for index in range(len(i)) if part[int(i[index])] != part[int(j[index])]),
            key=lambda index: distances_km[index],
        )
        graph.add_edge(int(i[best]), int(j[best]))
        expected.append(best)
    assert joining_edges(nodes, i, j, distances_km, edges).tolist() == expected


@pytest.mark.parametrize("density", [0.0, 0.01, 0.02, 0.1])
def test_every_network_is_connected(density: float) -> None:
    for seed in range(1, 9):
        assert nx.is_connected(waxman(60, density, seed=seed).fibre_graph)


def test_without_any_density_the_shortest_spanning_tree_is_left() -> None:
    found = waxman(60, 0.0)
    graph = nx.Graph()
    for a in found.nodes:
        for b in found.nodes:
            if a < b:
                graph.add_edge(a, b, weight=distance_km(found, a, b))
    assert set(found.links) == {tuple(sorted(edge)) for edge in nx.minimum_spanning_edges(graph, data=False)}


def test_the_seed_alone_decides() -> None:
    one, same, other = (waxman(80, 0.1, seed=seed) for seed in (3, 3, 4))
    assert one == same
    assert one.links != other.links


def test_lengths_are_straight_and_nodes_have_the_defaults_of_the_paper() -> None:
    found = waxman(40, 0.1, 50.0)
    for (a, b), link in found.links.items():
        assert link.length_km == pytest.approx(distance_km(found, a, b), rel=1e-12)
        assert link == link_between(found.nodes[a], found.nodes[b], link.length_km)
    for node in found.nodes.values():
        assert node.position_km is not None
        assert all(0.0 <= x <= 50.0 for x in node.position_km)
        assert (node.memories, node.attempts_hz, node.swap_probability) == (5, 1.0 / GENERATION_S, 0.4)


def test_a_kind_of_node_and_properties_of_links_can_be_given() -> None:
    found = waxman(
        20,
        0.2,
        node=Node(name="kind", memories=15, swap_probability=0.6),
        attenuation_length_km=22.0,
        channels=3,
        fidelity=0.98,
    )
    assert {(node.memories, node.swap_probability) for node in found.nodes.values()} == {(15, 0.6)}
    assert {(link.attenuation_length_km, link.channels, link.fidelity) for link in found.links.values()} == {
        (22.0, 3, 0.98)
    }


def test_one_node_alone_is_a_network() -> None:
    assert len(waxman(1, 0.5).links) == 0
    assert len(waxman(2, 0.0).links) == 1


def test_thousand_nodes_have_the_wanted_number_of_links() -> None:
    found = waxman(1000, 0.02)
    assert len(found.links) == 9990 + int(found.notes[1].split()[0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nodes": 0}, r"nodes = 0 is outside 1\.\.5000"),
        ({"nodes": 5001}, r"nodes = 5001 is outside 1\.\.5000"),
        ({"density": -0.1}, r"density = -0\.1 is outside 0\.\.1"),
        ({"density": 1.1}, r"density = 1\.1 is outside 0\.\.1"),
        ({"density": math.nan}, "density = nan is outside"),
        ({"side_km": 0.0}, "side_km = 0 must be a finite number above 0"),
        ({"side_km": math.inf}, "side_km = inf must be a finite number above 0"),
        ({"side_km": math.nan}, "side_km = nan must be a finite number above 0"),
        ({"seed": -1}, "seed = -1 must be 0 or more"),
        ({"beta": 0.0}, "beta = 0 must be above 0 and at most 1"),
        ({"beta": 1.5}, r"beta = 1\.5 must be above 0 and at most 1"),
        (
            {"beta": 0.05},
            r"density = 0\.1 asks for 495 links, but beta = 0\.05 lets no more than \d+ of 4950",
        ),
        ({"fidelity": 2.0}, r"fidelity = 2 is outside 0\.\.1"),
        ({"attenuation_length_km": 0.0}, "attenuation_length_km = 0 must be above 0"),
        ({"channels": 0}, "channels = 0 is below 1"),
    ],
)
def test_an_impossible_recipe_is_one_clear_sentence(values: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        waxman(**values)  # type: ignore[arg-type]


# --- pairs -----------------------------------------------------------------------------------------------


def test_drawn_pairs_are_different_and_as_far_apart_as_asked() -> None:
    topology = waxman(60, 0.1)
    drawn = draw_pairs(topology, 200, seed=5, distance_km=(15.0, 40.0))
    assert len({frozenset(pair) for pair in drawn}) == 200
    assert all(15.0 <= distance_km(topology, a, b) <= 40.0 for a, b in drawn)
    assert drawn == draw_pairs(topology, 200, seed=5, distance_km=(15.0, 40.0))
    assert drawn != draw_pairs(topology, 200, seed=6, distance_km=(15.0, 40.0))
    assert 60 < sum(a < b for a, b in drawn) < 140  # both directions come: 5.6 standard deviations of a coin


def test_distances_are_uniform_in_the_range() -> None:
    """Kolmogorov-Smirnov over 400 pairs, level 1e-3, fixed seed. A uniform choice of pairs instead, whose
    distances grow linearly in number, would differ by 0.125: p below 1e-5."""
    topology = waxman(200, 0.05)
    seen = [distance_km(topology, a, b) for a, b in draw_pairs(topology, 400, seed=11)]
    assert kstest(seen, "uniform", args=(10.0, 20.0)).pvalue > 1e-3


def test_all_pairs_can_be_drawn_and_not_one_more() -> None:
    topology = waxman(12, 0.3)
    assert len({frozenset(pair) for pair in draw_pairs(topology, 66, 1, (0.0, math.inf))}) == 66
    with pytest.raises(NoPlan, match=r"67 pairs at 0\.\.inf km are wanted, the network has 66"):
        draw_pairs(topology, 67, 1, (0.0, math.inf))


def test_without_a_range_every_pair_is_as_likely_as_any_other() -> None:
    """66 pairs drawn 3,300 times one by one: chi-squared, level 1e-3, fixed seeds."""
    topology = waxman(12, 0.3)
    drawn = [frozenset(draw_pairs(topology, 1, seed, None)[0]) for seed in range(3300)]
    counts = [drawn.count(pair) for pair in set(drawn)]
    assert len(counts) == 66
    assert chisquare(counts).pvalue > 1e-3
    assert len({frozenset(pair) for pair in draw_pairs(topology, 66, 1, None)}) == 66
    with pytest.raises(NoPlan, match="67 pairs are wanted, the network has 66"):
        draw_pairs(topology, 67, 1, None)


def test_nodes_without_a_place_are_as_far_apart_as_their_fibre_is_long() -> None:
    a, b, c, alone = (Node(name=name) for name in ("a", "b", "c", "alone"))
    topology = Topology.of([a, b, c, alone], [link_between(a, b, 8.0), link_between(b, c, 9.0)])
    (drawn,) = draw_pairs(topology, 1, 1, (10.0, 30.0))
    assert sorted(drawn) == ["a", "c"]
    with pytest.raises(NoPlan, match="the network has 1"):
        draw_pairs(topology, 2, 1, (10.0, 30.0))


@pytest.mark.parametrize(
    ("count", "seed", "range_km", "words"),
    [
        (-1, 1, (10.0, 30.0), "-1 pairs cannot be drawn"),
        (1, -1, (10.0, 30.0), "seed = -1 must be 0 or more"),
        (1, 1, (30.0, 10.0), r"distance_km = 30\.\.10 must rise"),
        (1, 1, (-1.0, 10.0), r"distance_km = -1\.\.10 must rise"),
        (1, 1, (math.nan, 10.0), r"distance_km = nan\.\.10 must rise"),
    ],
)
def test_a_draw_that_makes_no_sense_is_one_clear_sentence(
    count: int, seed: int, range_km: tuple[float, float], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        draw_pairs(waxman(10, 0.3), count, seed, range_km)
