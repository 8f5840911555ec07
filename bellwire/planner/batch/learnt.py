"""What a network is believed to have when refusals and failures are taken into account.

Owns capacities that were learnt, and for how long they are believed. Refuses load (capacity.py).

A node that refuses a plan says what it has beside all its reservations, also those of other planners. Then
it has, for this planner, that and what this planner's own plans hold there. What failed has nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bellwire.core.ids import NodeId
from bellwire.planner.batch.admission_values import Remaining
from bellwire.planner.capacity import Residual
from bellwire.planner.topology import Pair, Topology


@dataclass(frozen=True, slots=True)
class Belief:
    """Capacity of a node or link, until a time. None: as the topology says."""

    until_ns: int
    rate_hz: float | None  # attempts per second of a node, pairs per second of a link
    memories: int | None = None  # of a node


@dataclass(slots=True)
class Learnt:
    """A topology and what is believed beyond it."""

    topology: Topology
    nodes: dict[NodeId, Belief] = field(default_factory=dict[NodeId, Belief])
    links: dict[Pair, Belief] = field(default_factory=dict[Pair, Belief])

    def seen(self) -> Topology:
        """The topology with all beliefs applied. Links keep their lengths, and words their time."""
        return _seen(self.topology, tuple(self.nodes.items()), tuple(self.links.items()))

    def forget(self, now_ns: int) -> bool:
        """Drop what is believed no longer; whether there was any."""
        nodes = {name: belief for name, belief in self.nodes.items() if now_ns < belief.until_ns}
        links = {pair: belief for pair, belief in self.links.items() if now_ns < belief.until_ns}
        dropped = len(nodes) < len(self.nodes) or len(links) < len(self.links)
        self.nodes, self.links = nodes, links
        return dropped

    def until_ns(self) -> int | None:
        """When the first belief ends; None: there is none."""
        return min((belief.until_ns for belief in (*self.nodes.values(), *self.links.values())), default=None)

    def hear(self, remaining: Remaining, residual: Residual, until_ns: int) -> None:
        """A node said what it has left beside what `residual` and others hold there."""
        node = self.topology.node(remaining.node)
        rate_hz = remaining.attempts_hz
        if rate_hz is not None:
            rate_hz = min(node.attempts_hz, rate_hz + residual.used_attempts_hz(node.name))
        memories = remaining.memories
        if memories is not None:
            memories = min(node.memories, memories + residual.used_memories(node.name))
        if rate_hz is not None or memories is not None:
            self.nodes[node.name] = Belief(until_ns, rate_hz, memories)
        for pair, left_hz in remaining.links_hz:
            link = self.topology.links.get(pair)
            if link is not None:
                self.links[pair] = Belief(until_ns, min(link.capacity_hz, left_hz + residual.used_hz(pair)))

    def lose(self, nodes: Iterable[NodeId], links: Iterable[Pair], until_ns: int) -> None:
        """Nodes and links failed."""
        for name in nodes:
            self.nodes[name] = Belief(until_ns, 0.0, 0)
        for pair in links:
            self.links[pair] = Belief(until_ns, 0.0)

    def regain(self, nodes: Iterable[NodeId], links: Iterable[Pair]) -> None:
        """Nodes and links have again what the topology says."""
        for name in nodes:
            self.nodes.pop(name, None)
        for pair in links:
            self.links.pop(pair, None)


def _seen(
    topology: Topology, nodes: tuple[tuple[NodeId, Belief], ...], links: tuple[tuple[Pair, Belief], ...]
) -> Topology:
    if not nodes and not links:
        return topology
    seen_nodes, seen_links = dict(topology.nodes), dict(topology.links)
    for name, belief in nodes:
        old = topology.nodes[name]
        seen_nodes[name] = replace(
            old,
            attempts_hz=old.attempts_hz if belief.rate_hz is None else belief.rate_hz,
            memories=old.memories if belief.memories is None else belief.memories,
        )
    for pair, belief in links:
        if belief.rate_hz is not None:
            seen_links[pair] = replace(topology.links[pair], capacity_hz=belief.rate_hz)
    return replace(topology, nodes=seen_nodes, links=seen_links)
