"""Steiner trees over the links of a network, from few fast links to many (algorithms.md 4.2).

Owns the search over prefixes of the links sorted by latency, the 2-approximation for one prefix, and the
estimate of what a tree takes. Refuses fusion orders.

With one link more at a time, the hop distances from every member are kept up to date, and a tree is worked
out only when two members have come nearer to each other.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.ghz_links import LinkGraph, degrees
from bellwire.planner.topology import Pair, pair_of

SteinerTree = tuple[Pair, ...]
"""Links of a tree whose leaves are all members, in sorted order."""


def steiner_trees(graph: LinkGraph) -> Iterator[SteinerTree]:
    """A tree of few links that joins all members, for every prefix of the links where it may change.

    Trees with more links at a node than it has memories are left out; where the approximation gives one, a
    tree grown path by path within the memories takes its place, if there is one.
    """
    prefix = _Prefix(graph)
    seen: set[SteinerTree] = set()
    for link in graph.links:
        if not prefix.add(link) or not prefix.joined:
            continue
        tree = prefix.closure_tree()
        if not graph.fits(tree):
            grown = prefix.grown_tree()
            if grown is None or not graph.fits(grown):
                continue
            tree = grown
        if tree not in seen:
            seen.add(tree)
            yield tree


def estimate_s(graph: LinkGraph, tree: SteinerTree) -> float:
    """What fusing a tree takes about: P_f^h T_max + ((t_c + t_f)/p_f) (P_f^h - 1)/(P_f - 1), P_f = 1.5/p_f.

    h = ceil(log2 of the number of links), each link counted once (pitfall 14.9); the slowest link with its
    ends shared among the tree's links; the worst p_f, t_f and t_c of the nodes that fuse.
    """
    slowest_s = max(leaf.latency_s for leaf in graph.leaves(tree))
    fusing = [name for name, count in degrees(tree).items() if count > 1]
    if not fusing:
        return slowest_s
    nodes = graph.topology.nodes
    chance = min(nodes[name].p_f for name in fusing)
    busy_s = max(nodes[name].t_f + graph.topology.told_s(name, *graph.members) for name in fusing)
    growth = 1.5 / chance
    levels = growth ** math.ceil(math.log2(len(tree)))
    return levels * slowest_s + busy_s / chance * (levels - 1.0) / (growth - 1.0)


class _Prefix:
    """The links added so far, with hop distances and ways from every member."""

    def __init__(self, graph: LinkGraph) -> None:
        self.graph = graph
        self.rank = {link: index for index, link in enumerate(graph.links)}
        self.beside: dict[NodeId, list[NodeId]] = defaultdict(list)
        self.hops: dict[NodeId, dict[NodeId, int]] = {member: {member: 0} for member in graph.members}
        self.back: dict[NodeId, dict[NodeId, NodeId]] = {member: {} for member in graph.members}

    @property
    def joined(self) -> bool:
        """All members can reach each other."""
        first = self.hops[self.graph.members[0]]
        return all(member in first for member in self.graph.members)

    def add(self, link: Pair) -> bool:
        """One link more; True when two members are nearer to each other than before."""
        a, b = link
        self.beside[a].append(b)
        self.beside[b].append(a)
        nearer = [self._relax(member, link) for member in self.graph.members]
        return any(nearer)

    def _relax(self, member: NodeId, link: Pair) -> bool:
        hops, back = self.hops[member], self.back[member]
        others = set(self.graph.members)
        nearer = False
        queue: deque[tuple[NodeId, NodeId]] = deque([link, (link[1], link[0])])
        while queue:
            here, there = queue.popleft()
            if here not in hops or (here != member and not self.graph.through(here)):
                continue
            if hops[here] + 1 < hops.get(there, math.inf):
                hops[there], back[there] = hops[here] + 1, here
                nearer = nearer or there in others
                queue.extend((there, beyond) for beyond in self.beside[there])
        return nearer

    def closure_tree(self) -> SteinerTree:
        """Metric-closure approximation: at most 2 (1 - 1/members) times the fewest links possible.

        The minimum spanning tree of the members by hops, its ways laid over each other, circles opened at
        the slowest link, and ends that are no members cut off.
        """
        pairs = sorted(combinations(self.graph.members, 2), key=lambda pair: self.hops[pair[0]][pair[1]])
        links: set[Pair] = set()
        for a, b in _spanning(pairs):
            links.update(self._way(a, b))
        return self._tidy(links)

    def grown_tree(self) -> SteinerTree | None:
        """A tree grown from the first member to the nearest missing one, within what each node can hold."""
        members = self.graph.members
        tree: set[Pair] = set()
        count: dict[NodeId, int] = {members[0]: 0}
        while missing := [member for member in members if member not in count]:
            back: dict[NodeId, NodeId | None] = {
                name: None for name in count if count[name] < self.graph.degree_max[name]
            }
            queue = deque(back)
            found: NodeId | None = None
            while queue and found is None:
                here = queue.popleft()
                for there in self.beside[here]:
                    if there in back or there in count:
                        continue
                    back[there] = here
                    if there in missing:
                        found = there
                        break
                    if self.graph.through(there):
                        queue.append(there)
            if found is None:
                return None
            at = found
            while (before := back[at]) is not None:
                tree.add(pair_of(at, before))
                for name in (at, before):
                    count[name] = count.get(name, 0) + 1
                at = before
        return self._tidy(tree)

    def _way(self, member: NodeId, to: NodeId) -> Iterator[Pair]:
        while to != member:
            yield pair_of(to, self.back[member][to])
            to = self.back[member][to]

    def _tidy(self, links: Iterable[Pair]) -> SteinerTree:
        tree = set(_spanning(sorted(links, key=lambda link: self.rank[link])))
        members = set(self.graph.members)
        while loose := {name for name, count in degrees(tuple(tree)).items() if count == 1} - members:
            tree = {link for link in tree if not loose & set(link)}
        return tuple(sorted(tree))


def _spanning(links: Sequence[Pair]) -> Iterator[Pair]:
    """The links of a spanning forest, taking each that closes no circle, in the order given (Kruskal)."""
    group: dict[NodeId, NodeId] = {}

    def root(name: NodeId) -> NodeId:
        while group.setdefault(name, name) != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    for a, b in links:
        if root(a) != root(b):
            group[root(a)] = root(b)
            yield a, b
