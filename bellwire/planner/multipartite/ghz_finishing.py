"""The last step of every GHZ method: from a fusion tree and its pairs to a plan with all promises.

Owns throttling of the pairs to what their fusions need, the checks of limits and capacity, and the sentence
for members that cannot be joined. Refuses searches.
"""

import math
from collections.abc import Sequence

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan, assess, max_age_s
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual, total_use
from bellwire.planner.multipartite.ghz_noise import GhzOutlook, ghz_outlook
from bellwire.planner.multipartite.ghz_operations import final_qubits, operations_of
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_trees import FusionTree, leaves, throttled
from bellwire.planner.multipartite.graph_pace import paced
from bellwire.planner.multipartite.values import MultipartitePlan, PairSupply
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.finishing import why_none
from bellwire.planner.structures import leaves as leaves_of_pair


class GhzFidelityMissed(FidelityMissed):
    """A plan without the wanted fidelity, and what it has instead."""

    def __init__(self, name: str, wanted: float, fidelity: float) -> None:
        best = math.floor(fidelity * 1e4) / 1e4
        super().__init__(f"{name}: fidelity {wanted:g} is not reached: the best plan found has {best:.4f}")
        self.fidelity = fidelity


def finished(
    request: GhzRequest,
    residual: Residual,
    options: Options,
    method: str,
    tree: FusionTree,
    supplies: Sequence[PairSupply],
) -> MultipartitePlan:
    """The plan of a fusion tree, throttled where that is asked for.

    supplies: pairs at full speed, by the numbers of the leaves.

    Raises:
        NoPlan: it breaks a limit or takes more than is left; the text says which.
    """
    topology = residual.topology
    if not math.isfinite(tree.latency_s):
        raise NoPlan(
            f"request {request.request}: the fusion tree has no rate, for a node in it never succeeds"
        )
    if options.throttles:
        tree = throttled(tree, topology)
        wanted_s = {leaf.pair: leaf.latency_s for leaf in leaves(tree)}
        supplies = [_slowed(supply, wanted_s[index], residual) for index, supply in enumerate(supplies)]
    outlook = ghz_outlook(tree, supplies, topology)
    use = total_use(*(each.use for supply in supplies for each in supply.trees))
    _check_limits(request, supplies, outlook, residual)
    lack = residual.lacks(use)
    if lack is not None:
        raise NoPlan(f"request {request.request}: {lack}")
    operations = operations_of(tree, len(supplies), topology)
    chances = [each.success_probability for each in operations] + [
        each.success_probability for each in supplies
    ]
    return MultipartitePlan(
        request=request.request,
        kind="ghz",
        method=method,
        members=request.members,
        qubits=final_qubits(tree, operations, request.members),
        pairs=tuple(supplies),
        operations=operations,
        latency_s=tree.latency_s,
        fidelity=outlook.fidelity,
        success_probability=math.prod(chances),
        age_s=outlook.age_s,
        use=use,
    )


def _slowed(supply: PairSupply, latency_s: float, residual: Residual) -> PairSupply:
    """The same pairs at another pace, every tree by the same factor."""
    grow = latency_s / supply.latency_s

    def slowed(plan: PairPlan) -> PairPlan:
        return assess(paced(plan.tree, residual.topology, plan.latency_s * grow), residual, plan.method)

    return PairSupply(tuple(slowed(plan) for plan in supply.trees))


def _check_limits(
    request: GhzRequest, supplies: Sequence[PairSupply], outlook: GhzOutlook, residual: Residual
) -> None:
    limits, name = request.limits, f"request {request.request}"
    trees = [plan.tree for supply in supplies for plan in supply.trees]
    oldest_s = max(outlook.oldest_s, *(max_age_s(tree, residual.topology) for tree in trees))
    if oldest_s >= limits.age_s:
        raise NoPlan(f"{name}: a qubit waits {oldest_s:.4g} s on average, limit {limits.age_s:g} s")
    count = sum(1 for tree in trees for _ in leaves_of_pair(tree))
    if limits.leaves is not None and count > limits.leaves:
        raise NoPlan(f"{name}: the plan has {count} leaves, limit {limits.leaves}")
    if limits.fidelity is not None and outlook.fidelity < limits.fidelity:
        raise GhzFidelityMissed(name, limits.fidelity, outlook.fidelity)


def why_apart(residual: Residual, request: GhzRequest, a: NodeId, b: NodeId, options: Options) -> str:
    """Why two members of a request cannot be joined, as one sentence."""
    reason = why_none(residual, PairRequest(request=request.request, source=a, destination=b), options)
    return f"request {request.request}: {reason}"
