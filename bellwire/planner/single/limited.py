"""The fastest tree that keeps every limit: age, leaves, fidelity, life of stored pairs (algorithms.md 1.3).

Owns the search over simple trees in order of latency, with limits inside. Refuses the case without active
limits, which all_pairs.py answers sooner.

A throttled tree is fixed by its shape and the latency T of its root, and every latency inside is a linear
function of T (1.2). Hence ages and the loss of each eigenvalue (-ln lambda_k) are linear in T too, and a
subtree is described by its least latency, a few lines, its number of leaves and its nodes. A subtree that is
no better than another in any of these, for every T that it can be given, is dropped; all others are kept.
Subtrees come out of a queue by latency (Knuth 1977: both children are faster than their tree), so the first
tree between source and destination that keeps the limits is the fastest there is.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from bellwire.core.bell import eigenvalues
from bellwire.core.ids import NodeId
from bellwire.planner.assessment import waits_s
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.all_pairs import leaves_of, may_swap
from bellwire.planner.single.bounds import Bounds, loss_of
from bellwire.planner.structures import (
    THREE_HALVES,
    LinkLeaf,
    StoredLeaf,
    Tree,
    swap_busy_s,
    swapped,
    turned,
)

JOINS_MAX: Final = 200_000
"""Swaps tried before the search gives up; 50 nodes with tight limits need some ten thousands."""


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


@dataclass(frozen=True, slots=True)
class Subtree:
    """A tree with what limits need to know of it. Lines are functions of the latency it is given."""

    tree: Tree
    nodes: int  # bit set of the route
    leaves: int
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

    def serves_instead_of(self, other: "Subtree") -> bool:
        """No worse than another subtree of the same ends in anything, at every latency the other can have."""
        if (
            self.leaves > other.leaves
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


def limited_trees(residual: Residual, request: PairRequest, options: Options) -> Iterator[Tree]:
    """Trees of a request that keep its limits, fastest first, not throttled.

    Raises:
        NoPlan: JOINS_MAX swaps were tried without an answer.
    """
    topology, limits = residual.topology, request.limits
    order = topology.order
    bounds = Bounds(residual, request, options)
    goal = (request.source, request.destination)
    queue: list[tuple[float, int, int, Subtree]] = []
    ticket = count()
    kept: dict[NodeId, dict[NodeId, list[Subtree]]] = {name: {} for name in topology.nodes}  # left -> right
    swaps = {name for name in topology.nodes if may_swap(residual, name, options)}
    for leaf in (*leaves_of(residual, options).values(), *request.stored):
        if {leaf.left, leaf.right} & options.avoid:
            continue
        first = _leaf(residual, leaf, order, limits.fidelity is not None)
        if _possible(first, limits, bounds):
            heapq.heappush(queue, (first.latency_s, 1, next(ticket), first))
    latest_s = _latest_s(residual, limits, swaps)
    joins = 0
    while queue:
        _, _, _, subtree = heapq.heappop(queue)
        left, right = subtree.tree.left, subtree.tree.right
        if subtree.latency_s > latest_s and not (subtree.leaves == 1 and {left, right} == set(goal)):
            continue  # only a link between the two needs no wait
        beside = kept[left].setdefault(right, [])
        if any(other.serves_instead_of(subtree) for other in beside):
            continue
        if {left, right} == set(goal):
            yield subtree.tree if left == goal[0] else turned(subtree.tree)
            continue
        beside.append(subtree)
        mirrored = _mirrored(subtree)
        kept[right].setdefault(left, []).append(mirrored)
        for one in (subtree, mirrored):  # joined at its right end with everything that begins there
            at = one.tree.right
            if at not in swaps or at in goal:
                continue
            for others in list(kept[at].values()):
                for other in others:
                    if one.nodes & other.nodes != 1 << order[at]:
                        continue
                    joins += 1
                    if joins > JOINS_MAX:
                        raise NoPlan(f"{goal[0]}-{goal[1]}: none of {JOINS_MAX} swaps led to the limits")
                    joined = _joined(residual, one, other, options)
                    if _possible(joined, limits, bounds):
                        heapq.heappush(queue, (joined.latency_s, joined.leaves, next(ticket), joined))


def _latest_s(residual: Residual, limits: Limits, swaps: set[NodeId]) -> float:
    """A tree slower than this breaks the age limit at its last swap: one side waits at least T_child/2 there.

    T_child = (T p_b - t_b - t_c)/1.5, with the least p_b and the longest t_b + t_c of all nodes.
    """
    nodes = [residual.topology.nodes[name] for name in swaps]
    chance = min((node.swap_probability for node in nodes), default=1.0)
    delays_s = residual.topology.delay_matrix_s
    farthest_s = float(delays_s[delays_s < math.inf].max(initial=0.0))
    busy_s = max((node.swap_s for node in nodes), default=0.0) + farthest_s
    return (2.0 * THREE_HALVES * limits.age_s + busy_s) / chance if chance > 0.0 else math.inf


def _possible(subtree: Subtree, limits: Limits, bounds: Bounds) -> bool:
    """Can keep the limits with the cheapest links that lead from its ends to source and destination."""
    latency_s = subtree.latency_s
    if not latency_s <= subtree.latency_max_s or latency_s == math.inf:
        return False
    if subtree.oldest_s(latency_s) >= limits.age_s:
        return False
    way = bounds.ways(subtree.tree.left, subtree.tree.right)
    if limits.leaves is not None and min(subtree.leaves + each.links for each in way) > limits.leaves:
        return False
    if limits.fidelity is None:
        return any(each.links < math.inf for each in way)
    losses = [loss.of(latency_s) for loss in subtree.losses]
    return any(each.fidelity(losses) >= limits.fidelity * (1.0 - 1e-12) for each in way)


def _leaf(residual: Residual, leaf: LinkLeaf | StoredLeaf, order: dict[NodeId, int], lossy: bool) -> Subtree:
    if isinstance(leaf, StoredLeaf):
        age_s, state = leaf.age_s, leaf.state
    else:
        link = residual.topology.links[(leaf.left, leaf.right)]
        age_s, state = link.success_s, link.state
    age = Line(age_s, 0.0)
    losses = tuple(Line(loss_of(value), 0.0) for value in eigenvalues(state)) if lossy else ()
    nodes = 1 << order[leaf.left] | 1 << order[leaf.right]
    return Subtree(leaf, nodes, 1, age, age, (), losses, math.inf)


def _joined(residual: Residual, one: Subtree, other: Subtree, options: Options) -> Subtree:
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


def _mirrored(subtree: Subtree) -> Subtree:
    return Subtree(
        turned(subtree.tree),
        subtree.nodes,
        subtree.leaves,
        subtree.right_age,
        subtree.left_age,
        subtree.inner_ages,
        subtree.losses,
        subtree.latency_max_s,
    )
