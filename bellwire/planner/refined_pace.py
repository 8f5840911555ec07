"""How fast links need to be where segments of a tree are purified before they are used.

Owns the latencies and the throttling of a tree with rounds (algorithms.md 1.1, 1.2 with 2.2). Refuses states:
how many fresh pairs one refined pair takes is handed in.

One stream of a segment makes all pairs that go into its rounds, so a refined pair takes T n, n fresh pairs
each; a swap above it waits for refined pairs. Without this a link beside a refined segment would be slowed to
the pace of pairs that are not refined, and the segment's own links below what their rounds use up.
"""

from collections.abc import Callable
from dataclasses import replace

from bellwire.planner.intervals import THREE_HALVES, RouteTimes, SwapTree, waiting_s

FreshPerPair = Callable[[SwapTree], float]
"""Mean number of fresh pairs of a segment for one refined pair, 1 or more; 1 without rounds."""


def retimed(tree: SwapTree, times: RouteTimes, fresh_per_pair: FreshPerPair) -> SwapTree:
    """The same tree, its latencies those of fresh pairs made of refined ones: Eq. 1 from the links up."""
    if tree.children is None:
        return replace(tree, latency_s=times.link_s[tree.left])
    left, right = (retimed(child, times, fresh_per_pair) for child in tree.children)
    wait_s = waiting_s(left.latency_s * fresh_per_pair(left), right.latency_s * fresh_per_pair(right))
    latency_s = (wait_s + _busy_s(tree, times)) / times.swap_probability[tree.at]
    return replace(tree, latency_s=latency_s, children=(left, right))


def throttled(tree: SwapTree, times: RouteTimes, fresh_per_pair: FreshPerPair) -> SwapTree:
    """A retimed tree, slowed so that both children of a swap are as fast as the root needs them."""
    return _with_target(tree, times, fresh_per_pair, tree.latency_s)


def _with_target(
    tree: SwapTree, times: RouteTimes, fresh_per_pair: FreshPerPair, target_s: float
) -> SwapTree:
    if tree.children is None:
        return replace(tree, latency_s=target_s)
    refined_s = (target_s * times.swap_probability[tree.at] - _busy_s(tree, times)) / THREE_HALVES
    left, right = (
        _with_target(child, times, fresh_per_pair, refined_s / fresh_per_pair(child))
        for child in tree.children
    )
    return replace(tree, latency_s=target_s, children=(left, right))


def _busy_s(tree: SwapTree, times: RouteTimes) -> float:
    return times.swap_s[tree.at] + times.told_s(tree.at, tree.left, tree.right)
