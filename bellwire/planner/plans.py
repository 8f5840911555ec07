"""From a request to the plan that every node of its route gets.

Owns `compute_plan`, a pure function, and the choice among routes, trees and policies. Refuses dispatch and
the sentences for what cannot be had (refusals.py). Capacity is judged by each node for itself; what
refusals have told of it comes in with the circumstances.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.core.plans import (
    Circumstances,
    EntanglementRequest,
    LinkPlan,
    NodePlan,
    PolicyName,
    Prediction,
    RequestPlan,
    SwapPlan,
    shape_of,
)
from bellwire.core.registry import nearest
from bellwire.core.settings import NetworkSettings
from bellwire.planner import refusals
from bellwire.planner.intervals import SwapTree, throttled
from bellwire.planner.lanes import Lanes, lanes_for
from bellwire.planner.predictions import outlook
from bellwire.planner.routes import Route, candidate_routes, trees_on
from bellwire.planner.usable import usable_network

TREE: Final = 0
"""Plans of this planner have one tree."""

IDLE: Final = Circumstances()


def _at_full_speed(route: Route, tree: SwapTree) -> SwapTree:
    """Adaptive policies do better with links at full speed than throttled (algorithms.md 8.5)."""
    return tree


def _throttled(route: Route, tree: SwapTree) -> SwapTree:
    return throttled(tree, route.times)


GENERATION_MODES: Final[dict[str, Callable[[Route, SwapTree], SwapTree]]] = {
    "swap_asap": _at_full_speed,
    "fixed_tree": _throttled,
}
"""Modes that the planner can plan for, each with the tree whose rates go into the plans."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to serve a request."""

    route: Route
    tree: SwapTree
    policy: PolicyName
    lanes: Lanes

    @property
    def shape(self) -> str:
        """As `RequestPlan.shape`."""
        return shape_of(self.policy, self.route.nodes, self.tree.text(self.route.nodes))


def compute_plan(
    network: NetworkSettings, request: EntanglementRequest, version: int, circumstances: Circumstances = IDLE
) -> RequestPlan | str:
    """The plan of a bipartite request, or the reason why there is none.

    The fastest route that should reach what is wanted wins. After a failure another route is taken, or
    another tree where the policy follows trees, or another policy, in this order; when nothing else is left,
    what failed longest ago.
    """
    chosen = choose(network, request, circumstances)
    return chosen if isinstance(chosen, str) else plan_of(network, request, version, chosen)


def predict(network: NetworkSettings, request: EntanglementRequest) -> Prediction | str:
    """What a request can expect on this network when it is alone, or why it cannot be served."""
    route = choose_route(network, request)
    return route if isinstance(route, str) else route.outlook.prediction(route.hops)


def choose_route(network: NetworkSettings, request: EntanglementRequest) -> Route | str:
    """The route that a plan takes on an idle network, or the reason why there is none."""
    chosen = choose(network, request, IDLE)
    return chosen if isinstance(chosen, str) else chosen.route


def choose(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances
) -> Choice | str:
    """The best way to serve a request that did not fail lately, or the reason why there is none."""
    if request.generation_mode not in GENERATION_MODES:
        hint = nearest(request.generation_mode, GENERATION_MODES)
        return f'unknown generation mode "{request.generation_mode}"{hint}'
    if len(request.target_nodes) != 2 or request.target_nodes[0] == request.target_nodes[1]:
        return f"a bipartite request names two different nodes, not {', '.join(request.target_nodes)}"
    routes = candidate_routes(usable_network(network, request.request_id, circumstances.avoid), request)
    if isinstance(routes, str):
        return routes
    good = [route for route in routes if keeps_fidelity(route, request)]
    if not good:
        return refusals.of_fidelity(routes, request)
    room = {each.link: each for each in circumstances.room}
    tried: dict[str, Choice] = {}
    for route, tree, policy in _ways(good, request):
        lanes = lanes_for(route, tree, request, room)
        if lanes is not None:
            choice = Choice(route, tree, policy, lanes)
            if choice.shape not in circumstances.failed:
                return choice
            tried.setdefault(choice.shape, choice)
    if tried:
        return min(tried.values(), key=lambda choice: circumstances.failed.index(choice.shape))
    return refusals.of_rate(good, request, room)


def keeps_fidelity(route: Route, request: EntanglementRequest) -> bool:
    """A route should reach the wanted fidelity."""
    wanted = request.fidelity_threshold
    return wanted is None or refusals.reach(route, request) >= wanted


def _ways(
    routes: Sequence[Route], request: EntanglementRequest
) -> Iterator[tuple[Route, SwapTree, PolicyName]]:
    """Routes with the policy that was asked for, then their other trees, then other policies.

    Textbook rounds keep their policy: it is what they are a study of.
    """
    for route in routes:
        yield route, route.tree, request.generation_mode
    policies = [request.generation_mode]
    if not request.rounds:
        policies += [mode for mode in GENERATION_MODES if mode != request.generation_mode]
    for policy in policies:
        for route in routes:
            for tree in trees_on(route, policy):
                yield route, tree, policy


def plan_of(
    network: NetworkSettings, request: EntanglementRequest, version: int, choice: Choice
) -> RequestPlan:
    """The plan of every node of a chosen way."""
    route = choice.route
    tree = GENERATION_MODES[choice.policy](route, choice.tree)
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
                _link_plan(request, choice, index, position, link_rates_hz[index]) for index in beside
            ),
            swap=_swap_plan(request, choice, *swaps[position]) if position in swaps else None,
            cutoff_ns=request.cutoff_ns,
            rounds=request.rounds,
            lease_ns=network.timers.plan_lease_ns,
        )
    expected = outlook(choice.tree, route.times, route.links, route.memories).prediction(route.hops)
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
    request: EntanglementRequest, choice: Choice, index: int, position: int, rate_hz: float
) -> LinkPlan:
    other = index if position == index + 1 else index + 1
    return LinkPlan(
        request=request.request_id,
        tree=TREE,
        link=choice.route.links[index].link,
        partner=choice.route.nodes[other],
        rate_hz=rate_hz,
        lanes=choice.lanes[index],
        weight=request.priority,
        fidelity_min=None,
    )


def _swap_plan(request: EntanglementRequest, choice: Choice, subtree: SwapTree, depth: int) -> SwapPlan:
    at, route = subtree.at, choice.route
    return SwapPlan(
        request=request.request_id,
        tree=TREE,
        left_link=route.links[at - 1].link,
        right_link=route.links[at].link,
        left_partner=route.nodes[subtree.left],
        right_partner=route.nodes[subtree.right],
        depth=depth,
        policy=choice.policy,
        rounds=request.rounds,
        rate_hz=1.0 / subtree.latency_s,
        inner_left=route.nodes[subtree.left + 1 : at],
        inner_right=route.nodes[at + 1 : subtree.right],
    )
