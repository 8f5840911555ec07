"""Which pairs of members are made for retained fusions: a spanning tree of the members (algorithms.md 4.2).

Owns the maximum spanning tree by pair rates, within the memories of all nodes. Refuses rates beside each
other (ghz_pairs.py) and fusions.
"""

from itertools import combinations

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan, Residual, Use
from bellwire.planner.multipartite.ghz_finishing import why_apart
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.requests import Options
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.structures import Tree
from bellwire.planner.topology import pair_of
from bellwire.planner.tree_use import use_of


def spanning_trees(residual: Residual, request: GhzRequest, options: Options) -> list[Tree]:
    """The fastest swapping trees of the pairs that span the members (Kruskal on the rates of single pairs).

    While memories do not bind, the slowest pair is as fast as in any spanning tree. Where the best tree of a
    pair no longer fits into the memories that the chosen ones leave, pairs are rated anew on what is left. A
    member that cannot fuse ends one pair only.

    Raises:
        NoPlan: the members cannot be joined; the text says why.
    """
    book = residual.copy()
    trees = AllTrees(book, options)
    group = {member: frozenset((member,)) for member in request.members}
    ends: set[NodeId] = set()
    chosen: list[Tree] = []
    while len(chosen) < len(request.members) - 1:
        fastest = _fastest(residual, request, trees, group, ends)
        if fastest is None:
            raise NoPlan(_why_none(residual, request, options, group))
        held = Use(links_hz={}, attempts_hz={}, memories=use_of(fastest, residual.topology).memories)
        if book.lacks(held) is not None:
            trees = AllTrees(book, options)
            continue
        book.claim(f"{request.request}, {fastest.left}-{fastest.right}", held)
        chosen.append(fastest)
        ends |= {fastest.left, fastest.right}
        joined = group[fastest.left] | group[fastest.right]
        group |= dict.fromkeys(joined, joined)
    return chosen


def _fastest(
    residual: Residual,
    request: GhzRequest,
    trees: AllTrees,
    group: dict[NodeId, frozenset[NodeId]],
    ends: set[NodeId],
) -> Tree | None:
    """The fastest tree between two members that are not joined yet."""
    topology = residual.topology
    full = {name for name in ends if topology.nodes[name].p_f == 0.0}
    rated = [
        (float(trees.latency_s[topology.order[a], topology.order[b]]), pair_of(a, b))
        for a, b in combinations(request.members, 2)
        if group[a] != group[b] and not full & {a, b}
    ]
    for _, (a, b) in sorted(rated):
        tree = trees.tree(a, b)
        if tree is not None:
            return tree
    return None


def _why_none(
    residual: Residual, request: GhzRequest, options: Options, group: dict[NodeId, frozenset[NodeId]]
) -> str:
    a = request.members[0]
    b = next(member for member in request.members if member not in group[a])
    if AllTrees(residual, options).tree(a, b) is None:
        return why_apart(residual, request, a, b, options)
    return (
        f"request {request.request}: {a} and {b} cannot be joined beside the other pairs, for memories run "
        f"out or members cannot fuse; free memories, or let ghz-steiner use other nodes"
    )
