"""Trees that make one pair: links and stored pairs as leaves, swaps and purification rounds above them.

Owns the tree values, their latencies by Eq. 1 and section 2.2, and throttling (algorithms.md 1.1, 1.2, 2.2).
Refuses load, ages and states (assessment.py) and the search for trees.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from bellwire.core.bell import Bell
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId, PairId
from bellwire.planner.topology import Topology

Waiting = Literal["three_halves", "exponential"]
"""Mean time until both children exist: 1.5 max(T_l, T_r), or exact for two exponential times."""

Scheme = Literal["bbpssw", "dejmps", "recurrence"]
"""Map of one purification round (algorithms.md 2.1)."""

THREE_HALVES = 1.5


@dataclass(frozen=True, slots=True)
class LinkLeaf:
    """Pairs of the link between two neighbours, one every `latency_s` on average."""

    left: NodeId
    right: NodeId
    latency_s: float


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A pair that exists already: no latency, the state that it has now, expected to live `life_s` longer."""

    left: NodeId
    right: NodeId
    pair: PairId | str
    state: Bell
    age_s: float
    life_s: float

    @property
    def latency_s(self) -> float:
        """None at all."""
        return 0.0


@dataclass(frozen=True, slots=True)
class SwapNode:
    """Two subtrees that meet at a node, which swaps."""

    one: "Tree"
    other: "Tree"
    latency_s: float

    @property
    def left(self) -> NodeId:
        """Left end of the product."""
        return self.one.left

    @property
    def right(self) -> NodeId:
        """Right end of the product."""
        return self.other.right

    @property
    def at(self) -> NodeId:
        """The node that swaps."""
        return self.one.right


@dataclass(frozen=True, slots=True)
class PurifyNode:
    """Two subtrees between the same ends; the second is measured to improve the first.

    pumping: the two are made in turn, the kept one first, and have links and memories one after the other;
    otherwise they are made side by side.
    """

    kept: "Tree"
    measured: "Tree"
    scheme: Scheme
    pumping: bool
    success_probability: float  # p_pur, of the states that the two have when they meet (settling.py)
    latency_s: float

    @property
    def left(self) -> NodeId:
        """Left end."""
        return self.kept.left

    @property
    def right(self) -> NodeId:
        """Right end."""
        return self.kept.right


Tree = LinkLeaf | StoredLeaf | SwapNode | PurifyNode


def waiting_s(one_s: float, other_s: float, waiting: Waiting = "three_halves") -> float:
    """Mean time until both of two subtrees have a pair; one that is there already is not waited for."""
    if one_s == 0.0 or other_s == 0.0:
        return one_s + other_s
    if waiting == "three_halves":
        return THREE_HALVES * max(one_s, other_s)
    return one_s + other_s - 1.0 / (1.0 / one_s + 1.0 / other_s)


def swapped(topology: Topology, one: Tree, other: Tree, waiting: Waiting = "three_halves") -> SwapNode:
    """Eq. 1: the tree that swaps at the node between two subtrees. inf where that node never succeeds.

    Raises:
        LocalMisuse: the subtrees share no inner end.
    """
    if one.right != other.left:
        raise LocalMisuse(f"{one.left}-{one.right} and {other.left}-{other.right} do not meet at one node")
    node = topology.nodes[one.right]
    busy_s = swap_busy_s(topology, one.left, one.right, other.right)
    total_s = waiting_s(one.latency_s, other.latency_s, waiting) + busy_s
    return SwapNode(
        one, other, total_s / node.swap_probability if node.swap_probability > 0.0 else float("inf")
    )


def swap_busy_s(topology: Topology, left: NodeId, at: NodeId, right: NodeId) -> float:
    """t_b + t_c: a swap, and its word to the farther end."""
    return topology.nodes[at].swap_s + topology.told_s(at, left, right)


def purified(
    topology: Topology,
    kept: Tree,
    measured: Tree,
    success_probability: float,
    *,
    scheme: Scheme,
    pumping: bool,
    waiting: Waiting = "three_halves",
) -> PurifyNode:
    """One purification round on two subtrees between the same ends (algorithms.md 2.2).

    Side by side T = (wait + t_p + t_c)/p_pur; pumping T = (T_kept + T_measured + t_p + t_c)/p_pur. inf where
    the round never succeeds.

    Raises:
        LocalMisuse: the ends differ, or a pair that is stored already would be made after another.
    """
    if (kept.left, kept.right) != (measured.left, measured.right):
        raise LocalMisuse(
            f"{kept.left}-{kept.right} cannot be purified with {measured.left}-{measured.right}"
        )
    if pumping and any(isinstance(leaf, StoredLeaf) for leaf in leaves(measured)):
        raise LocalMisuse(
            f"{measured.left}-{measured.right} holds a stored pair, which cannot be made after another one: "
            f"purify side by side"
        )
    if pumping:
        made_s = kept.latency_s + measured.latency_s
    else:
        made_s = waiting_s(kept.latency_s, measured.latency_s, waiting)
    total_s = made_s + purify_busy_s(topology, kept.left, kept.right)
    latency_s = total_s / success_probability if success_probability > 0.0 else float("inf")
    return PurifyNode(kept, measured, scheme, pumping, success_probability, latency_s)


def purify_busy_s(topology: Topology, left: NodeId, right: NodeId) -> float:
    """t_p + t_c: the slower round of the two ends, and the outcomes' way between them."""
    here, there = topology.nodes[left], topology.nodes[right]
    return max(here.purification_s, there.purification_s) + topology.delay_s(left, right)


def retimed(tree: Tree, topology: Topology, waiting: Waiting = "three_halves") -> Tree:
    """The same tree with the latencies of its inner nodes worked out anew from its leaves."""
    match tree:
        case SwapNode():
            one, other = retimed(tree.one, topology, waiting), retimed(tree.other, topology, waiting)
            return swapped(topology, one, other, waiting)
        case PurifyNode():
            return purified(
                topology,
                retimed(tree.kept, topology, waiting),
                retimed(tree.measured, topology, waiting),
                tree.success_probability,
                scheme=tree.scheme,
                pumping=tree.pumping,
                waiting=waiting,
            )
        case _:
            return tree


def throttled(tree: Tree, topology: Topology, target_s: float | None = None) -> Tree:
    """The same tree with every link as slow as the root lets it be (algorithms.md 1.2).

    T_child = (T p_b - t_b - t_c)/1.5 for both children of a swap, so that Eq. 1 read bottom-up gives the same
    T at every node. A stored child is there at once, and its sibling is not slowed by the factor; what is
    made of stored pairs alone has no link to slow, and waits for its sibling instead. Both waiting rules
    agree where no pair is stored. The two pairs of pumping are slowed in proportion, so that both phases fill
    the time that is left. Success probabilities of purification stay as they are: settling.py finds those
    that go with the longer waits.

    target_s: latency wanted at the root, not below the tree's own; None: its own.
    """
    target_s = tree.latency_s if target_s is None else target_s
    if all(isinstance(leaf, StoredLeaf) for leaf in leaves(tree)):
        return tree
    match tree:
        case StoredLeaf():
            return tree
        case LinkLeaf():
            return replace(tree, latency_s=target_s)
        case SwapNode():
            probability = topology.nodes[tree.at].swap_probability
            busy_s = swap_busy_s(topology, tree.left, tree.at, tree.right)
            child_s = _child_s(target_s * probability - busy_s, tree.one, tree.other)
            one, other = (throttled(child, topology, child_s) for child in (tree.one, tree.other))
            return replace(tree, one=one, other=other, latency_s=target_s)
        case PurifyNode():
            made_s = target_s * tree.success_probability - purify_busy_s(topology, tree.left, tree.right)
            if tree.pumping:
                own_s = tree.kept.latency_s + tree.measured.latency_s
                grow = made_s / own_s if own_s > 0.0 else 1.0
                kept = throttled(tree.kept, topology, tree.kept.latency_s * grow)
                measured = throttled(tree.measured, topology, tree.measured.latency_s * grow)
            else:
                child_s = _child_s(made_s, tree.kept, tree.measured)
                kept, measured = (throttled(child, topology, child_s) for child in (tree.kept, tree.measured))
            return replace(tree, kept=kept, measured=measured, latency_s=target_s)


def _child_s(wait_s: float, one: Tree, other: Tree) -> float:
    alone = one.latency_s == 0.0 or other.latency_s == 0.0
    return wait_s if alone else wait_s / THREE_HALVES


def turned(tree: Tree) -> Tree:
    """The same tree read from right to left."""
    match tree:
        case LinkLeaf() | StoredLeaf():
            return replace(tree, left=tree.right, right=tree.left)
        case SwapNode():
            return replace(tree, one=turned(tree.other), other=turned(tree.one))
        case PurifyNode():
            return replace(tree, kept=turned(tree.kept), measured=turned(tree.measured))


def leaves(tree: Tree) -> Iterator[LinkLeaf | StoredLeaf]:
    """Links and stored pairs, from left to right; the kept pair of a purification first."""
    match tree:
        case SwapNode():
            yield from leaves(tree.one)
            yield from leaves(tree.other)
        case PurifyNode():
            yield from leaves(tree.kept)
            yield from leaves(tree.measured)
        case _:
            yield tree


def route_of(tree: Tree) -> tuple[NodeId, ...]:
    """Nodes from left to right, along the kept pairs."""
    match tree:
        case SwapNode():
            return (*route_of(tree.one), *route_of(tree.other)[1:])
        case PurifyNode():
            return route_of(tree.kept)
        case _:
            return (tree.left, tree.right)


def is_simple(tree: Tree) -> bool:
    """No node stands in the route twice."""
    route = route_of(tree)
    return len(set(route)) == len(route)
