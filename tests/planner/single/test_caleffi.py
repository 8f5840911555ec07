"""Caleffi's balanced path tree against an enumeration of its own.

Owns the tests of single/caleffi.py.
"""

import math
from itertools import combinations

import pytest
from hypothesis import given, settings

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Options
from bellwire.planner.single import caleffi
from bellwire.planner.single.caleffi import ROUTES_MAX
from bellwire.planner.structures import leaves, route_of
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.single.brute_force import link_latency_s, networks, simple_routes
from tests.planner.single.test_exact import asked, chain


def halved_s(topology: Topology, route: tuple[str, ...]) -> float:
    """(max(T_l, T_r) + t_b + t_c)/p_b, the route cut in halves again and again."""
    if len(route) == 2:
        return link_latency_s(topology, *route)
    middle = (len(route) - 1) // 2
    node = topology.nodes[route[middle]]
    if node.swap_probability == 0.0 or not node.relays or node.memories < 2:
        return math.inf
    words_s = max(topology.delay_s(node.name, route[0]), topology.delay_s(node.name, route[-1]))
    slower_s = max(halved_s(topology, route[: middle + 1]), halved_s(topology, route[middle:]))
    return (slower_s + node.swap_s + words_s) / node.swap_probability


def complete(size: int) -> Topology:
    """Every node joined with every other."""
    nodes = [Node(name=chr(ord("A") + index), position_km=(float(index), 0.0)) for index in range(size)]
    return Topology.of(nodes, [link_between(a, b, 5.0) for a, b in combinations(nodes, 2)])


@pytest.mark.parametrize(
    ("hops", "latency_s"),
    [
        (1, 7.569886459e-3),
        (2, (7.569886459e-3 + 60e-6) / 0.4),
        (4, ((7.569886459e-3 + 60e-6) / 0.4 + 110e-6) / 0.4),
    ],
)
def test_a_level_costs_its_slower_half_without_the_factor_of_three_halves(
    hops: int, latency_s: float
) -> None:
    topology = chain(*[10.0] * hops)
    found = plan_pair(Residual(topology), asked("A", list(topology.nodes)[-1]), "caleffi")
    assert found.latency_s == pytest.approx(latency_s, rel=1e-9)
    assert found.method == "caleffi"


@settings(deadline=None, derandomize=True, max_examples=600)
@given(networks(7))
def test_no_simple_route_has_a_faster_balanced_tree(topology: Topology) -> None:
    residual = Residual(topology)
    for other in list(topology.nodes)[1:]:
        best_s = min(
            (halved_s(topology, route) for route in simple_routes(topology, "A", other)), default=math.inf
        )
        if best_s == math.inf:
            with pytest.raises(NoPlan):
                caleffi.plan(residual, asked("A", other), Options())
            continue
        found = caleffi.plan(residual, asked("A", other, age_s=math.inf), Options())
        assert found.latency_s == pytest.approx(best_s, rel=1e-12)
        assert halved_s(topology, route_of(found.tree)) == pytest.approx(best_s, rel=1e-12)
        assert residual.lacks(found.use) is None


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(6))
def test_the_limit_on_links_leaves_the_best_of_the_short_routes(topology: Topology) -> None:
    residual = Residual(topology)
    for other in list(topology.nodes)[1:]:
        short = [route for route in simple_routes(topology, "A", other) if len(route) <= 3]
        best_s = min((halved_s(topology, route) for route in short), default=math.inf)
        if best_s < math.inf:
            found = caleffi.plan(residual, asked("A", other, leaves=2, age_s=math.inf), Options())
            assert found.latency_s == pytest.approx(best_s, rel=1e-12)


def test_links_run_at_half_of_what_their_nodes_have() -> None:
    found = plan_pair(Residual(chain(10.0, 5.0)), asked("A", "C"), "caleffi")
    assert [1e3 * leaf.latency_s for leaf in leaves(found.tree)] == pytest.approx(
        [7.569886459, 5.895433502], abs=5e-9
    )


def test_a_route_that_breaks_a_limit_gives_way_to_the_next() -> None:
    """Two links of 10 km are the fastest way from A to C, but twice 0.97 is below 0.95; 35 km are not."""
    nodes = [Node(name=name, position_km=(x, 0.0)) for name, x in (("A", 0.0), ("B", 10.0), ("C", 20.0))]
    links = [
        link_between(nodes[0], nodes[1], 10.0, fidelity=0.97),
        link_between(nodes[1], nodes[2], 10.0, fidelity=0.97),
        link_between(nodes[0], nodes[2], 35.0, fidelity=0.97),
    ]
    residual = Residual(Topology.of(nodes, links))
    assert route_of(plan_pair(residual, asked("A", "C"), "caleffi").tree) == ("A", "B", "C")
    assert route_of(plan_pair(residual, asked("A", "C", fidelity=0.95), "caleffi").tree) == ("A", "C")
    with pytest.raises(NoPlan, match=r"fidelity 0\.98 is not reached"):
        plan_pair(residual, asked("A", "C", fidelity=0.98), "caleffi")


def test_more_routes_than_can_be_tried_are_refused() -> None:
    with pytest.raises(NoPlan, match=f'more than {ROUTES_MAX} routes; method "caleffi" tries all'):
        plan_pair(Residual(complete(11)), asked("A", "B"), "caleffi")
    few = plan_pair(Residual(complete(11)), asked("A", "B", leaves=2), "caleffi")
    assert route_of(few.tree) == ("A", "B")


def test_what_cannot_be_joined_is_one_clear_sentence() -> None:
    topology = Topology.of([*chain(10.0).nodes.values(), Node(name="D")], chain(10.0).links.values())
    with pytest.raises(NoPlan, match="no route between A and D"):
        plan_pair(Residual(topology), asked("A", "D"), "caleffi")
    with pytest.raises(ConfigError, match='unknown node "Z"'):
        plan_pair(Residual(topology), asked("A", "Z"), "caleffi")
