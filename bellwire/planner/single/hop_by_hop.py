"""Hop by hop without a tree, a baseline: next-hop tables and their latency (algorithms.md 6.1).

Owns the tables that a connectionless protocol follows, and method "hop-by-hop", which says what a pair costs
when every hop waits for the one before it. Refuses the protocol itself.
"""

import heapq
import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.assessment import Outlook, PairPlan, assess, swapped_state
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.finishing import why_none
from bellwire.planner.single.openings import leaves_of, may_swap
from bellwire.planner.structures import LinkLeaf, SwapNode, Tree, swap_busy_s
from bellwire.planner.topology import Link

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

    A failed swap starts again at the source. The held pair waits for every link pair from the moment that it
    is asked for; the link pair waits for nothing. Not throttled: a link serves each request as fast as it can
    when its turn comes, and is reserved at that rate although it rests in between.

    Raises:
        NoPlan: there is no way, or the shortest one breaks a limit or lacks capacity.
    """
    beside = _neighbours(residual, "latency", options)
    towards = _towards(residual, request.destination, beside, options)
    if request.source not in towards:
        raise NoPlan(why_none(residual, request, options))
    route = [request.source]
    while route[-1] != request.destination:
        route.append(towards[route[-1]][1])
    hops = [LinkLeaf(a, b, residual.link_latency_s(_link(residual, a, b))) for a, b in pairwise(route)]
    tree: Tree = hops[0]
    for leaf in hops[1:]:
        tree = _followed(residual, tree, leaf)
    limits = request.limits
    found = assess(tree, residual, METHOD, Limits(age_s=math.inf, leaves=limits.leaves))
    seen, oldest_s = _outlook(residual, hops)
    name = f"{request.source}-{request.destination}"
    if oldest_s >= limits.age_s:
        raise NoPlan(f"{name}: a qubit waits {oldest_s:.4g} s on average, limit {limits.age_s:g} s")
    if limits.fidelity is not None and seen.state[0] < limits.fidelity:
        shown = math.floor(seen.state[0] * 1e4) / 1e4
        raise FidelityMissed(f"{name}: fidelity {limits.fidelity:g} is not reached: at most {shown:.4f}")
    ages_s = (seen.left_age_s, seen.right_age_s)
    return replace(found, fidelity=seen.state[0], state=seen.state, ages_s=ages_s)


def _followed(residual: Residual, tree: Tree, leaf: LinkLeaf) -> SwapNode:
    chance = residual.topology.nodes[tree.right].swap_probability
    busy_s = swap_busy_s(residual.topology, tree.left, tree.right, leaf.right)
    return SwapNode(tree, leaf, (tree.latency_s + leaf.latency_s + busy_s) / chance)


def _outlook(residual: Residual, hops: list[LinkLeaf]) -> tuple[Outlook, float]:
    """Ages and state of the pair at the end of the walk, and the largest age of any qubit on the way.

    The held pair waits T_link at every further hop.
    """
    topology = residual.topology
    first = _link(residual, hops[0].left, hops[0].right)
    held = Outlook(first.success_s, first.success_s, first.state, 1.0)
    oldest_s = first.success_s
    for leaf in hops[1:]:
        link = _link(residual, leaf.left, leaf.right)
        state = swapped_state(
            topology, hops[0].left, leaf.left, leaf.right, held.state, link.state, leaf.latency_s, 0.0
        )
        chance = held.success_probability * topology.nodes[leaf.left].swap_probability
        left_age_s, inner_age_s = held.left_age_s + leaf.latency_s, held.right_age_s + leaf.latency_s
        oldest_s = max(oldest_s, left_age_s, inner_age_s, link.success_s)
        held = Outlook(left_age_s, link.success_s, state, chance)
    return held, oldest_s


def _link(residual: Residual, a: NodeId, b: NodeId) -> Link:
    link = residual.topology.link(a, b)
    if link is None:
        raise LocalMisuse(f"a table leads from {a} to {b}, which have no link")
    return link
