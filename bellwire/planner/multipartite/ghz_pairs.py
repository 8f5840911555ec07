"""The pairs that retained fusions consume, at paces that fit together (algorithms.md 4.2, step 4).

Owns the common optimum of several pairs, and the way out where memories do not hold it. Refuses fusions.
"""

from collections.abc import Sequence
from typing import Final

from bellwire.planner.assessment import assess
from bellwire.planner.batch.optimum import plan_levels
from bellwire.planner.capacity import NoPlan, Residual, Use, total_use
from bellwire.planner.multipartite.graph_pace import paced
from bellwire.planner.multipartite.graph_parts import is_purified
from bellwire.planner.multipartite.values import PairSupply
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.purified import plan as past
from bellwire.planner.structures import Tree, leaves
from bellwire.planner.tree_use import use_of

HALVINGS: Final = 80
"""Of the interval in which the common pace lies; the last is lost in rounding."""

SLOWER_MAX: Final = 2.0**60
"""A tree this much slower than alone takes nothing but memories."""


def finer_trees(
    residual: Residual, request: str, trees: Sequence[Tree], floor: float, options: Options
) -> list[Tree]:
    """For the ends of some trees the fastest ones whose pairs have a fidelity, purified where that is needed.

    Each is sought as if it were alone, on the memories that those before it leave.

    Raises:
        NoPlan: there is none for two of the ends; the text says why.
    """
    book = residual.copy()
    found: list[Tree] = []
    for tree in trees:
        asked = PairRequest(
            request=request, source=tree.left, destination=tree.right, limits=Limits(fidelity=floor)
        )
        finer = past(book, asked, options).tree
        held = use_of(finer, residual.topology).memories
        book.claim(f"{request}, {tree.left}-{tree.right}", Use(links_hz={}, attempts_hz={}, memories=held))
        found.append(finer)
    return found


def pair_supplies(
    residual: Residual, request: str, trees: Sequence[Tree], weights: Sequence[float], options: Options
) -> list[PairSupply]:
    """Supplies between the ends of some trees, at rates in proportion to weights, as fast as there is room.

    The linear programme over all swaps of the network decides (max-min). Where the memories do not hold its
    trees, each pair is made by its own tree alone, at the fastest common pace that fits.

    Raises:
        NoPlan: not even one tree for each pair fits.
    """
    most = max(weights)
    asked = [
        PairRequest(
            request=f"{tree.left}-{tree.right}", source=tree.left, destination=tree.right, weight=weight
        )
        for tree, weight in zip(trees, (weight / most for weight in weights), strict=True)
    ]
    try:
        shares = plan_levels(residual, asked, "max_min", options=options).shares
    except NoPlan:
        return in_step(residual, request, trees, weights)
    return [PairSupply(share.trees) for share in shares]


def in_step(
    residual: Residual, request: str, trees: Sequence[Tree], weights: Sequence[float]
) -> list[PairSupply]:
    """One tree for each pair, at rates in proportion to weights, as fast as all together fit.

    Purified pairs decay more while a slower pace makes them wait; where no pace is left, that is the reason.

    Raises:
        NoPlan: they do not fit at any pace; the text says what runs out.
    """
    alone_s = max(tree.latency_s * weight for tree, weight in zip(trees, weights, strict=True))

    def at_pace(slower: float) -> list[Tree]:
        return [
            paced(tree, residual.topology, alone_s * slower / weight)
            for tree, weight in zip(trees, weights, strict=True)
        ]

    def lacks(slower: float) -> str | None:
        try:
            found = at_pace(slower)
        except NoPlan as reason:
            return str(reason)
        if any(leaf.latency_s <= 0.0 for tree in found for leaf in leaves(tree)):
            return "the operations alone take longer"
        return residual.lacks(total_use(*(use_of(tree, residual.topology) for tree in found)))

    low, high = 0.0, 1.0
    while (lack := lacks(high)) is not None:
        if high >= SLOWER_MAX:
            raise NoPlan(f"request {request}: the pairs that it needs do not fit side by side: {lack}")
        low, high = high, min(SLOWER_MAX, 2.0 * high * high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if lacks(middle) is None:
            high = middle
        else:
            low = middle
    return [PairSupply((assess(tree, residual, _method(tree)),)) for tree in at_pace(high)]


def _method(tree: Tree) -> str:
    return "past" if is_purified(tree) else "dp"
