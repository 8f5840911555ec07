"""What limits need to know of a subtree: its latency and lines over the latency that it may be given.

Owns `Subtree` and the three ways to make one: a leaf, a swap, a mirror. Refuses the search (limited.py).

A throttled tree is fixed by its shape and the latency T of its root, and every latency inside is a linear
function of T (algorithms.md 1.2). Hence ages and the loss of each eigenvalue (-ln lambda_k) are linear in T
too, and a subtree is described by its least latency, a few lines, its number of leaves, its nodes and the
shares that it takes of its ends.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from bellwire.core.bell import eigenvalues
from bellwire.planner.assessment import waits_s
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.single.bounds import loss_of
from bellwire.planner.structures import (
    THREE_HALVES,
    LinkLeaf,
    StoredLeaf,
    Tree,
    swap_busy_s,
    swapped,
    turned,
)


class Line(NamedTuple):
    """A quantity that grows with the latency T given to a subtree: at + slope T, slope 0 or more."""

    at: float
    slope: float

    def of(self, latency_s: float) -> float:
        """Value at a latency."""
        return self.at + self.slope * latency_s if self.slope else self.at

    def under(self, scale: float, offset: float) -> "Line":
        """The same quantity as a function of the parent's T, when the subtree gets scale T + offset."""
        return Line(self.at + self.slope * offset, self.slope * scale)

    def plus(self, other: "Line") -> "Line":
        """Sum of two."""
        return Line(self.at + other.at, self.slope + other.slope)


Lines = tuple[Line, ...]


class Piece(NamedTuple):
    """A leaf with the quanta that it takes of its left and of its right node."""

    leaf: LinkLeaf | StoredLeaf
    left_quanta: int
    right_quanta: int


@dataclass(frozen=True, slots=True)
class Subtree:
    """A tree with what limits need to know of it. Lines are functions of the latency it is given."""

    tree: Tree
    nodes: int  # bit set of the route
    leaves: int
    left_quanta: int  # of the capacity of the left node
    right_quanta: int
    left_age: Line
    right_age: Line
    inner_ages: Lines  # of qubits that are measured inside
    losses: Lines  # -ln lambda_1..3, inf where that is 0 or below; empty when no fidelity is asked for
    latency_max_s: float  # what its stored pairs live to see

    @property
    def latency_s(self) -> float:
        """Least latency."""
        return self.tree.latency_s

    def lines(self) -> Lines:
        """All quantities that must stay small."""
        return (self.left_age, self.right_age, *self.losses)

    def oldest_s(self, latency_s: float) -> float:
        """Largest mean age of any qubit at a given latency."""
        return max(line.of(latency_s) for line in (self.left_age, self.right_age, *self.inner_ages))

    def serves_instead_of(self, other: "Subtree", throttles: bool) -> bool:
        """No worse than another subtree of the same ends in anything, at every latency the other can have.

        Where nothing is throttled, a faster subtree waits longer for its sibling: only one as fast will do.
        """
        if not throttles and self.latency_s != other.latency_s:
            return False
        if (
            self.leaves > other.leaves
            or self.left_quanta > other.left_quanta
            or self.right_quanta > other.right_quanta
            or self.latency_max_s < other.latency_max_s
            or self.nodes & ~other.nodes
        ):
            return False
        start_s = other.latency_s
        if not all(_below(a, b, start_s) for a, b in zip(self.lines(), other.lines(), strict=True)):
            return False
        bounds = (other.left_age, other.right_age, *other.inner_ages)
        return all(any(_below(mine, bound, start_s) for bound in bounds) for mine in self.inner_ages)


def _below(one: Line, other: Line, start_s: float) -> bool:
    return one.slope <= other.slope and one.of(start_s) <= other.of(start_s)


def planted(residual: Residual, piece: Piece, lossy: bool) -> Subtree:
    """The subtree of one leaf. lossy: a fidelity is asked for, so that losses matter."""
    leaf, order = piece.leaf, residual.topology.order
    if isinstance(leaf, StoredLeaf):
        age_s, state = leaf.age_s, leaf.state
    else:
        link = residual.topology.links[(leaf.left, leaf.right)]
        age_s, state = link.success_s, link.state
    age = Line(age_s, 0.0)
    losses = tuple(Line(loss_of(value), 0.0) for value in eigenvalues(state)) if lossy else ()
    nodes = 1 << order[leaf.left] | 1 << order[leaf.right]
    return Subtree(leaf, nodes, 1, piece.left_quanta, piece.right_quanta, age, age, (), losses, math.inf)


def joined(residual: Residual, one: Subtree, other: Subtree, options: Options) -> Subtree:
    """The swap of two subtrees, with all lines as functions of its own latency."""
    topology = residual.topology
    left, at, right = one.tree.left, one.tree.right, other.tree.right
    tree = swapped(topology, one.tree, other.tree, options.waiting)
    node = topology.nodes[at]
    busy_s = swap_busy_s(topology, left, at, right)
    alone = one.latency_s == 0.0 or other.latency_s == 0.0
    if options.throttles:  # (T p_b - t_b - t_c)/1.5 for both children, or all of it beside a stored pair
        share = 1.0 if alone else 1.0 / THREE_HALVES
        scale, offset = node.swap_probability * share, -busy_s * share
        # a stored pair waits for its sibling; two alike wait half a latency each
        whole, half = Line(offset, scale), Line(offset / 2.0, scale / 2.0)
        none = Line(0.0, 0.0)
        if one.latency_s == 0.0 and other.latency_s == 0.0:
            waits = (none, none)
        elif alone:
            waits = (whole, none) if one.latency_s == 0.0 else (none, whole)
        else:
            waits = (half, half)
    else:
        scale, offset = 0.0, 0.0
        wait_one_s, wait_other_s = waits_s(one.latency_s, other.latency_s)
        waits = (Line(wait_one_s, 0.0), Line(wait_other_s, 0.0))
    inner: list[Line] = []
    outer: list[Line] = []
    noise = eigenvalues(node.swap_noise) if one.losses else ()
    losses = [Line(loss_of(value), 0.0) for value in noise]
    latest_s = math.inf
    for child, wait, far in ((one, waits[0], left), (other, waits[1], right)):
        given = (scale, offset) if options.throttles else (0.0, child.latency_s)
        ages = (child.left_age, child.right_age) if child is one else (child.right_age, child.left_age)
        outer.append(ages[0].under(*given).plus(wait))
        inner.append(ages[1].under(*given).plus(wait))
        inner.extend(age.under(*given) for age in child.inner_ages)
        decays = zip(topology.nodes[far].decay_hz, node.decay_hz, strict=True)
        for index, (there, here) in enumerate(decays if losses else ()):
            waited = Line((there + here) * wait.at, (there + here) * wait.slope)
            losses[index] = losses[index].plus(child.losses[index].under(*given)).plus(waited)
        limit_s = child.latency_max_s
        if isinstance(child.tree, StoredLeaf):
            limit_s = math.inf
            if wait.slope > 0.0:
                latest_s = min(latest_s, (child.tree.life_s - wait.at) / wait.slope)
            elif wait.at > child.tree.life_s:
                latest_s = -math.inf
        if limit_s < math.inf:
            if scale > 0.0:
                latest_s = min(latest_s, (limit_s - offset) / scale)
            elif child.latency_s > limit_s:
                latest_s = -math.inf
    travelling = zip(topology.nodes[left].decay_hz, topology.nodes[right].decay_hz, strict=True)
    for index, (there, here) in enumerate(travelling if losses else ()):
        losses[index] = losses[index].plus(Line((there + here) * busy_s, 0.0))
    return Subtree(
        tree,
        one.nodes | other.nodes,
        one.leaves + other.leaves,
        one.left_quanta,
        other.right_quanta,
        outer[0],
        outer[1],
        _undominated(inner),
        tuple(losses),
        latest_s,
    )


def _undominated(lines: list[Line]) -> Lines:
    """Lines that are not below another one at every latency."""
    kept: list[Line] = []
    for line in sorted(lines, reverse=True):
        if not any(line.at <= other.at and line.slope <= other.slope for other in kept):
            kept.append(line)
    return tuple(kept)


def mirrored(subtree: Subtree) -> Subtree:
    """The same subtree read from right to left."""
    return Subtree(
        turned(subtree.tree),
        subtree.nodes,
        subtree.leaves,
        subtree.right_quanta,
        subtree.left_quanta,
        subtree.right_age,
        subtree.left_age,
        subtree.inner_ages,
        subtree.losses,
        subtree.latency_max_s,
    )
