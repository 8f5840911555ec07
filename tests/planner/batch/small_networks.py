"""Small networks with known answers, and the accounts of a batch written out once more.

Owns lines, diamonds, and sums over trees that share nothing with the account book. Refuses tests.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

from bellwire.planner.assessment import PairPlan
from bellwire.planner.requests import Limits, PairRequest
from bellwire.planner.structures import LinkLeaf, leaves, route_of
from bellwire.planner.topology import Node, Topology, link_between, pair_of

T_LINK_S = 7.569886459e-3
"""One 10 km link with half of both nodes (algorithms.md 1.7)."""

SWAP_S = 10e-6
WORD_S = 10.0 / 2.0e5


def line(*lengths_km: float, memories: int = 50, **node: float) -> Topology:
    """Nodes A, B, C, ... on a line."""
    names = [chr(ord("A") + index) for index in range(len(lengths_km) + 1)]
    places = [math.fsum(lengths_km[:index]) for index in range(len(names))]
    nodes = [
        Node(name=name, position_km=(x, 0.0), memories=memories, **node)  # type: ignore[arg-type]
        for name, x in zip(names, places, strict=True)
    ]
    return Topology.of(
        nodes,
        [link_between(a, b, length) for (a, b), length in zip(pairwise(nodes), lengths_km, strict=True)],
    )


def diamond(memories: int = 50, middle_memories: int | None = None) -> Topology:
    """A-R-B and A-S-B, all links 10 km, words as on the straight line A-R-B."""
    middle = memories if middle_memories is None else middle_memories
    nodes = {name: Node(name=name, memories=middle if name in "RS" else memories) for name in "ABRS"}
    links = [link_between(nodes[end], nodes[at], 10.0) for at in "RS" for end in "AB"]
    delays_s = {pair_of(a, b): WORD_S * (2.0 if {a, b} == {"A", "B"} else 1.0) for a, b in _pairs("ABRS")}
    return Topology.of(nodes.values(), links, delays_s=delays_s)


def crossing() -> Topology:
    """A-B has a fast way over X and a slow one over Y and Z; C-B has only the one over X."""
    spots = {
        "A": (0.0, 0.0),
        "X": (5.0, 0.0),
        "B": (10.0, 0.0),
        "Y": (3.0, 4.0),
        "Z": (7.0, 4.0),
        "C": (5.0, -5.0),
    }
    nodes = {name: Node(name=name, position_km=spot, memories=20) for name, spot in spots.items()}
    pairs = ["AX", "XB", "AY", "YZ", "ZB", "CX"]
    links = [link_between(nodes[a], nodes[b], math.dist(spots[a], spots[b])) for a, b in pairs]
    return Topology.of(nodes.values(), links)


def grid(side: int = 3, memories: int = 8) -> Topology:
    """side x side nodes A, B, C, ... row by row, with links of 5 km to the next in each row and column."""
    nodes = [
        Node(
            name=chr(ord("A") + index),
            position_km=(5.0 * (index % side), 5.0 * (index // side)),
            memories=memories,
        )
        for index in range(side * side)
    ]
    links = [link_between(nodes[i], nodes[i + 1], 5.0) for i in range(side * side) if (i + 1) % side]
    links += [link_between(nodes[i], nodes[i + side], 5.0) for i in range(side * (side - 1))]
    return Topology.of(nodes, links)


def _pairs(names: str) -> list[tuple[str, str]]:
    return [(a, b) for a in names for b in names if a < b]


def two_hops_hz(link_s: float = T_LINK_S) -> float:
    """Eq. 1 over two links of 10 km, written out once more."""
    return 0.4 / (1.5 * link_s + SWAP_S + WORD_S)


def wanted(
    name: str,
    source: str,
    destination: str,
    *,
    rate_hz: float | None = None,
    weight: float = 1.0,
    **limits: float,
) -> PairRequest:
    """A request in one line."""
    return PairRequest(
        request=name,
        source=source,
        destination=destination,
        rate_hz=rate_hz,
        weight=weight,
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


def overspent(topology: Topology, trees: Iterable[PairPlan], rounding: float = 1e-9) -> list[str]:
    """What trees of links and swaps that run side by side take beyond what there is, by counting leaves."""
    links_hz: dict[tuple[str, str], list[float]] = {}
    qubits = dict.fromkeys(topology.nodes, 0)
    for plan in trees:
        for leaf in leaves(plan.tree):
            if isinstance(leaf, LinkLeaf):
                links_hz.setdefault(pair_of(leaf.left, leaf.right), []).append(1.0 / leaf.latency_s)
        route = route_of(plan.tree)
        for name in route:
            qubits[name] += 1 if name in (route[0], route[-1]) else 2
    attempts_hz = dict.fromkeys(topology.nodes, 0.0)
    found: list[str] = []
    for pair, rates in links_hz.items():
        link = topology.links[pair]
        if math.fsum(rates) > link.capacity_hz * (1.0 + rounding):
            found.append(f"link {pair}")
        for name in pair:
            attempts_hz[name] += math.fsum(rates) / link.success_probability
    for name, node in topology.nodes.items():
        if attempts_hz[name] > node.attempts_hz * (1.0 + rounding):
            found.append(f"attempts of {name}")
        if qubits[name] > node.memories:
            found.append(f"memories of {name}")
    return found
