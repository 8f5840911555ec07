"""Random networks by the recipe of algorithms.md 0.3 (Waxman 1988), and pairs of nodes that want each other.

Owns the places, the choice of edges, the joining of components and the drawing of pairs. Refuses files and
physics: a link is what `link_between` makes of its length.

The recipe bisects the reach alpha L until the share of joined pairs is the wanted one. Every pair draws its
uniform number u once, so that it is joined exactly when alpha L exceeds d / ln(beta/u), and the bisection has
a limit that needs no steps: with k edges wanted, the k pairs of smallest d / ln(beta/u).
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan
from bellwire.planner.topology import (
    ATTENUATION_LENGTH_KM,
    FIBRE_KM_PER_S,
    Node,
    Topology,
    link_between,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NODES: Final = 100
DENSITY: Final = 0.1
SIDE_KM: Final = 100.0
SEED: Final = 1
DISTANCE_KM: Final = (10.0, 30.0)
"""Defaults of algorithms.md 0.2."""

NODES_MAX: Final = 5000
"""All pairs stand in memory at once: 12.5 million at this limit."""


def waxman(
    nodes: int = NODES,
    density: float = DENSITY,
    side_km: float = SIDE_KM,
    seed: int = SEED,
    *,
    beta: float = 1.0,
    node: Node | None = None,
    attenuation_length_km: float = ATTENUATION_LENGTH_KM,
    channels: int = 1,
    fidelity: float = 1.0,
) -> Topology:
    """A connected random network: near nodes are joined with probability beta exp(-d/(alpha L)).

    nodes: 1..5000 in a square of side_km, called n00, n01 and so on. density: share of all pairs of nodes
    that are joined, 0..1, kept to the nearest whole number of links; links that join components come on top,
    and the notes of the topology count them. seed: 0 or more; the same arguments give the same network. beta:
    above 0, at most 1. node: what every node is but for name and place; None: the defaults of Node.
    attenuation_length_km, channels, fidelity: of every link.

    Raises:
        ConfigError: a value outside its range, or a density that beta forbids.
    """
    _check(nodes, density, side_km, seed, beta)
    chance = np.random.default_rng(seed)
    places = chance.uniform(0.0, side_km, (nodes, 2))
    i, j = np.triu_indices(nodes, 1)
    distance_km = np.hypot(places[i, 0] - places[j, 0], places[i, 1] - places[j, 1])
    chosen = chosen_edges(distance_km, 1.0 - chance.random(len(i)), density, beta)
    added = joining_edges(nodes, i, j, distance_km, chosen.edges)
    width = max(2, len(str(nodes - 1)))
    kind = Node(name="any") if node is None else node
    placed = [
        replace(kind, name=f"n{index:0{width}d}", position_km=(x, y))
        for index, (x, y) in enumerate(places.tolist())
    ]
    edges = np.sort(np.concatenate((chosen.edges, added)))
    links = (
        link_between(
            placed[a],
            placed[b],
            length_km,
            attenuation_length_km=attenuation_length_km,
            channels=channels,
            fidelity=fidelity,
        )
        for a, b, length_km in zip(
            i[edges].tolist(), j[edges].tolist(), distance_km[edges].tolist(), strict=True
        )
    )
    return Topology.of(
        placed,
        links,
        name=f"waxman:nodes={nodes},density={density:g},side_km={side_km:g},seed={seed},beta={beta:g}",
        notes=(
            f"alpha L = {chosen.reach_km:.4g} km joins {len(chosen.edges)} of {len(i)} pairs of nodes",
            f"{len(added)} links added to join components",
        ),
    )


class ChosenEdges(NamedTuple):
    """Result of the bisection."""

    reach_km: float  # alpha L, in the middle of the interval that gives these edges; inf where none bounds it
    edges: "NDArray[np.intp]"  # positions in the list of pairs


def chosen_edges(
    distance_km: "NDArray[np.float64]", uniform: "NDArray[np.float64]", density: float, beta: float
) -> ChosenEdges:
    """The pairs that the recipe joins at the reach that gives the wanted density.

    distance_km, uniform: of every pair, shape (pairs,); uniform numbers above 0, at most 1.

    Raises:
        ConfigError: fewer pairs than wanted have u < beta, so that no reach is long enough.
    """
    wanted = round(density * len(distance_km))
    possible = uniform < beta
    if wanted > np.count_nonzero(possible):
        raise ConfigError(
            f"density = {density:g} asks for {wanted} links, but beta = {beta:g} lets no more than "
            f"{np.count_nonzero(possible)} of {len(distance_km)} pairs be joined at any reach: raise beta"
        )
    needed_km = np.full(len(distance_km), np.inf)
    needed_km[possible] = distance_km[possible] / np.log(beta / uniform[possible])
    order = np.argsort(needed_km, kind="stable")
    longest_km = float(needed_km[order[wanted - 1]]) if wanted > 0 else 0.0
    next_km = float(needed_km[order[wanted]]) if wanted < len(order) else math.inf
    return ChosenEdges((longest_km + next_km) / 2.0, order[:wanted])


def joining_edges(
    nodes: int,
    i: "NDArray[np.intp]",
    j: "NDArray[np.intp]",
    distance_km: "NDArray[np.float64]",
    edges: "NDArray[np.intp]",
) -> "NDArray[np.intp]":
    """Pairs to add, one after another the shortest between two components, until all are one.

    i, j, distance_km: ends and length of every pair, shape (pairs,). edges: positions of the pairs that are
    joined already. Adding the shortest again and again is Kruskal's algorithm on the components.
    """
    leader = list(range(nodes))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for a, b in zip(i[edges].tolist(), j[edges].tolist(), strict=True):
        leader[find(a)] = find(b)
    component = np.array([find(index) for index in range(nodes)])
    missing = len(np.unique(component)) - 1
    between = np.flatnonzero(component[i] != component[j]) if missing > 0 else np.empty(0, dtype=np.intp)
    between = between[np.argsort(distance_km[between], kind="stable")]
    added: list[int] = []
    for pair, a, b in zip(between.tolist(), i[between].tolist(), j[between].tolist(), strict=True):
        if len(added) == missing:
            break
        if find(a) != find(b):
            leader[find(a)] = find(b)
            added.append(pair)
    return np.array(added, dtype=np.intp)


def draw_pairs(
    topology: Topology,
    count: int,
    seed: int,
    distance_km: tuple[float, float] | None = DISTANCE_KM,
) -> list[tuple[NodeId, NodeId]]:
    """Source and destination of `count` different pairs, their distances uniform in a range (0.2).

    A distance is drawn, and the pair that comes nearest to it among those not taken yet; which of the two is
    the source is drawn too. distance_km: least and greatest straight distance, ends included; of nodes
    without a place, the way through fibre. None: every pair of nodes is as likely as any other.

    Raises:
        NoPlan: the network has fewer pairs in that range.
        ConfigError: a value outside its range.
    """
    if count < 0:
        raise ConfigError(f"{count} pairs cannot be drawn: give 0 or more")
    if seed < 0:
        raise ConfigError(f"seed = {seed} must be 0 or more")
    if distance_km is None:
        return _drawn_anywhere(list(topology.nodes), count, seed)
    nearest_km, farthest_km = distance_km
    if not 0.0 <= nearest_km <= farthest_km:
        raise ConfigError(
            f"distance_km = {nearest_km:g}..{farthest_km:g} must rise from 0 or more to as much or more"
        )
    names = list(topology.nodes)
    i, j = np.triu_indices(len(names), 1)
    apart_km = _distances_km(topology)[i, j]
    inside = np.flatnonzero((apart_km >= nearest_km) & (apart_km <= farthest_km) & np.isfinite(apart_km))
    if len(inside) < count:
        raise NoPlan(
            f"{count} pairs at {nearest_km:g}..{farthest_km:g} km are wanted, the network has {len(inside)}: "
            "ask for fewer, or widen the range"
        )
    inside = inside[np.argsort(apart_km[inside], kind="stable")]
    left = list(zip(apart_km[inside].tolist(), i[inside].tolist(), j[inside].tolist(), strict=True))
    farthest_km = min(farthest_km, left[-1][0]) if left else farthest_km
    return list(_drawn(names, left, count, seed, nearest_km, farthest_km))


def _drawn_anywhere(names: list[NodeId], count: int, seed: int) -> list[tuple[NodeId, NodeId]]:
    possible = len(names) * (len(names) - 1) // 2
    if possible < count:
        raise NoPlan(f"{count} pairs are wanted, the network has {possible}: ask for fewer")
    chance = np.random.default_rng(seed)
    i, j = np.triu_indices(len(names), 1)
    chosen = chance.choice(possible, size=count, replace=False)
    turned = chance.random(count) < 0.5
    return [
        (names[b], names[a]) if turn else (names[a], names[b])
        for a, b, turn in zip(i[chosen].tolist(), j[chosen].tolist(), turned.tolist(), strict=True)
    ]


def _drawn(
    names: list[NodeId],
    left: list[tuple[float, int, int]],
    count: int,
    seed: int,
    nearest_km: float,
    farthest_km: float,
) -> Iterator[tuple[NodeId, NodeId]]:
    chance = np.random.default_rng(seed)
    for _ in range(count):
        wanted_km = float(chance.uniform(nearest_km, farthest_km))
        best = min(range(len(left)), key=lambda index: abs(left[index][0] - wanted_km))
        _, a, b = left.pop(best)
        yield (names[a], names[b]) if chance.random() < 0.5 else (names[b], names[a])


def _distances_km(topology: Topology) -> "NDArray[np.float64]":
    return replace(topology, delays_s=None).delay_matrix_s * FIBRE_KM_PER_S


def _check(nodes: int, density: float, side_km: float, seed: int, beta: float) -> None:
    if not 1 <= nodes <= NODES_MAX:
        raise ConfigError(f"nodes = {nodes} is outside 1..{NODES_MAX}")
    if not 0.0 <= density <= 1.0:
        raise ConfigError(f"density = {density:g} is outside 0..1")
    if not (0.0 < side_km < math.inf):
        raise ConfigError(f"side_km = {side_km:g} must be a finite number above 0")
    if seed < 0:
        raise ConfigError(f"seed = {seed} must be 0 or more")
    if not 0.0 < beta <= 1.0:
        raise ConfigError(f"beta = {beta:g} must be above 0 and at most 1")
