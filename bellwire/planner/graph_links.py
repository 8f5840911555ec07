"""Which links a graph state is made of: the tree of a GHZ state where it serves, else routes along the edges.

Owns the choice between the two. Refuses the search for trees (multipartite/ghz_steiner.py) and the rule that
says what a tree can carry (graph_knots.py).

A star around the source can be made on every tree of links. Other graphs cannot: then each edge of the graph
is given a route of its own, and no node but the two ends of the edge is on another route. Such links always
carry the graph; where they cannot be found one after the other, the request is refused.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from bellwire.core.graph_states import GraphEdges, neighbours
from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan
from bellwire.planner.topology import Topology, pair_of


def along_edges(topology: Topology, members: Sequence[NodeId], graph: GraphEdges) -> Topology:
    """Only links of routes for the edges of the graph, the fastest first, from the source outward.

    Raises:
        NoPlan: an edge has no route that the others leave free.
    """
    import networkx as nx  # slow to load, and most requests do not come here

    network: nx.Graph[str] = nx.Graph()
    for pair, link in topology.links.items():
        if link.capacity_hz > 0.0:
            network.add_edge(*pair, latency_s=1.0 / link.capacity_hz)
    taken = set(members)
    routes: list[list[NodeId]] = []
    for one, other in _outward(members[0], graph):
        free = [
            name
            for name, node in topology.nodes.items()
            if name in network and (name in (one, other) or (node.relays and name not in taken))
        ]
        found = _route(nx, network.subgraph(free), one, other)
        if found is None:
            raise NoPlan(
                f"no tree of links carries this graph: the edge {one}-{other} has no route beside those of "
                "the other edges; choose edges that follow the links, or add links"
            )
        routes.append(found)
        taken.update(found)
    used = {pair_of(a, b) for route in routes for a, b in pairwise(route)}
    return replace(topology, links={pair: topology.links[pair] for pair in used})


def _route(nx: Any, network: Any, one: NodeId, other: NodeId) -> list[NodeId] | None:
    try:
        found: list[NodeId] = nx.dijkstra_path(network, one, other, weight="latency_s")
    except (nx.NetworkXNoPath, nx.NodeNotFound):
        return None
    return found


def _outward(source: NodeId, graph: GraphEdges) -> list[tuple[NodeId, NodeId]]:
    """The edges from the source outward, each with its nearer end first."""
    beside = neighbours(graph)
    found: list[tuple[NodeId, NodeId]] = []
    seen, waiting = {source}, [source]
    for here in waiting:
        for there in beside[here]:
            if there not in seen:
                seen.add(there)
                waiting.append(there)
                found.append((here, there))
    return found
