"""Every order in which a graph state can be put together, by plain enumeration: the oracle of the programme.

Owns an enumeration that knows nothing of the planner but the network, and the latency rules of algorithms.md
1.1, 4.1 and 4.3 written out once more. Refuses speed.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bellwire.planner.topology import Topology


class Place(NamedTuple):
    """Where pairs meet: a vertex, or a repeater that is measured out."""

    name: str
    node: str
    stays: bool = True


class Edge(NamedTuple):
    """A pair between two places, one every `latency_s`."""

    one: Place
    other: Place
    latency_s: float


class State(NamedTuple):
    """What some edges were made into."""

    edges: frozenset[Edge]
    latency_s: float

    def alive(self) -> set[Place]:
        """Places with a qubit: repeaters between two edges are gone."""
        count = Counter(place for edge in self.edges for place in (edge.one, edge.other))
        return {place for place, times in count.items() if place.stays or times == 1}

    def is_pair(self) -> bool:
        """Nothing but swaps was done to it."""
        inner = len(self.edges) - 1
        return len(self.alive()) == 2 and sum(1 for place in self.places() if not place.stays) >= inner

    def places(self) -> set[Place]:
        """All places that it touches, also those that are measured out."""
        return {place for edge in self.edges for place in (edge.one, edge.other)}


def made_of(
    topology: Topology, one: State, other: State, joins: Sequence[set[str]], exponential: bool = False
) -> float | None:
    """Least latency of the product of two states; None where they do not touch."""
    t_a, t_b = one.latency_s, other.latency_s
    if math.inf in (t_a, t_b):
        return math.inf
    wait = t_a + t_b - 1.0 / (1.0 / t_a + 1.0 / t_b) if exponential else 1.5 * max(t_a, t_b)
    owners = one.alive() | other.alive()
    common = one.alive() & other.alive()
    if not common:
        names, others = ({place.name for place in state.alive()} for state in (one, other))
        touch = any(group & names and group & others for group in joins)
        return wait if touch else None
    best = math.inf
    for order in itertools.permutations(sorted(common)):
        total = wait
        for place in order:
            node = topology.nodes[place.node]
            t_c = max(topology.delay_s(place.node, owner.node) for owner in owners)
            if not place.stays and one.is_pair() and other.is_pair():
                chance, busy = node.swap_probability, node.swap_s
            else:
                chance, busy = node.p_f, node.t_f
            total = (total + busy + t_c) / chance if chance > 0.0 else math.inf
        best = min(best, total)
    return best


def all_latencies(
    topology: Topology, edges: Sequence[Edge], joins: Sequence[set[str]] = (), exponential: bool = False
) -> Iterator[float]:
    """The latency of every sequence of joins that ends in one state."""

    def go(states: list[State]) -> Iterator[float]:
        if len(states) == 1:
            yield states[0].latency_s
            return
        for i, j in itertools.combinations(range(len(states)), 2):
            total = made_of(topology, states[i], states[j], joins, exponential)
            if total is not None:
                rest = [state for index, state in enumerate(states) if index not in (i, j)]
                yield from go([*rest, State(states[i].edges | states[j].edges, total)])

    yield from go([State(frozenset({edge}), edge.latency_s) for edge in edges])


def spanning_trees(names: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """All trees over some names, by Pruefer's sequences."""
    if len(names) == 2:
        yield [(names[0], names[1])]
        return
    for sequence in itertools.product(names, repeat=len(names) - 2):
        degree = Counter(sequence)
        edges: list[tuple[str, str]] = []
        left = list(names)
        for inner in sequence:
            leaf = next(name for name in left if degree[name] == 0)
            edges.append((leaf, inner))
            left.remove(leaf)
            degree[inner] -= 1
        edges.append((left[0], left[1]))
        yield edges
