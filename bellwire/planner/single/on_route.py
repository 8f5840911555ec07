"""The fastest tree over one given route: method "route" (interval programme of algorithms.md 1.4).

Owns the cutting of a network down to a route. Refuses a search of its own: on a line of nodes the exact
programme is the interval programme, limits included.
"""

from dataclasses import replace
from itertools import pairwise

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single import exact
from bellwire.planner.topology import Topology, pair_of

METHOD = "route"


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The fastest tree over `options.route` that keeps the limits.

    Raises:
        NoPlan: no route is given, it is none, or nothing on it keeps the limits.
    """
    if options.route is None:
        raise NoPlan(f'{request.source}-{request.destination}: method "{METHOD}" needs a route')
    return along(residual, request, options, options.route, METHOD)


def along(
    residual: Residual, request: PairRequest, options: Options, route: tuple[NodeId, ...], method: str
) -> PairPlan:
    """The fastest tree over a route, under the name of the method that chose the route."""
    if (route[0], route[-1]) != (request.source, request.destination):
        raise NoPlan(f"route {'-'.join(route)} does not join {request.source} and {request.destination}")
    line = replace(residual, topology=cut(residual.topology, route))
    kept = tuple(leaf for leaf in request.stored if {leaf.left, leaf.right} <= set(route))
    found = exact.plan(line, replace(request, stored=kept), replace(options, route=None))
    return replace(found, method=method)


def cut(topology: Topology, route: tuple[NodeId, ...]) -> Topology:
    """Only the nodes and links of a route, with the delays of the whole network.

    Raises:
        NoPlan: the route visits a node twice, or two neighbours of it have no link.
    """
    if len(set(route)) != len(route):
        raise NoPlan(f"route {'-'.join(route)} visits a node twice")
    nodes = {name: topology.node(name) for name in route}
    links = {}
    for a, b in pairwise(route):
        link = topology.link(a, b)
        if link is None:
            raise NoPlan(f"no link between {a} and {b} on the route {'-'.join(route)}")
        links[link.ends] = link
    delays_s = {pair_of(a, b): topology.delay_s(a, b) for a in route for b in route if a < b}
    return Topology(nodes, links, delays_s)
