"""The balanced-tree heuristic: one shortest-path search, then halving; method "balanced" (algorithms.md 1.4).

Owns the search with labels (bottleneck latency, hops) and the halved tree. Refuses optimality: a label that
is better so far may be worse later, because the metric is not additive.
"""

import heapq
import math
from functools import lru_cache
from typing import NamedTuple

from bellwire.core.bell import eigenvalues
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.bounds import loss_of
from bellwire.planner.single.finishing import finished, why_none
from bellwire.planner.single.on_route import along
from bellwire.planner.single.openings import leaves_of, may_swap
from bellwire.planner.structures import THREE_HALVES, LinkLeaf, Tree, swapped

METHOD = "balanced"


class Label(NamedTuple):
    """The best way known from the source to a node."""

    metric_s: float
    bottleneck_s: float  # slowest link
    hops: int
    before: NodeId | None
    losses: tuple[float, float, float]  # of the links and swaps on the way, without waiting


def metric_s(bottleneck_s: float, hops: int, growth: float, busy_s: float, chance: float) -> float:
    """Latency of a balanced tree whose links are all as slow as the slowest.

    growth: P = 1.5/p_b. busy_s: t_b + t_c. P^H B + (busy/p_b) (P^H - 1)/(P - 1) with H = ceil(log2 hops).
    """
    if hops == 0:
        return 0.0
    power, series = level_factors(hops, growth)
    return power * bottleneck_s + busy_s / chance * series


@lru_cache(maxsize=1024)
def level_factors(hops: int, growth: float) -> tuple[float, float]:
    """P^H and (P^H - 1)/(P - 1) of the metric: what H levels of swaps make of a wait, and of a busy time."""
    levels = (hops - 1).bit_length()  # ceil(log2 hops), exactly
    power = growth**levels
    return power, float(levels) if growth == 1.0 else (power - 1.0) / (growth - 1.0)


def labels_from(
    residual: Residual, source: NodeId, options: Options, limits: Limits | None = None
) -> dict[NodeId, Label]:
    """One label per node that can be reached from the source.

    All nodes are taken to swap like the mean of those that can; t_c as if the last swap stood half-way.
    Labels that cannot keep the leaf or the fidelity limit even without waiting are not followed.
    """
    topology = residual.topology
    limits = Limits() if limits is None else limits
    able = {name for name in topology.nodes if may_swap(residual, name, options)}
    chances = [topology.nodes[name].swap_probability for name in able]
    chance = math.fsum(chances) / len(chances) if chances else 1.0
    swap_s = max((topology.nodes[name].swap_s for name in able), default=0.0)
    growth = THREE_HALVES / chance
    leaves = leaves_of(residual, options)
    beside: dict[NodeId, list[tuple[NodeId, float]]] = {name: [] for name in topology.nodes}
    for (a, b), leaf in leaves.items():
        beside[a].append((b, leaf.latency_s))
        beside[b].append((a, leaf.latency_s))
    settled: dict[NodeId, Label] = {}
    best_s: dict[NodeId, float] = {source: 0.0}
    halfway_s = {name: topology.delay_s(source, name) / 2.0 for name in topology.nodes}
    queue: list[tuple[float, int, NodeId, Label]] = []
    start = Label(0.0, 0.0, 0, None, (0.0, 0.0, 0.0))
    heapq.heappush(queue, (0.0, 0, source, start))
    fidelity = limits.fidelity
    while queue:
        _, _, here, label = heapq.heappop(queue)
        if here in settled:
            continue
        settled[here] = label
        if here != source and here not in able:
            continue
        for there, latency_s in beside[here]:
            if there in settled or (limits.leaves is not None and label.hops >= limits.leaves):
                continue
            losses = label.losses
            if fidelity is not None:
                losses = _more_losses(residual, label, here, there)
                if (1.0 + math.fsum(math.exp(-loss) for loss in losses)) / 4.0 < fidelity:
                    continue
            slowest_s, hops = max(label.bottleneck_s, latency_s), label.hops + 1
            total_s = metric_s(slowest_s, hops, growth, swap_s + halfway_s[there], chance)
            if total_s < best_s.get(there, math.inf):
                best_s[there] = total_s
                new = Label(total_s, slowest_s, hops, here, losses)
                heapq.heappush(queue, (total_s, hops, there, new))
    return settled


def _more_losses(residual: Residual, label: Label, here: NodeId, there: NodeId) -> tuple[float, float, float]:
    link = residual.topology.link(here, there)
    assert link is not None
    own = [loss_of(value) for value in eigenvalues(link.state)]
    if label.hops:
        noise = eigenvalues(residual.topology.nodes[here].swap_noise)
        own = [loss + loss_of(value) for loss, value in zip(own, noise, strict=True)]
    a, b, c = (known + more for known, more in zip(label.losses, own, strict=True))
    return (a, b, c)


def route_to(labels: dict[NodeId, Label], destination: NodeId) -> tuple[NodeId, ...]:
    """The way that led to a node's label, from the source."""
    route = [destination]
    while (before := labels[route[-1]].before) is not None:
        route.append(before)
    return tuple(reversed(route))


def halved(residual: Residual, route: tuple[NodeId, ...], options: Options) -> Tree:
    """The tree that cuts a route in halves, the left one shorter when they are uneven."""
    topology = residual.topology
    if len(route) == 2:
        link = topology.link(*route)
        if link is None:
            raise LocalMisuse(f"the route to halve has no link between {route[0]} and {route[1]}")
        return LinkLeaf(route[0], route[1], residual.link_latency_s(link))
    middle = (len(route) - 1) // 2
    one, other = halved(residual, route[: middle + 1], options), halved(residual, route[middle:], options)
    return swapped(topology, one, other, options.waiting)


def plans_from(
    residual: Residual, source: NodeId, options: Options | None = None, limits: Limits | None = None
) -> dict[NodeId, PairPlan]:
    """The balanced plan from a source to every node that can be reached within the limits."""
    options = Options() if options is None else options
    limits = Limits() if limits is None else limits
    residual.topology.node(source)
    labels = labels_from(residual, source, options, limits)
    found: dict[NodeId, PairPlan] = {}
    for name, label in labels.items():
        if label.hops == 0:
            continue
        tree = halved(residual, route_to(labels, name), options)
        try:
            found[name] = finished(tree, residual, options, limits, METHOD)
        except NoPlan:
            continue  # this destination has no balanced plan within the limits
    return found


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The halved tree over the route that the metric prefers; where it breaks a limit, the best tree there.

    Raises:
        NoPlan: there is no way, or nothing on that route keeps the limits.
    """
    labels = labels_from(residual, request.source, options, request.limits)
    if request.destination not in labels:
        free = labels_from(residual, request.source, options, Limits(age_s=request.limits.age_s))
        if request.destination not in free:
            raise NoPlan(why_none(residual, request, options))
        route = route_to(free, request.destination)
    else:
        route = route_to(labels, request.destination)
    try:
        tree = halved(residual, route, options)
        return finished(tree, residual, options, request.limits, METHOD)
    except NoPlan:
        return along(residual, request, options, route, METHOD)
