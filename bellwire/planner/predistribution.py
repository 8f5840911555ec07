"""Super-links: pairs of nodes between which entangled pairs are kept in store, and what they are worth.

Owns the cost of a super-link, the latency of a request through one, and the total over all requests
(algorithms.md 3; Ghaderibaneh et al., arXiv 2205.04036). Refuses the choice of super-links
(predistribution_greedy.py, predistribution_clusters.py), stock and its refilling, which are the transport
layer's.

A super-link is taken to hold a pair when a request comes, so nothing is waited for at its ends, and the
factor 1.5 of Eq. 1 stands only where two things are really made. Its own tree says what a pair in store
costs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.single.openings import may_swap
from bellwire.planner.structures import THREE_HALVES, LinkLeaf, SwapNode, Tree, route_of
from bellwire.planner.topology import Topology

Floats = NDArray[np.float64]

BUDGET_ATTEMPTS: Final = 1e4
"""C_sl: link attempts that one pair of every chosen super-link may cost together (algorithms.md 13)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """How often pairs between two nodes are wanted; only the proportions of weights count."""

    source: NodeId
    destination: NodeId
    weight: float = 1.0

    def __post_init__(self) -> None:
        where = f"demand {self.source}-{self.destination}"
        if self.source == self.destination:
            raise NoPlan(f"{where}: a node needs no entanglement with itself")
        if not (math.isfinite(self.weight) and self.weight > 0.0):
            raise NoPlan(f"{where}: weight {self.weight:g} must be finite and above 0")


@dataclass(frozen=True, slots=True)
class SuperLink:
    """Two nodes with the tree that makes pairs for their store."""

    left: NodeId
    right: NodeId
    tree: Tree
    cost: float  # expected link attempts of one pair

    @property
    def latency_s(self) -> float:
        """Mean seconds per pair, when it is made alone."""
        return self.tree.latency_s

    @property
    def route(self) -> tuple[NodeId, ...]:
        """Nodes from left to right."""
        return route_of(self.tree)

    @property
    def text(self) -> str:
        """Its tree as requests name one: `((a b) (b c))`."""
        return _text(self.tree)

    def is_disjoint(self, other: "SuperLink") -> bool:
        """No node stands in both trees, and so no link."""
        return not set(self.route) & set(other.route)


def _text(tree: Tree) -> str:
    if isinstance(tree, SwapNode):
        return f"({_text(tree.one)} {_text(tree.other)})"
    return f"({tree.left} {tree.right})"


def attempts_of(tree: Tree, topology: Topology, pairs: float = 1.0) -> float:
    """Expected link attempts for some pairs of a tree of links and swaps.

    cost(leaf, m) = m/q; cost(node, m) = cost(left, m/p_b) + cost(right, m/p_b). inf where nothing succeeds.

    Raises:
        NoPlan: the tree has a stored pair or a purification round, for which there is no such cost.
    """
    match tree:
        case LinkLeaf():
            link = topology.link(tree.left, tree.right)
            chance = 0.0 if link is None else link.success_probability
            return pairs / chance if chance > 0.0 else math.inf
        case SwapNode():
            chance = topology.nodes[tree.at].swap_probability
            if chance == 0.0:
                return math.inf
            each = pairs / chance
            return attempts_of(tree.one, topology, each) + attempts_of(tree.other, topology, each)
        case _:
            raise NoPlan(f"{tree.left}-{tree.right}: a super-link is made of links and swaps")


class SuperLinks:
    """All super-links of a network, and what each of them does for some requests.

    candidates: the possible ones by name of their ends, sorted; arrays have them in this order.
    plain_s: (R,) latency of each request without any. through_s: (R, C) latency through each candidate, inf
    where the request cannot go that way.
    """

    def __init__(
        self,
        topology: Topology,
        demands: Sequence[Demand],
        *,
        budget_attempts: float = BUDGET_ATTEMPTS,
        latency_max_s: float = math.inf,
        options: Options | None = None,
    ) -> None:
        """latency_max_s: a pair that takes longer to make is no super-link.

        Raises:
            ConfigError: a demand names an unknown node.
            NoPlan: no demands, or a pair of nodes that no way joins.
        """
        if not demands:
            raise NoPlan("pre-distribution needs to know which pairs are wanted")
        self.topology = topology
        self.demands = tuple(demands)
        self.budget_attempts = budget_attempts
        options = Options() if options is None else options
        for demand in demands:
            topology.node(demand.source)
            topology.node(demand.destination)
        residual = Residual(topology)
        self.trees = AllTrees(residual, options)
        self._swap_tries: Floats = np.array(
            [
                1.0 / node.swap_probability if may_swap(residual, node.name, options) else np.inf
                for node in topology.nodes.values()
            ]
        )
        self.weights: Floats = np.array([demand.weight for demand in demands])
        order = topology.order
        ends = [(order[demand.source], order[demand.destination]) for demand in demands]
        self.plain_s: Floats = np.array([self.trees.latency_s[s, d] for s, d in ends])
        for demand, latency_s in zip(demands, self.plain_s, strict=True):
            if not math.isfinite(latency_s):
                raise NoPlan(f"no way joins {demand.source} and {demand.destination}")
        self.candidates = tuple(self._possible(latency_max_s))
        self._places: tuple[NDArray[np.intp], NDArray[np.intp]] = (
            np.array([order[each.left] for each in self.candidates], dtype=np.intp),
            np.array([order[each.right] for each in self.candidates], dtype=np.intp),
        )
        self.costs: Floats = np.array([each.cost for each in self.candidates])
        rows = [self._through(s, d) for s, d in ends]
        self.through_s: Floats = np.array(rows).reshape(len(demands), len(self.candidates))

    def total_s(self, chosen: Iterable[int]) -> float:
        """L(S): latencies of all requests by weight, each by its best super-link or by none."""
        return float(self.weights @ self.latencies_s(chosen))

    def latencies_s(self, chosen: Iterable[int]) -> Floats:
        """Latency of each request, shape (R,), with these candidates in store."""
        best = self.plain_s
        for index in chosen:
            best = np.minimum(best, self.through_s[:, index])
        return best

    def used(self, chosen: Sequence[int]) -> list[int | None]:
        """The super-link that each request takes, the first of equally fast ones; None: it goes without."""
        found: list[int | None] = []
        for row, plain_s in enumerate(self.plain_s):
            best: int | None = None
            best_s = float(plain_s)
            for index in chosen:
                if self.through_s[row, index] < best_s:
                    best, best_s = index, float(self.through_s[row, index])
            found.append(best)
        return found

    @cached_property
    def meets(self) -> NDArray[np.bool_]:
        """(C, n) which nodes a candidate's tree touches: two with a node in common are not disjoint."""
        order = self.topology.order
        found = np.zeros((len(self.candidates), len(order)), dtype=np.bool_)
        for index, each in enumerate(self.candidates):
            found[index, [order[name] for name in each.route]] = True
        return found

    def disjoint(self, one: int, other: int) -> bool:
        """Two candidates share no node."""
        return not bool((self.meets[one] & self.meets[other]).any())

    def index_of(self, a: NodeId, b: NodeId) -> int | None:
        """The candidate that joins two nodes, in either order; None where there is none."""
        return self._index.get((a, b), self._index.get((b, a)))

    @cached_property
    def _index(self) -> dict[tuple[NodeId, NodeId], int]:
        return {(each.left, each.right): index for index, each in enumerate(self.candidates)}

    def _possible(self, latency_max_s: float) -> Iterable[SuperLink]:
        names = list(self.topology.nodes)
        for i, left in enumerate(names):
            for right in names[i + 1 :]:
                tree = self.trees.tree(left, right)
                if tree is None or tree.latency_s > latency_max_s:
                    continue
                cost = attempts_of(tree, self.topology)
                if cost <= self.budget_attempts:
                    yield SuperLink(left, right, tree, cost)

    @cached_property
    def _on_route(self) -> NDArray[np.bool_]:
        """(n, n, n) whether the best tree of two nodes touches a third; of a node with itself: that node."""
        n = len(self.topology.nodes)
        names, order = list(self.topology.nodes), self.topology.order
        found = np.zeros((n, n, n), dtype=np.bool_)
        found[np.arange(n), np.arange(n), np.arange(n)] = True
        for i in range(n):
            for j in range(i + 1, n):
                tree = self.trees.tree(names[i], names[j])
                if tree is not None:
                    places = [order[name] for name in route_of(tree)]
                    found[i, j, places] = found[j, i, places] = True
        return found

    def _through(self, s: int, d: int) -> Floats:
        """Latency from s to d through each candidate, the better of its two orientations."""
        one, other = self._places
        found: Floats = np.minimum(self._oriented(s, d, one, other), self._oriented(s, d, other, one))
        return found

    def _oriented(self, s: int, d: int, x: NDArray[np.intp], y: NDArray[np.intp]) -> Floats:
        """s .. x, a pair in store from x to y, y .. d (algorithms.md 3).

        A walk that meets a node twice is none: s-x, the super-link's own route and y-d share x and y only.
        """
        latency_s, tries = self.trees.latency_s, self._swap_tries
        t1_s = np.where(x == s, 0.0, latency_s[s, x])
        t2_s = np.where(y == d, 0.0, latency_s[y, d])
        at_x_s, at_y_s = self._busy_s(x), self._busy_s(y)
        told = self.topology.delay_matrix_s
        with np.errstate(invalid="ignore"):
            left_s = (t1_s + at_x_s + np.maximum(told[x, s], told[x, y])) * tries[x]
            right_s = (t2_s + at_y_s + np.maximum(told[y, x], told[y, d])) * tries[y]
            then_right_s = THREE_HALVES * np.maximum(left_s, t2_s) + at_y_s
            then_right_s = (then_right_s + np.maximum(told[y, s], told[y, d])) * tries[y]
            then_left_s = THREE_HALVES * np.maximum(t1_s, right_s) + at_x_s
            then_left_s = (then_left_s + np.maximum(told[x, s], told[x, d])) * tries[x]
        found = np.minimum(then_right_s, then_left_s)
        found = np.where(y == d, left_s, found)
        found = np.where(x == s, right_s, found)
        found = np.where((x == s) & (y == d), 0.0, found)
        return np.where(self._is_walk(s, d, x, y), found, np.inf)

    def _busy_s(self, at: NDArray[np.intp]) -> Floats:
        swap_s: Floats = np.array([node.swap_s for node in self.topology.nodes.values()])
        return swap_s[at]

    def _is_walk(self, s: int, d: int, x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.bool_]:
        on = self._on_route
        before, within, after = on[s, x], on[x, y], on[y, d]
        times = before.astype(np.int8) + within + after
        rows = np.arange(len(x))
        times[rows, x] -= 1  # where two parts meet, the node is one
        times[rows, y] -= 1
        return np.asarray(times.max(axis=1, initial=0) <= 1)
