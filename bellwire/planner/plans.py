"""From a request to the plan that every node of its route gets.

Owns `compute_plan`, a pure function, and the choice among routes, trees and policies. Refuses dispatch and
the sentences for what cannot be had (refusals.py). Capacity is judged by each node for itself; what
refusals have told of it comes in with the circumstances.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.graph_states import with_node_edges
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.modes import needs_table, paces_links, parse_mode, policies_of
from bellwire.core.path_words import path_traits
from bellwire.core.plans import (
    Circumstances,
    EntanglementRequest,
    LinkNews,
    LinkPlan,
    LinkRoom,
    NodePlan,
    PolicyName,
    Prediction,
    PurificationPlan,
    RequestPlan,
    RouteTable,
    SwapPlan,
    is_pre_distributed,
)
from bellwire.core.purification import pumps
from bellwire.core.purification_words import ADAPTIVE
from bellwire.core.settings import NetworkSettings
from bellwire.planner import distant_rounds, refusals, several_routes
from bellwire.planner.chosen_rounds import all_with_rounds, with_rounds
from bellwire.planner.intervals import SwapTree
from bellwire.planner.lanes import lanes_for, side_by_side
from bellwire.planner.paths import compute_path
from bellwire.planner.points import fidelity_wish, floors
from bellwire.planner.predictions import Outlook
from bellwire.planner.predistribution_routes import from_store
from bellwire.planner.purified_links import ROUNDS_MAX
from bellwire.planner.ranking import Candidate, fastest_first, in_order, minds_fidelity
from bellwire.planner.routes import Route, candidate_routes, trees_on
from bellwire.planner.segment_values import dual_costs, segment_values
from bellwire.planner.usable import UsableNetwork, usable_network
from bellwire.planner.ways import Choice, Way, paced, prediction, shape

IDLE: Final = Circumstances()

IN_BATCHES: Final = "a sequence is served batch by batch, each pair by a plan of its own"


OTHER_MODES: Final = ("swap_asap", "fixed_tree")
"""What is tried when the mode that was asked for failed on every route."""


def compute_plan(
    network: NetworkSettings, request: EntanglementRequest, version: int, circumstances: Circumstances = IDLE
) -> RequestPlan | str:
    """The plan of a request, or the reason why there is none; GHZ states have a file of their own.

    Of the routes that should reach what is wanted the best for the kind of the request wins (ranking.py); a
    rate that no route has alone is made by several trees side by side. After a failure another route is
    taken, or another tree where the policy follows trees, or another policy, in this order; when nothing else
    is left, what failed longest ago.
    """
    if request.entanglement_type != "bipartite":
        from bellwire.planner.fusion_plans import compute_fusion_plan  # numpy only where it is asked for

        return compute_fusion_plan(network, with_node_edges(request), version, circumstances)
    if request.entanglement_sequence:
        return IN_BATCHES
    path = compute_path(network, request, circumstances, choose, candidates)
    if isinstance(path, str):
        return path
    served = msgspec.structs.replace(request, cutoff_ns=path.cutoff_ns)
    return plan_of(network, served, version, path.choice, circumstances.links)


def predict(network: NetworkSettings, request: EntanglementRequest) -> Prediction | str:
    """What a request can expect on this network when it is alone, or why it cannot be served."""
    if request.entanglement_sequence:
        return IN_BATCHES
    if request.entanglement_type != "bipartite":
        plan = compute_plan(network, request, 1)
        if isinstance(plan, str):
            return plan
        hops = len(plan.nodes) - 1
        return Prediction(rate_hz=plan.rate_hz, latency_ns=plan.latency_ns, fidelity=plan.fidelity, hops=hops)
    seen = foresee(network, request)
    return seen if isinstance(seen, str) else seen[1].prediction(seen[0].hops)


def foresee(network: NetworkSettings, request: EntanglementRequest) -> tuple[Route, Outlook] | str:
    """The route that a plan for pairs takes on an idle network, and what it brings; or why there is none."""
    chosen = choose(network, request, IDLE)
    if isinstance(chosen, str):
        return chosen
    way = chosen[0]
    return way.route, way.outlook() if way.reserved_only else way.route.outlook


def choose_route(network: NetworkSettings, request: EntanglementRequest) -> Route | str:
    """The route that a plan takes on an idle network, or the reason why there is none."""
    seen = foresee(network, request)
    return seen if isinstance(seen, str) else seen[0]


def choose(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances
) -> Choice | str:
    """The best way to serve a request that did not fail lately, or the reason why there is none."""
    try:
        parse_mode(request.generation_mode)
    except ConfigError as wrong:
        return wrong.problem
    if len(request.target_nodes) != 2 or request.target_nodes[0] == request.target_nodes[1]:
        return f"a bipartite request names two different nodes, not {', '.join(request.target_nodes)}"
    if not 0 <= request.link_purification <= ROUNDS_MAX:
        return f"link purification has 0 to {ROUNDS_MAX} rounds, not {request.link_purification}"
    problem = distant_rounds.refusal(request) or several_routes.refusal(request)
    if problem is not None:
        return problem
    good = candidates(network, request, circumstances)
    if isinstance(good, str):
        return good
    room = {each.link: each for each in circumstances.room}
    tried: dict[str, Choice] = {}
    narrow: str | None = None
    for (candidate, floor), tree, policy in _ways(good, request):
        same = tree == candidate.tree
        route = candidate if same else with_rounds(candidate, request, tree, room)
        narrow = distant_rounds.lack_of_lanes(request, route.levels, tree, route.links)
        if narrow is not None or not keeps_fidelity(route, request):
            continue
        lanes = lanes_for(route, tree, request, room)
        if lanes is not None:
            own = request.reserved_only
            choice: Choice = (Way(route, tree, policy, lanes, floor, reserved_only=own),)
            if request.routes_max > 1:
                choice += _beside(network, request, circumstances, choice[0])
            if shape(choice) not in circumstances.failed:
                return choice
            tried.setdefault(shape(choice), choice)
    if tried:
        return min(tried.values(), key=lambda choice: circumstances.failed.index(shape(choice)))
    if narrow is not None:
        return narrow
    return _side_by_side(good, request, room) or refusals.of_rate(fastest_first(good), request, room)


def candidates(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances
) -> list[Candidate] | str:
    """Routes that should reach the wanted fidelity, the best for the kind of the request first, or why there
    is none. Where links have several operating points, a route may stand there with several floors."""
    seen: list[Route] = []
    good: list[Candidate] = []
    room = {each.link: each for each in circumstances.room}
    for floor in floors(network.links.values()) if minds_fidelity(request) else (None,):
        routes = candidate_routes(_usable(network, request, circumstances, floor), request)
        if isinstance(routes, str):
            return routes
        if request.purification is not None:
            routes = all_with_rounds(routes, request, room)
        good += [Candidate(route, floor) for route in routes if keeps_fidelity(route, request)]
        seen += routes
    return in_order(good, request) if good else refusals.of_fidelity(seen, request)


def _side_by_side(
    good: Sequence[Candidate], request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]
) -> Choice | None:
    """Several trees for a rate that no route has alone, all with one floor of link fidelities."""
    for floor in dict.fromkeys(each.floor for each in good):
        routes = fastest_first([each for each in good if each.floor == floor])
        together = side_by_side(routes, request, room)
        if together is not None:
            mode = request.generation_mode
            own = request.reserved_only
            return tuple(
                Way(route, route.tree, mode, lanes, floor, reserved_only=own) for route, lanes in together
            )
    return None


def _usable(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances, floor: float | None
) -> UsableNetwork:
    avoid, news = circumstances.avoid, circumstances.links
    return usable_network(network, request.request_id, avoid, news, floor, request.link_purification)


def _beside(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances, first: Way
) -> Choice:
    """Further ways of a request that wants several routes, none of which lacks room or fidelity."""
    room = {each.link: each for each in circumstances.room}
    usable = _usable(network, request, circumstances, first.floor)

    def fits(route: Route) -> bool:
        return keeps_fidelity(route, request) and lanes_for(route, route.tree, request, room) is not None

    _, *others = several_routes.routes_beside(first.route, usable, request, fits)
    return tuple(Way(route, route.tree, first.policy, (0,) * route.hops, first.floor) for route in others)


def keeps_fidelity(route: Route, request: EntanglementRequest) -> bool:
    """A route should reach the wanted fidelity."""
    wanted = request.fidelity_threshold
    if request.purification == ADAPTIVE:
        return True  # each pair is judged by itself, however few may pass
    return wanted is None or refusals.reach(route, request) >= wanted


def _ways(
    good: Sequence[Candidate], request: EntanglementRequest
) -> Iterator[tuple[Candidate, SwapTree, PolicyName]]:
    """Routes with the policy that was asked for, then their other trees, then other policies.

    Textbook rounds keep their policy: it is what they are a study of. Purification has one that it goes with.
    """
    for candidate in good:
        yield candidate, candidate.route.tree, request.generation_mode
    policies = [request.generation_mode]
    if not request.rounds and request.purification is None:
        policies += [mode for mode in OTHER_MODES if mode != request.generation_mode]
    for policy in policies:
        for candidate in good:
            for tree in trees_on(candidate.route, policy):
                yield candidate, tree, policy


def plan_of(
    network: NetworkSettings,
    request: EntanglementRequest,
    version: int,
    choice: Choice,
    news: tuple[LinkNews, ...] = (),
) -> RequestPlan:
    """The plan of every node that has a part in one of the trees. news: what links advertised."""
    parts: dict[NodeId, _Parts] = {}
    for number, way in enumerate(choice):
        for name, found in _parts_of(request, number, way).items():
            known = parts.setdefault(name, found)
            if known is not found:
                known.routes += found.routes
                known.links += found.links
                known.swaps += found.swaps
                known.purifications += found.purifications
    source, destination = request.target_nodes[0], request.target_nodes[-1]
    nodes = {
        name: NodePlan(
            request=request.request_id,
            version=version,
            source=source,
            destination=destination,
            role="source" if name == source else "destination" if name == destination else "inner",
            routes=tuple(part.routes),
            links=tuple(part.links),
            swaps=tuple(part.swaps),
            purifications=tuple(part.purifications),
            cutoff_ns=request.cutoff_ns,
            rounds=request.rounds,
            lease_ns=network.timers.plan_lease_ns,
            mode=choice[0].policy,
            from_store=from_store(network, request, choice, name),
            gathers=path_traits(request.paths).gathers,
        )
        for name, part in parts.items()
    }
    expected = prediction(choice)
    used = {link.link for way in choice for link in way.route.links}
    return RequestPlan(
        request=request.request_id,
        version=version,
        nodes=nodes,
        rate_hz=expected.rate_hz,
        latency_ns=expected.latency_ns,
        fidelity=expected.fidelity,
        tree=" + ".join(way.tree.text(way.route.nodes) for way in choice),
        shape=shape(choice),
        measured=tuple(each.link for each in news if each.points and each.link in used),
    )


@dataclass(slots=True)
class _Parts:
    """What one node has to do, while its plan is put together."""

    routes: list[tuple[NodeId, ...]]
    links: list[LinkPlan]
    swaps: list[SwapPlan]
    purifications: list[PurificationPlan]


def _parts_of(request: EntanglementRequest, number: int, way: Way) -> dict[NodeId, _Parts]:
    route = way.route
    tree = paced(way)
    table = table_of(route, way) if needs_table(way.policy) else None
    link_rates_hz = [1.0 / leaf.latency_s for leaf in tree.leaves()]
    swaps = {subtree.at: (subtree, depth) for subtree, depth in tree.swaps()}
    found: dict[NodeId, _Parts] = {}
    refining = distant_rounds.purifications_of(
        request, number, tree, route.nodes, route.memories, route.levels
    )
    last = len(route.nodes) - 1
    for position, name in enumerate(route.nodes):
        beside = [index for index in (position - 1, position) if 0 <= index < last]
        links = [_link_plan(request, number, way, index, position, link_rates_hz[index]) for index in beside]
        swap = [_swap_plan(request, number, way, *swaps[position], table)] if position in swaps else []
        found[name] = _Parts([route.nodes], links, swap, refining.get(name, []))
    return found


def _link_plan(
    request: EntanglementRequest, number: int, way: Way, index: int, position: int, rate_hz: float
) -> LinkPlan:
    other = index if position == index + 1 else index + 1
    rounds = request.link_purification
    return LinkPlan(
        request=request.request_id,
        tree=number,
        link=way.route.links[index].link,
        partner=way.route.nodes[other],
        rate_hz=rate_hz,
        lanes=way.lanes[index],
        weight=request.priority,
        fidelity_min=fidelity_wish(way.route.links[index], way.floor),
        rounds=rounds,
        pumping=rounds > 0 and pumps(False, rounds, way.route.links[index].lanes),
        cutoff_ns=request.cutoff_ns if rounds else None,
        paced=paces_links(way.policy) and not rounds and not way.route.levels,
        reserved_only=request.reserved_only and way.lanes[index] > 0,
        background=is_pre_distributed(request.request_id) or path_traits(request.paths).gathers,
    )


def table_of(route: Route, way: Way) -> RouteTable:
    """What adaptive policies read, as seen from position 0."""
    times = route.times
    options = [dict(part.options) for part in policies_of(parse_mode(way.policy)) if part.name == "score"]
    floor = float(options[0]["cost_floor"]) if options and options[0]["costs"] == "dual" else None
    seen = segment_values(times, times.link_s if floor is None else dual_costs(times, floor))
    return RouteTable(
        position=0,
        swap_probability=times.swap_probability[0],
        latency_s=seen.latency_s,
        value_s=seen.value_s,
        worth_s=seen.worth_s,
        partner_s=seen.partner_s,
        tree=tuple((subtree.left, subtree.at, subtree.right) for subtree, _ in way.tree.swaps()),
        wait_s=sum(times.link_s) / len(times.link_s),
    )


def _swap_plan(
    request: EntanglementRequest,
    number: int,
    way: Way,
    subtree: SwapTree,
    depth: int,
    table: RouteTable | None,
) -> SwapPlan:
    at, route = subtree.at, way.route
    if table is not None:
        probability = route.times.swap_probability[at]
        table = msgspec.structs.replace(table, position=at, swap_probability=probability)
    return SwapPlan(
        request=request.request_id,
        tree=number,
        left_link=route.links[at - 1].link,
        right_link=route.links[at].link,
        left_partner=route.nodes[subtree.left],
        right_partner=route.nodes[subtree.right],
        depth=depth,
        policy=way.policy,
        rounds=request.rounds,
        rate_hz=1.0 / subtree.latency_s,
        inner_left=route.nodes[subtree.left + 1 : at],
        inner_right=route.nodes[at + 1 : subtree.right],
        route=route.nodes,
        table=table,
    )
