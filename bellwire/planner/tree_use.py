"""What one tree takes from links, nodes and the ledger while it runs.

Owns the counting of link rates, attempts and memories over a tree. Refuses what other plans take and whether
there is enough (capacity.py). Everything is counted at its peak: a link is reserved at the rate at which it
runs when its turn comes. Children of a swap and pairs that are purified side by side run at the same time, so
their peaks add up. Pumping makes its two pairs in turn, so that a link or a node needs the greater of the two
peaks: two pairs made in turn over one link, each in T, need it at 1/T and not at 2/T.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Use
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree, leaves
from bellwire.planner.topology import Pair, Topology, pair_of

K = TypeVar("K")
N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class _Peak:
    """The most that a subtree needs at any moment; every node of the subtree stands in `memories`."""

    links_hz: dict[Pair, float]
    attempts_hz: dict[NodeId, float]
    memories: dict[NodeId, int]


def use_of(tree: Tree, topology: Topology) -> Use:
    """What a tree takes while it runs at the latencies that its leaves have."""
    peak = _peak(tree, topology)
    return Use(
        links_hz=peak.links_hz,
        attempts_hz=peak.attempts_hz,
        memories=peak.memories,
        stored=tuple(leaf.pair for leaf in leaves(tree) if isinstance(leaf, StoredLeaf)),
    )


def holds_memory(tree: Tree, end: NodeId) -> bool:
    """The qubit of the product at one end is the tree's own, not one that the ledger counts already."""
    match tree:
        case LinkLeaf():
            return True
        case StoredLeaf():
            return False
        case SwapNode():
            return holds_memory(tree.one if end == tree.left else tree.other, end)
        case PurifyNode():
            return holds_memory(tree.kept, end)


def _peak(tree: Tree, topology: Topology) -> _Peak:
    match tree:
        case LinkLeaf():
            rate_hz = 1.0 / tree.latency_s if tree.latency_s > 0.0 else math.inf
            pair = pair_of(tree.left, tree.right)
            q = topology.links[pair].success_probability
            attempts_hz = rate_hz / q if q > 0.0 else math.inf
            return _Peak({pair: rate_hz}, dict.fromkeys(pair, attempts_hz), dict.fromkeys(pair, 1))
        case StoredLeaf():
            return _Peak(
                {}, {}, {tree.left: 0, tree.right: 0}
            )  # the ledger's pairs hold their qubits already
        case SwapNode():
            return _at_once(_peak(tree.one, topology), _peak(tree.other, topology))
        case PurifyNode():
            kept, measured = _peak(tree.kept, topology), _peak(tree.measured, topology)
            if not tree.pumping:
                return _at_once(kept, measured)
            beside = dict(measured.memories)  # while the second pair is made the kept one holds its qubits
            for end in (tree.left, tree.right):
                beside[end] += holds_memory(tree.kept, end)
            return _Peak(
                _greater(kept.links_hz, measured.links_hz),
                _greater(kept.attempts_hz, measured.attempts_hz),
                _greater(kept.memories, beside),
            )


def _at_once(one: _Peak, other: _Peak) -> _Peak:
    return _Peak(
        _sum(one.links_hz, other.links_hz),
        _sum(one.attempts_hz, other.attempts_hz),
        _sum(one.memories, other.memories),
    )


def _sum(one: dict[K, N], other: dict[K, N]) -> dict[K, N]:
    return one | {key: one[key] + amount if key in one else amount for key, amount in other.items()}


def _greater(one: dict[K, N], other: dict[K, N]) -> dict[K, N]:
    return one | {key: max(one[key], amount) if key in one else amount for key, amount in other.items()}


def attempts_per_pair(tree: Tree, topology: Topology, pairs: float = 1.0) -> float:
    """Expected joint link attempts for each delivered pair: what a pair costs (algorithms.md section 3).

    m pairs of a link cost m/q attempts; a swap or a round needs 1/p times as many of each of its two inputs.
    Stored pairs cost nothing any more. inf where something never succeeds. pairs: how many are wanted.
    """
    match tree:
        case LinkLeaf():
            chance = topology.links[pair_of(tree.left, tree.right)].success_probability
            return pairs / chance if chance > 0.0 else math.inf
        case StoredLeaf():
            return 0.0
        case SwapNode():
            inputs, chance = (tree.one, tree.other), topology.nodes[tree.at].swap_probability
        case PurifyNode():
            inputs, chance = (tree.kept, tree.measured), tree.success_probability
    if chance == 0.0:
        return math.inf
    return math.fsum(attempts_per_pair(each, topology, pairs / chance) for each in inputs)
