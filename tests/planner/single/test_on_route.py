"""The interval programme on a given route: every tree over it, and routes that are none.

Owns the tests of single/on_route.py.
"""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single import on_route
from bellwire.planner.single.on_route import cut
from bellwire.planner.structures import StoredLeaf, route_of
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.single.brute_force import eq1_s, link_latency_s, networks, simple_routes, trees_over
from tests.planner.single.test_exact import asked, chain


@settings(deadline=None, derandomize=True, max_examples=500)
@given(networks(7, slow_words=False), st.integers(0, 10**6))
def test_no_tree_over_the_route_is_faster(topology: Topology, pick: int) -> None:
    residual = Residual(topology)
    for other in list(topology.nodes)[1:]:
        routes = list(simple_routes(topology, "A", other))
        if not routes:
            continue
        route = routes[pick % len(routes)]
        leaf_s = [link_latency_s(topology, a, b) for a, b in pairwise(route)]
        best_s = min(eq1_s(topology, route, tree, leaf_s)[0] for tree in trees_over(0, len(leaf_s)))
        if best_s == math.inf:
            with pytest.raises(NoPlan):
                on_route.plan(residual, asked("A", other), Options(route=route))
            continue
        found = on_route.plan(residual, asked("A", other, age_s=math.inf), Options(route=route))
        assert found.latency_s == pytest.approx(best_s, rel=1e-9)
        assert route_of(found.tree) == route
        assert found.method == "route"
        assert residual.lacks(found.use) is None


def test_a_line_is_its_own_route() -> None:
    residual = Residual(chain(10.0, 10.0, 5.0))
    found = plan_pair(residual, asked("A", "D"), "route", Options(route=tuple("ABCD")))
    assert found.tree == plan_pair(residual, asked("A", "D")).tree


def test_words_take_the_shortest_way_through_the_whole_network() -> None:
    """Without places, a word from B may leave the route: over the short link B-D to D, not along B-C-D."""
    nodes = {name: Node(name=name) for name in "ABCD"}
    lengths = {("A", "B"): 10.0, ("B", "C"): 40.0, ("C", "D"): 40.0, ("B", "D"): 2.0}
    topology = Topology.of(
        nodes.values(), [link_between(nodes[a], nodes[b], km) for (a, b), km in lengths.items()]
    )
    line = cut(topology, tuple("ABCD"))
    assert set(line.links) == {("A", "B"), ("B", "C"), ("C", "D")}
    assert line.delay_s("B", "D") == pytest.approx(2.0 / 2e5, rel=1e-12)
    assert line.delay_s("B", "C") == pytest.approx(40.0 / 2e5, rel=1e-12)


def test_stored_pairs_between_nodes_of_the_route_are_used_and_others_are_not() -> None:
    topology = chain(10.0, 10.0, 10.0)
    extra = Topology.of(
        [*topology.nodes.values(), Node(name="Z", position_km=(15.0, 5.0))], topology.links.values()
    )
    own = StoredLeaf("B", "D", "own", (1.0, 0.0, 0.0, 0.0), 0.0, 1.0)
    foreign = StoredLeaf("B", "Z", "foreign", (1.0, 0.0, 0.0, 0.0), 0.0, 1.0)
    request = PairRequest(request="r", source="A", destination="D", stored=(own, foreign))
    found = plan_pair(Residual(extra), request, "route", Options(route=tuple("ABCD")))
    assert found.use.stored == ("own",)


def test_what_other_plans_take_is_missing_on_the_route() -> None:
    topology = chain(10.0, 10.0)
    residual = Residual(topology)
    residual.claim("first", plan_pair(residual, asked("A", "B")).use)
    with pytest.raises(NoPlan, match="no route between A and C is left"):
        plan_pair(residual, asked("A", "C"), "route", Options(route=tuple("ABC")))


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (None, 'method "route" needs a route'),
        (("A",), 'route "A" has fewer than two nodes'),
        (("A", "B"), "route A-B does not join A and C"),
        (("B", "C"), "route B-C does not join A and C"),
        (("A", "B", "A", "B", "C"), "route A-B-A-B-C visits a node twice"),
        (("A", "C"), "no link between A and C on the route A-C"),
        (("A", "b", "C"), 'unknown node "b"'),
    ],
)
def test_what_is_no_route_is_one_clear_sentence(route: tuple[str, ...] | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan_pair(Residual(chain(10.0, 10.0)), asked("A", "C"), "route", Options(route=route))


def test_limits_hold_on_the_route() -> None:
    residual, options = Residual(chain(10.0, 10.0)), Options(route=tuple("ABC"))
    with pytest.raises(NoPlan, match="2 leaves, limit 1"):
        plan_pair(residual, asked("A", "C", leaves=1), "route", options)
    with pytest.raises(NoPlan, match=r"fidelity 0\.999 is not reached"):
        plan_pair(residual, asked("A", "C", fidelity=0.999), "route", options)
