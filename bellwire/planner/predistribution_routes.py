"""Requests and stores: which parts of a plan a pair in store may stand for, and the way through a full one.

Owns the comparison of a request's plain way with those through super-links that have a pair (algorithms.md
3). Refuses the choice of super-links (predistribution_greedy.py) and the claiming of pairs (transport).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from bellwire.core.ids import NodeId
from bellwire.core.modes import follows_tree, is_foreign
from bellwire.core.path_words import path_traits
from bellwire.core.plans import Circumstances, EntanglementRequest, StoreSegment, is_pre_distributed
from bellwire.core.settings import NetworkSettings, SuperLinkSettings
from bellwire.core.units import s_from_ns
from bellwire.planner.intervals import THREE_HALVES, SwapTree
from bellwire.planner.routes import hop_cost, route_along
from bellwire.planner.tree_texts import read_tree
from bellwire.planner.usable import UsableNetwork, usable_network
from bellwire.planner.ways import Choice, Way

LOOKED_AT_MAX: Final = 4
"""Super-links whose ways are worked out for one request; those with the nearest ends come first."""


def may_use(request: EntanglementRequest, link: SuperLinkSettings) -> bool:
    """Pairs of this super-link may serve this request: it asks for plain pairs, no better ones than are kept.

    Rounds of purification and textbook rounds count the pairs of links, and get no others.
    """
    plain = (
        path_traits(request.paths).takes_from_store
        and request.entanglement_type == "bipartite"
        and not is_pre_distributed(request.request_id)
        and request.purification is None
        and not request.link_purification
        and not request.rounds
    )
    wanted, kept = request.fidelity_threshold, link.fidelity_min
    return plain and (wanted is None or (kept is not None and kept >= wanted))


def from_store(
    network: NetworkSettings, request: EntanglementRequest, choice: Choice, node: NodeId
) -> tuple[StoreSegment, ...]:
    """Segments of a plan with an end at a node that a pair in store may stand for."""
    if network.stores is None:
        return ()
    return tuple(
        StoreSegment(tree=number, head=link.route[0], tail=link.route[-1])
        for number, way in enumerate(choice)
        for link in network.stores.super_links
        if node in (link.route[0], link.route[-1]) and may_use(request, link) and _stands_for(link, way)
    )


def _stands_for(link: SuperLinkSettings, way: Way) -> bool:
    """The super-link's route is a part of the way; where only planned swaps are made, a subtree of it."""
    if is_foreign(way.policy):
        return False
    nodes = way.route.nodes
    if not {link.route[0], link.route[-1]} <= set(nodes):
        return False
    left, right = sorted((nodes.index(link.route[0]), nodes.index(link.route[-1])))
    if nodes[left : right + 1] not in (link.route, link.route[::-1]):
        return False
    return not follows_tree(way.policy) or _has_subtree(way.tree, left, right)


def _has_subtree(tree: SwapTree, left: int, right: int) -> bool:
    if (tree.left, tree.right) == (left, right):
        return True
    return any(_has_subtree(child, left, right) for child in tree.children or ())


def through_stores(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances, plain: Choice
) -> Iterator[EntanglementRequest]:
    """The request with the route and tree of each way through a super-link with a pair in store that should
    be faster than its plain way, the fastest first. A request with a way or a rate of its own keeps it."""
    stores = network.stores
    told = {each.super_link: each.pairs for each in circumstances.stores if each.pairs > 0}
    if stores is None or not told or request.route is not None or request.tree is not None:
        return
    if request.rate_threshold_hz is not None or request.routes_max > 1:
        return
    full = [
        link
        for link in stores.super_links
        if link.request in told and may_use(request, link) and not set(link.route) & set(circumstances.avoid)
    ]
    if not full:
        return
    usable = usable_network(network, request.request_id, circumstances.avoid, circumstances.links)
    found = [
        detour
        for link, turned in _nearest(usable, request, full)
        if (detour := _detour(usable, request, link, told[link.request], turned=turned)) is not None
        and detour.latency_s < plain[0].tree.latency_s
    ]
    mode = _at_full_speed(request.generation_mode)
    for detour in sorted(found):
        yield msgspec.structs.replace(request, route=detour.route, tree=detour.tree, generation_mode=mode)


def _at_full_speed(mode: str) -> str:
    """The mode without a pace of links: that is the pace of a tree whose every pair has to be made."""
    return mode.replace("links=paced", "links=full") if "links=" in mode else _FULL_SPEED.get(mode, mode)


_FULL_SPEED: Final = {"fixed_tree": "fixed_tree(links=full)"}
"""Modes that pace links unless they are told otherwise."""


class _Detour(NamedTuple):
    latency_s: float  # expected, with so many pairs in store and none after them
    route: tuple[NodeId, ...]
    tree: str


def _graph(usable: UsableNetwork) -> Any:
    import networkx as nx  # a third of a second to load, and only requests beside full stores need it

    graph: nx.Graph[str] = nx.Graph()
    for a, neighbours in usable.links.items():
        for b, link in neighbours.items():
            graph.add_edge(a, b, cost=hop_cost(usable, link))
    return graph


def _nearest(
    usable: UsableNetwork, request: EntanglementRequest, links: Iterable[SuperLinkSettings]
) -> list[tuple[SuperLinkSettings, bool]]:
    """Super-links in the orientation in which their ends are nearer to the request's; the second is True for
    those that are gone through from their tail to their head."""
    import networkx as nx

    graph = _graph(usable)
    source, destination = request.target_nodes
    if source not in graph or destination not in graph:
        return []
    near = nx.single_source_dijkstra_path_length(graph, source, weight="cost")
    far = nx.single_source_dijkstra_path_length(graph, destination, weight="cost")
    never = float("inf")
    ranked: list[tuple[float, str, SuperLinkSettings, bool]] = []
    for link in links:
        for turned in (False, True):
            x, y = (link.route[-1], link.route[0]) if turned else (link.route[0], link.route[-1])
            ranked.append((near.get(x, never) + far.get(y, never), link.request, link, turned))
    ranked.sort(key=lambda each: each[:2])
    return [(link, turned) for cost, _, link, turned in islice(ranked, LOOKED_AT_MAX) if cost < never]


def _detour(
    usable: UsableNetwork, request: EntanglementRequest, link: SuperLinkSettings, pairs: int, *, turned: bool
) -> _Detour | None:
    """The way of a request through a super-link with so many pairs, without going any node twice; None: there
    is none."""
    source, destination = request.target_nodes
    within = link.route[::-1] if turned else link.route
    x, y = within[0], within[-1]
    if source in within[1:] or destination in within[:-1]:
        return None
    for end, own in ((x, source), (y, destination)):
        if end != own and not usable.nodes[end].may_relay:
            return None
    before = _way(usable, source, x, {*within[1:], destination})
    after = None if before is None else _way(usable, y, destination, {*within[:-1], *before})
    middle = route_along(usable, within)
    if before is None or after is None or isinstance(middle, str):
        return None
    inner = _tree_text(usable, within)
    left, right = _tree_text(usable, before), _tree_text(usable, after)
    route = (*before, *within[1:], *after[1:])
    if left is None and right is None:
        return _Detour(0.0, route, inner or "")
    join = _Joining(usable, x, y)
    if left is None:
        ready_s, kept = join.at_y(_made_s(usable, after), x, destination), join.chance(y)
        return _expected(usable, route, f"({inner} {right})", ready_s, kept, pairs)
    if right is None:
        ready_s, kept = join.at_x(_made_s(usable, before), source, y), join.chance(x)
        return _expected(usable, route, f"({left} {inner})", ready_s, kept, pairs)
    t1_s, t2_s = _made_s(usable, before), _made_s(usable, after)
    x_first_s = join.at_y(THREE_HALVES * max(join.at_x(t1_s, source, y), t2_s), source, destination)
    y_first_s = join.at_x(THREE_HALVES * max(t1_s, join.at_y(t2_s, x, destination)), source, destination)
    tree = f"(({left} {inner}) {right})" if x_first_s <= y_first_s else f"({left} ({inner} {right}))"
    kept = join.chance(x) * join.chance(y)
    return _expected(usable, route, tree, min(x_first_s, y_first_s), kept, pairs)


def _expected(
    usable: UsableNetwork, nodes: tuple[NodeId, ...], tree: str, ready_s: float, kept: float, pairs: int
) -> _Detour:
    """A way through a super-link that has so many pairs and then none.

    `ready_s`: while it has one each time; `kept`: chance that one of them is enough. A pair that a failed
    swap has used up is not there again soon: then the links below the super-link have to make one.
    """
    route = route_along(usable, nodes, read_tree(tree))
    assert not isinstance(route, str)  # it is made of usable links
    empty = (1.0 - kept) ** pairs
    return _Detour((1.0 - empty) * ready_s + empty * route.tree.latency_s, nodes, tree)


class _Joining(NamedTuple):
    """The swaps at the two ends of a super-link: (wait + t_b + t_c) / p_b."""

    usable: UsableNetwork
    x: NodeId
    y: NodeId

    def at_x(self, wait_s: float, *ends: NodeId) -> float:
        """Seconds to join what was waited for with a pair in store at x."""
        return self._swapped_s(self.x, wait_s, ends)

    def at_y(self, wait_s: float, *ends: NodeId) -> float:
        """The same at y."""
        return self._swapped_s(self.y, wait_s, ends)

    def chance(self, at: NodeId) -> float:
        """That a swap there succeeds."""
        memory = self.usable.nodes[at].memory
        assert memory is not None  # it relays
        return memory.bsm_success_probability

    def _swapped_s(self, at: NodeId, wait_s: float, ends: tuple[NodeId, ...]) -> float:
        memory = self.usable.nodes[at].memory
        assert memory is not None  # it relays
        told_s = max(self.usable.delay_s(at, end) for end in ends)
        return (wait_s + s_from_ns(memory.bsm_duration_ns) + told_s) / memory.bsm_success_probability


def _way(
    usable: UsableNetwork, source: NodeId, destination: NodeId, forbidden: set[NodeId]
) -> tuple[NodeId, ...] | None:
    """The cheapest way around some nodes; of a node to itself that node. Only repeaters relay."""
    import networkx as nx

    if source == destination:
        return (source,)
    allowed = [
        name
        for name, node in usable.nodes.items()
        if name in (source, destination) or (node.may_relay and name not in forbidden)
    ]
    graph = _graph(usable).subgraph(allowed)
    if source not in graph or destination not in graph or not nx.has_path(graph, source, destination):
        return None
    return tuple(nx.shortest_path(graph, source, destination, weight="cost"))


def _tree_text(usable: UsableNetwork, nodes: tuple[NodeId, ...]) -> str | None:
    """The fastest tree on a way, None for a node alone."""
    if len(nodes) == 1:
        return None
    route = route_along(usable, nodes)
    assert not isinstance(route, str)  # it is made of usable links
    return route.tree.text(nodes)


def _made_s(usable: UsableNetwork, nodes: tuple[NodeId, ...]) -> float:
    route = route_along(usable, nodes)
    assert not isinstance(route, str)  # it is made of usable links
    return route.tree.latency_s
