"""What the optimum of a programme says capacity is worth, and the cheapest trees at these prices.

Owns prices, the cheapest tree between all pairs of nodes at once, and the bound that prices prove. Refuses
programmes (solvers.py) and the choice of what a programme may use (growing.py).

A tree that makes a pair for less than the pair is worth would raise the optimum; where there is none, no
tree whatever would (duality of linear programmes). The cheapest tree between two nodes is a link, or swaps of
the cheapest trees of its two parts at the node that loses the least:

    V(x,y) = min over k of (V(x,k) + V(k,y)) / gain(k),     gain(k) = 2/3 p_b(k)      (algorithms.md 1.6)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.planner.topology import Link, Pair, pair_of

Floats = NDArray[np.float64]

NOWHERE: Final = -1
"""In `CheapestTrees.at`: no swap, the pair is a link or cannot be made."""


class Swap(NamedTuple):
    """Pairs of one and of another become a product at a node."""

    one: Pair
    other: Pair
    product: Pair
    at: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Worth of capacities at an optimum, in units of its objective.

    optimum_hz: the objective. attempts_hz: by node, of all the attempts that it can make, as a rate of the
    objective. links: by link, of a pair per second more. delivered: by request, of a pair per second more for
    it. What is absent is worth nothing. sated: requests that have what they want and count no more (max_min).
    """

    optimum_hz: float
    attempts_hz: Mapping[NodeId, float]
    links: Mapping[Pair, float]
    delivered: Mapping[str, float]
    sated: frozenset[str] = frozenset()

    def mixed(self, other: "Prices", part: float) -> "Prices":
        """Prices between these and others, of which these make up a part."""
        return Prices(
            optimum_hz=part * self.optimum_hz + (1.0 - part) * other.optimum_hz,
            attempts_hz=_mixed(self.attempts_hz, other.attempts_hz, part),
            links=_mixed(self.links, other.links, part),
            delivered=_mixed(self.delivered, other.delivered, part),
            sated=other.sated,
        )

    def raised(
        self, by_hz: float, limits_hz: Mapping[NodeId, float], capacities_hz: Mapping[Pair, float]
    ) -> "Prices":
        """Prices by which each node and each link that has a limit is worth so much more: a solution of the
        dual programme as before, in which nothing is for nothing."""
        nodes = [name for name, limit_hz in limits_hz.items() if limit_hz < np.inf]
        links = {
            pair: by_hz / capacity_hz for pair, capacity_hz in capacities_hz.items() if capacity_hz < np.inf
        }
        return Prices(
            optimum_hz=self.optimum_hz + by_hz * (len(nodes) + len(links)),
            attempts_hz={
                **self.attempts_hz,
                **{name: self.attempts_hz.get(name, 0.0) + by_hz for name in nodes},
            },
            links={**self.links, **{pair: self.links.get(pair, 0.0) + more for pair, more in links.items()}},
            delivered=self.delivered,
            sated=self.sated,
        )

    def of_link(self, link: Link, limits_hz: Mapping[NodeId, float]) -> float:
        """What a pair per second of a link costs. limits_hz: attempts per second of each node."""
        cost = self.links.get(link.ends, 0.0)
        for name in link.ends:
            worth_hz = self.attempts_hz.get(name, 0.0)
            if worth_hz > 0.0:
                cost += worth_hz / (link.success_probability * limits_hz[name])
        return cost

    def whole_hz(self, capacities_hz: Mapping[Pair, float]) -> float:
        """Worth of all capacities together, as a rate of the objective."""
        links_hz = sum(worth * capacities_hz[pair] for pair, worth in self.links.items() if worth > 0.0)
        return sum(self.attempts_hz.values()) + links_hz


Key = TypeVar("Key")


def _mixed(one: Mapping[Key, float], other: Mapping[Key, float], part: float) -> dict[Key, float]:
    return {
        key: part * one.get(key, 0.0) + (1.0 - part) * other.get(key, 0.0)
        for key in one.keys() | other.keys()
    }


@dataclass(frozen=True, slots=True)
class CheapestTrees:
    """The cheapest tree of every pair of nodes. Matrices stand in the order of `names`."""

    names: Sequence[NodeId]
    places: Mapping[NodeId, int]
    costs: Floats  # (n_nodes, n_nodes); inf: no tree
    at: NDArray[np.intp]  # (n_nodes, n_nodes); place of the node that swaps last
    gains: Floats  # (n_nodes,); 0: it does not swap

    def cost(self, source: NodeId, destination: NodeId) -> float:
        """What a pair costs; inf: no tree makes it."""
        if source not in self.places or destination not in self.places:
            return np.inf
        return float(self.costs[self.places[source], self.places[destination]])

    def last_swaps(self, source: NodeId, destination: NodeId) -> list[tuple[float, NodeId | None]]:
        """Ways to make a pair by the node of the last swap (None: its link), with what they cost, cheapest
        first."""
        if source not in self.places or destination not in self.places:
            return []
        here, there = self.places[source], self.places[destination]
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = np.where(self.gains > 0.0, (self.costs[here] + self.costs[there]) / self.gains, np.inf)
        found: list[tuple[float, NodeId | None]] = [
            (float(whole[place]), self.names[int(place)]) for place in np.flatnonzero(np.isfinite(whole))
        ]
        if self.at[here, there] == NOWHERE and np.isfinite(self.costs[here, there]):
            found.append((float(self.costs[here, there]), None))
        return sorted(found, key=lambda each: each[0])

    def nodes_between(self, source: NodeId, destination: NodeId) -> tuple[NodeId, ...]:
        """The nodes that the cheapest tree passes, both ends included; some may come twice."""
        return self.nodes_through(source, self._swap_at(source, destination), destination)

    def nodes_through(self, source: NodeId, at: NodeId | None, destination: NodeId) -> tuple[NodeId, ...]:
        """The nodes that a tree passes whose last swap is at a node (None: a link), of the cheapest parts."""
        if at is None:
            return (source, destination)
        return self.nodes_between(source, at) + self.nodes_between(at, destination)[1:]

    def swaps_of(self, source: NodeId, at: NodeId, destination: NodeId) -> list[Swap]:
        """The swaps of a tree that swaps last at a node, its two parts the cheapest."""
        found = [swap_of(source, at, destination)]
        for one, other in ((source, at), (at, destination)):
            below = self._swap_at(one, other)
            if below is not None:
                found += self.swaps_of(one, below, other)
        return found

    def _swap_at(self, source: NodeId, destination: NodeId) -> NodeId | None:
        place = int(self.at[self.places[source], self.places[destination]])
        return None if place == NOWHERE else self.names[place]


def cheapest_trees(costs: Mapping[Pair, float], gains: Mapping[NodeId, float]) -> CheapestTrees:
    """The cheapest trees of links at these costs, 0 or more. gains: of nodes that swap, above 0 and below 1.

    Each sweep looks at trees one swap higher; where costs are above 0 no tree passes a pair that it is a part
    of, so sweeps come to an end, and the trees can be read off the last node of each.
    """
    names = sorted({name for pair in costs for name in pair})
    places = {name: place for place, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.inf)
    for (a, b), cost in costs.items():
        values[places[a], places[b]] = values[places[b], places[a]] = cost
    at = np.full(values.shape, NOWHERE, dtype=np.intp)
    gain = np.array([gains.get(name, 0.0) for name in names])
    changing = True
    while changing:
        before = values.copy()
        changing = False
        for place in np.flatnonzero(gain):
            column = before[:, place]
            offered = (column[:, None] + column[None, :]) / gain[place]
            np.fill_diagonal(offered, np.inf)
            better = offered < values
            if better.any():
                values[better], at[better], changing = offered[better], place, True
    return CheapestTrees(names, places, values, at, gain)


def swaps_along(nodes: Sequence[NodeId]) -> list[Swap]:
    """Every swap of two neighbouring stretches of a route."""
    return [swap_of(nodes[i], nodes[k], nodes[j]) for i, k, j in combinations(range(len(nodes)), 3)]


def swap_of(one: NodeId, at: NodeId, other: NodeId) -> Swap:
    """The swap that joins one to another at a node."""
    return Swap(pair_of(one, at), pair_of(at, other), pair_of(one, other), at)
