"""Where the nodes of a network stand on a map.

Owns the choice: the nodes' own positions where all have one, else places at which distances look like the
fibre between the nodes. Refuses scale and drawing (map_drawing.py).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.core.ids import NodeId
from bellwire.planner.topology import Topology

STEPS_MAX: Final = 150
"""Steps of the layout; it has settled to a thousandth long before on networks of tens of nodes."""

Floats = NDArray[np.float64]
Places = dict[NodeId, tuple[float, float]]


def places_of(topology: Topology) -> tuple[Places, bool]:
    """Places of all nodes, y upwards, and whether they are true positions in km."""
    own = {name: node.position_km for name, node in topology.nodes.items()}
    known = {name: place for name, place in own.items() if place is not None}
    if len(known) == len(own) and (len(own) < 2 or len(set(known.values())) > 1):
        return known, True
    return _laid_out(topology), False


def _laid_out(topology: Topology) -> Places:
    """Stress majorisation from a classical scaling start, without chance; the longest extent lies flat."""
    names = list(topology.nodes)
    n = len(names)
    if n == 1:
        return {names[0]: (0.0, 0.0)}
    wanted = _wanted(topology, names)
    spots = _scaled(wanted)
    weights = wanted**-2.0
    np.fill_diagonal(weights, 0.0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.inv(laplacian + 1.0 / n)  # acts like the pseudo-inverse: what it meets sums to 0
    for _ in range(STEPS_MAX if n <= 200 else STEPS_MAX * 200 // n):
        apart = np.hypot(spots[:, None, 0] - spots[None, :, 0], spots[:, None, 1] - spots[None, :, 1])
        np.fill_diagonal(apart, 1.0)
        pull = -weights * wanted / np.maximum(apart, 1e-9)
        np.fill_diagonal(pull, 0.0)
        np.fill_diagonal(pull, -pull.sum(axis=1))
        moved = inverse @ (pull @ spots)
        shift = float(np.abs(moved - spots).max())
        spots = moved
        if shift < 1e-3 * float(wanted.max()):
            break
    spots = _flat(spots)
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, spots, strict=True)}


def _wanted(topology: Topology, names: list[NodeId]) -> Floats:
    """Shortest fibre between all nodes; every link counts some length, and separate parts stand apart."""
    lengths = [link.length_km for link in topology.links.values()]
    mean_km = sum(lengths) / len(lengths) if lengths else 1.0
    least_km = 0.3 * mean_km if mean_km > 0.0 else 1.0
    order = {name: index for index, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.inf)
    np.fill_diagonal(found, 0.0)
    for (a, b), link in topology.links.items():
        i, j = order[a], order[b]
        found[i, j] = found[j, i] = max(link.length_km, least_km)
    for through in range(len(names)):  # Floyd and Warshall
        np.minimum(found, found[:, through, None] + found[through], out=found)
    finite = found[np.isfinite(found)]
    farthest_km = float(finite.max()) if finite.size else 0.0
    found[~np.isfinite(found)] = 1.2 * farthest_km if farthest_km > 0.0 else 1.0
    np.fill_diagonal(found, 1.0)  # never read: no node is apart from itself
    return found


def _scaled(wanted: Floats) -> Floats:
    """Classical scaling: the two strongest axes of the doubly centred squares; equals are moved apart."""
    squares = wanted**2.0
    np.fill_diagonal(squares, 0.0)
    n = len(squares)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ squares @ centring)
    spots = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0.0))
    turn = 2.399963 * np.arange(n)  # the golden angle: no two directions are alike
    spread = 1e-3 * float(wanted.max())
    return np.asarray(spots + spread * np.column_stack((np.zeros(n), np.sin(turn))), dtype=np.float64)


def _flat(spots: Floats) -> Floats:
    """Turned so that the longest extent lies flat and the first node stands to the left of the middle."""
    centred = spots - spots.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    turned = centred @ axes.T
    turned *= np.where(turned[0] > 0.0, -1.0, 1.0)
    return np.asarray(turned, dtype=np.float64)
