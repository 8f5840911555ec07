"""The fastest tree that keeps every limit: age, leaves, fidelity, life of stored pairs (algorithms.md 1.3).

Owns the search over simple trees in order of latency, with limits inside. Refuses the case without active
limits, which all_pairs.py and usage.py answer sooner, and what a subtree is (subtrees.py).

A subtree that is no better than another in anything that a limit can ask for is dropped; all others are kept.
Subtrees come out of a queue by latency (Knuth 1977: both children are faster than their tree), so the first
tree between source and destination that keeps the limits is the fastest there is.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.bounds import Bounds
from bellwire.planner.single.openings import leaves_of, may_swap
from bellwire.planner.single.subtrees import Piece, Subtree, joined, mirrored, planted
from bellwire.planner.structures import THREE_HALVES, Tree, turned

JOINS_MAX: Final = 200_000
"""Swaps tried before the search gives up; 50 nodes with tight limits need some ten thousands."""

HALVES: Final = 2
"""Quanta of a node in the "50-50" programme: one for each of the two links of a route."""


def halves_of(residual: Residual, request: PairRequest, options: Options) -> list[Piece]:
    """The leaves of the "50-50" programme, the links beside stored pairs included."""
    links = [Piece(leaf, 1, 1) for leaf in leaves_of(residual, options).values()]
    if options.route is not None:
        return links
    kept = (leaf for leaf in request.stored if not {leaf.left, leaf.right} & options.avoid)
    return [*links, *(Piece(leaf, 0, 0) for leaf in kept)]


def limited_trees(
    residual: Residual,
    request: PairRequest,
    options: Options,
    pieces: Iterable[Piece] | None = None,
    quanta: int = HALVES,
) -> Iterator[Tree]:
    """Trees of a request that keep its limits, fastest first, not throttled.

    pieces: leaves, whose shares at a swapping node sum to `quanta` or less; None: those of `halves_of`.

    Raises:
        NoPlan: JOINS_MAX swaps were tried without an answer.
    """
    topology, limits = residual.topology, request.limits
    order = topology.order
    pieces = halves_of(residual, request, options) if pieces is None else list(pieces)
    bounds = Bounds(residual, request, options, [piece.leaf for piece in pieces])
    goal = (request.source, request.destination)
    queue: list[tuple[float, int, int, Subtree]] = []
    ticket = count()
    kept: dict[NodeId, dict[NodeId, list[Subtree]]] = {name: {} for name in topology.nodes}  # left -> right
    swaps = {name for name in topology.nodes if may_swap(residual, name, options)}
    for piece in pieces:
        first = planted(residual, piece, limits.fidelity is not None)
        if _possible(first, limits, bounds):
            heapq.heappush(queue, (first.latency_s, 1, next(ticket), first))
    latest_s = _latest_s(residual, limits, swaps)
    joins = 0
    while queue:
        _, _, _, subtree = heapq.heappop(queue)
        left, right = subtree.tree.left, subtree.tree.right
        if subtree.latency_s > latest_s and not (subtree.leaves == 1 and {left, right} == set(goal)):
            continue  # only a link between the two needs no wait
        beside = kept[left].setdefault(right, [])
        if any(other.serves_instead_of(subtree, options.throttles) for other in beside):
            continue
        if {left, right} == set(goal):
            yield subtree.tree if left == goal[0] else turned(subtree.tree)
            continue
        beside.append(subtree)
        turned_round = mirrored(subtree)
        kept[right].setdefault(left, []).append(turned_round)
        for one in (subtree, turned_round):  # joined at its right end with everything that begins there
            at = one.tree.right
            if at not in swaps or at in goal:
                continue
            for others in list(kept[at].values()):
                for other in others:
                    if one.nodes & other.nodes != 1 << order[at]:
                        continue
                    if one.right_quanta + other.left_quanta > quanta:
                        continue
                    joins += 1
                    if joins > JOINS_MAX:
                        raise NoPlan(f"{goal[0]}-{goal[1]}: none of {JOINS_MAX} swaps led to the limits")
                    whole = joined(residual, one, other, options)
                    if _possible(whole, limits, bounds):
                        heapq.heappush(queue, (whole.latency_s, whole.leaves, next(ticket), whole))


def _latest_s(residual: Residual, limits: Limits, swaps: set[NodeId]) -> float:
    """A tree slower than this breaks the age limit at its last swap: one side waits at least T_child/2 there.

    T_child = (T p_b - t_b - t_c)/1.5, with the least p_b and the longest t_b + t_c of all nodes.
    """
    nodes = [residual.topology.nodes[name] for name in swaps]
    chance = min((node.swap_probability for node in nodes), default=1.0)
    delays_s = residual.topology.delay_matrix_s
    farthest_s = float(delays_s[delays_s < math.inf].max(initial=0.0))
    busy_s = max((node.swap_s for node in nodes), default=0.0) + farthest_s
    return (2.0 * THREE_HALVES * limits.age_s + busy_s) / chance if chance > 0.0 else math.inf


def _possible(subtree: Subtree, limits: Limits, bounds: Bounds) -> bool:
    """Can keep the limits with the cheapest links that lead from its ends to source and destination."""
    latency_s = subtree.latency_s
    if not latency_s <= subtree.latency_max_s or latency_s == math.inf:
        return False
    if subtree.oldest_s(latency_s) >= limits.age_s:
        return False
    way = bounds.ways(subtree.tree.left, subtree.tree.right)
    if limits.leaves is not None and min(subtree.leaves + each.links for each in way) > limits.leaves:
        return False
    if limits.fidelity is None:
        return any(each.links < math.inf for each in way)
    losses = [loss.of(latency_s) for loss in subtree.losses]
    return any(each.fidelity(losses) >= limits.fidelity * (1.0 - 1e-12) for each in way)
