"""Every fusion order over a tree of pairs, and exact Steiner trees, by plain enumeration.

Owns oracles that share only the topology values with the planner. Refuses speed.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

from bellwire.planner.topology import Topology

Edge = tuple[str, str, float]
"""Both ends of a pair, and its latency in seconds."""


def fusion_latencies_s(topology: Topology, edges: Sequence[Edge], members: set[str]) -> Iterator[float]:
    """The latency of every binary fusion tree: every way to split the pairs in two that meet at one node.

    T = (1.5 max + t_f + t_c)/p_f, t_c to the farthest owner of a qubit. A node owns a qubit of a state when
    it has a pair in it and is a member or has a pair outside it.
    """
    whole = list(edges)

    def owners(part: Sequence[Edge]) -> set[str]:
        ends = {end for edge in part for end in edge[:2]}
        outside = {end for edge in whole if edge not in part for end in edge[:2]}
        return {end for end in ends if end in members or end in outside}

    def orders(part: list[Edge]) -> Iterator[float]:
        if len(part) == 1:
            yield part[0][2]
            return
        for count in range(1, len(part)):
            for one in itertools.combinations(part[1:], count - 1):
                first = [part[0], *one]
                other = [edge for edge in part if edge not in first]
                meet = {end for e in first for end in e[:2]} & {end for e in other for end in e[:2]}
                if len(meet) != 1 or not connected(first) or not connected(other):
                    continue
                node = topology.nodes[meet.pop()]
                all_owners = owners(first) | owners(other)
                told_s = max(topology.delay_s(node.name, owner) for owner in all_owners)
                for t_one, t_other in itertools.product(orders(first), orders(other)):
                    fusion = node.fusion_s if node.fusion_s is not None else node.swap_s
                    chance = node.fusion_probability
                    chance = node.swap_probability if chance is None else chance
                    yield (1.5 * max(t_one, t_other) + fusion + told_s) / chance if chance else math.inf

    yield from orders(whole)


def connected(edges: Sequence[Sequence[object]]) -> bool:
    """All edges hang together."""
    reached = set(edges[0][:2])
    left = list(edges[1:])
    while left:
        touching = [edge for edge in left if reached & set(edge[:2])]
        if not touching:
            return False
        for edge in touching:
            reached |= set(edge[:2])
            left.remove(edge)
    return True


def fewest_links(links: Sequence[tuple[str, str]], members: Sequence[str]) -> int | None:
    """Links of an exact Steiner tree with unit lengths: a connected set of nodes, of the least size."""
    others = sorted({end for link in links for end in link} - set(members))
    for count in range(len(others) + 1):
        for extra in itertools.combinations(others, count):
            inside = {*members, *extra}
            kept = [link for link in links if inside >= set(link)]
            if kept and connected(kept) and {end for link in kept for end in link} == inside:
                return len(inside) - 1
    return None


def trees_within(links: Sequence[tuple[str, str]], members: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """Every tree of links that holds all members and whose ends are members."""
    nodes = sorted({end for link in links for end in link})
    for count in range(len(members) - 1, len(nodes)):
        for tree in itertools.combinations(links, count):
            ends = [end for link in tree for end in link]
            if len(set(ends)) != count + 1 or not set(members) <= set(ends) or not connected(tree):
                continue
            if all(ends.count(end) > 1 or end in members for end in set(ends)):
                yield list(tree)
