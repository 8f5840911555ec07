"""Where nodes and stations stand on the map: as the lab file says, or by a layout that is always the same.

Owns both. The layout puts nodes so that distances on the page follow the square root of fibre lengths along
the shortest way (stress majorisation, Gansner, Koren and North 2004, from classical scaling, Torgerson 1952):
a 2 km link stays visible beside one of 40 km. Refuses drawing.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import inf, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.core.settings import LinkSettings, NetworkSettings

Place = tuple[float, float]

LENGTH_LEAST_KM: Final = 2.0
STEPS: Final = 120
FLAT: Final = 0.04
"""A map that is less high than this share of its width is a line."""
APART: Final = 0.16
"""No two nodes come nearer than this share of the map's width."""


def places_of(network: NetworkSettings, document: Mapping[str, Any]) -> dict[NodeId, Place]:
    """Of every node and station, in 0..1 by 0..1, the y axis downwards.

    document: the lab's canonical configuration; `position_km: [east, north]` of nodes counts if all have it.
    """
    links = list(network.links.values())
    nodes = [name for name, one in network.nodes.items() if one.role != "station"]
    said = {name: document.get("nodes", {}).get(name, {}).get("position_km") for name in nodes}
    if nodes and all(place is not None for place in said.values()):
        found = np.array([[said[name][0], -said[name][1]] for name in nodes], dtype=float)
    else:
        found = _laid_out(nodes, links)
    places = dict(zip(nodes, _in_unit(found), strict=True))
    for link in links:
        if link.station is not None and link.station not in places:
            (x0, y0), (x1, y1) = (places[node] for node in link.nodes)
            places[link.station] = ((x0 + x1) / 2, (y0 + y1) / 2)
    return places


def _laid_out(nodes: Sequence[NodeId], links: Sequence[LinkSettings]) -> NDArray[np.float64]:
    if len(nodes) < 2:
        return np.zeros((len(nodes), 2))
    wanted = _distances(nodes, links)
    found = _scaled(wanted)
    weights = 1.0 / np.maximum(wanted, 1e-9) ** 2
    np.fill_diagonal(weights, 0.0)
    for _ in range(STEPS):
        found = _majorised(found, wanted, weights)
    return _turned(found)


def _distances(nodes: Sequence[NodeId], links: Sequence[LinkSettings]) -> NDArray[np.float64]:
    """Shortest ways between all nodes in square roots of km, shape (n, n) (Floyd, Warshall)."""
    index = {name: number for number, name in enumerate(nodes)}
    ways = np.full((len(nodes), len(nodes)), inf)
    np.fill_diagonal(ways, 0.0)
    for link in links:
        one, other = (index[node] for node in link.nodes)
        length = sqrt(max(LENGTH_LEAST_KM, link.length_km))
        ways[one, other] = ways[other, one] = min(ways[one, other], length)
    for middle in range(len(nodes)):
        ways = np.minimum(ways, ways[:, middle : middle + 1] + ways[middle : middle + 1, :])
    finite = ways[np.isfinite(ways)]
    return np.where(np.isfinite(ways), ways, 1.3 * finite.max() if finite.max() > 0 else 1.0)


def _scaled(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    count = len(wanted)
    centre = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ wanted**2 @ centre)
    found = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0.0))
    # Points on one line stay there for ever; a little bow lets branches come out of it.
    bow = 1e-3 * np.sin(np.arange(count) * 2.399963)[:, None] * np.array([[0.0, 1.0]])
    return np.asarray(found + bow * wanted.max(), dtype=np.float64)


def _majorised(
    found: NDArray[np.float64], wanted: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    apart = found[:, None, :] - found[None, :, :]
    length = np.linalg.norm(apart, axis=2)
    pull = weights * np.divide(wanted, length, out=np.zeros_like(wanted), where=length > 1e-12)
    laplace = np.diag(weights.sum(axis=1)) - weights
    ratio = np.diag(pull.sum(axis=1)) - pull
    return np.asarray(np.linalg.pinv(laplace) @ ratio @ found, dtype=np.float64)


def _turned(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """The longest extent from left to right, the first node on the left and in the upper half."""
    found = found - found.mean(axis=0)
    _, _, axes = np.linalg.svd(found, full_matrices=False)
    turned = found @ axes.T
    signs = np.where(turned[0] > 0, -1.0, 1.0)
    flat = np.ptp(turned[:, 1]) < FLAT * np.ptp(turned[:, 0])
    return np.asarray(turned * signs * ((1.0, 0.0) if flat else (1.0, 1.0)), dtype=np.float64)


def _in_unit(found: NDArray[np.float64]) -> list[Place]:
    """Into the unit square, both axes by the same scale while there is room; nodes that touch are moved
    apart."""
    if not len(found):
        return []
    low, high = found.min(axis=0), found.max(axis=0)
    extent = float(max(high - low)) or 1.0
    scaled = (found - (low + high) / 2) / extent
    for _ in range(50):
        moved = False
        for one, other in combinations(range(len(scaled)), 2):
            gap = scaled[other] - scaled[one]
            distance = float(np.linalg.norm(gap))
            if distance < APART:
                way = gap / distance if distance > 1e-9 else np.array([0.0, 1.0])
                shift = (APART - distance) / 2 * way
                scaled[one] -= shift
                scaled[other] += shift
                moved = True
        if not moved:
            break
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    size = np.maximum(high - low, 1e-9)
    unit = 0.5 + (scaled - (low + high) / 2) / max(float(size.max()), 1e-9)
    return [(float(x), float(y)) for x, y in unit]
