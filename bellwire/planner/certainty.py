"""How far a plan may be from what it promises because its links are known only so well.

Owns the standard errors of rate and fidelity that follow from those of calibrated links, to first order and
link by link. Refuses the errors of links that nobody measured: a plan over one of these has no error, only a
guess. A link that makes fewer pairs than it could has a reserve, and the rate does not depend on how much.
"""

import math
from dataclasses import dataclass, replace

from bellwire.core.bell import Bell
from bellwire.planner.assessment import PairPlan, outlook
from bellwire.planner.structures import LinkLeaf, PurifyNode, SwapNode, Tree, Waiting, leaves, retimed
from bellwire.planner.topology import Link, Pair, Topology, pair_of


@dataclass(frozen=True, slots=True)
class Certainty:
    """Standard errors. None: some link of the plan was never measured in this respect."""

    rate_hz: float | None
    fidelity: float | None


def certainty_of(plan: PairPlan, topology: Topology, waiting: Waiting = "three_halves") -> Certainty:
    """Of a plan for one pair. Chances of purification rounds count as they are."""
    used = {pair_of(leaf.left, leaf.right) for leaf in leaves(plan.tree) if isinstance(leaf, LinkLeaf)}
    links = [topology.links[pair] for pair in sorted(used)]
    rate = fidelity = 0.0
    base = retimed(plan.tree, topology, waiting)
    for link in links:
        if link.success_error is not None:
            slow = _with(topology, _slower(link, link.success_error))
            tree = retimed(_held_back(plan.tree, link, slow), slow, waiting)
            rate += (plan.rate_hz * (1.0 - base.latency_s / tree.latency_s)) ** 2
            fidelity += (outlook(tree, slow).state[0] - outlook(base, topology).state[0]) ** 2
        if link.fidelity_error is not None:
            worse = _with(topology, replace(link, state=_worse(link.state, link.fidelity_error)))
            fidelity += (outlook(plan.tree, worse).state[0] - plan.fidelity) ** 2
    return Certainty(
        math.sqrt(rate) if links and all(one.success_error is not None for one in links) else None,
        math.sqrt(fidelity) if links and all(one.fidelity_error is not None for one in links) else None,
    )


def _with(topology: Topology, link: Link) -> Topology:
    return replace(topology, links={**topology.links, link.ends: link})


def _slower(link: Link, error: float) -> Link:
    """As if it succeeded less often by one error, but not below half as often."""
    chance = max(link.success_probability - error, 0.5 * link.success_probability)
    more_s = (1.0 / chance - 1.0 / link.success_probability) * link.attempt_s / link.channels
    return replace(link, success_probability=chance, capacity_hz=1.0 / (1.0 / link.capacity_hz + more_s))


def _held_back(tree: Tree, link: Link, slow: Topology) -> Tree:
    """Leaves of the link no faster than their share of what it can still do."""
    match tree:
        case LinkLeaf():
            pair: Pair = pair_of(tree.left, tree.right)
            if pair != link.ends:
                return tree
            return replace(tree, latency_s=max(tree.latency_s, 1.0 / slow.links[pair].capacity_hz))
        case SwapNode():
            return replace(
                tree, one=_held_back(tree.one, link, slow), other=_held_back(tree.other, link, slow)
            )
        case PurifyNode():
            return replace(
                tree, kept=_held_back(tree.kept, link, slow), measured=_held_back(tree.measured, link, slow)
            )
        case _:
            return tree


def _worse(state: Bell, error: float) -> Bell:
    """A fidelity less by one error, the other Bell states in the proportions that they have."""
    fidelity = max(0.25, state[0] - error)
    rest = 1.0 - state[0]
    if rest <= 0.0:
        each = (1.0 - fidelity) / 3.0
        return (fidelity, each, each, each)
    grow = (1.0 - fidelity) / rest
    return (fidelity, state[1] * grow, state[2] * grow, state[3] * grow)
