"""Fusion trees of GHZ states: pairs as leaves, fusions above them, and how long they take (algorithms.md 4).

Owns the tree values, both latency rules and throttling. Refuses the search for trees (ghz_orders.py,
ghz_star.py), states (ghz_noise.py) and gates (fusion.py).

All pairs of a tree together are the edges of a tree of nodes. A state of the fusion tree is a connected part
of it, and has one qubit at each of its owners.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.structures import THREE_HALVES, Waiting, waiting_s
from bellwire.planner.topology import Topology

Rule = Literal["pairwise", "star"]
"""pairwise: two states, T = (1.5 max + t_f + t_c)/p_f. star: all at once, T = (max + t_f)/p_f (count/2)."""


@dataclass(frozen=True, slots=True)
class FusionLeaf:
    """Pairs of one kind, one every `latency_s` on average."""

    pair: int  # number among the plan's pairs
    left: NodeId
    right: NodeId
    latency_s: float

    @property
    def owners(self) -> frozenset[NodeId]:
        """Both ends."""
        return frozenset((self.left, self.right))


@dataclass(frozen=True, slots=True)
class FusionNode:
    """States that meet at a node, which fuses them."""

    node: NodeId
    parts: "tuple[FusionTree, ...]"  # the first one's qubit is the control
    retained: bool  # the node stays in the state
    rule: Rule
    owners: frozenset[NodeId]  # of the product
    latency_s: float


FusionTree = FusionLeaf | FusionNode


def fused(
    topology: Topology,
    node: NodeId,
    one: FusionTree,
    other: FusionTree,
    *,
    retained: bool,
    waiting: Waiting = "three_halves",
) -> FusionNode:
    """Two states fused at a node. inf where that node never succeeds."""
    owners = _product(node, (one, other), retained)
    wait_s = waiting_s(one.latency_s, other.latency_s, waiting)
    chance = topology.nodes[node].p_f
    total_s = wait_s + busy_s(topology, node, one, other)
    latency_s = total_s / chance if chance > 0.0 else float("inf")
    return FusionNode(node, (one, other), retained, "pairwise", owners, latency_s)


def star_fused(
    topology: Topology, node: NodeId, parts: Sequence[FusionTree], *, retained: bool
) -> FusionNode:
    """All states at a node fused at once, by the rule of the baseline: neither waiting nor words count."""
    owners = _product(node, parts, retained)
    chance = success_probability(topology, node, "star", len(parts))
    total_s = max(part.latency_s for part in parts) + topology.nodes[node].t_f
    latency_s = total_s / chance if chance > 0.0 else float("inf")
    return FusionNode(node, tuple(parts), retained, "star", owners, latency_s)


def success_probability(topology: Topology, node: NodeId, rule: Rule, count: int) -> float:
    """That a fusion of `count` states succeeds: p_f for two, p_f 2/count where the star rule fuses more."""
    return topology.nodes[node].p_f * (1.0 if rule == "pairwise" else 2.0 / count)


def busy_s(topology: Topology, node: NodeId, *parts: FusionTree) -> float:
    """t_f + t_c: a fusion, and its word to the farthest owner of any of the states."""
    others = {owner for part in parts for owner in part.owners}
    return topology.nodes[node].t_f + topology.told_s(node, *others)


def throttled(tree: FusionTree, topology: Topology, target_s: float | None = None) -> FusionTree:
    """The same tree with every pair as slow as the root lets it be, as for swapping trees (1.2).

    Evaluated bottom-up again, every fusion has the latency that it has here.
    """
    target_s = tree.latency_s if target_s is None else target_s
    if isinstance(tree, FusionLeaf):
        return replace(tree, latency_s=target_s)
    chance = success_probability(topology, tree.node, tree.rule, len(tree.parts))
    if tree.rule == "star":
        child_s = target_s * chance - topology.nodes[tree.node].t_f
    else:
        child_s = (target_s * chance - busy_s(topology, tree.node, *tree.parts)) / THREE_HALVES
    parts = tuple(throttled(part, topology, child_s) for part in tree.parts)
    return replace(tree, parts=parts, latency_s=target_s)


def leaves(tree: FusionTree) -> Iterator[FusionLeaf]:
    """All pairs of a tree."""
    if isinstance(tree, FusionLeaf):
        yield tree
    else:
        for part in tree.parts:
            yield from leaves(part)


def _product(node: NodeId, parts: Sequence[FusionTree], retained: bool) -> frozenset[NodeId]:
    owners: set[NodeId] = set()
    for part in parts:
        if node not in part.owners or owners & part.owners - {node}:
            raise LocalMisuse(
                f"states of {sorted(part.owners)} and {sorted(owners)} do not meet at {node} alone"
            )
        owners |= part.owners
    return frozenset(owners if retained else owners - {node})
