"""GHZ states by general fusion over a Steiner tree of links: method "ghz-steiner" (algorithms.md 4.2).

Owns the choice among Steiner trees. Refuses the trees themselves (ghz_steiner_trees.py, ghz_exchange.py) and
fusion orders (ghz_orders.py). Every pair is a link pair; nodes that are no members fuse and leave.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.planner.assessment import assess
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.ghz_exchange import climbed
from bellwire.planner.multipartite.ghz_finishing import finished, why_apart
from bellwire.planner.multipartite.ghz_floors import with_finer_pairs
from bellwire.planner.multipartite.ghz_links import LinkGraph, link_graph
from bellwire.planner.multipartite.ghz_orders import fusion_order
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_steiner_trees import SteinerTree, estimate_s, steiner_trees
from bellwire.planner.multipartite.ghz_trees import FusionTree, leaves
from bellwire.planner.multipartite.values import MultipartitePlan, PairSupply
from bellwire.planner.requests import Options
from bellwire.planner.structures import LinkLeaf

METHOD: Final = "ghz-steiner"
TRIED_MAX: Final = 8
"""Trees with the best estimates whose real latency is worked out before one is chosen."""

CLIMBED_MAX: Final = 2
"""Of these, the fastest are improved by exchanges."""


def plan(residual: Residual, request: GhzRequest, options: Options) -> MultipartitePlan:
    """The fastest of the fusion trees over the Steiner trees with the best estimates that keeps the limits.

    Where all miss the wanted fidelity, link pairs are pumped first.

    Raises:
        NoPlan: no way, no capacity, or no tree that was found keeps the limits; the text says which, and for
            a limit what the fastest tree has instead.
    """
    return with_finer_pairs(request, options, lambda floor: _planned(residual, request, options, floor))


def _planned(
    residual: Residual, request: GhzRequest, options: Options, floor: float | None
) -> MultipartitePlan:
    graph = link_graph(residual, request, options, floor)
    trees = ranked_trees(graph, request, options)

    def build(graph: LinkGraph, tree: SteinerTree) -> FusionTree:
        return fusion_order(graph.topology, graph.leaves(tree), request.members, options.waiting)

    tried = sorted(trees[:TRIED_MAX], key=lambda tree: build(graph, tree).latency_s)
    best = [climbed(graph, tree, build) for tree in tried[:CLIMBED_MAX]]
    best += [build(graph, tree) for tree in tried]
    best.sort(key=lambda made: made.latency_s)
    others: Iterator[FusionTree] = (build(graph, tree) for tree in trees[TRIED_MAX:])
    return first_kept(graph, request, options, METHOD, chain(best, others))


def ranked_trees(graph: LinkGraph, request: GhzRequest, options: Options) -> list[SteinerTree]:
    """All Steiner trees that the prefixes give, the best estimate first. Raises NoPlan when there is none."""
    trees = sorted(steiner_trees(graph), key=lambda tree: estimate_s(graph, tree))
    if not trees:
        raise NoPlan(_why_no_tree(graph, request, options))
    return trees


def first_kept(
    graph: LinkGraph, request: GhzRequest, options: Options, method: str, trees: Iterable[FusionTree]
) -> MultipartitePlan:
    """The plan of the first fusion tree over links that keeps the limits.

    Raises:
        NoPlan: none does; the text is about the first.
    """
    first: NoPlan | None = None
    for made in trees:
        try:
            return finished(request, graph.residual, options, method, made, _supplies(graph, made))
        except NoPlan as reason:
            first = first or reason
    if first is None:
        raise LocalMisuse(f"request {request.request}: no fusion tree was offered")
    raise first


def _supplies(graph: LinkGraph, tree: FusionTree) -> list[PairSupply]:
    links = [(leaf.left, leaf.right) for leaf in sorted(leaves(tree), key=lambda leaf: leaf.pair)]
    supplies: list[PairSupply] = []
    for (a, b), made in zip(links, graph.pairs(links), strict=True):
        if made is None:
            raise NoPlan(f"the link {a}-{b} makes no pairs of fidelity {graph.floor:g}, purified or not")
        name = "link" if isinstance(made, LinkLeaf) else "pumped link"
        supplies.append(PairSupply((assess(made, graph.residual, name),)))
    return supplies


def _why_no_tree(graph: LinkGraph, request: GhzRequest, options: Options) -> str:
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
            return why_apart(graph.residual, request, start, member, options)
    return (
        f"request {request.request}: no tree of links joins the members within the free memories of the "
        f"nodes; free some or add relays"
    )
