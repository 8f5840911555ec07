"""Next-hop tables against all simple routes, and the walk's latency against the walk itself.

Owns the tests of single/hop_by_hop.py.
"""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.bell import eigenvalues
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Options
from bellwire.planner.single import hop_by_hop
from bellwire.planner.single.hop_by_hop import Cost, next_hops
from bellwire.planner.structures import SwapNode, Tree, leaves, route_of
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.single.brute_force import link_latency_s, networks, simple_routes
from tests.planner.single.test_exact import asked, chain

COSTS: tuple[Cost, ...] = ("hops", "length", "latency")


def price_of(topology: Topology, a: str, b: str, cost: Cost) -> float:
    link = topology.link(a, b)
    assert link is not None
    return {"hops": 1.0, "length": link.length_km, "latency": link_latency_s(topology, a, b)}[cost]


def least_price(topology: Topology, source: str, destination: str, cost: Cost) -> float:
    """Of all simple routes whose inner nodes can swap and whose links have a rate."""
    least = math.inf
    for route in simple_routes(topology, source, destination):
        inner = [topology.nodes[name] for name in route[1:-1]]
        able = all(node.relays and node.memories >= 2 and node.swap_probability > 0.0 for node in inner)
        steps = list(pairwise(route))
        if able and all(link_latency_s(topology, a, b) < math.inf for a, b in steps):
            least = min(least, math.fsum(price_of(topology, a, b, cost) for a, b in steps))
    return least


def slotted(hops: int, swap_probability: float = 1.0) -> Topology:
    """A chain in which one slot of a second is one attempt of probability 0.1, and words take no time."""
    names = "ABCDEFGH"[: hops + 1]
    nodes = [
        Node(name=name, attempts_hz=2.0, swap_probability=swap_probability, swap_s=0.0) for name in names
    ]
    links = [link_between(a, b, 0.0, success_probability=0.1, attempt_s=0.0) for a, b in pairwise(nodes)]
    return Topology.of(nodes, links)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(networks(6), st.sampled_from(COSTS))
def test_following_the_tables_leads_everywhere_by_a_shortest_way(topology: Topology, cost: Cost) -> None:
    tables = next_hops(Residual(topology), cost)
    for source in topology.nodes:
        for destination in topology.nodes:
            if source == destination:
                assert destination not in tables[source]
                continue
            least = least_price(topology, source, destination, cost)
            if least == math.inf:
                assert destination not in tables[source]
                continue
            route = [source]
            while route[-1] != destination:
                route.append(tables[route[-1]][destination])
                assert len(route) <= len(topology.nodes)
            price = math.fsum(price_of(topology, a, b, cost) for a, b in pairwise(route))
            assert price == pytest.approx(least, rel=1e-12)


def test_ties_go_to_fewer_hops_and_then_to_the_first_name() -> None:
    """A square with a diagonal as long as its two sides together."""
    nodes = [Node(name=name) for name in "ABCD"]
    lengths = {("A", "B"): 10.0, ("B", "C"): 10.0, ("C", "D"): 10.0, ("A", "D"): 10.0, ("B", "D"): 20.0}
    named = {node.name: node for node in nodes}
    topology = Topology.of(nodes, [link_between(named[a], named[b], km) for (a, b), km in lengths.items()])
    tables = next_hops(Residual(topology), "length")
    assert tables["A"] == {"B": "B", "C": "B", "D": "D"}
    assert tables["C"]["A"] == "B"
    assert tables["B"]["D"] == "D"


def test_the_three_costs_may_choose_three_ways() -> None:
    """Straight and long; two short hops; three hops of perfect attempts with much fibre."""
    nodes = {name: Node(name=name) for name in "ABCDE"}
    own = {("A", "B"): (60.0, None), ("A", "C"): (20.0, 0.001), ("B", "C"): (20.0, 0.001)}
    fast = {("A", "D"): (30.0, 0.2), ("D", "E"): (30.0, 0.2), ("B", "E"): (30.0, 0.2)}
    links = [
        link_between(
            nodes[a], nodes[b], km, success_probability=chance, attempt_s=None if chance is None else 0.0
        )
        for (a, b), (km, chance) in (own | fast).items()
    ]
    residual = Residual(Topology.of(nodes.values(), links))
    assert [next_hops(residual, cost)["A"]["B"] for cost in COSTS] == ["B", "C", "D"]


@pytest.mark.parametrize("hops", [1, 2, 3, 5])
def test_sure_swaps_take_hops_over_p_slots(hops: int) -> None:
    """Section 6.1: n/p, 30 slots for 3 hops at p = 0.1, against 17.9 side by side."""
    topology = slotted(hops)
    found = plan_pair(Residual(topology), asked("A", list(topology.nodes)[-1], age_s=math.inf), "hop-by-hop")
    assert found.latency_s == pytest.approx(hops / 0.1, rel=1e-12)
    assert found.success_probability == 1.0


@pytest.mark.parametrize("swap_probability", [1.0, 0.5])
def test_the_walk_itself_takes_as_long_as_the_plan_says(swap_probability: float) -> None:
    """Slot by slot, a failed swap starting again at the source: 20,000 walks of three hops.

    The allowed 5 standard errors of the mean give a false alarm with probability 6e-7.
    """
    chance = np.random.default_rng(20261125)
    walks = np.zeros(20_000)
    for index in range(len(walks)):
        hop = 0
        while hop < 3:
            walks[index] += chance.geometric(0.1)
            hop = hop + 1 if hop == 0 or chance.random() < swap_probability else 0
    error = walks.std() / math.sqrt(len(walks))
    topology = slotted(3, swap_probability)
    found = plan_pair(Residual(topology), asked("A", "D", age_s=math.inf), "hop-by-hop")
    assert found.latency_s == pytest.approx(walks.mean(), abs=5.0 * error)
    assert found.latency_s == pytest.approx({1.0: 30.0, 0.5: 100.0}[swap_probability], rel=1e-12)


def test_a_hop_adds_its_link_its_swap_and_its_word() -> None:
    """10 km links: ((T + T + t_b + 10 km/c)/p + T + t_b + 20 km/c)/p."""
    found = plan_pair(Residual(chain(10.0, 10.0, 10.0)), asked("A", "D"), "hop-by-hop")
    link_s = 7.569886459e-3
    two_s = (2.0 * link_s + 10e-6 + 50e-6) / 0.4
    assert found.latency_s == pytest.approx((two_s + link_s + 10e-6 + 100e-6) / 0.4, rel=1e-9)
    assert isinstance(found.tree, SwapNode)
    assert found.tree.at == "C"
    assert [1e3 * leaf.latency_s for leaf in leaves(found.tree)] == pytest.approx([7.569886459] * 3, abs=5e-9)


def test_the_held_pair_waits_for_every_link_and_no_link_waits_for_it() -> None:
    """Closed form: eigenvalues multiply; the source decays through all waits, each relay through one."""
    topology = chain(10.0, 15.0, 5.0, decay_hz=(1.0, 2.0, 3.0))
    topology = Topology.of(
        topology.nodes.values(),
        [
            link_between(topology.nodes[a], topology.nodes[b], km, fidelity=0.98)
            for (a, b), km in zip(pairwise("ABCD"), (10.0, 15.0, 5.0), strict=True)
        ],
    )
    found = plan_pair(Residual(topology), asked("A", "D"), "hop-by-hop")
    waits_s = [link_latency_s(topology, "B", "C"), link_latency_s(topology, "C", "D")]
    words_s = [10e-6 + 15.0 / 2e5, 10e-6 + 25.0 / 2e5]
    noise = eigenvalues(topology.nodes["B"].swap_noise)
    pair = eigenvalues(topology.links["A", "B"].state)
    values = [
        pair[k] ** 3 * noise[k] ** 2 * math.exp(-2.0 * (k + 1.0) * (math.fsum(waits_s) + math.fsum(words_s)))
        for k in range(3)
    ]
    assert found.fidelity == pytest.approx((1.0 + math.fsum(values)) / 4.0, rel=1e-12)
    own_s = topology.links["A", "B"].success_s
    last_s = topology.links["C", "D"].success_s
    assert found.ages_s == pytest.approx((own_s + math.fsum(waits_s), last_s), rel=1e-12)
    oldest_s = own_s + math.fsum(waits_s)
    plan_pair(Residual(topology), asked("A", "D", age_s=oldest_s * 1.001), "hop-by-hop")
    with pytest.raises(NoPlan, match=f"a qubit waits {oldest_s:.4g} s on average"):
        plan_pair(Residual(topology), asked("A", "D", age_s=oldest_s * 0.999), "hop-by-hop")


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(7))
def test_plans_walk_along_the_tables_within_every_capacity(topology: Topology) -> None:
    residual = Residual(topology)
    tables = next_hops(residual)
    for other in list(topology.nodes)[1:]:
        if other not in tables["A"]:
            with pytest.raises(NoPlan):
                hop_by_hop.plan(residual, asked("A", other), Options())
            continue
        found = hop_by_hop.plan(residual, asked("A", other, age_s=math.inf), Options())
        route = route_of(found.tree)
        assert all(tables[here][other] == there for here, there in pairwise(route))
        latency_s = link_latency_s(topology, *route[:2])
        for index in range(1, len(route) - 1):
            node = topology.nodes[route[index]]
            words_s = max(topology.delay_s(node.name, "A"), topology.delay_s(node.name, route[index + 1]))
            latency_s += link_latency_s(topology, *route[index : index + 2]) + node.swap_s + words_s
            latency_s /= node.swap_probability
        assert found.latency_s == pytest.approx(latency_s, rel=1e-12)
        assert residual.lacks(found.use) is None
        assert found.rate_hz == pytest.approx(1.0 / latency_s, rel=1e-12)


def test_a_node_that_never_succeeds_in_a_swap_is_walked_around() -> None:
    nodes = {name: Node(name=name, swap_probability=0.0 if name == "B" else 0.4) for name in "ABCD"}
    lengths = {("A", "B"): 1.0, ("B", "D"): 1.0, ("A", "C"): 20.0, ("C", "D"): 20.0}
    links = [link_between(nodes[a], nodes[b], km, optical_probability=0.2) for (a, b), km in lengths.items()]
    found = plan_pair(Residual(Topology.of(nodes.values(), links)), asked("A", "D"), "hop-by-hop")
    assert route_of(found.tree) == ("A", "C", "D")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"fidelity": 0.99}, r"fidelity 0\.99 is not reached: at most 0\.98"),
        ({"leaves": 1}, "2 leaves, limit 1"),
        ({"age_s": 1e-6}, r"on average, limit 1e-06 s"),
    ],
)
def test_a_limit_that_the_walk_breaks_is_one_clear_sentence(limits: dict[str, float], words: str) -> None:
    with pytest.raises(NoPlan, match=words):
        plan_pair(Residual(chain(10.0, 10.0)), asked("A", "C", **limits), "hop-by-hop")


def test_walks_are_slower_than_trees() -> None:
    nodes = [Node(name=name, position_km=(10.0 * index, 0.0)) for index, name in enumerate("ABCDE")]
    links = [
        link_between(a, b, math.dist(a.position_km or (), b.position_km or ()))
        for a, b in combinations(nodes, 2)
    ]
    residual = Residual(Topology.of(nodes, links))
    walk: Tree = plan_pair(residual, asked("A", "E"), "hop-by-hop").tree
    assert walk.latency_s >= plan_pair(residual, asked("A", "E")).latency_s
