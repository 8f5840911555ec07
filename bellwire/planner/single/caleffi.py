"""Caleffi's optimal path with a balanced tree: baseline "caleffi" (Caleffi 2017; algorithms.md 1.4).

Owns the enumeration of simple routes and the baseline's own latency, T = (max(T_l, T_r) + t_b + t_c)/p_b
without the waiting factor 3/2; that is why its promises are more hopeful than those of the other methods.
Refuses large networks.
"""

from itertools import islice
from typing import Final

import networkx as nx

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.finishing import why_none
from bellwire.planner.single.openings import leaves_of, may_swap
from bellwire.planner.structures import LinkLeaf, SwapNode, Tree, swap_busy_s

METHOD = "caleffi"
ROUTES_MAX: Final = 20_000
"""Simple routes looked at; their number grows exponentially with the network."""


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The best balanced tree over all simple routes, not throttled.

    Raises:
        NoPlan: no way, a limit that none keeps, or more than ROUTES_MAX routes.
    """
    source, destination = request.source, request.destination
    graph: nx.Graph[NodeId] = nx.Graph()
    graph.add_nodes_from((source, destination))
    for a, b in leaves_of(residual, options):
        if all(name in (source, destination) or may_swap(residual, name, options) for name in (a, b)):
            graph.add_edge(a, b)
    routes = [
        tuple(route)
        for route in islice(
            nx.all_simple_paths(graph, source, destination, cutoff=request.limits.leaves), ROUTES_MAX + 1
        )
    ]
    if len(routes) > ROUTES_MAX:
        raise NoPlan(f'{source}-{destination}: more than {ROUTES_MAX} routes; method "{METHOD}" tries all')
    if not routes:
        raise NoPlan(why_none(residual, request, options))
    trees = sorted((_balanced(residual, route) for route in routes), key=lambda tree: tree.latency_s)
    first: NoPlan | None = None
    for tree in trees:
        try:
            return assess(tree, residual, METHOD, request.limits)
        except NoPlan as reason:
            first = first or reason
    assert first is not None
    raise first


def _balanced(residual: Residual, route: tuple[NodeId, ...]) -> Tree:
    topology = residual.topology
    if len(route) == 2:
        link = topology.link(*route)
        assert link is not None
        return LinkLeaf(route[0], route[1], residual.link_latency_s(link))
    middle = (len(route) - 1) // 2
    one, other = _balanced(residual, route[: middle + 1]), _balanced(residual, route[middle:])
    busy_s = swap_busy_s(topology, route[0], route[middle], route[-1])
    chance = topology.nodes[route[middle]].swap_probability
    slower_s = max(one.latency_s, other.latency_s)
    return SwapNode(one, other, (slower_s + busy_s) / chance if chance > 0.0 else float("inf"))
