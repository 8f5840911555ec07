"""The programme with usage quanta: what a subtree takes of its ends is part of its state (algorithms.md 1.4).

Owns method "dp-usage", in which end nodes may spend all they have and a swapping node may split unevenly.
Refuses capacity shares between the quanta.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.all_pairs import leaves_of, may_swap
from bellwire.planner.single.finishing import finished, why_none
from bellwire.planner.structures import THREE_HALVES, LinkLeaf, Tree, swapped

METHOD = "dp-usage"

Floats = NDArray[np.float64]
State = tuple[int, int, int, int]
"""(u, v, a, b): a subtree from u to v that may take a quanta of u and b quanta of v."""


class UsageTrees:
    """The fastest tree of every state. Memory grows with n^2 m^2, time per sweep with n^3 m^3."""

    def __init__(self, residual: Residual, options: Options) -> None:
        self.residual, self.options = residual, options
        topology = residual.topology
        self.names = list(topology.nodes)
        self.quanta = round(1.0 / options.quantum)
        n, m = len(self.names), self.quanta + 1
        self.latency_s: Floats = np.full((n, n, m, m), np.inf)
        self._routes: dict[tuple[int, int, int, int], int] = {}
        for a, b in leaves_of(residual, options):
            link = topology.links[a, b]
            i, j = topology.order[a], topology.order[b]
            for x in range(1, m):
                for y in range(1, m):
                    latency_s = residual.link_latency_s(link, x / self.quanta, y / self.quanta)
                    self.latency_s[i, j, x, y] = self.latency_s[j, i, y, x] = latency_s
                    self._routes[i, j, x, y] = self._routes[j, i, y, x] = 1 << i | 1 << j
        self._swaps: dict[State, tuple[int, int, object, object]] = {}
        while self._sweep():
            pass

    def tree(self, a: NodeId, b: NodeId) -> Tree | None:
        """The fastest tree that may take both ends whole, not throttled; None when there is none."""
        state = (self.residual.topology.order[a], self.residual.topology.order[b], self.quanta, self.quanta)
        return self._tree(state, self._swaps.get(state)) if self.latency_s[state] < np.inf else None

    def _tree(self, state: State, made: "object | None") -> Tree:
        i, j, x, y = state
        topology = self.residual.topology
        a, b = self.names[i], self.names[j]
        if made is None:
            link = topology.link(a, b)
            assert link is not None
            shares = (x, y) if link.ends[0] == a else (y, x)
            return LinkLeaf(
                a, b, self.residual.link_latency_s(link, *(each / self.quanta for each in shares))
            )
        assert isinstance(made, tuple)
        at, split, one, other = made
        left = self._tree((i, at, x, split), one)
        right = self._tree((at, j, self.quanta - split, y), other)
        return swapped(topology, left, right, self.options.waiting)

    def _sweep(self) -> bool:
        """One synchronous sweep; False when it changed nothing."""
        topology = self.residual.topology
        old, new = self.latency_s, self.latency_s.copy()
        swaps, routes = dict(self._swaps), dict(self._routes)
        n = len(self.names)
        told_s = topology.delay_matrix_s
        for at, name in enumerate(self.names):
            node = topology.nodes[name]
            if not may_swap(self.residual, name, self.options) or node.swap_probability == 0.0:
                continue
            reach = [each for each in range(n) if each != at and np.isfinite(old[each, at]).any()]
            for i in reach:
                for split in range(1, self.quanta):
                    one_s = old[i, at, :, split]
                    if not np.isfinite(one_s).any():
                        continue
                    other_s = old[at, reach, self.quanta - split, :]
                    total_s = self._waiting_s(one_s[None, :, None], other_s[:, None, :])
                    busy_s = node.swap_s + np.maximum(told_s[at, i], told_s[at, reach])
                    total_s = (total_s + busy_s[:, None, None]) / node.swap_probability
                    faster = total_s < new[i, reach]
                    for row, x, y in zip(*np.nonzero(faster), strict=True):
                        j = reach[row]
                        key = (i, j, int(x), int(y))
                        left, right = (i, at, int(x), split), (at, j, self.quanta - split, int(y))
                        if j == i or self._routes[left] & self._routes[right] != 1 << at:
                            continue
                        new[key] = total_s[row, x, y]
                        swaps[key] = (at, split, self._swaps.get(left), self._swaps.get(right))
                        routes[key] = self._routes[left] | self._routes[right]

        self.latency_s, self._swaps, self._routes = new, swaps, routes
        return bool((new < old).any())

    def _waiting_s(self, one_s: Floats, other_s: Floats) -> Floats:
        if self.options.waiting == "three_halves":
            longer: Floats = np.maximum(one_s, other_s) * THREE_HALVES
            return longer
        exact: Floats = one_s + other_s - 1.0 / (1.0 / one_s + 1.0 / other_s)
        return exact


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The fastest tree whose capacity shares lie on the grid of quanta.

    Raises:
        NoPlan: no way, or the fastest tree breaks a limit.
    """
    tree = UsageTrees(residual, options).tree(request.source, request.destination)
    if tree is None or not math.isfinite(tree.latency_s):
        raise NoPlan(why_none(residual, request, options))
    return finished(tree, residual, options, request.limits, METHOD)
