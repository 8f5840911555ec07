"""What of a target graph happens inside nodes: edges between vertices at one node, vertices without a pair.

Owns that split. Refuses operations and costs.
"""

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.graph_parts import Spot
from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.multipartite.values import Vertex


@dataclass(frozen=True)
class Inside:
    """A target seen from inside its nodes."""

    target: TargetGraph

    @cached_property
    def spots(self) -> dict[Vertex, Spot]:
        """Every vertex as a spot."""
        return {vertex: Spot(vertex, node) for vertex, node in self.target.places.items()}

    @cached_property
    def local(self) -> tuple[tuple[Vertex, Vertex], ...]:
        """Edges inside a node."""
        places = self.target.places
        return tuple(edge for edge in self.target.edges if places[edge[0]] == places[edge[1]])

    @cached_property
    def remote(self) -> tuple[tuple[Spot, Spot], ...]:
        """Edges between two nodes: each takes a pair."""
        inner = set(self.local)
        return tuple((self.spots[a], self.spots[b]) for a, b in self.target.edges if (a, b) not in inner)

    @cached_property
    def own(self) -> tuple[Vertex, ...]:
        """Vertices all of whose edges are local: qubits that their node prepares alone."""
        paired = {spot.name for edge in self.remote for spot in edge}
        return tuple(vertex for vertex in self.target.places if vertex not in paired)

    @cached_property
    def _groups(self) -> tuple[tuple[frozenset[Vertex], frozenset[Vertex]], ...]:
        """Connected groups of own vertices, each with the other vertices that have an edge to it."""
        found: list[tuple[frozenset[Vertex], frozenset[Vertex]]] = []
        own, seen = set(self.own), set[Vertex]()
        for start in self.own:
            if start in seen:
                continue
            group, touched, waiting = {start}, set[Vertex](), [start]
            while waiting:
                beside = self.target.graph.of(waiting.pop())
                touched |= beside - own
                waiting += sorted((beside & own) - group)
                group |= beside & own
            seen |= group
            found.append((frozenset(group), frozenset(touched)))
        return tuple(found)

    @cached_property
    def joins(self) -> tuple[frozenset[Spot], ...]:
        """Spots that local edges connect, directly or through a group of own vertices."""
        direct = [{a, b} for a, b in self.local if a not in self.own and b not in self.own]
        through = [touched for _, touched in self._groups if len(touched) > 1]
        return tuple(frozenset(self.spots[each] for each in group) for group in (*direct, *through))

    def between(self, node: NodeId, one: Container[Vertex], other: Container[Vertex]) -> tuple[Vertex, ...]:
        """Own vertices of a node through which local edges lead from some vertices to some others."""
        found: set[Vertex] = set()
        for group, touched in self._groups:
            if any(each in one for each in touched) and any(each in other for each in touched):
                found |= group
        return tuple(each for each in self.own if each in found and self.target.places[each] == node)
