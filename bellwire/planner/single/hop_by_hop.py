"""Hop by hop without a tree, a baseline: next-hop tables and their latency (algorithms.md 6.1).

Owns the tables that a connectionless protocol follows, and method "hop-by-hop", which says what a pair costs
when every hop waits for the one before it. Refuses the protocol itself.
"""

import heapq
import math
from typing import Literal

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.all_pairs import leaves_of, may_swap
from bellwire.planner.single.finishing import why_none
from bellwire.planner.structures import LinkLeaf, SwapNode, Tree, swap_busy_s

METHOD = "hop-by-hop"
Cost = Literal["hops", "length", "latency"]
"""What the shortest way is short in: links, kilometres of fibre, or seconds per link pair."""

Tables = dict[NodeId, dict[NodeId, NodeId]]
"""tables[here][destination] is the neighbour to go to."""


def next_hops(residual: Residual, cost: Cost = "latency", options: Options | None = None) -> Tables:
    """The table of every node. Ties go to the neighbour whose name comes first, so that all nodes agree."""
    options = Options() if options is None else options
    tables: Tables = {name: {} for name in residual.topology.nodes}
    beside = _neighbours(residual, cost, options)
    for destination in residual.topology.nodes:
        for here, (_, there) in _towards(residual, destination, beside, options).items():
            tables[here][destination] = there
    return tables


def _neighbours(residual: Residual, cost: Cost, options: Options) -> dict[NodeId, list[tuple[NodeId, float]]]:
    beside: dict[NodeId, list[tuple[NodeId, float]]] = {name: [] for name in residual.topology.nodes}
    for pair, leaf in leaves_of(residual, options).items():
        length = residual.topology.links[pair].length_km
        price = 1.0 if cost == "hops" else length if cost == "length" else leaf.latency_s
        beside[pair[0]].append((pair[1], price))
        beside[pair[1]].append((pair[0], price))
    return beside


def _towards(
    residual: Residual,
    destination: NodeId,
    beside: dict[NodeId, list[tuple[NodeId, float]]],
    options: Options,
) -> dict[NodeId, tuple[float, NodeId]]:
    """Cost and next hop of every node on its way to one destination."""
    found: dict[NodeId, tuple[float, NodeId]] = {}
    queue: list[tuple[float, int, NodeId, NodeId]] = [(0.0, 0, destination, destination)]
    while queue:
        price, hops, there, here = heapq.heappop(queue)  # ties: fewer hops, then the next hop's name
        if here in found:
            continue
        found[here] = (price, there)
        if here == destination or may_swap(residual, here, options):
            for name, more in beside[here]:
                if name not in found:
                    heapq.heappush(queue, (price + more, hops + 1, here, name))
    del found[destination]
    return found


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The tree that swaps at every hop in turn: T_(k+1) = (T_k + T_link + t_b + t_c)/p_b, never side by side.

    A failed swap starts again at the source. Not throttled.
    """
    towards = _towards(residual, request.destination, _neighbours(residual, "latency", options), options)
    if request.source not in towards:
        raise NoPlan(why_none(residual, request, options))
    topology = residual.topology
    here = request.source
    tree: Tree | None = None
    while here != request.destination:
        there = towards[here][1]
        link = topology.link(here, there)
        assert link is not None
        leaf = LinkLeaf(here, there, residual.link_latency_s(link))
        tree = leaf if tree is None else _followed(residual, tree, leaf)
        here = there
    assert tree is not None
    return assess(tree, residual, METHOD, request.limits)


def _followed(residual: Residual, tree: Tree, leaf: LinkLeaf) -> SwapNode:
    chance = residual.topology.nodes[tree.right].swap_probability
    busy_s = swap_busy_s(residual.topology, tree.left, tree.right, leaf.right)
    total_s = tree.latency_s + leaf.latency_s + busy_s
    return SwapNode(tree, leaf, total_s / chance if chance > 0.0 else math.inf)
