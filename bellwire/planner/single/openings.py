"""What a tree may be made of: links that still have a rate, stored pairs, nodes that can swap.

Owns the rule that all methods for one pair share. Refuses trees, and arrays: a live node agent must be able
to plan without loading them.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.structures import LinkLeaf, StoredLeaf
from bellwire.planner.topology import Link, Pair, pair_of


def swapping_nodes(residual: Residual, options: Options) -> frozenset[NodeId]:
    """All nodes that may swap for a plan."""
    return frozenset(name for name in residual.topology.nodes if may_swap(residual, name, options))


def may_swap(residual: Residual, name: NodeId, options: Options) -> bool:
    """A node can swap for a plan: it relays, ever succeeds, has two free memories, may be touched."""
    node = residual.topology.nodes[name]
    able = node.relays and node.swap_probability > 0.0 and name not in options.avoid
    return able and residual.memories(name) >= 2


def open_links(residual: Residual, options: Options) -> Iterator[Link]:
    """Links that a plan may use at all: no end is to be avoided or without free memory, and on the route."""
    allowed = None if options.route is None else {pair_of(a, b) for a, b in pairwise(options.route)}
    topology = residual.topology
    usable = {name for name in topology.nodes if name not in options.avoid and residual.memories(name) > 0}
    for pair, link in topology.links.items():
        if pair[0] in usable and pair[1] in usable and (allowed is None or pair in allowed):
            yield link


def leaves_of(
    residual: Residual, options: Options, stored: tuple[StoredLeaf, ...] = ()
) -> dict[Pair, LinkLeaf | StoredLeaf]:
    """Links that still have a rate, at half of what their nodes have (1.1); stored pairs in their place."""
    found: dict[Pair, LinkLeaf | StoredLeaf] = {}
    for link, rate_hz in _half_rates_hz(residual, open_links(residual, options)):
        if rate_hz > 0.0:
            found[link.ends] = LinkLeaf(*link.ends, 1.0 / rate_hz)
    if options.route is None:
        for leaf in stored:
            if not {leaf.left, leaf.right} & options.avoid:
                found[pair_of(leaf.left, leaf.right)] = leaf
    return found


def _half_rates_hz(residual: Residual, links: Iterable[Link]) -> Iterator[tuple[Link, float]]:
    """`Residual.link_rate_hz` of many links, every node and every plan looked at once instead of per link."""
    halves_hz = {name: residual.attempts_hz(name, 0.5) for name in residual.topology.nodes}
    flows_hz: dict[Pair, list[float]] = {}
    for use in residual.taken.values():
        for pair, taken_hz in use.links_hz.items():
            flows_hz.setdefault(pair, []).append(taken_hz)
    used_hz = {pair: math.fsum(flows) for pair, flows in flows_hz.items()}
    for link in links:
        a, b = link.ends
        chance = link.success_probability
        nodes_hz = min(halves_hz[a], halves_hz[b]) * chance if chance > 0.0 else 0.0
        yield link, max(0.0, min(nodes_hz, link.capacity_hz - used_hz.get(link.ends, 0.0)))


def open_stored(
    residual: Residual, options: Options, stored: tuple[StoredLeaf, ...]
) -> tuple[StoredLeaf, ...]:
    """Stored pairs between known nodes that the options allow: none of them on a given route."""
    if options.route is not None:
        return ()
    known = residual.topology.nodes.keys() - options.avoid
    return tuple(leaf for leaf in stored if known >= {leaf.left, leaf.right})
