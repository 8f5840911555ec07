"""Graph states that can be asked for: trees of members, with an edge for every controlled Z.

Owns the check of a wanted graph, where its vertices stand, how many members a state may have, and whose
frames an X of the source moves to. Refuses the way to such a state (planner/graph_knots.py,
swapping/fusion.py). Source: algorithms.md 4.3.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest

GraphEdges = tuple[tuple[NodeId, NodeId], ...]

MEMBERS_MAX: Final = 6
"""Members of a GHZ or graph state. The last join of a relay brings two qubits more together, and the World
follows eight qubits in one state (simulator_backend/clusters.py)."""


def vertices_fault(
    members: Sequence[NodeId], edges: GraphEdges, vertices: Sequence[tuple[str, NodeId]]
) -> str | None:
    """Why a map from vertices to nodes cannot be; None: it can, or there is none."""
    if not vertices:
        return None
    where = dict(vertices)
    if len(where) < len(vertices):
        names = [vertex for vertex, _ in vertices]
        return f"vertices name {next(name for name in names if names.count(name) > 1)} twice"
    unknown = sorted({vertex for edge in edges for vertex in edge} - set(where))
    if unknown:
        return f"edges name {', '.join(unknown)}, no vertex of {', '.join(where)}"
    placed = list(where.values())
    for node in placed:
        if placed.count(node) > 1:
            both = ", ".join(vertex for vertex, at in vertices if at == node)
            return f"vertices {both} are all at {node}; a node holds one qubit of a state"
    if set(placed) != set(members):
        return f"vertices stand at {', '.join(placed)}, target_nodes are {', '.join(members)}: name the same"
    return None


def with_node_edges(request: EntanglementRequest) -> EntanglementRequest:
    """The same request with its edges between nodes, whatever its vertices are called."""
    if not request.vertices:
        return request
    where = dict(request.vertices)
    edges = tuple((where.get(one, one), where.get(other, other)) for one, other in request.edges)
    return msgspec.structs.replace(request, edges=edges, vertices=())


def members_fault(members: Sequence[NodeId]) -> str | None:
    """Why no state of so many members can be asked for; None: it can."""
    if len(members) > MEMBERS_MAX:
        return (
            f"a state of {len(members)} members; at most {MEMBERS_MAX} are possible: leave members out, or "
            "ask for several states that share members"
        )
    return None


def graph_fault(members: Sequence[NodeId], edges: GraphEdges) -> str | None:
    """Why no graph state of these edges can be made; None: it may, if links allow it."""
    if len(members) < 3:
        return f"{len(members)} vertices: a pair is a graph of two up to a Hadamard gate, ask for pairs"
    if not edges:
        return "a graph state without edges is not entangled; name the edges of a tree that joins all members"
    shown = " ".join(f"{one}-{other}" for one, other in edges)
    strangers = sorted({node for edge in edges for node in edge} - set(members))
    if strangers:
        return f"edges name {', '.join(strangers)}, no member of {', '.join(members)}"
    for one, other in edges:
        if one == other:
            return f"the edge {one}-{other} joins a vertex to itself; leave it out"
    if len({frozenset(edge) for edge in edges}) < len(edges):
        return f"the graph {shown} names an edge twice, which is none; leave both out, or one"
    reached = _reached(members[0], neighbours(edges))
    if len(reached) < len(members):
        apart = ", ".join(name for name in members if name not in reached)
        return f"the graph {shown} leaves {apart} apart; name the edges of a tree that joins all members"
    if len(edges) >= len(members):
        return (
            f"the graph {shown} has a cycle: {len(edges)} edges between {len(members)} vertices; trees can "
            f"be made, leave out {len(edges) - len(members) + 1} of its edges"
        )
    return members_fault(members)


def neighbours(edges: GraphEdges) -> dict[NodeId, tuple[NodeId, ...]]:
    """Beside whom each vertex is, in the order of the edges."""
    found: dict[NodeId, tuple[NodeId, ...]] = {}
    for one, other in edges:
        found[one] = (*found.get(one, ()), other)
        found[other] = (*found.get(other, ()), one)
    return found


def _reached(start: NodeId, beside: Mapping[NodeId, tuple[NodeId, ...]]) -> set[NodeId]:
    reached, waiting = {start}, [start]
    for here in waiting:
        for there in beside.get(here, ()):
            if there not in reached:
                reached.add(there)
                waiting.append(there)
    return reached


def tail_frames(
    members: Sequence[NodeId], edges: GraphEdges, signs: Mapping[NodeId, int]
) -> dict[NodeId, int]:
    """Pauli index that each member but the first applies so that the signs of all are mended.

    signs: 1 where a vertex needs a Z. The first member does nothing: a Z of its vertex is the same as an X of
    a neighbour and a Z of every other neighbour of that one (their product is a generator of the state).
    """
    head, *tails = members
    frames = {tail: signs[tail] for tail in tails}
    if signs[head]:
        beside = neighbours(edges)
        proxy = next(tail for tail in tails if tail in beside[head])
        frames[proxy] ^= 2
        for other in beside[proxy]:
            if other != head:
                frames[other] ^= 1
    return frames
