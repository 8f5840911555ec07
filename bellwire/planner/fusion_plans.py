"""From a request for GHZ or graph states to the part of every node in it.

Owns the way from a multipartite plan over link pairs to node plans: who makes which link pairs, who fuses and
stays, who leaves, and in which order where the order is fixed. Refuses the search for trees
(multipartite/ghz_steiner.py) and execution (swapping/fusion.py).

Modes: "swap_asap" joins states as they come, "score" joins those whose union is worth more than they are
(fusion_worths.py), "fixed_tree" keeps the order of the plan.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.plans import (
    Circumstances,
    EntanglementRequest,
    FusionPlan,
    FusionStep,
    LinkPlan,
    NodePlan,
    RequestPlan,
)
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.planner.advertised import dark_links
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.fusion_worths import worths
from bellwire.planner.graph_knots import Placement, may_meet_by, order_fault, placed
from bellwire.planner.graph_links import along_edges
from bellwire.planner.multipartite.methods import plan_ghz
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Limits, Options
from bellwire.planner.sources.settings import topology_of
from bellwire.planner.topology import Topology
from bellwire.planner.usable import UsableNetwork, usable_network

METHOD: Final = "ghz-steiner"
"""The method whose pairs are link pairs, so that all joins can be made on one tree of links."""

Order = Literal["asap", "score", "fixed"]

ORDERS: Final[Mapping[str, Order]] = {"swap_asap": "asap", "score": "score", "fixed_tree": "fixed"}

Steps = Mapping[NodeId, Sequence[FusionStep]]
"""A fixed order, by the node that acts."""

PATIENCE_STATES: Final = 2.0
"""A node that was offered nothing worth while joins what it has after so many expected times of a state."""


def compute_fusion_plan(
    network: NetworkSettings, request: EntanglementRequest, version: int, circumstances: Circumstances
) -> RequestPlan | str:
    """The plan of a request for GHZ or graph states, or the reason why there is none.

    The tree does not depend on what failed lately, except for nodes that are judged lost: a GHZ state has far
    fewer ways than a pair.
    """
    order = ORDERS.get(request.generation_mode)
    if order is None:
        return f'generation mode "{request.generation_mode}" is none for GHZ states: {", ".join(ORDERS)}'
    dark = dark_links(circumstances)
    topology = topology_of(network, request.request_id, circumstances.avoid, dark)
    usable = usable_network(network, request.request_id, circumstances.avoid, dark)
    try:
        found = _tree(topology, request)
        placement = _placement(usable, request, found)
        if isinstance(placement, str):  # the fastest tree cannot carry this graph
            found = _tree(along_edges(topology, request.target_nodes, request.edges), request)
            placement = _placement(usable, request, found)
    except NoPlan as reason:
        return str(reason)
    if isinstance(placement, str):
        return placement
    names = _names(usable, found)
    steps = _steps(found, names) if order == "fixed" else {}
    fault = None if placement is None else order_fault(steps, placement)
    if fault is not None:
        return fault
    return _request_plan(network, request, version, order, found, names, steps, placement)


def _tree(topology: Topology, request: EntanglementRequest) -> MultipartitePlan:
    return plan_ghz(
        Residual(topology),
        request.request_id,
        request.target_nodes,
        METHOD,
        Options(throttle=False, rounds=0),
        Limits(fidelity=request.fidelity_threshold),
    )


def _names(usable: UsableNetwork, found: MultipartitePlan) -> list[LinkId]:
    return [usable.links[pair.left][pair.right].link for pair in found.pairs]


def _placement(
    usable: UsableNetwork, request: EntanglementRequest, found: MultipartitePlan
) -> Placement | str | None:
    """How the links of a tree carry the graph, or why they cannot; None: a GHZ state is wanted."""
    if not request.edges:
        return None
    links = {
        name: (pair.left, pair.right) for name, pair in zip(_names(usable, found), found.pairs, strict=True)
    }
    return placed(request.target_nodes, request.edges, links)


def _request_plan(
    network: NetworkSettings,
    request: EntanglementRequest,
    version: int,
    order: Order,
    found: MultipartitePlan,
    names: list[LinkId],
    steps: Steps,
    placement: Placement | None,
) -> RequestPlan:
    source, destination = request.target_nodes[0], request.target_nodes[-1]
    nodes = tuple(sorted({node for pair in found.pairs for node in (pair.left, pair.right)} - {source}))
    nodes = (source, *nodes)
    in_order = sorted(range(len(names)), key=names.__getitem__)
    edges = tuple((found.pairs[index].left, found.pairs[index].right) for index in in_order)
    success = {name: _success(network, name) for name in nodes}
    table: dict[int, float] = {}
    if order == "score":
        latencies_s = [found.pairs[index].latency_s for index in in_order]
        may_meet = None if placement is None else may_meet_by(placement, [names[index] for index in in_order])
        table = worths(edges, latencies_s, success, may_meet)
    links: dict[NodeId, list[LinkPlan]] = {name: [] for name in nodes}
    for pair, name in zip(found.pairs, names, strict=True):
        for owner, partner in ((pair.left, pair.right), (pair.right, pair.left)):
            links[owner].append(_link_plan(request, name, partner, 1.0 / pair.latency_s))
    plans = {
        name: NodePlan(
            request=request.request_id,
            version=version,
            source=source,
            destination=destination,
            role="source" if name == source else "destination" if name in request.target_nodes else "inner",
            routes=(nodes,),
            links=tuple(links[name]),
            swaps=(),
            cutoff_ns=request.cutoff_ns,
            rounds=False,
            lease_ns=network.timers.plan_lease_ns,
            fusion=FusionPlan(
                request=request.request_id,
                kind="graph" if request.edges else "ghz",
                members=request.target_nodes,
                nodes=nodes,
                links=tuple(sorted(names)),
                branches=tuple(sorted(link.link for link in links[name])),
                retains=name in request.target_nodes,
                edges=edges,
                order=order if table or order != "score" else "asap",
                worths=tuple(table.items()),
                success_probability=success[name],
                patience_ns=round(PATIENCE_STATES * found.latency_s * NS_PER_S),
                steps=tuple(steps.get(name, ())),
                rate_hz=found.rate_hz,
                graph=request.edges,
                turns_last=() if placement is None else placement.turns_last,
                knots=() if placement is None else placement.knots[name],
            ),
        )
        for name in nodes
    }
    tree = " ".join(f"({pair.left} {pair.right})" for pair in found.pairs)
    return RequestPlan(
        request=request.request_id,
        version=version,
        nodes=plans,
        rate_hz=found.rate_hz,
        latency_ns=round(found.latency_s * NS_PER_S),
        fidelity=found.fidelity,
        tree=tree,
        shape=f"{request.entanglement_type} {request.generation_mode} {tree}",
    )


def _success(network: NetworkSettings, node: NodeId) -> float:
    memory = network.nodes[node].memory
    return 1.0 if memory is None else memory.bsm_success_probability


def _link_plan(request: EntanglementRequest, link: LinkId, partner: NodeId, rate_hz: float) -> LinkPlan:
    return LinkPlan(
        request=request.request_id,
        tree=0,
        link=link,
        partner=partner,
        rate_hz=rate_hz,
        lanes=0,
        weight=request.priority,
        fidelity_min=None,
    )


Covers = dict[NodeId, frozenset[LinkId]]
"""By which of its links a state reaches each of its nodes."""


def _steps(found: MultipartitePlan, names: list[LinkId]) -> Steps:
    """Every operation as joins of two states each, for the node that acts."""
    covers: dict[int, Covers] = {}
    for number, (pair, name) in enumerate(zip(found.pairs, names, strict=True)):
        covers[number] = {pair.left: frozenset((name,)), pair.right: frozenset((name,))}
    steps: dict[NodeId, list[FusionStep]] = {}
    for operation in found.operations:
        node = operation.node
        joined, *others = (covers.pop(state) for state in operation.consumes)
        for other in others:
            steps.setdefault(node, []).append(
                FusionStep(
                    one=min(joined[node]),
                    other=min(other[node]),
                    one_nodes=tuple(sorted(joined)),
                    other_nodes=tuple(sorted(other)),
                )
            )
            joined = {**joined, **other, node: joined[node] | other[node]}
        if operation.action == "fuse_discard":
            del joined[node]
        covers[operation.yields] = joined
    return steps
