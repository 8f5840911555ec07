"""Where on a tree of links the vertices of a graph state lie, with one pair on each link.

Owns the rule that says which tree graph a tree of links can carry, and what each node has to do for it.
Refuses the choice of the links (graph_links.py) and execution (swapping/fusion.py).

Every link parts the members in two. The edges of the graph that cross it must all meet in one vertex, for one
pair carries one ebit, and the cut of a tree graph has as much entanglement as it has disjoint edges crossing
(the cut rank; Oum, J. Comb. Theory B 95, 79, 2005). The link then belongs to that vertex; where a single edge
crosses, to its end on the source's side, unless that is a leaf of the graph (an inner vertex can be joined in
any order) or the other end already has a link nearer to it. So each vertex lies on a subtree of the links,
and each edge at the one node where two of these subtrees meet: a Hadamard gate there makes it. At a node the
vertices that meet are the `knots` of its plan: the states that come by the links of one vertex are fused, the
result is turned and belongs to the next one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.graph_states import GraphEdges, neighbours
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.knots import knot_of_state
from bellwire.core.plans import FusionKnot, FusionStep
from bellwire.planner.fusion_worths import MayMeet

Ends = tuple[NodeId, NodeId]


class Placement(NamedTuple):
    """A graph state on a tree of links."""

    knots: dict[NodeId, tuple[FusionKnot, ...]]
    turns_last: tuple[NodeId, ...]  # members whose whole state is turned at delivery


def placed(members: Sequence[NodeId], graph: GraphEdges, links: Mapping[LinkId, Ends]) -> Placement | str:
    """How these links carry the graph, or why they cannot. The links form a tree that reaches all members."""
    depth = _depths(members[0], graph)
    crossing = {name: _crossing(name, members, graph, links) for name in links}
    forced: dict[LinkId, NodeId] = {}
    for name, edges in crossing.items():
        common = set(edges[0]).intersection(*edges)
        if not common:
            shown = " ".join(f"{one}-{other}" for one, other in edges)
            return (
                f"one pair of {name} would have to carry the edges {shown}, which have no vertex in common; "
                "choose edges that follow the links, or add links"
            )
        if len(edges) > 1:
            forced[name] = common.pop()
    vertex_of = {
        name: forced.get(name) or _nearer(name, crossing[name][0], depth, forced, links, graph)
        for name in links
    }
    return _at_nodes(members, graph, links, vertex_of, depth)


def _at_nodes(
    members: Sequence[NodeId],
    graph: GraphEdges,
    links: Mapping[LinkId, Ends],
    vertex_of: Mapping[LinkId, NodeId],
    depth: Mapping[NodeId, int],
) -> Placement:
    nodes = sorted({node for ends in links.values() for node in ends})
    region: dict[NodeId, set[NodeId]] = {vertex: {vertex} for vertex in members}
    for name, vertex in vertex_of.items():
        region[vertex].update(links[name])
    meeting: dict[NodeId, list[Ends]] = {}
    for one, other in graph:
        shared = region[one] & region[other]
        if len(shared) != 1:
            raise LocalMisuse(f"the edge {one}-{other} lies at {sorted(shared)}, not at one node")
        meeting.setdefault(shared.pop(), []).append((one, other))
    knots: dict[NodeId, tuple[FusionKnot, ...]] = {}
    last: list[NodeId] = []
    for node in nodes:
        here: dict[NodeId, list[LinkId]] = {vertex: [] for vertex in members if node in region[vertex]}
        for name, vertex in vertex_of.items():
            if node in links[name]:
                here[vertex].append(name)
        root = node if node in here else min(here, key=lambda vertex: (depth[vertex], vertex))
        beside = neighbours(tuple(meeting.get(node, ())))
        if node in members and node != members[0] and not here[root] and len(beside[root]) == 1:
            # All that reaches this member is turned into its vertex: delivery does that with its Pauli.
            last.append(node)
            (root,), _ = beside[root], here.pop(node)
        knots[node] = _rooted(root, here, beside)
    return Placement(knots, tuple(last))


def _rooted(
    root: NodeId, here: Mapping[NodeId, list[LinkId]], beside: Mapping[NodeId, tuple[NodeId, ...]]
) -> tuple[FusionKnot, ...]:
    """The vertices at a node, those that turn into one after it."""
    order = [root]
    parents: dict[NodeId, int | None] = {root: None}
    for vertex in order:
        for other in beside.get(vertex, ()):
            if other in here and other not in parents:
                parents[other] = order.index(vertex)
                order.append(other)
    if len(order) != len(here):
        raise LocalMisuse(f"vertices {sorted(here)} meet at a node without edges between them")
    return tuple(FusionKnot(links=tuple(sorted(here[vertex])), parent=parents[vertex]) for vertex in order)


def order_fault(steps: Mapping[NodeId, Sequence[FusionStep]], placement: Placement) -> str | None:
    """Why a fixed order of joins cannot make this graph: it joins what must be turned first. None: it can."""
    for node, each in steps.items():
        knots = placement.knots[node]
        links = {link: frozenset((link,)) for knot in knots for link in knot.links}
        for step in each:
            one, other = links[step.one], links[step.other]
            if knot_of_state(knots, one) != knot_of_state(knots, other):
                return (
                    f'the fixed order of "fixed_tree" joins {step.one} and {step.other} at {node}, which '
                    'belong to different vertices of this graph; take "swap_asap" or "score"'
                )
            links.update(dict.fromkeys(one | other, one | other))
    return None


def may_meet_by(placement: Placement, names: Sequence[LinkId]) -> MayMeet:
    """Which two parts of the tree a node may join; link i of a part has the i-th name."""

    def local(node: NodeId, part: int) -> frozenset[LinkId]:
        here = {link for knot in placement.knots[node] for link in knot.links}
        return frozenset(name for index, name in enumerate(names) if part >> index & 1 and name in here)

    def may_meet(one: int, other: int, node: NodeId) -> bool:
        knots = placement.knots[node]
        return knot_of_state(knots, local(node, one)) == knot_of_state(knots, local(node, other))

    return may_meet


def _depths(source: NodeId, graph: GraphEdges) -> dict[NodeId, int]:
    """Edges between the source and each vertex."""
    beside = neighbours(graph)
    depth = {source: 0}
    waiting = [source]
    for here in waiting:
        for there in beside[here]:
            if there not in depth:
                depth[there] = depth[here] + 1
                waiting.append(there)
    return depth


def _crossing(
    name: LinkId, members: Sequence[NodeId], graph: GraphEdges, links: Mapping[LinkId, Ends]
) -> list[Ends]:
    """Edges of the graph between the members on either side of a link."""
    side = _side(name, links[name][0], links)
    if not {member in side for member in members} == {True, False}:
        raise LocalMisuse(f"no member lies beyond {name}: it is no link of a tree for these members")
    return [edge for edge in graph if (edge[0] in side) != (edge[1] in side)]


def _side(name: LinkId, start: NodeId, links: Mapping[LinkId, Ends]) -> set[NodeId]:
    """Nodes that are joined to `start` without a link."""
    reached, waiting = {start}, [start]
    for here in waiting:
        for other, ends in links.items():
            if other != name and here in ends:
                there = ends[0] if ends[1] == here else ends[1]
                if there not in reached:
                    reached.add(there)
                    waiting.append(there)
    return reached


def _nearer(
    name: LinkId,
    edge: Ends,
    depth: Mapping[NodeId, int],
    forced: Mapping[LinkId, NodeId],
    links: Mapping[LinkId, Ends],
    graph: GraphEdges,
) -> NodeId:
    """Whose link it is that one edge alone crosses: each vertex has links that hang together."""
    above, below = sorted(edge, key=depth.__getitem__)
    if len(neighbours(graph)[above]) == 1:
        return below
    near = links[name][0] if above in _side(name, links[name][0], links) else links[name][1]
    taken = any(vertex == below and _between(other, above, near, links) for other, vertex in forced.items())
    return below if taken else above


def _between(name: LinkId, one: NodeId, other: NodeId, links: Mapping[LinkId, Ends]) -> bool:
    """Whether a link is on the way between two nodes."""
    return other not in _side(name, one, links)
