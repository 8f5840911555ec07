"""Subtrees as the Pareto search sees them.

Owns `Prospect`. Refuses the steps that make one (steps.py) and the choice among them (pareto.py). A prospect
is described at its least latency, at which its faster parts are already slowed to its slower ones, and by how
fast its eigenvalues fall when it is slowed further. For swaps that is exact; through a purification round it
is the tangent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bellwire.core.bell import Eigenvalues
from bellwire.planner.structures import LinkLeaf, StoredLeaf

NO_SLOPE: Final[Eigenvalues] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Leaf:
    """Made of a link or of a stored pair."""

    leaf: LinkLeaf | StoredLeaf


@dataclass(frozen=True, slots=True)
class Swapped:
    """Made by a swap."""

    one: "Prospect"
    other: "Prospect"


@dataclass(frozen=True, slots=True)
class Rounded:
    """Made by a round of purification."""

    kept: "Prospect"
    measured: "Prospect"
    pumping: bool
    chance: float


@dataclass(frozen=True, slots=True)
class Prospect:
    """A subtree between two nodes; `left` comes before `right` in the order of the topology."""

    left: int
    right: int
    copies: int  # among how many alike its links are shared: 2^k inside k rounds side by side
    latency_s: float  # least
    fidelity: float  # at that latency
    values: Eigenvalues  # likewise
    slopes: Eigenvalues  # d(-ln lambda)/dT, per second by which it is slowed
    rounds: int  # of purification, one above the other, since the last swap
    leaves: int
    hops: int  # links of its shortest route
    nodes: int  # bit set, of all routes
    links: int  # bit set; 0: made of stored pairs alone, which nothing can slow
    stored: int  # bit set of the request's stored pairs
    ends_whole: bool  # takes both halves of its ends: two copies over routes that meet nowhere
    memories: Mapping[int, int]
    own: tuple[bool, bool]  # its qubits at the ends are not among those that the ledger counts
    ages_s: tuple[float, float, float]  # left, right, oldest of all
    made: Leaf | Swapped | Rounded

    @property
    def pair(self) -> tuple[int, int]:
        """Its ends."""
        return (self.left, self.right)

    def values_at(self, latency_s: float) -> Eigenvalues:
        """Eigenvalues when it is slowed to a latency."""
        more_s = latency_s - self.latency_s
        if more_s == 0.0 or self.slopes == NO_SLOPE:
            return self.values
        (a, b, c), (x, y, z) = self.values, self.slopes
        return (a * math.exp(-x * more_s), b * math.exp(-y * more_s), c * math.exp(-z * more_s))
