"""The exact programme "50-50" over all pairs at once: the numeric kernel (algorithms.md 1.4).

Owns the sweeps of the recurrence over arrays and the trees behind them. Refuses limits and plans (exact.py).

Why it is exact. Let T*(s, t) be the least latency of any tree of swaps over a walk of links from s to t.
Eq. 1 is larger than both children and never falls when a child gets slower, so the recurrence has one
solution, T*. The sweeps turn down a candidate whose route meets a node twice: half of a node serves two
links, not four. When they end and no such candidate would still be an improvement, what they hold solves the
recurrence: every tree is the best, also among trees over walks. A loop costs a swap and can pay only by
shortening the way of a classical word (t_c), so pairs in `doubtful` are rare. Where there are any, the same
sweeps without the rule on routes give T* itself: a tree as fast as that is the best all the same, and for the
others exact.py searches simple trees one by one.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.single.openings import leaves_of, may_swap
from bellwire.planner.structures import THREE_HALVES, StoredLeaf, Tree, Waiting, swapped, turned
from bellwire.planner.topology import Pair, pair_of

Floats = NDArray[np.float64]


class Swap(NamedTuple):
    """A tree by node numbers: the subtrees of {left, at} and {at, right}; None stands for a leaf."""

    left: int
    at: int
    right: int
    one: "Swap | None"
    other: "Swap | None"


class AllTrees:
    """The fastest tree of every pair of nodes, links at half the capacity that their nodes have.

    stored: pairs that exist already, as leaves without latency. walks: let routes meet a node twice, for T*.
    """

    def __init__(
        self,
        residual: Residual,
        options: Options,
        stored: tuple[StoredLeaf, ...] = (),
        *,
        walks: bool = False,
    ) -> None:
        topology = residual.topology
        self._asked, self._walks = (residual, options, stored), walks
        self.topology = topology
        self.waiting: Waiting = options.waiting
        self.names = list(topology.nodes)
        self.leaves = leaves_of(residual, options, stored)
        n = len(self.names)
        self.latency_s: Floats = np.full((n, n), np.inf)
        self._routes = [[0] * n for _ in range(n)]
        """Nodes of the tree of two nodes, by their numbers, as a bit set; 0 where there is no tree."""
        self._swaps: list[list[Swap | None]] = [[None] * n for _ in range(n)]
        for (a, b), leaf in self.leaves.items():
            i, j = topology.order[a], topology.order[b]
            self.latency_s[i, j] = self.latency_s[j, i] = leaf.latency_s
            self._routes[i][j] = self._routes[j][i] = 1 << i | 1 << j
        nodes = [topology.nodes[name] for name in self.names]
        able = np.array([may_swap(residual, name, options) for name in self.names], dtype=bool)
        chance = np.array([node.swap_probability for node in nodes])
        self._tries: Floats = np.full(n, np.inf)
        np.divide(1.0, chance, out=self._tries, where=able)
        self._reach_s: Floats = np.where(np.isfinite(self._tries), np.inf, -np.inf)
        """A node is a candidate for a swap when it is nearer than this: never, where it cannot swap."""
        self._swap_s: Floats = np.array([node.swap_s for node in nodes])
        self._told_s: Floats = topology.delay_matrix_s
        self._holds_stored = any(isinstance(leaf, StoredLeaf) for leaf in self.leaves.values())
        self.doubtful: set[Pair] = set()
        """Pairs for which a walk would be faster than the tree held, when the sweeps have ended."""
        self.sweeps = 0
        while self._sweep():
            self.sweeps += 1

    def tree(self, a: NodeId, b: NodeId) -> Tree | None:
        """The fastest tree from a to b, not throttled; None when there is no way."""
        i, j = self.topology.order[a], self.topology.order[b]
        if i == j or not np.isfinite(self.latency_s[i, j]):
            return None
        return self._tree(i, j, self._swaps[i][j])

    def is_best(self, a: NodeId, b: NodeId) -> bool:
        """No tree over any walk is faster than the one held; else there may be a faster simple one."""
        if not self.doubtful:
            return True
        i, j = self.topology.order[a], self.topology.order[b]
        return bool(self.latency_s[i, j] <= self._least_s[i, j])

    @cached_property
    def _least_s(self) -> Floats:
        return AllTrees(*self._asked, walks=True).latency_s

    def _tree(self, i: int, j: int, made: Swap | None) -> Tree:
        if made is None:
            leaf = self.leaves[pair_of(self.names[i], self.names[j])]
            return leaf if leaf.left == self.names[i] else turned(leaf)
        one, other = (made.one, made.other) if i == made.left else (made.other, made.one)
        left, right = self._tree(i, made.at, one), self._tree(made.at, j, other)
        return swapped(self.topology, left, right, self.waiting)

    def _sweep(self) -> bool:
        """One synchronous sweep over all pairs; False when it changed nothing."""
        old, old_routes, old_swaps = self.latency_s, self._routes, self._swaps
        new = old.copy()
        routes, swaps = [row[:] for row in old_routes], [row[:] for row in old_swaps]
        self.doubtful.clear()
        for i in range(len(self.names) - 1):
            middle = np.flatnonzero(old[i] < self._reach_s)
            if not len(middle):
                continue
            cost_s = self._through(i, middle, old)
            best = cost_s.argmin(axis=0)
            best_s = cost_s[best, np.arange(cost_s.shape[1])]
            faster = np.flatnonzero(best_s < old[i, i + 1 :])
            for column, row in zip(faster.tolist(), best[faster].tolist(), strict=True):
                j, at = i + 1 + column, int(middle[row])
                if not self._walks and old_routes[i][at] & old_routes[at][j] != 1 << at:
                    row = self._next_best(i, j, middle, cost_s[:, column], old[i, j])
                    if row < 0:
                        continue
                    at = int(middle[row])
                new[i, j] = new[j, i] = cost_s[row, column]
                routes[i][j] = routes[j][i] = old_routes[i][at] | old_routes[at][j]
                swaps[i][j] = swaps[j][i] = Swap(i, at, j, old_swaps[i][at], old_swaps[at][j])
        self.latency_s, self._routes, self._swaps = new, routes, swaps
        return bool((new < old).any())

    def _through(self, i: int, middle: NDArray[np.intp], old: Floats) -> Floats:
        """Eq. 1 from node i to every later node (columns) by a swap at each of some nodes (rows)."""
        one_s: Floats = old[i, middle][:, None]
        other_s: Floats = old[middle, i + 1 :]
        total_s: Floats
        if self.waiting == "exponential":
            with np.errstate(divide="ignore"):
                total_s = one_s + other_s - 1.0 / (1.0 / one_s + 1.0 / other_s)
        else:
            total_s = np.maximum(one_s, other_s)
            total_s *= THREE_HALVES
        if self._holds_stored:
            total_s = np.where((one_s == 0.0) | (other_s == 0.0), one_s + other_s, total_s)
        total_s += np.maximum(self._told_s[middle, i][:, None], self._told_s[middle, i + 1 :])
        total_s += self._swap_s[middle][:, None]
        total_s *= self._tries[middle][:, None]
        return total_s

    def _next_best(self, i: int, j: int, middle: NDArray[np.intp], cost_s: Floats, known_s: float) -> int:
        """Row of the fastest swap whose two subtrees meet nowhere else and that beats known_s, or -1."""
        self.doubtful.add(pair_of(self.names[i], self.names[j]))
        for row in np.argsort(cost_s, kind="stable"):
            at = int(middle[row])
            if not cost_s[row] < known_s:
                break
            if self._routes[i][at] & self._routes[at][j] == 1 << at:
                return int(row)
        return -1
