"""From a peeled tree to one that nodes can execute: real times, chances of rounds, promises.

Owns the retiming of one tree. Refuses flows (hyperflow.py) and the choice between trees (optimum.py).
"""

from dataclasses import replace
from typing import Final

from bellwire.planner.assessment import PairPlan, assess, outlook
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Limits
from bellwire.planner.structures import PurifyNode, SwapNode, Tree, retimed, throttled

METHOD: Final = "levels"

SETTLED: Final = 1e-12
"""Relative change of the latency at which throttling, waits and chances agree."""

ROUNDS_MAX: Final = 30
"""Throttling lengthens waits, waits lower p_pur, p_pur lengthens the latency: three or four rounds settle."""


def executable(tree: Tree, residual: Residual, limits: Limits) -> PairPlan:
    """A peeled tree with real times: links no faster than in the flow, p_pur of the states as they arrive.

    Raises:
        NoPlan: it breaks a limit, or lacks memories or capacity.
    """
    topology = residual.topology
    for _ in range(ROUNDS_MAX):
        before_s = tree.latency_s
        tree = throttled(retimed(_with_chances(tree, residual)[0], topology), topology)
        if abs(tree.latency_s - before_s) <= SETTLED * before_s:
            break
    return assess(tree, residual, METHOD, limits)


def _with_chances(tree: Tree, residual: Residual) -> tuple[Tree, float]:
    """The same tree with every round's p_pur as the states have it, and the chance that one run succeeds."""
    match tree:
        case SwapNode():
            one, one_chance = _with_chances(tree.one, residual)
            other, other_chance = _with_chances(tree.other, residual)
            chance = residual.topology.nodes[tree.at].swap_probability * one_chance * other_chance
            return replace(tree, one=one, other=other), chance
        case PurifyNode():
            kept, kept_chance = _with_chances(tree.kept, residual)
            measured, measured_chance = _with_chances(tree.measured, residual)
            node = replace(tree, kept=kept, measured=measured)
            chance = outlook(node, residual.topology).success_probability
            return replace(node, success_probability=chance / (kept_chance * measured_chance)), chance
        case _:
            return tree, 1.0
