"""GHZ states by fusion-retain only: method "ghz-retain" (algorithms.md 4.2).

Owns the five steps: latencies of all pairs, the spanning tree of the members with the fastest pairs, the
common optimum of the tree's pairs, the exact order of fusions, and rounds that give slow pairs more. Refuses
the parts: single/all_pairs.py, batch/optimum.py, ghz_orders.py. Only members fuse, and each stays; nodes
between them swap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Final

from bellwire.planner.batch.optimum import plan_levels
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.multipartite.ghz_finishing import finished, why_apart
from bellwire.planner.multipartite.ghz_orders import best_order
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, FusionTree, leaves, throttled
from bellwire.planner.multipartite.values import MultipartitePlan, PairSupply
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.structures import route_of
from bellwire.planner.topology import Pair, Topology, pair_of

METHOD: Final = "ghz-retain"
MEMBERS_MAX: Final = 10
"""The programme over connected subsets grows as 3**members."""

ROUNDS_MAX: Final = 4
"""Times that the linear programme is solved: each round weighs pairs by the pace that their fusions need."""


def plan(residual: Residual, request: GhzRequest, options: Options) -> MultipartitePlan:
    """The fastest order of fusions over the pairs of a maximum spanning tree of the members.

    Raises:
        NoPlan: more than 10 members, no way or no capacity between them, or a broken limit; the text says
            which.
    """
    if len(request.members) > MEMBERS_MAX:
        raise NoPlan(
            f"request {request.request}: {METHOD} plans {MEMBERS_MAX} members at most, not "
            f"{len(request.members)}; ghz-steiner plans any number"
        )
    trees = AllTrees(residual, options)
    pairs = spanning_pairs(residual, request, options, trees)
    ground = Residual(_laid_over(residual.topology, trees, pairs), residual.taken)
    best: tuple[FusionTree, Sequence[PairSupply]] | None = None
    weights: Mapping[Pair, float] = dict.fromkeys(pairs, 1.0)
    for _ in range(ROUNDS_MAX):
        supplies = _supplies(ground, request, options, pairs, weights)
        ends = [
            FusionLeaf(index, each.left, each.right, each.latency_s) for index, each in enumerate(supplies)
        ]
        tree = best_order(residual.topology, ends, request.members, options.waiting)
        if best is not None and not tree.latency_s < best[0].latency_s * (1.0 - 1e-6):
            break
        best = (tree, supplies)
        if len(pairs) == 1 or not tree.latency_s < float("inf"):
            break
        weights = {
            pairs[leaf.pair]: 1.0 / leaf.latency_s for leaf in leaves(throttled(tree, residual.topology))
        }
    assert best is not None
    return finished(request, residual, options, METHOD, *best)


def spanning_pairs(
    residual: Residual, request: GhzRequest, options: Options, trees: AllTrees
) -> tuple[Pair, ...]:
    """The maximum spanning tree of the members, weighted by the rates of their pairs (Kruskal).

    A member holds no more pairs than it has free memories, and one where it cannot fuse; where that does not
    bind, no spanning tree has a faster slowest pair.

    Raises:
        NoPlan: members cannot be joined.
    """
    order = residual.topology.order
    rated = sorted(
        (float(trees.latency_s[order[a], order[b]]), pair_of(a, b))
        for a, b in combinations(request.members, 2)
        if trees.tree(a, b) is not None
    )
    group = {member: frozenset((member,)) for member in request.members}
    room = {
        member: residual.memories(member) if residual.topology.nodes[member].p_f > 0.0 else 1
        for member in request.members
    }
    chosen: list[Pair] = []
    for _, (a, b) in rated:
        if group[a] != group[b] and room[a] and room[b]:
            chosen.append((a, b))
            room[a], room[b] = room[a] - 1, room[b] - 1
            joined = group[a] | group[b]
            group |= dict.fromkeys(joined, joined)
    if len(chosen) < len(request.members) - 1:
        a = request.members[0]
        b = next(member for member in request.members if member not in group[a])
        if trees.tree(a, b) is None:
            raise NoPlan(f"request {request.request}: {why_apart(residual, a, b, options)}")
        raise NoPlan(
            f"request {request.request}: the members have not enough free memories, or cannot fuse, to be "
            f"joined in pairs; ghz-steiner may use other nodes"
        )
    return tuple(chosen)


def _laid_over(topology: Topology, trees: AllTrees, pairs: Sequence[Pair]) -> Topology:
    """Only the nodes and links of the pairs' fastest routes, with the delays of the whole network."""
    links: dict[Pair, None] = {}
    for pair in pairs:
        tree = trees.tree(*pair)
        assert tree is not None
        links.update(dict.fromkeys(pair_of(a, b) for a, b in pairwise(route_of(tree))))
    inside = {name for link in links for name in link}
    return Topology(
        {name: node for name, node in topology.nodes.items() if name in inside},
        {link: topology.links[link] for link in links},
        {(a, b): topology.delay_s(a, b) for a in inside for b in inside if a < b},
    )


def _supplies(
    ground: Residual,
    request: GhzRequest,
    options: Options,
    pairs: Sequence[Pair],
    weights: Mapping[Pair, float],
) -> list[PairSupply]:
    """The trees of all pairs at rates in proportion to their weights, as fast as the network allows.

    Where the memories do not hold all trees of the common optimum, each pair gets a tree of its own in turn.
    """
    most = max(weights.values())
    asked = [
        PairRequest(request=f"{a}-{b}", source=a, destination=b, weight=weights[a, b] / most)
        for a, b in pairs
    ]
    try:
        shares = plan_levels(ground, asked, "max_min", options=options).shares
        return [PairSupply(share.trees) for share in shares]
    except NoPlan:
        book = ground.copy()
        supplies: list[PairSupply] = []
        for each in asked:
            try:
                found = plan_pair(book, replace(each, weight=1.0), options=options)
            except NoPlan as reason:
                raise NoPlan(f"request {request.request}: beside its other pairs, {reason}") from reason
            book.claim(f"{request.request} {each.request}", found.use)
            supplies.append(PairSupply((found,)))
        return supplies
