"""Every swapping tree over every simple route, by plain enumeration: the oracle of the exact programmes.

Owns an enumeration that shares nothing with the planner but the topology values, and Eq. 1 written out once
more. Refuses speed.
"""

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import hypothesis.strategies as st
import numpy as np

from bellwire.planner.topology import Link, Node, Topology, link_between, pair_of

Shape = str | tuple["Shape", "Shape"]
"""A tree over a route: a link as "a-b", or two trees."""


def simple_routes(topology: Topology, source: str, destination: str) -> Iterator[tuple[str, ...]]:
    """All simple routes, by depth-first search."""

    def walk(route: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if route[-1] == destination:
            yield route
            return
        for (a, b), link in topology.links.items():
            if link.success_probability > 0.0 and route[-1] in (a, b):
                there = b if route[-1] == a else a
                if there not in route:
                    yield from walk((*route, there))

    yield from walk((source,))


def trees_over(left: int, right: int) -> Iterator["int | tuple[object, object]"]:
    """All binary trees over links left..right-1; a link is its number."""
    if right - left == 1:
        yield left
        return
    for at in range(left + 1, right):
        for one in trees_over(left, at):
            for other in trees_over(at, right):
                yield (one, other)


def link_latency_s(topology: Topology, a: str, b: str, share_a: float = 0.5, share_b: float = 0.5) -> float:
    """T_link of 1.1 with nothing in use."""
    link = topology.links[pair_of(a, b)]
    first, second = link.ends
    shares = {a: share_a, b: share_b}
    rate = min(
        min(
            shares[first] * topology.nodes[first].attempts_hz,
            shares[second] * topology.nodes[second].attempts_hz,
        )
        * link.success_probability,
        link.capacity_hz,
    )
    return 1.0 / rate if rate > 0.0 else math.inf


def eq1_s(
    topology: Topology, route: tuple[str, ...], tree: object, leaf_s: list[float], exponential: bool = False
) -> tuple[float, int, int]:
    """(latency, left position, right position) of a tree over a route, by Eq. 1."""
    if isinstance(tree, int):
        return leaf_s[tree], tree, tree + 1
    assert isinstance(tree, tuple)
    t_l, left, at = eq1_s(topology, route, tree[0], leaf_s, exponential)
    t_r, _, right = eq1_s(topology, route, tree[1], leaf_s, exponential)
    node = topology.nodes[route[at]]
    t_c = max(topology.delay_s(route[at], route[left]), topology.delay_s(route[at], route[right]))
    if math.inf in (t_l, t_r) or node.swap_probability == 0.0 or not node.relays or node.memories < 2:
        return math.inf, left, right
    wait = t_l + t_r - 1.0 / (1.0 / t_l + 1.0 / t_r) if exponential else 1.5 * max(t_l, t_r)
    return (wait + node.swap_s + t_c) / node.swap_probability, left, right


def all_latencies(
    topology: Topology, source: str, destination: str, exponential: bool = False
) -> Iterator[tuple[float, tuple[str, ...], object]]:
    """(latency, route, tree) of every tree over every simple route at half capacities."""
    for route in simple_routes(topology, source, destination):
        leaf_s = [link_latency_s(topology, a, b) for a, b in pairwise(route)]
        if math.inf in leaf_s:
            continue
        for tree in trees_over(0, len(leaf_s)):
            yield eq1_s(topology, route, tree, leaf_s, exponential)[0], route, tree


def best_latency_s(topology: Topology, source: str, destination: str, exponential: bool = False) -> float:
    """The least latency of all trees, or inf."""
    return min(
        (each[0] for each in all_latencies(topology, source, destination, exponential)), default=math.inf
    )


@st.composite
def networks(draw: st.DrawFn, most: int = 7, *, slow_words: bool = False, alike: bool = False) -> Topology:
    """Small random networks: unequal links, swaps, memories and places; sometimes disconnected.

    slow_words: classical words may take longer than pairs, which is where loops could pay. alike: all nodes
    have the defaults.
    """
    seed = draw(st.integers(0, 2**32 - 1))
    size = draw(st.integers(2, most))
    chance = np.random.default_rng(seed)
    placed = bool(chance.random() < 0.7)
    names = [chr(ord("A") + index) for index in range(size)]
    nodes: list[Node] = []
    for name in names:
        x, y = (float(each) for each in chance.uniform(0.0, 40.0, 2))
        own = (
            {}
            if alike
            else {
                "memories": int(chance.integers(1, 6)),
                "swap_probability": float(chance.choice([0.2, 0.4, 0.6, 1.0])),
                "swap_s": float(chance.choice([0.0, 1e-5, 1e-3])),
                "attempts_hz": float(chance.choice([5e3, 2e4, 1e6])),
                "relays": bool(chance.random() < 0.9),
            }
        )
        nodes.append(Node(name=name, position_km=(x, y) if placed else None, **own))  # type: ignore[arg-type]
    links: list[Link] = []
    density = float(chance.uniform(0.3, 0.9))
    for i in range(size):
        for j in range(i + 1, size):
            if chance.random() < density:
                length = float(chance.uniform(0.1, 30.0))
                links.append(
                    link_between(nodes[i], nodes[j], length, fidelity=float(chance.uniform(0.9, 1.0)))
                )
    delays = None
    if slow_words:
        delays = {
            pair_of(a, b): float(chance.choice([1e-5, 1e-3, 0.1])) for a in names for b in names if a < b
        }
    return Topology.of(nodes, links, delays_s=delays)


def uneven_network(seed: int) -> Topology:
    """Five nodes whose links differ by a thousand; some have sure swaps, some are forgetful, some slow."""
    chance = np.random.default_rng(seed)
    nodes: list[Node] = []
    for name in "ABCDE":
        decay_hz = float(chance.choice([0.0, 1.0, 10.0]))
        nodes.append(
            Node(
                name=name,
                position_km=(float(chance.uniform(0.0, 20.0)), 0.0),
                attempts_hz=float(chance.choice([5e3, 2e4, 2e4, 1e5])),
                swap_probability=float(chance.choice([0.5, 1.0])),
                decay_hz=(decay_hz, decay_hz, decay_hz),
            )
        )
    links = [
        link_between(
            one,
            other,
            5.0,
            fidelity=float(chance.uniform(0.9, 1.0)),
            success_probability=float(10.0 ** chance.uniform(-4.0, -1.0)),
        )
        for one, other in combinations(nodes, 2)
        if chance.random() < 0.7
    ]
    return Topology.of(nodes, links)


def loopy_network(seed: int) -> Topology:
    """Six nodes between some of which a word takes seconds, so that a loop over a third one may pay."""
    chance = np.random.default_rng(seed)
    names = "ABCDEF"
    nodes = [Node(name=name, swap_probability=float(chance.choice([0.6, 1.0])), swap_s=0.0) for name in names]
    links = [
        link_between(
            one,
            other,
            1.0,
            success_probability=float(10.0 ** chance.uniform(-4.0, -1.0)),
            attempt_s=0.0,
        )
        for one, other in combinations(nodes, 2)
        if chance.random() < 0.6
    ]
    delays_s = {pair: float(10.0 ** chance.uniform(-4.0, 0.5)) for pair in combinations(names, 2)}
    return Topology.of(nodes, links, delays_s=delays_s)
