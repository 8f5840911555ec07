"""The recurrences of algorithms.md 1.1 to 1.4 in plain Python: dicts and loops, as one reads them there.

Owns the yardstick of bench/planner.py: the exact programme of all pairs by synchronous sweeps, and the
balanced heuristic from one source, each with its own physics of links and its own distances. Shares nothing
with the planner, not even its values: a network is places, lengths and the constants of section 0.2. Refuses
limits, capacities in use, throttling and every trick that would make it faster.
"""

import heapq
import math
from dataclasses import dataclass
from typing import Final

P_B: Final = 0.4
T_B_S: Final = 10e-6
P_OB: Final = 0.2
T_OB_S: Final = 10e-6
P_G: Final = 0.33
T_G_S: Final = 50e-6
L_ATT_KM: Final = 20.0
C_KM_PER_S: Final = 2e5
SHARE: Final = 0.5


@dataclass(frozen=True)
class Network:
    """places_km: by name. lengths_km: by pair of names, each link once."""

    places_km: dict[str, tuple[float, float]]
    lengths_km: dict[tuple[str, str], float]

    def links_s(self) -> dict[str, dict[str, float]]:
        """T_link from every node to its neighbours, both ends giving half of what they have (1.1)."""
        found: dict[str, dict[str, float]] = {name: {} for name in self.places_km}
        for (u, v), d in self.lengths_km.items():
            e_t = math.exp(-d / (2.0 * L_ATT_KM))
            q = P_G * P_G * e_t**2 * P_OB
            tau = T_OB_S + (d / 2.0) / C_KM_PER_S
            cap_channel = 1.0 / tau * e_t**2 * P_OB * P_G
            cap_nodes = SHARE / T_G_S * q
            found[u][v] = found[v][u] = 1.0 / min(cap_nodes, cap_channel)
        return found

    def delays_s(self) -> dict[str, dict[str, float]]:
        """One-way delay of a classical word between all nodes, straight."""
        return {
            u: {v: math.dist(here, there) / C_KM_PER_S for v, there in self.places_km.items()}
            for u, here in self.places_km.items()
        }


def exact_all(network: Network) -> dict[tuple[str, str], float]:
    """Least latency of every pair that has a way, both ways, by the programme "50-50" (1.4)."""
    names = list(network.places_km)
    delay_s = network.delays_s()
    best = network.links_s()
    route = {(u, v): frozenset((u, v)) for u in best for v in best[u]}
    changed = True
    while changed:
        changed = False
        new = {s: dict(best[s]) for s in names}
        new_route = dict(route)
        for index, s in enumerate(names):
            for t in names[index + 1 :]:
                for k, left_s in best[s].items():
                    right_s = best[k].get(t)
                    if right_s is None or k == t:
                        continue
                    t_c = max(delay_s[k][s], delay_s[k][t])
                    latency_s = (1.5 * max(left_s, right_s) + t_c + T_B_S) / P_B
                    if latency_s < new[s].get(t, math.inf) and route[s, k] & route[k, t] == {k}:
                        new[s][t] = new[t][s] = latency_s
                        new_route[s, t] = new_route[t, s] = route[s, k] | route[k, t]
                        changed = True
        best, route = new, new_route
    return {(s, t): latency_s for s in names for t, latency_s in best[s].items()}


def balanced_from(network: Network, source: str) -> dict[str, float]:
    """Latency of the halved tree to every node, over the route that the metric prefers (1.4).

    The specification leaves the t_c of the metric open: as in the planner, half the straight way.
    """
    beside = network.links_s()
    delay_s = network.delays_s()
    growth = 1.5 / P_B
    before: dict[str, str | None] = {}
    reached = {source: 0.0}
    queue: list[tuple[float, int, str, float, str | None]] = [(0.0, 0, source, 0.0, None)]
    while queue:
        _, hops, here, slowest_s, came_from = heapq.heappop(queue)
        if here in before:
            continue
        before[here] = came_from
        for there, link_s in beside[here].items():
            levels = math.ceil(math.log2(hops + 1))
            busy_s = T_B_S + delay_s[source][there] / 2.0
            series = (growth**levels - 1.0) / (growth - 1.0)
            metric_s = growth**levels * max(slowest_s, link_s) + busy_s / P_B * series
            if there not in before and metric_s < reached.get(there, math.inf):
                reached[there] = metric_s
                heapq.heappush(queue, (metric_s, hops + 1, there, max(slowest_s, link_s), here))
    found: dict[str, float] = {}
    for name in before:
        route = [name]
        while (previous := before[route[-1]]) is not None:
            route.append(previous)
        if len(route) > 1:
            found[name] = _halved_s(route[::-1], beside, delay_s)
    return found


def _halved_s(
    route: list[str], links_s: dict[str, dict[str, float]], delay_s: dict[str, dict[str, float]]
) -> float:
    if len(route) == 2:
        return links_s[route[0]][route[1]]
    middle = (len(route) - 1) // 2
    left_s = _halved_s(route[: middle + 1], links_s, delay_s)
    right_s = _halved_s(route[middle:], links_s, delay_s)
    t_c = max(delay_s[route[middle]][route[0]], delay_s[route[middle]][route[-1]])
    return (1.5 * max(left_s, right_s) + T_B_S + t_c) / P_B
