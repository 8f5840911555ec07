"""The links that a general fusion plan may use, and their pace when nodes share themselves among them (4.2).

Owns the graph of usable links. Refuses trees.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.ghz_finishing import why_apart
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_trees import FusionLeaf
from bellwire.planner.requests import Options
from bellwire.planner.single.all_pairs import leaves_of, may_swap
from bellwire.planner.topology import Link, Pair, Topology


@dataclass(frozen=True, slots=True)
class LinkGraph:
    """What is left of a network for one GHZ request.

    degree_max: pairs that a node can hold for the plan: its free memories, but one where it cannot fuse. A
    member may fuse its own state even where it relays for nobody; another node must relay.
    """

    residual: Residual
    members: tuple[NodeId, ...]
    links: tuple[Pair, ...]  # from fast to slow
    degree_max: dict[NodeId, int]

    @property
    def topology(self) -> Topology:
        """Of the residual."""
        return self.residual.topology

    def through(self, name: NodeId) -> bool:
        """A tree may have this node inside."""
        return self.degree_max[name] >= 2

    def fits(self, tree: Sequence[Pair]) -> bool:
        """No node of a tree of links has more of them than it can hold."""
        return all(count <= self.degree_max[name] for name, count in degrees(tree).items())

    def leaves(self, tree: Sequence[Pair]) -> list[FusionLeaf]:
        """The links of a tree as pairs, each node sharing what it has left equally among its links."""
        degree = degrees(tree)
        return [
            FusionLeaf(
                index, a, b, share_latency_s(self.residual, self.topology.links[a, b], degree[a], degree[b])
            )
            for index, (a, b) in enumerate(tree)
        ]


def link_graph(residual: Residual, request: GhzRequest, options: Options) -> LinkGraph:
    """The usable links of what is left.

    Raises:
        NoPlan: a member is to be avoided or has no memory left.
    """
    topology = residual.topology
    members = set(request.members)
    for name in request.members:
        if name in options.avoid or not residual.memories(name):
            other = next(each for each in request.members if each != name)
            raise NoPlan(why_apart(residual, request, name, other, options))
    degree_max: dict[NodeId, int] = {}
    for name, node in topology.nodes.items():
        fuses = node.p_f > 0.0 and (name in members or may_swap(residual, name, options))
        own = residual.memories(name) if fuses else min(1, residual.memories(name))
        degree_max[name] = own if name in members or own >= 2 else 0
    paced = {
        pair: share_latency_s(residual, topology.links[pair], 2, 2) for pair in _allowed(residual, options)
    }
    usable = [
        pair
        for pair, latency_s in paced.items()
        if latency_s < math.inf and all(degree_max[end] for end in pair)
    ]
    return LinkGraph(
        residual, request.members, tuple(sorted(usable, key=lambda pair: paced[pair])), degree_max
    )


def share_latency_s(residual: Residual, link: Link, degree_a: int, degree_b: int) -> float:
    """T_link when each end spends 1/degree of the attempts it has left; `degree_a` is of `link.ends[0]`."""
    a, b = link.ends
    attempts_hz = min(residual.attempts_hz(a) / degree_a, residual.attempts_hz(b) / degree_b)
    nodes_hz = attempts_hz * link.success_probability if link.success_probability > 0.0 else 0.0
    rate_hz = min(nodes_hz, link.capacity_hz - residual.used_hz(link.ends))
    return 1.0 / rate_hz if rate_hz > 0.0 else math.inf


def degrees(tree: Sequence[Pair]) -> dict[NodeId, int]:
    """Links of a tree at each of its nodes."""
    found: dict[NodeId, int] = {}
    for pair in tree:
        for name in pair:
            found[name] = found.get(name, 0) + 1
    return found


def _allowed(residual: Residual, options: Options) -> list[Pair]:
    if options.route is None:
        return [pair for pair in residual.topology.links if not any(name in options.avoid for name in pair)]
    return list(leaves_of(residual, options))
