"""Swapping trees on a route: latency, the best tree, and throttling (algorithms.md 1.1, 1.2, 1.4).

Owns the interval dynamic programme of Eq. 1 over one route and the tree value. Refuses routes, link models
and states: it gets the links' latencies and the classical delays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bellwire.core.errors import LocalMisuse

Waiting = Literal["three_halves", "exponential"]
"""Mean time until both children exist: 1.5 max(T_l, T_r), or exact for two exponential times."""

Shape = int | tuple["Shape", "Shape"]
"""A tree by its links: `((0, 1), (2, 3))` is balanced over four links, `(((0, 1), 2), 3)` is left-deep."""

THREE_HALVES = 1.5
SAME_LATENCY = 1e-12
"""Relative difference below which two trees count as equally fast; the flatter one is taken then."""


@dataclass(frozen=True, slots=True)
class RouteTimes:
    """What Eq. 1 needs of a route of n links, by position: nodes 0..n, links 0..n-1.

    link_s: T_link of each link. swap_probability, swap_s: of the node at each position (ends are not read).
    delay_s: one-way classical delay between two positions.
    """

    link_s: tuple[float, ...]
    swap_probability: tuple[float, ...]
    swap_s: tuple[float, ...]
    delay_s: Callable[[int, int], float]

    def __post_init__(self) -> None:
        if not self.link_s:
            raise LocalMisuse("a route needs at least one link")
        nodes = len(self.link_s) + 1
        if len(self.swap_probability) != nodes or len(self.swap_s) != nodes:
            raise LocalMisuse(f"{len(self.link_s)} links need {nodes} swap probabilities and durations")

    def told_s(self, at: int, left: int, right: int) -> float:
        """t_c: time until both far ends know the outcome of a swap."""
        return max(self.delay_s(at, left), self.delay_s(at, right))


@dataclass(frozen=True, slots=True)
class SwapTree:
    """A subtree over the route positions left..right; a link when it has no children."""

    left: int
    right: int
    latency_s: float  # mean seconds per pair of this subtree
    children: "tuple[SwapTree, SwapTree] | None" = None

    @property
    def at(self) -> int:
        """Position of the node that swaps here. Only subtrees with children have one."""
        if self.children is None:
            raise LocalMisuse(f"the link {self.left}-{self.right} has no swap")
        return self.children[0].right

    def swaps(self, depth: int = 0) -> Iterator["tuple[SwapTree, int]"]:
        """Every swap of the tree with its depth, 0 at the root, from the root down."""
        if self.children is not None:
            yield self, depth
            for child in self.children:
                yield from child.swaps(depth + 1)

    def leaves(self) -> "Iterator[SwapTree]":
        """The links in route order."""
        if self.children is None:
            yield self
        else:
            for child in self.children:
                yield from child.leaves()

    def text(self, names: Sequence[str]) -> str:
        """Nesting in words: `((alice relay) (relay bob))`."""
        if self.children is None:
            return f"({names[self.left]} {names[self.right]})"
        return f"({self.children[0].text(names)} {self.children[1].text(names)})"


def waiting_s(left_s: float, right_s: float, waiting: Waiting = "three_halves") -> float:
    """Mean time until both of two subtrees have a pair."""
    if waiting == "three_halves":
        return THREE_HALVES * max(left_s, right_s)
    return left_s + right_s - 1.0 / (1.0 / left_s + 1.0 / right_s)


def swap_latency_s(
    times: RouteTimes, left: SwapTree, right: SwapTree, waiting: Waiting = "three_halves"
) -> float:
    """Eq. 1: (wait + t_b + t_c) / p_b at the node between two subtrees."""
    at = left.right
    busy_s = times.swap_s[at] + times.told_s(at, left.left, right.right)
    return (waiting_s(left.latency_s, right.latency_s, waiting) + busy_s) / times.swap_probability[at]


def best_tree(times: RouteTimes, waiting: Waiting = "three_halves") -> SwapTree:
    """The tree of least latency on the route: interval dynamic programme, O(n^3) for n links (1.4)."""
    return trees_by_root(times, waiting)[0]


def trees_by_root(times: RouteTimes, waiting: Waiting = "three_halves") -> list[SwapTree]:
    """The best tree for every node that may swap last, the best of all first, then by latency."""
    hops = len(times.link_s)
    best: dict[tuple[int, int], SwapTree] = {
        (i, i + 1): SwapTree(i, i + 1, times.link_s[i]) for i in range(hops)
    }
    candidates = [best[0, 1]]
    for length in range(2, hops + 1):
        for left in range(hops - length + 1):
            right = left + length
            candidates = [
                _swap(times, best[left, at], best[at, right], waiting) for at in range(left + 1, right)
            ]
            fastest = min(tree.latency_s for tree in candidates)
            equal = [tree for tree in candidates if tree.latency_s <= fastest * (1.0 + SAME_LATENCY)]
            best[left, right] = min(equal, key=_unevenness)
    whole = best[0, hops]
    return [
        whole,
        *sorted((tree for tree in candidates if tree is not whole), key=lambda tree: tree.latency_s),
    ]


def tree_of_shape(times: RouteTimes, shape: Shape, waiting: Waiting = "three_halves") -> SwapTree:
    """The tree of a given nesting. Raises LocalMisuse when the nesting is not in route order."""
    if isinstance(shape, int):
        return SwapTree(shape, shape + 1, times.link_s[shape])
    left, right = (tree_of_shape(times, child, waiting) for child in shape)
    if left.right != right.left:
        raise LocalMisuse(f"subtrees {left.left}-{left.right} and {right.left}-{right.right} share no node")
    return _swap(times, left, right, waiting)


def tree_latency(
    link_latencies_s: Sequence[float],
    *,
    shape: Shape | None = None,
    swap_probability: float,
    swap_s: float = 0.0,
    hop_delay_s: float = 0.0,
    waiting: Waiting = "three_halves",
) -> float:
    """Latency of a homogeneous route: the best tree's, or that of a given shape (worked numbers of 1.7)."""
    n = len(link_latencies_s) + 1
    times = RouteTimes(
        tuple(link_latencies_s), (swap_probability,) * n, (swap_s,) * n, lambda a, b: abs(a - b) * hop_delay_s
    )
    tree = best_tree(times, waiting) if shape is None else tree_of_shape(times, shape, waiting)
    return tree.latency_s


def throttled(tree: SwapTree, times: RouteTimes) -> SwapTree:
    """The same tree with target latencies: both children of a swap as fast as the root needs them (1.2).

    T_child = (T p_b - t_b - t_c) / 1.5, so that Eq. 1 read bottom-up gives the same T at every node.
    """
    return _with_target(tree, times, tree.latency_s)


def _with_target(tree: SwapTree, times: RouteTimes, target_s: float) -> SwapTree:
    if tree.children is None:
        return replace(tree, latency_s=target_s)
    at = tree.at
    busy_s = times.swap_s[at] + times.told_s(at, tree.left, tree.right)
    child_s = (target_s * times.swap_probability[at] - busy_s) / THREE_HALVES
    left, right = tree.children
    children = (_with_target(left, times, child_s), _with_target(right, times, child_s))
    return replace(tree, latency_s=target_s, children=children)


def _swap(times: RouteTimes, left: SwapTree, right: SwapTree, waiting: Waiting) -> SwapTree:
    return SwapTree(left.left, right.right, swap_latency_s(times, left, right, waiting), (left, right))


def _unevenness(tree: SwapTree) -> tuple[int, int]:
    # Under the max rule many trees tie; the one cut nearest its middle keeps the most slack, ties go left.
    return (abs(2 * tree.at - tree.left - tree.right), tree.at)
