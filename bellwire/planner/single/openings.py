"""What a tree of one request may be made of, worked out without arrays: for planners inside live nodes.

Owns the same rule as `leaves_of` and `may_swap` of all_pairs.py, which load numpy; a test holds the two
together. Refuses trees.
"""

import math
from itertools import pairwise

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.structures import LinkLeaf, StoredLeaf
from bellwire.planner.topology import Pair, pair_of


def swapping_nodes(residual: Residual, options: Options) -> frozenset[NodeId]:
    """Nodes that relay, ever succeed in a swap, have two free memories, and may be touched."""
    return frozenset(
        name
        for name, node in residual.topology.nodes.items()
        if node.relays
        and node.swap_probability > 0.0
        and name not in options.avoid
        and residual.memories(name) >= 2
    )


def open_leaves(residual: Residual, options: Options) -> dict[Pair, LinkLeaf]:
    """Links that still have a rate, at half of what their nodes have (1.1), and that the options allow."""
    allowed = None if options.route is None else {pair_of(a, b) for a, b in pairwise(options.route)}
    usable = {
        name for name in residual.topology.nodes if name not in options.avoid and residual.memories(name) > 0
    }
    found: dict[Pair, LinkLeaf] = {}
    for pair, link in residual.topology.links.items():
        if usable.issuperset(pair) and (allowed is None or pair in allowed):
            latency_s = residual.link_latency_s(link)
            if latency_s < math.inf:
                found[pair] = LinkLeaf(*pair, latency_s)
    return found


def open_stored(
    residual: Residual, options: Options, stored: tuple[StoredLeaf, ...]
) -> tuple[StoredLeaf, ...]:
    """Stored pairs between known nodes that the options allow: none of them on a given route."""
    if options.route is not None:
        return ()
    known = residual.topology.nodes.keys() - options.avoid
    return tuple(leaf for leaf in stored if known >= {leaf.left, leaf.right})
