"""Steiner trees made faster by exchanging one way at a time.

Owns the neighbourhood of a tree and the climb through it. Refuses first trees (ghz_steiner_trees.py) and
fusion orders. The approximation counts links only; nodes differ in p_f and share themselves among their
links, so that another way round often fuses faster. This goes beyond algorithms.md 4.2.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.ghz_links import LinkGraph, degrees
from bellwire.planner.multipartite.ghz_steiner_trees import SteinerTree, estimate_s
from bellwire.planner.multipartite.ghz_trees import FusionTree
from bellwire.planner.topology import Pair, pair_of

Builder = Callable[[LinkGraph, SteinerTree], FusionTree]
"""How a fusion tree is made over a Steiner tree."""

Beside = Mapping[NodeId, Sequence[NodeId]]
"""Neighbours of every node, over fast links first."""

BUILT_MAX: Final = 20
"""Neighbours of a tree, the best by estimate, whose real latency is worked out."""

LONG_MAX: Final = 60
"""Ways of three links that are tried for each link given up."""

STEPS_MAX: Final = 12
"""Exchanges at most."""


def climbed(graph: LinkGraph, start: SteinerTree, build: Builder) -> FusionTree:
    """The fusion tree over the best tree that single exchanges lead to from a given one."""
    best, best_tree = build(graph, start), start
    seen = {start}
    for _ in range(STEPS_MAX):
        fresh = set(neighbours(graph, best_tree)) - seen
        seen |= fresh
        near = sorted(fresh, key=lambda tree: (estimate_s(graph, tree), tree))[:BUILT_MAX]
        built = [(build(graph, tree), tree) for tree in near]
        faster = min(built, key=lambda each: each[0].latency_s, default=None)
        if faster is None or not faster[0].latency_s < best.latency_s:
            break
        best, best_tree = faster
    return best


def neighbours(graph: LinkGraph, tree: SteinerTree) -> Iterator[SteinerTree]:
    """Trees in which one link is given up and its two sides are joined by another way.

    All ways of one and two links, some of three, and a shortest one that keeps clear of the nodes which
    became free, of all and of each in turn.
    """
    beside: dict[NodeId, list[NodeId]] = defaultdict(list)
    for a, b in graph.links:
        beside[a].append(b)
        beside[b].append(a)
    members = frozenset(graph.members)
    inside = frozenset(degrees(tree))
    for given_up in tree:
        left = set(tree) - {given_up}
        one = _side(left, given_up[0], members)
        other = _side(left, given_up[1], members)
        kept = {link for link in left if set(link) <= one or set(link) <= other}
        freed = inside - one - other
        ways = {
            *_short_ways(graph, beside, one, other),
            *islice(_long_ways(graph, beside, one, other), LONG_MAX),
        }
        for clear in (freed, *(frozenset((name,)) for name in freed)):
            ways.add(_shortest_way(graph, beside, one, other, clear))
        for way in ways:
            found = tuple(sorted(kept.union(way)))
            if way and given_up not in way and graph.fits(found):
                yield found


def _side(links: set[Pair], start: NodeId, members: frozenset[NodeId]) -> frozenset[NodeId]:
    """Nodes that hang together with a node, without ends that are no members."""
    inside, open_nodes = {start}, [start]
    while open_nodes:
        here = open_nodes.pop()
        for link in links:
            if here in link:
                there = link[0] if link[1] == here else link[1]
                if there not in inside:
                    inside.add(there)
                    open_nodes.append(there)
    own = {link for link in links if link[0] in inside}
    if not own:
        return frozenset(inside)
    while loose := {name for name, count in degrees(tuple(own)).items() if count == 1} - members:
        if len(own) == 1:
            return frozenset(inside & members)
        own = {link for link in own if not loose & set(link)}
    return frozenset(degrees(tuple(own)))


def _short_ways(
    graph: LinkGraph, beside: Beside, one: frozenset[NodeId], other: frozenset[NodeId]
) -> Iterator[frozenset[Pair]]:
    """All ways of one and two links from one side to the other."""
    for a in one:
        for middle in beside[a]:
            if middle in other:
                yield frozenset((pair_of(a, middle),))
            elif middle not in one and graph.through(middle):
                for b in beside[middle]:
                    if b in other:
                        yield frozenset((pair_of(a, middle), pair_of(middle, b)))


def _long_ways(
    graph: LinkGraph, beside: Beside, one: frozenset[NodeId], other: frozenset[NodeId]
) -> Iterator[frozenset[Pair]]:
    """Ways of three links from one side to the other, over fast links first."""
    for a in sorted(one):
        for near in beside[a]:
            if near in one or near in other or not graph.through(near):
                continue
            for far in beside[near]:
                if far in one or far in other or not graph.through(far):
                    continue
                for b in beside[far]:
                    if b in other:
                        yield frozenset((pair_of(a, near), pair_of(near, far), pair_of(far, b)))


def _shortest_way(
    graph: LinkGraph,
    beside: Beside,
    one: frozenset[NodeId],
    other: frozenset[NodeId],
    clear: frozenset[NodeId],
) -> frozenset[Pair]:
    """A way of the fewest links that meets no node of `clear`; empty where there is none."""
    back: dict[NodeId, NodeId | None] = dict.fromkeys(sorted(one))
    queue = deque(back)
    while queue:
        here = queue.popleft()
        if here in other:
            way: set[Pair] = set()
            while (before := back[here]) is not None:
                way.add(pair_of(here, before))
                here = before
            return frozenset(way)
        if here in one or graph.through(here):
            for there in beside[here]:
                if there not in back and there not in clear:
                    back[there] = here
                    queue.append(there)
    return frozenset()
