"""The graph state that is asked for: vertices at nodes, edges between vertices.

Owns `TargetGraph`, `GraphRequest` and the shape of a target, checked when they are made. Refuses plans.

Several vertices may sit at one node. An edge between two of them is a CZ inside the node: it takes no pair,
no time, and always works. A vertex all of whose edges are of that kind is a qubit of its node's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan
from bellwire.planner.multipartite.graph_rules import Graph, graph_of
from bellwire.planner.multipartite.values import Vertex
from bellwire.planner.requests import Limits
from bellwire.planner.topology import Topology

Shape = Literal["path", "tree", "general"]

VERTICES_MAX: Final = 18
"""The fidelity is worked out over all 2**n stabilisers of the state: a quarter of a million at this size."""


@dataclass(frozen=True)
class TargetGraph:
    """A connected simple graph whose vertices have nodes.

    places: vertex -> node, in the order in which the plan names its members. edges: pairs of vertices.

    Raises:
        NoPlan: nothing to make, a vertex without a node, a loop, an edge that comes twice, unconnected parts,
            or all vertices at one node.
    """

    places: Mapping[Vertex, NodeId]
    edges: tuple[tuple[Vertex, Vertex], ...]

    def __post_init__(self) -> None:
        if not self.places:
            raise NoPlan("the target graph has no vertices; name at least two and join them")
        if len(self.places) > VERTICES_MAX:
            raise NoPlan(
                f"the target graph has {len(self.places)} vertices, limit {VERTICES_MAX}; ask for parts of it"
            )
        for vertex, node in self.places.items():
            if not vertex or not node:
                raise NoPlan(f'vertex "{vertex}" has no node; give every vertex a name and a node')
        seen: set[frozenset[Vertex]] = set()
        for a, b in self.edges:
            for vertex in (a, b):
                if vertex not in self.places:
                    raise NoPlan(f'edge {a}-{b} ends at vertex "{vertex}", which has no node')
            if a == b:
                raise NoPlan(f"edge {a}-{b} joins a vertex with itself")
            if frozenset((a, b)) in seen:
                raise NoPlan(f"edge {a}-{b} comes twice")
            seen.add(frozenset((a, b)))
        reached = _reached(self.graph)
        for vertex in self.places:
            if vertex not in reached:
                raise NoPlan(
                    f"the target graph is not connected: no edges lead from {next(iter(self.places))} to "
                    f"{vertex}; ask for its parts one by one"
                )
        if len(set(self.places.values())) == 1:
            raise NoPlan(
                f"all vertices are at {next(iter(self.places.values()))}: a state inside one node needs no "
                f"network"
            )

    @cached_property
    def graph(self) -> Graph[Vertex]:
        """Vertices and edges without nodes."""
        return graph_of(self.places, self.edges)

    @property
    def shape(self) -> Shape:
        """A path, a tree that is no path, or a graph with a cycle."""
        if len(self.edges) >= len(self.places):
            return "general"
        return "path" if all(len(self.graph.of(vertex)) <= 2 for vertex in self.places) else "tree"


def _reached(graph: Graph[Vertex]) -> set[Vertex]:
    start = next(iter(graph))
    reached, waiting = {start}, [start]
    while waiting:
        for beside in graph.of(waiting.pop()):
            if beside not in reached:
                reached.add(beside)
                waiting.append(beside)
    return reached


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRequest:
    """Graph states of one target.

    limits: age_s is about the mean age of any qubit, leaves about the links of all pairs together, fidelity
    about the state at delivery.
    """

    request: str
    target: TargetGraph
    limits: Limits = field(default_factory=Limits)

    def check(self, topology: Topology) -> None:
        """All nodes exist. Raises ConfigError with the nearest known name."""
        for node in self.target.places.values():
            topology.node(node)
