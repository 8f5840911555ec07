"""GHZ states by star expansion, a baseline: method "ghz-star" (algorithms.md 4.2).

Owns the order of the baseline. Refuses Steiner trees (ghz_steiner_trees.py). From the first member that is a
leaf of the tree, inner nodes are gone through one by one, and each fuses everything that ends there at once.
Its latencies are the baseline's own: T = (max T + t_f)(1/p_f)(count/2), without waiting factor and words, so
they are not comparable with those of the other methods.
"""

from collections import deque
from typing import Final

from bellwire.planner.capacity import Residual
from bellwire.planner.multipartite.ghz_links import LinkGraph, link_graph
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_steiner import first_kept, ranked_trees
from bellwire.planner.multipartite.ghz_steiner_trees import SteinerTree
from bellwire.planner.multipartite.ghz_trees import FusionTree, star_fused
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options

METHOD: Final = "ghz-star"


def plan(residual: Residual, request: GhzRequest, options: Options) -> MultipartitePlan:
    """Star expansion over the Steiner tree with the best estimate that keeps the limits.

    Raises:
        NoPlan: no way, no capacity, or no tree that was found keeps the limits.
    """
    graph = link_graph(residual, request, options)
    trees = (expanded(graph, tree) for tree in ranked_trees(graph, request, options))
    return first_kept(graph, request, options, METHOD, trees)


def expanded(graph: LinkGraph, tree: SteinerTree) -> FusionTree:
    """The fusion tree of the baseline over a tree of links."""
    members = set(graph.members)
    states: dict[int, FusionTree] = dict(enumerate(graph.leaves(tree)))
    beside: dict[str, list[int]] = {}
    for index, pair in enumerate(tree):
        for name in pair:
            beside.setdefault(name, []).append(index)
    start = next(member for member in graph.members if len(beside[member]) == 1)
    visited = {start}
    queue = deque([start])
    grown: FusionTree = states[beside[start][0]]
    while queue:
        here = queue.popleft()
        if len(beside[here]) > 1:
            fresh = [states[index] for index in beside[here] if not states[index].owners <= visited]
            old = grown
            grown = star_fused(graph.topology, here, [old, *fresh], retained=here in members)
        for index in beside[here]:
            for there in tree[index]:
                if there not in visited:
                    visited.add(there)
                    queue.append(there)
    return grown
