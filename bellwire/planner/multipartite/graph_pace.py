"""A swapping tree at a pace that something above it sets.

Owns the slowing of one tree, purification rounds included. Refuses what stands above (graph_parts.py).
"""

from dataclasses import replace
from typing import Final

from bellwire.planner.assessment import round_chance
from bellwire.planner.capacity import NoPlan
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree, throttled
from bellwire.planner.topology import Topology

AGREEMENT: Final = 1e-13
"""Relative change of a success probability that counts as none."""

STEPS_MAX: Final = 200
"""Steps before a pace is given up; one that leaves any entanglement needs ten or so."""


def paced(tree: Tree, topology: Topology, target_s: float) -> Tree:
    """The tree throttled to a latency, with the p_pur that its states have at that pace.

    A slower tree waits longer, so its rounds succeed less often, and their pairs have to come faster than the
    old p_pur would say; both are worked out in turn until they agree.

    Raises:
        NoPlan: pairs decay so fast that the two never agree.
    """
    for _ in range(STEPS_MAX):
        slow = throttled(tree, topology, target_s)
        tree = _with_chances(slow, topology)
        if _agree(slow, tree):
            return slow
    raise NoPlan(f"{tree.left}-{tree.right}: pairs decay faster than rounds of {target_s:.4g} s purify them")


def _with_chances(tree: Tree, topology: Topology) -> Tree:
    match tree:
        case LinkLeaf() | StoredLeaf():
            return tree
        case SwapNode():
            return replace(
                tree, one=_with_chances(tree.one, topology), other=_with_chances(tree.other, topology)
            )
        case PurifyNode():
            kept, measured = _with_chances(tree.kept, topology), _with_chances(tree.measured, topology)
            chance = round_chance(tree, topology)
            if not chance > 0.0:
                raise NoPlan(f"{tree.left}-{tree.right}: a purification round can never succeed")
            return replace(tree, kept=kept, measured=measured, success_probability=chance)


def _agree(one: Tree, other: Tree) -> bool:
    match one, other:
        case SwapNode(), SwapNode():
            return _agree(one.one, other.one) and _agree(one.other, other.other)
        case PurifyNode(), PurifyNode():
            change = abs(one.success_probability - other.success_probability)
            alike = change <= AGREEMENT * one.success_probability
            return alike and _agree(one.kept, other.kept) and _agree(one.measured, other.measured)
        case _:
            return True
