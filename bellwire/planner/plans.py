"""From a request to the plan that every node of its route gets.

Owns `compute_plan`, a pure function, and the reasons why there is no plan. Refuses dispatch, capacity (each
node judges its own) and knowledge of other requests.
"""

from collections.abc import Callable, Collection
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest, LinkPlan, NodePlan, Prediction, RequestPlan, SwapPlan
from bellwire.core.registry import nearest
from bellwire.core.settings import NetworkSettings
from bellwire.planner.intervals import SwapTree, throttled
from bellwire.planner.predictions import named
from bellwire.planner.routes import Route, candidate_routes
from bellwire.planner.usable import usable_network

TREE: Final = 0
"""Plans of this planner have one tree."""


def _at_full_speed(route: Route) -> SwapTree:
    """Adaptive policies do better with links at full speed than throttled (algorithms.md 8.5)."""
    return route.tree


def _throttled(route: Route) -> SwapTree:
    return throttled(route.tree, route.times)


GENERATION_MODES: Final[dict[str, Callable[[Route], SwapTree]]] = {
    "swap_asap": _at_full_speed,
    "fixed_tree": _throttled,
}
"""Modes that the planner can plan for, each with the tree whose rates go into the plans."""


def compute_plan(
    network: NetworkSettings, request: EntanglementRequest, version: int, avoid: Collection[NodeId] = ()
) -> RequestPlan | str:
    """The plan of a bipartite request, or the reason why there is none.

    The fastest route that should reach the wanted fidelity wins. `avoid`: nodes that did not answer a former
    plan.
    """
    route = choose_route(network, request, avoid)
    return route if isinstance(route, str) else plan_along(network, request, version, route)


def predict(network: NetworkSettings, request: EntanglementRequest) -> Prediction | str:
    """What a request can expect on this network when it is alone, or why it cannot be served."""
    route = choose_route(network, request)
    return route if isinstance(route, str) else route.outlook.prediction(route.hops)


def choose_route(
    network: NetworkSettings, request: EntanglementRequest, avoid: Collection[NodeId] = ()
) -> Route | str:
    """The route that a plan takes, or the reason why there is none."""
    if request.generation_mode not in GENERATION_MODES:
        hint = nearest(request.generation_mode, GENERATION_MODES)
        return f'unknown generation mode "{request.generation_mode}"{hint}'
    if len(request.target_nodes) != 2 or request.target_nodes[0] == request.target_nodes[1]:
        return f"a bipartite request names two different nodes, not {', '.join(request.target_nodes)}"
    routes = candidate_routes(usable_network(network, request.request_id, avoid), request)
    if isinstance(routes, str):
        return routes
    wanted = request.fidelity_threshold
    good = [route for route in routes if wanted is None or _reach(route, request) >= wanted]
    if wanted is not None and not good:
        best = max(routes, key=lambda route: _reach(route, request))
        limit = _floor(_reach(best, request))
        return f"fidelity {wanted:g} cannot be reached: at most {limit} over {named(best.nodes)}"
    chosen = good[0]
    if request.rate_threshold_hz is not None:
        bound_hz = 1.0 / max(chosen.times.link_s)
        if bound_hz < request.rate_threshold_hz:
            return (
                f"rate {request.rate_threshold_hz:g}/s cannot be reached: "
                f"a link of {named(chosen.nodes)} makes at most {bound_hz:.4g}/s"
            )
    return chosen


def _reach(route: Route, request: EntanglementRequest) -> float:
    """The fidelity that a route can promise: a cutoff trades rate for a mean nearer to the ceiling."""
    return route.ceiling if request.cutoff_ns is not None else route.outlook.fidelity


def _floor(fidelity: float) -> str:
    # Rounding up would promise what the sentence denies.
    return f"{int(fidelity * 1000) / 1000:.3f}"


def plan_along(
    network: NetworkSettings, request: EntanglementRequest, version: int, route: Route
) -> RequestPlan:
    """The plan of every node of a route."""
    tree = GENERATION_MODES[request.generation_mode](route)
    link_rates_hz = [1.0 / leaf.latency_s for leaf in tree.leaves()]
    swaps = {subtree.at: (subtree, depth) for subtree, depth in tree.swaps()}
    nodes: dict[NodeId, NodePlan] = {}
    last = len(route.nodes) - 1
    for position, name in enumerate(route.nodes):
        beside = [index for index in (position - 1, position) if 0 <= index < last]
        nodes[name] = NodePlan(
            request=request.request_id,
            version=version,
            source=route.nodes[0],
            destination=route.nodes[-1],
            role="source" if position == 0 else "destination" if position == last else "inner",
            route=route.nodes,
            links=tuple(
                _link_plan(request, route, index, position, link_rates_hz[index]) for index in beside
            ),
            swap=_swap_plan(request, route, *swaps[position]) if position in swaps else None,
            cutoff_ns=request.cutoff_ns,
            rounds=request.rounds,
            lease_ns=network.timers.plan_lease_ns,
        )
    expected = route.outlook.prediction(route.hops)
    return RequestPlan(
        request=request.request_id,
        version=version,
        nodes=nodes,
        rate_hz=expected.rate_hz,
        latency_ns=expected.latency_ns,
        fidelity=expected.fidelity,
        tree=tree.text(route.nodes),
    )


def _link_plan(
    request: EntanglementRequest, route: Route, index: int, position: int, rate_hz: float
) -> LinkPlan:
    other = index if position == index + 1 else index + 1
    return LinkPlan(
        request=request.request_id,
        tree=TREE,
        link=route.links[index].link,
        partner=route.nodes[other],
        rate_hz=rate_hz,
        weight=request.priority,
        fidelity_min=None,
    )


def _swap_plan(request: EntanglementRequest, route: Route, subtree: SwapTree, depth: int) -> SwapPlan:
    at = subtree.at
    return SwapPlan(
        request=request.request_id,
        tree=TREE,
        left_link=route.links[at - 1].link,
        right_link=route.links[at].link,
        left_partner=route.nodes[subtree.left],
        right_partner=route.nodes[subtree.right],
        depth=depth,
        policy=request.generation_mode,
        rounds=request.rounds,
        rate_hz=1.0 / subtree.latency_s,
        inner_left=route.nodes[subtree.left + 1 : at],
        inner_right=route.nodes[at + 1 : subtree.right],
    )
