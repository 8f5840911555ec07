"""Routes: which way a request goes, and the tree that belongs to it.

Owns the search over simple paths and the outlook of each. Refuses plans (plans.py) and multi-path
decomposition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.modes import follows_tree
from bellwire.core.plans import EntanglementRequest, PolicyName
from bellwire.core.purification_words import Level
from bellwire.core.settings import RELAY_SLOTS, LinkSettings, MemorySettings
from bellwire.core.units import s_from_ns
from bellwire.planner.intervals import (
    THREE_HALVES,
    RouteTimes,
    SwapTree,
    best_tree,
    tree_of_shape,
    trees_by_root,
)
from bellwire.planner.lane_times import link_latency_s
from bellwire.planner.predictions import Outlook, ceiling, named, outlook
from bellwire.planner.refined_streams import Levels
from bellwire.planner.tree_texts import NamedTree, read_tree
from bellwire.planner.usable import UsableNetwork

ROUTES_TRIED_MAX = 16
"""Candidate routes whose trees are worked out; the cheapest by `hop_cost` come first."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route with its default tree and what is expected of it."""

    nodes: tuple[NodeId, ...]
    links: tuple[LinkSettings, ...]
    memories: tuple[MemorySettings, ...]  # of all nodes, ends included
    times: RouteTimes
    tree: SwapTree
    outlook: Outlook
    ceiling: float  # highest possible fidelity, without any waiting
    tree_given: bool = False  # the request names the tree: no other one is looked at
    levels: Levels = field(default_factory=dict[int, Level])  # rounds that the figures count

    @property
    def hops(self) -> int:
        """Number of links."""
        return len(self.links)


def trees_on(route: Route, policy: PolicyName) -> list[SwapTree]:
    """Trees that a policy can follow on a route, the default tree first; to some policies all are alike."""
    if route.hops == 1 or route.tree_given or not follows_tree(policy):
        return [route.tree]
    return trees_by_root(route.times)


def route_along(
    usable: UsableNetwork, nodes: tuple[NodeId, ...], given: NamedTree | None = None
) -> Route | str:
    """The route over given nodes, or the reason why it is none. given: its tree, None: the fastest one."""
    for name in nodes:
        if name not in usable.nodes:
            return f'"{name}" is not a node that can hold entanglement, or does not answer'
    links: list[LinkSettings] = []
    memories: list[MemorySettings] = []
    for a, b in pairwise(nodes):
        link = usable.link(a, b)
        if link is None:
            return f"no usable link between {a} and {b} on the route {named(nodes)}"
        links.append(link)
    for name in nodes:
        memory = usable.nodes[name].memory
        if memory is None:
            return f"{name} has no quantum memory"
        if memory.slots < RELAY_SLOTS and name not in (nodes[0], nodes[-1]):
            return f"{name} has {memory.slots} memory, and swapping on the route {named(nodes)} takes two"
        memories.append(memory)
    times = RouteTimes(
        link_s=tuple(link_latency_s(link) for link in links),
        swap_probability=tuple(memory.bsm_success_probability for memory in memories),
        swap_s=tuple(s_from_ns(memory.bsm_duration_ns) for memory in memories),
        delay_s=lambda a, b: usable.delay_s(nodes[a], nodes[b]),
    )
    tree = best_tree(times) if given is None else tree_of_shape(times, given.shape)
    along = (tuple(links), tuple(memories))
    seen, best = outlook(tree, times, *along), ceiling(tree, *along)
    return Route(nodes, *along, times, tree, seen, best, given is not None)


def candidate_routes(usable: UsableNetwork, request: EntanglementRequest) -> list[Route] | str:
    """Routes worth a look, fastest first, or why there is none. A route or a tree in the request is the only
    one."""
    source, destination = request.target_nodes[0], request.target_nodes[-1]
    for name in (source, destination):
        if name not in usable.nodes:
            return f"unknown or silent node {name}"
    try:
        given = None if request.tree is None else read_tree(request.tree)
    except ConfigError as wrong:
        return wrong.problem
    nodes = given.route if request.route is None and given is not None else request.route
    if nodes is not None:
        if given is not None and given.route != nodes:
            return f"the swapping tree is over {named(given.route)}, and the route is {named(nodes)}"
        if (nodes[0], nodes[-1]) != (source, destination):
            return f"the way {named(nodes)} does not lead from {source} to {destination}"
        chosen = route_along(usable, nodes, given)
        return chosen if isinstance(chosen, str) else [chosen]
    routes = [
        route
        for nodes in islice(_simple_paths(usable, source, destination), ROUTES_TRIED_MAX)
        if not isinstance(route := route_along(usable, nodes), str)
    ]
    if not routes:
        return f"no route between {source} and {destination}"
    return sorted(routes, key=by_latency)


def by_latency(route: Route) -> tuple[float, int, tuple[NodeId, ...]]:
    """What routes are sorted by: the fastest first."""
    return (route.outlook.latency_s, route.hops, route.nodes)


def _simple_paths(usable: UsableNetwork, source: NodeId, destination: NodeId) -> Iterator[tuple[NodeId, ...]]:
    """Simple paths, cheapest first by `hop_cost`. Only repeaters relay."""
    import networkx as nx  # a third of a second to load, and a route given by the request needs none of it

    graph: nx.Graph[str] = nx.Graph()
    for a, neighbours in usable.links.items():
        for b, link in neighbours.items():
            if all(_may_relay(usable, name) or name in (source, destination) for name in (a, b)):
                graph.add_edge(a, b, cost=hop_cost(usable, link))
    if source not in graph or destination not in graph or not nx.has_path(graph, source, destination):
        return
    for nodes in nx.shortest_simple_paths(graph, source, destination, weight="cost"):
        yield tuple(nodes)


def _may_relay(usable: UsableNetwork, name: NodeId) -> bool:
    return usable.nodes[name].may_relay


def hop_cost(usable: UsableNetwork, link: LinkSettings) -> float:
    """Additive cost of a link in a path, seconds: its latency, and the growth that one more swap brings.

    Eq. 1 is not additive; a path of h equal links has T = T_link (1.5/p_b)^log2(h), which for p_b from 0.4 to
    1 grows between linearly and quadratically in h. The penalty (1.5/p_b - 1) T_link orders candidates; their
    trees decide.
    """
    probabilities = [
        memory.bsm_success_probability
        for name in link.nodes
        if (memory := usable.nodes[name].memory) is not None
    ]
    return link_latency_s(link) * THREE_HALVES / min(probabilities, default=1.0)
