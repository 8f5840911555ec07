"""How a graph state is put together: pairs as leaves, fusions, swaps and local gates above them.

Owns the tree values, their latencies and throttling (algorithms.md 1.2, 4.1, 4.3). Refuses the search
(graph_programme.py), gates (graph_operations.py) and states (graph_noise.py).

A spot is a place where pairs meet: a vertex of the target, which stays, or a repeater on the way, which is
measured out. Every pair has an end at two spots; what is put together is a tree of parts. Two parts that have
one spot in common are fused there; every further common spot takes a second fusion inside the product.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.graph_pace import paced
from bellwire.planner.structures import (
    THREE_HALVES,
    LinkLeaf,
    PurifyNode,
    StoredLeaf,
    SwapNode,
    Tree,
    Waiting,
    retimed,
    swapped,
    turned,
    waiting_s,
)
from bellwire.planner.topology import Topology


class Spot(NamedTuple):
    """A vertex of the target, or a repeater between two vertices."""

    name: str
    node: NodeId
    stays: bool = True  # False: measured out when both its pairs are there


@dataclass(frozen=True)
class PairPart:
    """Pairs of a swapping tree from the left spot to the right one: an edge of the graph."""

    left: Spot
    right: Spot
    tree: Tree

    @property
    def latency_s(self) -> float:
        """Of the tree."""
        return self.tree.latency_s

    @property
    def spots(self) -> frozenset[Spot]:
        """Both ends."""
        return frozenset((self.left, self.right))


@dataclass(frozen=True)
class FusedPart:
    """Two parts joined at a spot that both have: fused there, or swapped where the spot does not stay.

    star: both are stars, which owners turn until `spot` is the centre; the product is a star around it. This
    is the fusion of two GHZ states, for a star is a GHZ state up to an H on all qubits but one.
    """

    one: "Part"
    other: "Part"
    spot: Spot
    latency_s: float
    star: bool = False

    @cached_property
    def spots(self) -> frozenset[Spot]:
        """What is left of both."""
        both = self.one.spots | self.other.spots
        return both if self.spot.stays else both - {self.spot}


@dataclass(frozen=True)
class ClosedPart:
    """A part that has two qubits at one spot, fused into one: a cycle is closed."""

    of: "Part"
    spot: Spot
    latency_s: float

    @property
    def spots(self) -> frozenset[Spot]:
        """As before."""
        return self.of.spots


@dataclass(frozen=True)
class LocalPart:
    """Two parts that have vertices at one node, joined there by CZ, which always works and takes no time."""

    one: "Part"
    other: "Part"
    node: NodeId
    latency_s: float

    @cached_property
    def spots(self) -> frozenset[Spot]:
        """All of both."""
        return self.one.spots | self.other.spots


@dataclass(frozen=True)
class TurnedPart:
    """A star around another of its vertices: an H on the old and on the new centre."""

    of: "Part"
    centre: Spot

    @property
    def latency_s(self) -> float:
        """As before."""
        return self.of.latency_s

    @property
    def spots(self) -> frozenset[Spot]:
        """As before."""
        return self.of.spots


Part = PairPart | FusedPart | ClosedPart | LocalPart | TurnedPart


class Joint(NamedTuple):
    """What an operation at a node costs."""

    success_probability: float
    busy_s: float  # operation, and its word to everybody who must hear of it


def joint_at(topology: Topology, part: FusedPart | ClosedPart) -> Joint:
    """Chance and duration of the fusion of a part (4.1)."""
    owners = part.of.spots if isinstance(part, ClosedPart) else part.one.spots | part.other.spots
    return fusion_at(topology, part.spot.node, owners)


def fusion_at(topology: Topology, node: NodeId, owners: frozenset[Spot]) -> Joint:
    """Chance and duration of a fusion at a node, told to all owners of a qubit of its inputs."""
    acting = topology.nodes[node]
    return Joint(acting.p_f, acting.t_f + topology.told_s(node, *(spot.node for spot in owners)))


def swap_at(topology: Topology, node: NodeId, owners: frozenset[Spot]) -> Joint:
    """Chance and duration of the swap of two pairs at a repeater (Eq. 1)."""
    acting = topology.nodes[node]
    return Joint(
        acting.swap_probability, acting.swap_s + topology.told_s(node, *(spot.node for spot in owners))
    )


def fused_latency_s(one_s: float, other_s: float, joint: Joint, waiting: Waiting) -> float:
    """T = (1.5 max(T_one, T_other) + t_f + t_c)/p_f; inf where that never succeeds."""
    chance = joint.success_probability
    return (waiting_s(one_s, other_s, waiting) + joint.busy_s) / chance if chance > 0.0 else float("inf")


def closed_latency_s(of_s: float, joint: Joint) -> float:
    """T = (T_of + t_f + t_c)/p_f: nothing has to be waited for."""
    return (
        (of_s + joint.busy_s) / joint.success_probability if joint.success_probability > 0.0 else float("inf")
    )


# --- building --------------------------------------------------------------------------------------------


def fused(
    topology: Topology,
    one: Part,
    other: Part,
    spot: Spot,
    waiting: Waiting = "three_halves",
    *,
    star: bool = False,
) -> Part:
    """Two parts joined at a spot; two pairs joined at a repeater are a longer pair.

    Raises:
        LocalMisuse: one of them is not at that spot.
    """
    if spot not in one.spots or spot not in other.spots:
        raise LocalMisuse(f"{spot.name} is not an end of both parts")
    if not spot.stays and isinstance(one, PairPart) and isinstance(other, PairPart):
        left, right = _ending_at(one, spot), _turned(_ending_at(other, spot))
        return PairPart(left.left, right.right, swapped(topology, left.tree, right.tree, waiting))
    joint = fusion_at(topology, spot.node, one.spots | other.spots)
    return FusedPart(
        one, other, spot, fused_latency_s(one.latency_s, other.latency_s, joint, waiting), star=star
    )


def closed(topology: Topology, part: Part, spot: Spot) -> ClosedPart:
    """A part whose two qubits at a spot are fused."""
    joint = fusion_at(topology, spot.node, part.spots)
    return ClosedPart(part, spot, closed_latency_s(part.latency_s, joint))


def joined_locally(one: Part, other: Part, node: NodeId, waiting: Waiting = "three_halves") -> LocalPart:
    """Two parts joined by CZ inside a node."""
    return LocalPart(one, other, node, waiting_s(one.latency_s, other.latency_s, waiting))


def _ending_at(part: PairPart, spot: Spot) -> PairPart:
    return part if part.right == spot else _turned(part)


def _turned(part: PairPart) -> PairPart:
    return PairPart(part.right, part.left, turned(part.tree))


# --- walks -----------------------------------------------------------------------------------------------


def children(part: Part) -> tuple[Part, ...]:
    """What a part is directly put together from."""
    match part:
        case PairPart():
            return ()
        case FusedPart() | LocalPart():
            return (part.one, part.other)
        case ClosedPart() | TurnedPart():
            return (part.of,)


def pairs_of(part: Part) -> Iterator[PairPart]:
    """All pairs, in the order in which operations number them."""
    if isinstance(part, PairPart):
        yield part
    for child in children(part):
        yield from pairs_of(child)


def is_purified(tree: Tree) -> bool:
    """A swapping tree has purification rounds."""
    if isinstance(tree, SwapNode):
        return is_purified(tree.one) or is_purified(tree.other)
    return isinstance(tree, PurifyNode)


def slowed(part: Part, topology: Topology, target_s: float | None = None) -> Part:
    """The same parts with every link as slow as the whole lets it be (1.2).

    Every operation gives both its inputs the same latency; read bottom-up again, every part has the latency
    that it has here. target_s: latency wanted for the whole, not below its own; None: its own.
    """
    target_s = part.latency_s if target_s is None else target_s
    match part:
        case PairPart():
            return replace(part, tree=paced(part.tree, topology, target_s))
        case FusedPart():
            joint = joint_at(topology, part)
            child_s = (target_s * joint.success_probability - joint.busy_s) / THREE_HALVES
            one, other = slowed(part.one, topology, child_s), slowed(part.other, topology, child_s)
            return replace(part, one=one, other=other, latency_s=target_s)
        case ClosedPart():
            joint = joint_at(topology, part)
            of = slowed(part.of, topology, target_s * joint.success_probability - joint.busy_s)
            return replace(part, of=of, latency_s=target_s)
        case LocalPart():
            child_s = target_s / THREE_HALVES
            one, other = slowed(part.one, topology, child_s), slowed(part.other, topology, child_s)
            return replace(part, one=one, other=other, latency_s=target_s)
        case TurnedPart():
            return replace(part, of=slowed(part.of, topology, target_s))


def stretched(part: Part, topology: Topology, factor: float, waiting: Waiting) -> Part:
    """The same parts with every link slower by a factor, and everything above worked out anew."""
    match part:
        case PairPart():
            return replace(part, tree=retimed(_stretched(part.tree, factor), topology, waiting))
        case FusedPart():
            one = stretched(part.one, topology, factor, waiting)
            other = stretched(part.other, topology, factor, waiting)
            total_s = fused_latency_s(one.latency_s, other.latency_s, joint_at(topology, part), waiting)
            return replace(part, one=one, other=other, latency_s=total_s)
        case ClosedPart():
            of = stretched(part.of, topology, factor, waiting)
            return replace(part, of=of, latency_s=closed_latency_s(of.latency_s, joint_at(topology, part)))
        case LocalPart():
            one = stretched(part.one, topology, factor, waiting)
            other = stretched(part.other, topology, factor, waiting)
            return joined_locally(one, other, part.node, waiting)
        case TurnedPart():
            return replace(part, of=stretched(part.of, topology, factor, waiting))


def _stretched(tree: Tree, factor: float) -> Tree:
    match tree:
        case SwapNode():
            return replace(tree, one=_stretched(tree.one, factor), other=_stretched(tree.other, factor))
        case PurifyNode():
            kept, measured = _stretched(tree.kept, factor), _stretched(tree.measured, factor)
            return replace(tree, kept=kept, measured=measured)
        case LinkLeaf():
            return replace(tree, latency_s=tree.latency_s * factor)
        case StoredLeaf():
            return tree
