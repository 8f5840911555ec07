"""What adaptive policies are told of a route: values of its segments (algorithms.md 8.2, 8.5).

Owns the interval recursions over a route: T (eq. 1), V, U and W, and link costs from LP duals. Refuses
decisions, which are made at run time from these numbers alone, and policies.

T(i,j) is the latency of the best subtree. V(i,j) is the expected cost of a pair of the segment when every
lost pair is made anew, in units of link costs. U(x,y) is what such a pair is worth in the context of the
route: V where it lies on an optimal tree, less elsewhere. W(x,y) is the latency of the partner with which it
attains U.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import exp
from statistics import NormalDist
from typing import Final

from bellwire.core.plans import Rows
from bellwire.planner.intervals import RouteTimes, SwapTree, swap_latency_s

DRAWS: Final = 16
"""Linear programmes whose duals are averaged."""

SPREAD: Final = 0.35
"""Standard deviation of the logarithm of a link's rate between draws: a single LP's duals are all or
nothing."""

SAME_WORTH: Final = 1e-9
"""Share of a segment's value below which two partners count as giving it the same worth."""


@dataclass(frozen=True, slots=True)
class SegmentValues:
    """Of one route; the rows are by left end, then by length."""

    latency_s: Rows
    value_s: Rows
    worth_s: Rows
    partner_s: Rows


def segment_values(times: RouteTimes, link_cost_s: Sequence[float]) -> SegmentValues:
    """All values of a route for given link costs (seconds, one for each link), O(n^3) for n links."""
    latency_s = latencies(times)
    value_s = values(times, link_cost_s)
    worth_s, partner_s = worths(times, value_s, latency_s)
    return SegmentValues(latency_s, value_s, worth_s, partner_s)


def latencies(times: RouteTimes) -> Rows:
    """T of the best subtree of every segment."""
    hops = len(times.link_s)
    best = {(i, i + 1): SwapTree(i, i + 1, times.link_s[i]) for i in range(hops)}
    for length in range(2, hops + 1):
        for left in range(hops - length + 1):
            right = left + length
            one, other = min(
                ((best[left, at], best[at, right]) for at in range(left + 1, right)),
                key=lambda pair: swap_latency_s(times, *pair),
            )
            best[left, right] = SwapTree(left, right, swap_latency_s(times, one, other), (one, other))
    return _rows(hops, {segment: tree.latency_s for segment, tree in best.items()})


def values(times: RouteTimes, link_cost_s: Sequence[float]) -> Rows:
    """V(l) = c_l, V(i,j) = min over r of (V(i,r) + V(r,j)) / p_r."""
    hops = len(times.link_s)
    found = {(i, i + 1): link_cost_s[i] for i in range(hops)}
    for length in range(2, hops + 1):
        for i in range(hops - length + 1):
            j = i + length
            found[i, j] = min(
                (found[i, r] + found[r, j]) / times.swap_probability[r] for r in range(i + 1, j)
            )
    return _rows(hops, found)


def worths(times: RouteTimes, value_s: Rows, latency_s: Rows) -> tuple[Rows, Rows]:
    """U and W. U(s,d) = V(s,d); U(x,y) = max(0, p_y U(x,z) - V(y,z), p_x U(w,y) - V(w,x)), longest first.

    W of a segment without worth, and of the whole route, is its own latency. Of several partners that give
    the same worth the one that comes soonest counts.
    """
    hops = len(times.link_s)
    worth: dict[tuple[int, int], float] = {(0, hops): value_s[0][-1]}
    partner: dict[tuple[int, int], float] = {(0, hops): latency_s[0][-1]}
    for length in range(hops - 1, 0, -1):
        for x in range(hops - length + 1):
            y = x + length
            gains = [
                (times.swap_probability[y] * worth[x, z] - value_s[y][z - y - 1], latency_s[y][z - y - 1])
                for z in range(y + 1, hops + 1)
            ]
            gains += [
                (times.swap_probability[x] * worth[w, y] - value_s[w][x - w - 1], latency_s[w][x - w - 1])
                for w in range(x)
            ]
            best = max(gain for gain, _ in gains)
            least = best - SAME_WORTH * value_s[x][y - x - 1]
            if best > 0.0:
                worth[x, y] = best
                partner[x, y] = min(wait_s for gain, wait_s in gains if gain >= least)
            else:
                worth[x, y], partner[x, y] = 0.0, latency_s[x][y - x - 1]
    return _rows(hops, worth), _rows(hops, partner)


def dual_costs(times: RouteTimes, floor: float) -> tuple[float, ...]:
    """Link costs in seconds: how much the best rate of the route grows with the rate of each link.

    The mean of the LP duals over DRAWS draws of the links' rates, plus `floor` of their mean. Scaled so that
    their mean is that of the latencies, which makes costs comparable with those of `times.link_s`. Draws come
    from the numbers of draw and link by a hash, so that every node and every run has the same.
    """
    from bellwire.planner.route_bound import route_bound  # its solver takes a third of a second to load

    hops = len(times.link_s)
    total = [0.0] * hops
    for draw in range(DRAWS):
        # Every second draw is the mirror of the one before: a symmetric route gets symmetric costs.
        order = range(hops) if draw % 2 else range(hops - 1, -1, -1)
        rates_hz = [
            exp(SPREAD * _normal(draw // 2, place)) / times.link_s[link] for link, place in enumerate(order)
        ]
        duals = route_bound(rates_hz, times.swap_probability).link_duals
        total = [sum_ + dual for sum_, dual in zip(total, duals, strict=True)]
    mean = sum(total) / hops
    costs = [one + floor * mean for one in total]
    scale = sum(times.link_s) / sum(costs)
    return tuple(cost * scale for cost in costs)


def _normal(draw: int, link: int) -> float:
    digest = blake2b(f"{draw} {link}".encode(), digest_size=8).digest()
    return NormalDist().inv_cdf((int.from_bytes(digest, "big") + 0.5) / 2.0**64)


def _rows(hops: int, found: dict[tuple[int, int], float]) -> Rows:
    return tuple(tuple(found[i, j] for j in range(i + 1, hops + 1)) for i in range(hops))
