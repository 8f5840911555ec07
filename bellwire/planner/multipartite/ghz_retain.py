"""GHZ states by fusion-retain only: method "ghz-retain" (algorithms.md 4.2).

Owns the way through the steps: a spanning tree of the members with the fastest pairs, the common optimum of
these pairs, the exact order of fusions, and then rounds in which pairs that are fused early get more. Refuses
the steps: ghz_spanning.py, ghz_pairs.py, ghz_orders.py. Only members fuse, and each stays; nodes between them
swap.
"""

from collections.abc import Sequence
from typing import Final

from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.ghz_finishing import finished
from bellwire.planner.multipartite.ghz_floors import with_finer_pairs
from bellwire.planner.multipartite.ghz_orders import best_order
from bellwire.planner.multipartite.ghz_pairs import finer_trees, in_step, pair_supplies
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_spanning import spanning_trees
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, FusionTree, leaves, throttled
from bellwire.planner.multipartite.values import MultipartitePlan, PairSupply
from bellwire.planner.requests import Options
from bellwire.planner.structures import Tree
from bellwire.planner.structures import leaves as leaves_of_pair
from bellwire.planner.topology import Topology, pair_of

METHOD: Final = "ghz-retain"
MEMBERS_MAX: Final = 10
"""The programme over connected subsets grows as 3**members."""

ROUNDS_MAX: Final = 4
"""Times that the linear programme is solved: each round weighs pairs by the pace that their fusions need."""


def plan(residual: Residual, request: GhzRequest, options: Options) -> MultipartitePlan:
    """The fastest order of fusions over the pairs of a maximum spanning tree of the members.

    Where the wanted fidelity is missed, each pair is made by one tree of its own, purified as needed.

    Raises:
        NoPlan: more than 10 members, no way or no capacity between them, or a broken limit; the text says
            which.
    """
    if len(request.members) > MEMBERS_MAX:
        raise NoPlan(
            f"request {request.request}: {METHOD} plans {MEMBERS_MAX} members at most, not "
            f"{len(request.members)}; ghz-steiner plans any number"
        )
    return with_finer_pairs(request, options, lambda floor: _planned(residual, request, options, floor))


def _planned(
    residual: Residual, request: GhzRequest, options: Options, floor: float | None
) -> MultipartitePlan:
    single = spanning_trees(residual, request, options)
    if floor is not None:
        single = finer_trees(residual, request.request, single, floor, options)
    ground = Residual(_laid_over(residual.topology, single), residual.taken)
    best: tuple[FusionTree, Sequence[PairSupply]] | None = None
    weights: Sequence[float] = [1.0] * len(single)
    for _ in range(ROUNDS_MAX):
        if floor is None:
            supplies = pair_supplies(ground, request.request, single, weights, options)
        else:
            supplies = in_step(ground, request.request, single, weights)
        ends = [
            FusionLeaf(index, each.left, each.right, each.latency_s) for index, each in enumerate(supplies)
        ]
        tree = best_order(residual.topology, ends, request.members, options.waiting)
        if best is not None and not tree.latency_s < best[0].latency_s * (1.0 - 1e-6):
            break
        best = (tree, supplies)
        if len(single) == 1 or not tree.latency_s < float("inf"):
            break
        needed = {leaf.pair: 1.0 / leaf.latency_s for leaf in leaves(throttled(tree, residual.topology))}
        weights = [needed[index] for index in range(len(single))]
    assert best is not None
    return finished(request, residual, options, METHOD, *best)


def _laid_over(topology: Topology, trees: Sequence[Tree]) -> Topology:
    """Only the nodes and links of some routes, with the delays of the whole network."""
    links = dict.fromkeys(pair_of(leaf.left, leaf.right) for tree in trees for leaf in leaves_of_pair(tree))
    inside = {name for link in links for name in link}
    return Topology(
        {name: node for name, node in topology.nodes.items() if name in inside},
        {link: topology.links[link] for link in links},
        {(a, b): topology.delay_s(a, b) for a in inside for b in inside if a < b},
    )
