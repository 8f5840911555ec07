"""A plan at a rate that somebody asked for, slower than the tree could be (algorithms.md 1.2).

Owns the way from a fast plan to one of a wanted latency: throttling where Eq. 1 under the rule of 3/2 holds,
otherwise all links slowed by one factor. Refuses to break a limit for the sake of slowness: a slower tree
waits longer, and where the wanted one would be too old or too poor, it is as slow as the limits allow.
"""

import math
from dataclasses import replace
from typing import Final

from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree, retimed, throttled

HALVINGS: Final = 40
"""Steps of the bisection between a tree's own latency and the wanted one: 1e-12 of the way is left."""


def slowed(plan: PairPlan, residual: Residual, latency_s: float, limits: Limits) -> PairPlan:
    """The same tree at `latency_s` per pair, or as near to it as the limits allow. Never faster than `plan`.

    Takes no more of anything than `plan` does, so it fits wherever that one fits.
    """
    if latency_s <= plan.latency_s:
        return plan
    slowest = _kept(plan, residual, latency_s, limits)
    if slowest is not None:
        return slowest
    best, good_s, bad_s = plan, plan.latency_s, latency_s
    for _ in range(HALVINGS):
        middle_s = (good_s + bad_s) / 2.0
        found = _kept(plan, residual, middle_s, limits)
        if found is None:
            bad_s = middle_s
        else:
            best, good_s = found, middle_s
    return best


def _kept(plan: PairPlan, residual: Residual, latency_s: float, limits: Limits) -> PairPlan | None:
    """The tree at a latency, or None when it breaks a limit then."""
    topology = residual.topology
    by_eq1_s = retimed(plan.tree, topology).latency_s
    if math.isclose(by_eq1_s, plan.latency_s, rel_tol=1e-9):
        slower = throttled(plan.tree, topology, latency_s)
    else:
        slower = stretched(plan.tree, latency_s / plan.latency_s)
    try:
        return assess(slower, residual, plan.method, limits)
    except NoPlan:
        return None


def stretched(tree: Tree, factor: float) -> Tree:
    """The same tree with every latency in it multiplied. factor: 1 or more.

    The pairs come a little sooner than it says, since swaps and words do not get slower.
    """
    match tree:
        case LinkLeaf():
            return replace(tree, latency_s=tree.latency_s * factor)
        case StoredLeaf():
            return tree
        case SwapNode():
            one, other = stretched(tree.one, factor), stretched(tree.other, factor)
            return replace(tree, one=one, other=other, latency_s=tree.latency_s * factor)
        case PurifyNode():
            kept, measured = stretched(tree.kept, factor), stretched(tree.measured, factor)
            return replace(tree, kept=kept, measured=measured, latency_s=tree.latency_s * factor)
