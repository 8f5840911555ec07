"""Purification trees whose latencies and success probabilities agree with each other.

Owns `settled`. A round of purification succeeds with the probability p_pur that its two states give it. The
states depend on how long pairs waited, waits on latencies, and latencies on p_pur; slowing links down to what
the root needs (throttling) lengthens waits once more. Refuses the search for trees.

The steady point is found from above. With the states of the least waits p_pur is at its greatest; longer
waits lower it, and a lower p_pur lengthens waits. Each step therefore only lowers the probabilities and slows
the tree, and comes to rest at the fastest pace at which everything agrees. A step changes little: what a pair
loses while it waits, a percent per second with the defaults.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bellwire.planner.assessment import round_chance
from bellwire.planner.capacity import NoPlan
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    StoredLeaf,
    SwapNode,
    Tree,
    Waiting,
    purified,
    swapped,
    throttled,
)
from bellwire.planner.topology import Topology

AGREEMENT: Final = 1e-13
"""Relative change of a success probability that counts as none."""

STEPS_MAX: Final = 500
"""Steps before a tree is given up; one that keeps any entanglement needs ten or so."""


def settled(
    tree: Tree, topology: Topology, *, throttle: bool = True, waiting: Waiting = "three_halves"
) -> Tree:
    """The tree with all latencies worked out from its leaves and the p_pur that its states really have.

    throttle: leaves are slowed to what the root needs, as `throttled` does; only under the rule of 3/2.

    Raises:
        NoPlan: pairs decay so fast while they wait that there is no steady pace.
    """
    least = _least(tree, topology, waiting)
    if not throttle:
        return least
    for _ in range(STEPS_MAX):
        slow = throttled(least, topology)
        chances = _chances(slow, topology)
        known = [node.success_probability for node in _rounds(slow)]
        if all(abs(new - old) <= AGREEMENT * old for new, old in zip(chances, known, strict=True)):
            return slow
        if not all(chance > 0.0 for chance in chances):
            break
        least = _with_chances(least, iter(chances), topology, waiting)
    raise NoPlan(
        f"{tree.left}-{tree.right}: pairs decay faster than this tree purifies them; no steady pace in "
        f"{STEPS_MAX} steps"
    )


def _least(tree: Tree, topology: Topology, waiting: Waiting) -> Tree:
    """The same shape at its least latencies, p_pur of the states that wait no longer than that."""
    match tree:
        case LinkLeaf() | StoredLeaf():
            return tree
        case SwapNode():
            one, other = _least(tree.one, topology, waiting), _least(tree.other, topology, waiting)
            return swapped(topology, one, other, waiting)
        case PurifyNode():
            kept, measured = _least(tree.kept, topology, waiting), _least(tree.measured, topology, waiting)
            chance = round_chance(replace(tree, kept=kept, measured=measured), topology)
            return purified(
                topology, kept, measured, chance, scheme=tree.scheme, pumping=tree.pumping, waiting=waiting
            )


def _rounds(tree: Tree) -> list[PurifyNode]:
    """Purifications in the order in which they are executed, the kept subtree first."""
    match tree:
        case LinkLeaf() | StoredLeaf():
            return []
        case SwapNode():
            return [*_rounds(tree.one), *_rounds(tree.other)]
        case PurifyNode():
            return [*_rounds(tree.kept), *_rounds(tree.measured), tree]


def _chances(tree: Tree, topology: Topology) -> list[float]:
    return [round_chance(node, topology) for node in _rounds(tree)]


def _with_chances(tree: Tree, chances: Iterator[float], topology: Topology, waiting: Waiting) -> Tree:
    """The same tree timed anew with other p_pur, given in the order of `_rounds`."""
    match tree:
        case LinkLeaf() | StoredLeaf():
            return tree
        case SwapNode():
            one = _with_chances(tree.one, chances, topology, waiting)
            other = _with_chances(tree.other, chances, topology, waiting)
            return swapped(topology, one, other, waiting)
        case PurifyNode():
            kept = _with_chances(tree.kept, chances, topology, waiting)
            measured = _with_chances(tree.measured, chances, topology, waiting)
            return purified(
                topology,
                kept,
                measured,
                next(chances),
                scheme=tree.scheme,
                pumping=tree.pumping,
                waiting=waiting,
            )
