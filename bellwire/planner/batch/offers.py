"""What one request can get: on what is left, alone, and in another way than one that failed.

Owns offers to a single request. Refuses the decision to take one (admission.py).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.admission_values import AdmissionRule
from bellwire.planner.batch.iterative import plan_batch
from bellwire.planner.batch.leftover import Leftover
from bellwire.planner.batch.slowing import slowed
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.exact import all_trees
from bellwire.planner.single.finishing import finished
from bellwire.planner.single.on_route import cut
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    StoredLeaf,
    SwapNode,
    Tree,
    route_of,
    swapped,
)
from bellwire.planner.topology import Pair, Topology, pair_of

Trees = tuple[PairPlan, ...]

SLOWER: Final = 2.0
"""Factor of latency by which a plan that is refused without a reason is slowed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Trees that a request could take now; none, and the reason why."""

    trees: Trees
    reason: str = ""

    @property
    def rate_hz(self) -> float:
        """Pairs per second of all trees."""
        return math.fsum(tree.rate_hz for tree in self.trees)


def offer_to(
    residual: Residual, request: PairRequest, rule: AdmissionRule, options: Options | None = None
) -> Offer:
    """The best tree on what is left; a request with a rate of its own gets as many as that takes."""
    found = plan_batch(
        residual,
        [request],
        "fair",
        rule.method,
        rule.options if options is None else options,
        trees_max={request.request: 1} if request.rate_hz is None else None,
        allow_unserved=True,
    )
    if not found.shares:
        return Offer((), found.unserved[request.request])
    return Offer(found.shares[0].trees)


def offer_alone(topology: Topology, request: PairRequest, rule: AdmissionRule) -> Offer:
    """What a request would get if nobody else were there."""
    return offer_to(Residual(topology), request, rule)


def other_offer(
    residual: Residual, request: PairRequest, rule: AdmissionRule, failed: Trees, *, may_slow: bool
) -> Offer:
    """The best offer that differs from trees that failed: in route or shape, else in policy, else in rate.

    residual: without the failed trees. may_slow: a lower rate of the same trees is a difference too; where
    nothing tells how much lower, half.
    """
    direct = offer_to(residual, request, rule)
    if direct.trees and not same_ways(direct.trees, failed):
        return direct
    others = [
        offer for offer in _around(residual, request, rule, failed) if not same_ways(offer.trees, failed)
    ]
    others += [Offer((tree,)) for tree in _reshaped(residual, request, rule, failed)]
    if may_slow and direct.trees and direct.rate_hz < _rate_hz(failed) * (1.0 - 1e-6):
        others.append(direct)
    best = max((offer for offer in others if offer.trees), key=lambda offer: offer.rate_hz, default=None)
    if best is not None:
        return best
    policy = offer_to(residual, request, rule, replace(rule.options, throttle=not rule.options.throttle))
    if policy.trees and not _same_links(policy.trees, failed):
        return policy
    if may_slow and failed:
        slower = _slower(residual, request, failed)
        if slower is not None:
            return slower
    return Offer((), direct.reason or "nothing else exists: neither another route, nor another tree on it")


def same_ways(one: Trees, other: Trees) -> bool:
    """Both use the same trees over the same routes, whatever their speed."""
    return sorted(_way(plan.tree) for plan in one) == sorted(_way(plan.tree) for plan in other)


def _way(tree: Tree) -> str:
    """Shape and route of a tree as text, without times."""
    match tree:
        case LinkLeaf():
            return f"{tree.left}~{tree.right}"
        case StoredLeaf():
            return f"{tree.left}={tree.right}:{tree.pair}"
        case SwapNode():
            return f"({_way(tree.one)} {_way(tree.other)})"
        case PurifyNode():
            return f"[{_way(tree.kept)} {_way(tree.measured)} {tree.scheme} {tree.pumping}]"


def _same_links(one: Trees, other: Trees) -> bool:
    """Both run the same links at the same speed."""
    a, b = (
        {pair: rate for plan in trees for pair, rate in plan.use.links_hz.items()} for trees in (one, other)
    )
    return a.keys() == b.keys() and all(math.isclose(rate, b[pair], rel_tol=1e-6) for pair, rate in a.items())


def _rate_hz(trees: Trees) -> float:
    return math.fsum(tree.rate_hz for tree in trees)


def _around(residual: Residual, request: PairRequest, rule: AdmissionRule, failed: Trees) -> Iterator[Offer]:
    """Offers that go round one inner node or one link of what failed."""
    routes = [route_of(plan.tree) for plan in failed]
    for name in dict.fromkeys(name for route in routes for name in route[1:-1]):
        yield offer_to(
            residual, request, rule, replace(rule.options, avoid=rule.options.avoid | frozenset({name}))
        )
    for a, b in dict.fromkeys(pair for route in routes for pair in pairwise(route)):
        yield offer_to(without_link(residual, pair_of(a, b)), request, rule)


def without_link(residual: Residual, pair: Pair) -> Residual:
    """The same book over a network in which a link makes nothing; words still go through its fibre."""
    topology = residual.topology
    if pair not in topology.links:
        return residual
    links = dict(topology.links)
    links[pair] = replace(links[pair], capacity_hz=0.0)
    return replace(residual, topology=replace(topology, links=links))


def _reshaped(
    residual: Residual, request: PairRequest, rule: AdmissionRule, failed: Trees
) -> Iterator[PairPlan]:
    """Trees over the routes that failed whose last swap is at another node."""
    for plan in failed:
        route = route_of(plan.tree)
        if not isinstance(plan.tree, SwapNode) or not _is_open(route, rule.options):
            continue
        line = Leftover(cut(residual.topology, route), dict(residual.taken))
        parts = all_trees(line, replace(rule.options, route=None))
        for at in route[1:-1]:
            one, other = parts.tree(route[0], at), parts.tree(at, route[-1])
            node = residual.topology.nodes[at]
            able = node.relays and node.swap_probability > 0.0 and residual.memories(at) >= 2
            if at == plan.tree.at or one is None or other is None or not able:
                continue
            try:
                tree = swapped(residual.topology, one, other, rule.options.waiting)
                found = finished(tree, line, rule.options, request.limits, plan.method)
            except NoPlan:
                continue  # this one breaks a limit; another may not
            yield found if request.rate_hz is None else _capped(found, line, request)


def _is_open(route: Sequence[NodeId], options: Options) -> bool:
    return not options.avoid & set(route) and options.route in (None, tuple(route))


def _capped(plan: PairPlan, residual: Residual, request: PairRequest) -> PairPlan:
    assert request.rate_hz is not None
    return slowed(plan, residual, 1.0 / request.rate_hz, request.limits)


def _slower(residual: Residual, request: PairRequest, failed: Trees) -> Offer | None:
    """The same trees at half their rate, where that keeps the limits and fits."""
    trees = tuple(slowed(plan, residual, SLOWER * plan.latency_s, request.limits) for plan in failed)
    if any(
        new.latency_s < SLOWER * old.latency_s * (1.0 - 1e-6) for new, old in zip(trees, failed, strict=True)
    ):
        return None
    book = residual.copy()
    try:
        for number, plan in enumerate(trees):
            book.claim(f"{request.request} slower {number}", plan.use)
    except NoPlan:
        return None
    return Offer(trees)
