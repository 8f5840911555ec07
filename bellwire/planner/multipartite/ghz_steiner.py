"""GHZ states by general fusion over a Steiner tree of links: method "ghz-steiner" (algorithms.md 4.2).

Owns the choice among Steiner trees. Refuses the trees themselves (ghz_steiner_trees.py) and fusion orders
(ghz_orders.py). Every pair is a link pair; nodes that are no members fuse and leave.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.planner.assessment import assess
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.ghz_finishing import finished, why_apart
from bellwire.planner.multipartite.ghz_links import LinkGraph, link_graph
from bellwire.planner.multipartite.ghz_orders import EXACT_PAIRS_MAX, balanced_order, best_order
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_steiner_trees import SteinerTree, estimate_s, steiner_trees
from bellwire.planner.multipartite.ghz_trees import FusionTree, leaves
from bellwire.planner.multipartite.values import MultipartitePlan, PairSupply
from bellwire.planner.requests import Options
from bellwire.planner.structures import LinkLeaf

METHOD: Final = "ghz-steiner"
TRIED_MAX: Final = 8
"""Trees with the best estimates whose real latency is worked out before one is chosen."""

Builder = Callable[[LinkGraph, SteinerTree], FusionTree]
"""How a fusion tree is made over a Steiner tree."""


def plan(residual: Residual, request: GhzRequest, options: Options) -> MultipartitePlan:
    """The fastest of the fusion trees over the Steiner trees with the best estimates that keeps the limits.

    Raises:
        NoPlan: no way, no capacity, or no tree that was found keeps the limits; the text says which, and for
            a limit what the fastest tree has instead.
    """

    def ordered(graph: LinkGraph, tree: SteinerTree) -> FusionTree:
        order = best_order if len(tree) <= EXACT_PAIRS_MAX else balanced_order
        return order(graph.topology, graph.leaves(tree), request.members, options.waiting)

    return over_steiner_trees(residual, request, options, METHOD, ordered, TRIED_MAX)


def over_steiner_trees(
    residual: Residual, request: GhzRequest, options: Options, method: str, build: Builder, tried_max: int
) -> MultipartitePlan:
    """The first plan that keeps the limits, over Steiner trees from the fastest to the slowest.

    build: makes the fusion tree. tried_max: of so many trees with the best estimates the real latencies
    decide; the others follow by their estimates.
    """
    graph = link_graph(residual, request, options)
    trees = sorted(steiner_trees(graph), key=lambda tree: estimate_s(graph, tree))
    if not trees:
        raise NoPlan(f"request {request.request}: {_why_no_tree(graph, options)}")
    best = sorted((build(graph, tree) for tree in trees[:tried_max]), key=lambda made: made.latency_s)
    others: Iterator[FusionTree] = (build(graph, tree) for tree in trees[tried_max:])
    first: ConfigError | None = None
    for made in chain(best, others):
        try:
            supplies = [
                PairSupply((assess(LinkLeaf(leaf.left, leaf.right, leaf.latency_s), residual, "link"),))
                for leaf in sorted(leaves(made), key=lambda leaf: leaf.pair)
            ]
            return finished(request, residual, options, method, made, supplies)
        except NoPlan as reason:
            first = first or reason
    assert first is not None
    raise first


def _why_no_tree(graph: LinkGraph, options: Options) -> str:
    """Which two members no links join, or else where memories run out."""
    beside: dict[str, list[str]] = {}
    for a, b in graph.links:
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    start = graph.members[0]
    reached, open_nodes = {start}, [start]
    while open_nodes:
        here = open_nodes.pop()
        if here != start and not graph.through(here):
            continue
        for there in beside.get(here, ()):
            if there not in reached:
                reached.add(there)
                open_nodes.append(there)
    for member in graph.members:
        if member not in reached:
            return why_apart(graph.residual, start, member, options)
    return "no tree of links joins the members within the free memories of the nodes; free some or add relays"
