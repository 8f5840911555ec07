"""The links that a general fusion plan may use, and their pace when nodes share themselves among them (4.2).

Owns the graph of usable links. Refuses trees.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import outlook, round_chance
from bellwire.planner.capacity import NoPlan, Residual, total_use
from bellwire.planner.multipartite.ghz_finishing import why_apart
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_trees import FusionLeaf
from bellwire.planner.requests import Options
from bellwire.planner.single.openings import leaves_of, may_swap
from bellwire.planner.structures import LinkLeaf, Tree, purified
from bellwire.planner.topology import Link, Pair, Topology
from bellwire.planner.tree_use import use_of


@dataclass(frozen=True, slots=True)
class LinkGraph:
    """What is left of a network for one GHZ request.

    degree_max: pairs that a node can hold for the plan: its free memories, but one where it cannot fuse. A
    member may fuse its own state even where it relays for nobody; another node must relay. floor: fidelity of
    every pair when it is made; links below it are pumped. None: links are taken as they are.
    """

    residual: Residual
    members: tuple[NodeId, ...]
    links: tuple[Pair, ...]  # from fast to slow
    degree_max: dict[NodeId, int]
    options: Options
    floor: float | None = None
    _made: dict[tuple[Pair, int, int], Tree | None] = field(
        default_factory=dict[tuple[Pair, int, int], Tree | None], init=False, repr=False, compare=False
    )

    @property
    def topology(self) -> Topology:
        """Of the residual."""
        return self.residual.topology

    def through(self, name: NodeId) -> bool:
        """A tree may have this node inside."""
        return self.degree_max[name] >= 2

    def fits(self, tree: Sequence[Pair]) -> bool:
        """No node of a tree of links has more of them than it can hold, and every link reaches the floor."""
        if any(count > self.degree_max[name] for name, count in degrees(tree).items()):
            return False
        if self.floor is None:
            return True
        made = [each for each in self.pairs(tree) if each is not None]
        held = total_use(*(use_of(each, self.topology) for each in made)).memories
        enough = all(count <= self.residual.memories(name) for name, count in held.items())
        return enough and len(made) == len(tree)

    def leaves(self, tree: Sequence[Pair]) -> list[FusionLeaf]:
        """The links of a tree as pairs to be fused; inf where a link does not reach the floor."""
        return [
            FusionLeaf(index, a, b, math.inf if made is None else made.latency_s)
            for index, ((a, b), made) in enumerate(zip(tree, self.pairs(tree), strict=True))
        ]

    def pairs(self, tree: Sequence[Pair]) -> list[Tree | None]:
        """How the pair of each link is made, every node sharing what it has left equally among its links."""
        degree = degrees(tree)
        return [self._pair((a, b), degree[a], degree[b]) for a, b in tree]

    def _pair(self, link: Pair, degree_a: int, degree_b: int) -> Tree | None:
        key = (link, degree_a, degree_b)
        if key not in self._made:
            latency_s = share_latency_s(self.residual, self.topology.links[link], degree_a, degree_b)
            leaf = LinkLeaf(*link, latency_s)
            self._made[key] = (
                leaf if self.floor is None else pumped(self.topology, leaf, self.floor, self.options)
            )
        return self._made[key]


def pumped(topology: Topology, leaf: LinkLeaf, floor: float, options: Options) -> Tree | None:
    """A link's pair with as few rounds of pumping as lead to a fidelity; None where none of them do."""
    made: Tree = leaf
    for _ in range(options.rounds + 1):
        if outlook(made, topology).state[0] >= floor:
            return made
        if not math.isfinite(leaf.latency_s):
            return None
        rough = purified(topology, made, leaf, 1.0, scheme=options.scheme, pumping=True)
        chance = round_chance(rough, topology)
        if not chance > 0.0:
            return None
        made = purified(topology, made, leaf, chance, scheme=options.scheme, pumping=True)
    return None


def link_graph(
    residual: Residual, request: GhzRequest, options: Options, floor: float | None = None
) -> LinkGraph:
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
    links = tuple(sorted(usable, key=lambda pair: paced[pair]))
    return LinkGraph(residual, request.members, links, degree_max, options, floor)


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
