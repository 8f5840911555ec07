"""From a plan for several requests at once to the plans that nodes execute.

Owns the way from the trees of a batch (the level-based optimum decomposed, or any other method) to one
RequestPlan for each request, every tree with the rate that the batch gives it. Refuses the choice of trees
(batch/) and everything that the live planner does not execute: rounds of purification, stored pairs, and
trees that visit a node twice. Requests of which nothing is left are planned as if they were alone.

What a tree may take of a link is in its link plans: under a mode with paced links no more than its flow, so
that trees of several requests share a link as the batch has it; under other modes its flow is the budget up
to which it comes before others, and the memories of a node are divided by side (link_layer/bank_sides.py).
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import msgspec

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.batch.optimum import plan_levels
from bellwire.planner.batch.solvers import Objective
from bellwire.planner.capacity import Residual
from bellwire.planner.intervals import Shape, tree_of_shape
from bellwire.planner.joint_plans import Planner
from bellwire.planner.plans import compute_plan, plan_of
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.routes import route_along
from bellwire.planner.sources.settings import topology_of
from bellwire.planner.structures import LinkLeaf, SwapNode, Tree
from bellwire.planner.tree_texts import NamedTree
from bellwire.planner.usable import UsableNetwork, usable_network
from bellwire.planner.ways import Way

VERSION: Final = 1
"""Of plans before a source dispatches them."""


def level_plan(
    network: NetworkSettings, requests: Sequence[EntanglementRequest], objective: Objective = "total"
) -> BatchPlan:
    """The level-based optimum of a lab's requests for pairs, decomposed into trees. Requests that get nothing
    are listed as unserved.

    Raises:
        NoPlan: rates have no limit.
    """
    wanted = [
        PairRequest(
            request=request.request_id,
            source=request.target_nodes[0],
            destination=request.target_nodes[-1],
            limits=Limits(fidelity=request.fidelity_threshold),
            weight=float(request.priority),
            rate_hz=request.rate_threshold_hz,
        )
        for request in requests
    ]
    options = Options(rounds=0)  # nodes execute no rounds of these trees
    residual = Residual(topology_of(network))
    return plan_levels(residual, wanted, objective, options=options, allow_unserved=True)


def request_plans(
    network: NetworkSettings, requests: Sequence[EntanglementRequest], batch: BatchPlan
) -> dict[RequestId, RequestPlan]:
    """Plans of all requests of which the batch has a tree that nodes can execute."""
    asked = {request.request_id: request for request in requests}
    found: dict[RequestId, RequestPlan] = {}
    for share in batch.shares:
        request = asked[share.request]
        usable = usable_network(network, request.request_id)
        ways = [
            way for plan in share.trees if (way := _way(usable, request, plan.tree, plan.rate_hz)) is not None
        ]
        if ways:
            found[request.request_id] = plan_of(network, request, VERSION, tuple(ways))
    return found


def prepared(network: NetworkSettings, plans: Mapping[RequestId, RequestPlan]) -> Planner:
    """A planner that has these plans ready. A request without one, or whose plan failed, is planned alone."""

    def planner(
        request: EntanglementRequest, version: int, circumstances: Circumstances
    ) -> RequestPlan | str:
        plan = plans.get(request.request_id)
        if plan is None or plan.shape in circumstances.failed:
            return compute_plan(network, request, version, circumstances)
        nodes = {name: msgspec.structs.replace(node, version=version) for name, node in plan.nodes.items()}
        return msgspec.structs.replace(plan, version=version, nodes=nodes)

    return planner


def _way(usable: UsableNetwork, request: EntanglementRequest, tree: Tree, rate_hz: float) -> Way | None:
    named = named_tree(tree, request.target_nodes[0])
    if named is None:
        return None
    route = route_along(usable, named.route, named)
    if isinstance(route, str):
        return None
    swaps = tree_of_shape(route.times, named.shape)
    return Way(route, swaps, request.generation_mode, (0,) * route.hops, rate_hz=rate_hz)


def named_tree(tree: Tree, source: NodeId) -> NamedTree | None:
    """The nesting of a tree of links and swaps, from the source on; None: there is more in it, or a node
    comes twice."""
    links = count()

    def read(part: Tree, *, turned: bool) -> NamedTree | None:
        match part:
            case LinkLeaf():
                ends = (part.right, part.left) if turned else (part.left, part.right)
                return NamedTree(ends, next(links))
            case SwapNode():
                first, second = (part.other, part.one) if turned else (part.one, part.other)
                one = read(first, turned=turned)
                other = None if one is None else read(second, turned=turned)
                if one is None or other is None:
                    return None
                shape: Shape = (one.shape, other.shape)
                return NamedTree(one.route + other.route[1:], shape)
            case _:
                return None

    found = read(tree, turned=tree.left != source)
    if found is None or len(set(found.route)) < len(found.route):
        return None
    return found
