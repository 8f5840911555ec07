"""The programme with usage quanta: what a subtree takes of its ends is part of its state (algorithms.md 1.4).

Owns method "dp-usage", in which end nodes may spend all they have and a swapping node may split unevenly.
Refuses capacity shares between the quanta.

Why it is exact. The sweeps ask only that the two parts of a swapping node make a whole, so a route may meet a
node twice and spend more there than there is. What they end with is the least latency of any such walk, hence
never above the best simple tree: where the tree behind it is simple and keeps the limits, nothing is faster.
Unlike in the "50-50" programme a walk can pay here, by reaching a node that has little left for one link
through another link that has more; it needs sure swaps or coarse splits. Then, and where a limit is broken,
the search of limited.py goes through simple trees with the same shares, fastest first.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.finishing import finished, why_none
from bellwire.planner.single.limited import limited_trees
from bellwire.planner.single.openings import may_swap, open_links
from bellwire.planner.single.subtrees import Piece
from bellwire.planner.structures import (
    THREE_HALVES,
    LinkLeaf,
    StoredLeaf,
    Tree,
    Waiting,
    is_simple,
    swapped,
    turned,
)

METHOD = "dp-usage"

Floats = NDArray[np.float64]
State = tuple[int, int, int, int]
"""(u, v, a, b): a subtree from u to v that may take a quanta of u and b quanta of v."""


class UsageTrees:
    """The fastest tree of every state, over walks. Memory grows with n^2 m^2, time per sweep with n^3 m^3."""

    def __init__(self, residual: Residual, options: Options, stored: tuple[StoredLeaf, ...] = ()) -> None:
        self.topology = residual.topology
        self.waiting: Waiting = options.waiting
        self.names = list(self.topology.nodes)
        self.quanta = quanta_of(options)
        n, m = len(self.names), self.quanta + 1
        self.latency_s: Floats = np.full((n, n, m, m), np.inf)
        """By node numbers and quanta, (n, n, m, m); a share of 0 is enough for stored pairs only."""
        self._at = np.full((n, n, m, m), -1, dtype=np.int32)  # the node that swaps; -1: a leaf
        self._split = np.zeros((n, n, m, m), dtype=np.int32)  # its quanta for the left subtree
        self._leaves: dict[State, LinkLeaf | StoredLeaf] = {}
        for leaf, x, y in pieces_of(residual, options, stored):
            i, j = self.topology.order[leaf.left], self.topology.order[leaf.right]
            for a in range(x, m) if x == 0 else (x,):
                for b in range(y, m) if y == 0 else (y,):
                    if leaf.latency_s < self.latency_s[i, j, a, b]:
                        self.latency_s[i, j, a, b] = self.latency_s[j, i, b, a] = leaf.latency_s
                        self._leaves[i, j, a, b], self._leaves[j, i, b, a] = leaf, turned_leaf(leaf)
        self._able = [
            (index, node)
            for index, (name, node) in enumerate(self.topology.nodes.items())
            if may_swap(residual, name, options)
        ]
        self._holds_stored = bool(stored)
        self.sweeps = 0
        while self._sweep():
            self.sweeps += 1

    def tree(self, a: NodeId, b: NodeId) -> Tree | None:
        """The fastest tree that may take both ends whole, not throttled; None when there is none.

        It is the best of all simple trees if it is simple; otherwise its latency is a lower bound.
        """
        state = (self.topology.order[a], self.topology.order[b], self.quanta, self.quanta)
        return self._tree(state) if a != b and self.latency_s[state] < np.inf else None

    def _tree(self, state: State) -> Tree:
        i, j, x, y = state
        at, split = int(self._at[state]), int(self._split[state])
        if at < 0:
            return self._leaves[state]
        left, right = self._tree((i, at, x, split)), self._tree((at, j, self.quanta - split, y))
        return swapped(self.topology, left, right, self.waiting)

    def _sweep(self) -> bool:
        """One synchronous sweep; False when it changed nothing. Ties keep the old tree."""
        old, new = self.latency_s, self.latency_s.copy()
        told_s = self.topology.delay_matrix_s
        for at, node in self._able:
            near = np.flatnonzero(np.isfinite(old[:, at]).any(axis=(1, 2)))
            busy_s = node.swap_s + np.maximum(told_s[at, near][:, None], told_s[at, near][None, :])
            np.fill_diagonal(busy_s, np.inf)  # from a node to itself there is nothing to make
            for split in range(self.quanta + 1):
                one_s = old[near, at, :, split][:, None, :, None]
                other_s = old[at, near, self.quanta - split, :][None, :, None, :]
                if not (one_s < np.inf).any() or not (other_s < np.inf).any():
                    continue
                total_s = self._waiting_s(one_s, other_s) + busy_s[:, :, None, None]
                total_s /= node.swap_probability
                faster = np.nonzero(total_s < new[np.ix_(near, near)])
                states = (near[faster[0]], near[faster[1]], faster[2], faster[3])
                new[states] = total_s[faster]
                self._at[states], self._split[states] = at, split
        self.latency_s = new
        return bool((new < old).any())

    def _waiting_s(self, one_s: Floats, other_s: Floats) -> Floats:
        total_s: Floats
        if self.waiting == "three_halves":
            total_s = THREE_HALVES * np.maximum(one_s, other_s)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):  # nan of two that do not exist: never faster
                total_s = one_s + other_s - 1.0 / (1.0 / one_s + 1.0 / other_s)
        if self._holds_stored:
            total_s = np.where((one_s == 0.0) | (other_s == 0.0), one_s + other_s, total_s)
        return total_s


def quanta_of(options: Options) -> int:
    """Number of quanta in the whole of a node."""
    return round(1.0 / options.quantum)


def pieces_of(residual: Residual, options: Options, stored: tuple[StoredLeaf, ...] = ()) -> Iterator[Piece]:
    """Every link at every share that its two ends may spend on it; stored pairs, which spend nothing."""
    quanta = quanta_of(options)
    for link in open_links(residual, options):
        for x in range(1, quanta + 1):
            for y in range(1, quanta + 1):
                latency_s = residual.link_latency_s(link, x / quanta, y / quanta)
                if latency_s < np.inf:
                    yield Piece(LinkLeaf(*link.ends, latency_s), x, y)
    for leaf in stored:
        if options.route is None and not {leaf.left, leaf.right} & options.avoid:
            yield Piece(leaf, 0, 0)


def turned_leaf(leaf: LinkLeaf | StoredLeaf) -> LinkLeaf | StoredLeaf:
    """The same leaf read from right to left."""
    found = turned(leaf)
    assert isinstance(found, LinkLeaf | StoredLeaf)
    return found


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The fastest tree that keeps the limits and whose capacity shares lie on the grid of quanta.

    Raises:
        NoPlan: no way, or no tree that keeps the limits; the text says what the fastest has instead.
    """
    fastest = UsageTrees(residual, options, request.stored).tree(request.source, request.destination)
    if fastest is None:
        raise NoPlan(why_none(residual, request, options))
    broken: NoPlan | None = None
    if is_simple(fastest):
        try:
            return finished(fastest, residual, options, request.limits, METHOD)
        except NoPlan as reason:
            broken = reason
    pieces = pieces_of(residual, options, request.stored)
    for tree in limited_trees(residual, request, options, pieces, quanta_of(options)):
        try:
            return finished(tree, residual, options, request.limits, METHOD)
        except NoPlan as reason:
            broken = broken or reason
    raise NoPlan(
        f"{broken}; no other tree keeps the limits" if broken else why_none(residual, request, options)
    )
