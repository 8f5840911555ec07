"""Stars as GHZ states: a centre joined to several leaves, made of pairs between any two of them.

Owns the programme over subsets of vertices (algorithms.md 4.2, step 5) and its use as pieces of a graph.
Refuses everything that is no star. A star is a GHZ state up to an H on all qubits but one, so its pairs need
not start at the centre: leaves that are near each other are joined first, and owners turn the star at last.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.planner.multipartite.graph_pairs import PairTrees
from bellwire.planner.multipartite.graph_parts import (
    FusedPart,
    PairPart,
    Part,
    Spot,
    TurnedPart,
    fused,
    fused_latency_s,
    fusion_at,
)
from bellwire.planner.requests import Options
from bellwire.planner.topology import Topology

LEAVES_MAX: Final = 7
"""Largest star that is tried as a GHZ state: 3**8 ways to cut its vertices in two."""


def star_seeds(
    topology: Topology, options: Options, pairs: PairTrees, edges: Sequence[tuple[Spot, Spot]]
) -> Mapping[int, Part]:
    """GHZ-made stars of every set of edges with one common vertex, two edges or more.

    edges: of the graph, all between different nodes. Keys are sets of edges, bit i for edge i. Sets with two
    vertices at one node, and stars of more than LEAVES_MAX leaves, are left out.
    """
    found: dict[int, Part] = {}
    for centre in dict.fromkeys(spot for edge in edges for spot in edge):
        own = [index for index, edge in enumerate(edges) if centre in edge]
        leaves = [next(spot for spot in edges[index] if spot != centre) for index in own]
        nodes = {spot.node for spot in (centre, *leaves)}
        if not 2 <= len(own) <= LEAVES_MAX or len(nodes) != len(own) + 1:
            continue
        made = ghz_parts(topology, options, pairs, (centre, *leaves))
        for size in range(2, len(own) + 1):
            for chosen in combinations(range(len(own)), size):
                members = 1 | sum(2 << place for place in chosen)
                part = made.get(members)
                if part is not None:
                    found[sum(1 << own[place] for place in chosen)] = turned_to(part, centre)
    return found


def ghz_parts(
    topology: Topology, options: Options, pairs: PairTrees, members: Sequence[Spot]
) -> dict[int, Part]:
    """The fastest star over every subset of two and more members (bit i for member i), fusions retained.

    Two subsets with one common member are fused there; the product is a star around it. All at different
    nodes. Subsets that cannot be made are left out.
    """
    waiting = options.waiting
    best: dict[int, Part] = {}
    for (i, one), (j, other) in combinations(enumerate(members), 2):
        part = pairs.part(one, other)
        if part is not None:
            best[1 << i | 1 << j] = part
    for subset in sorted(range(1 << len(members)), key=int.bit_count):
        if subset.bit_count() < 3:
            continue
        owners = frozenset(spot for i, spot in enumerate(members) if subset >> i & 1)
        least_s = float("inf")
        choice: tuple[Part, Part, Spot] | None = None
        for i, spot in enumerate(members):
            if not subset >> i & 1:
                continue
            joint = fusion_at(topology, spot.node, owners)
            others = subset & ~(1 << i)
            first = others & -others  # stands in the first of the two parts, so that each cut comes once
            rest = others & ~first
            cut = rest
            while cut:
                near, far = best.get(others & ~cut | 1 << i), best.get(cut | 1 << i)
                if near is not None and far is not None:
                    total_s = fused_latency_s(near.latency_s, far.latency_s, joint, waiting)
                    if total_s < least_s:
                        least_s, choice = total_s, (near, far, spot)
                cut = (cut - 1) & rest
        if choice is not None:
            best[subset] = fused(topology, *choice, waiting, star=True)
    return best


def turned_to(part: Part, centre: Spot) -> Part:
    """A star around a given vertex. A pair is a star around either of its ends."""
    return part if centre_of(part) in (None, centre) else TurnedPart(part, centre)


def centre_of(part: Part) -> Spot | None:
    """The centre of a star; None for a pair, which has two. Raises LocalMisuse for what is no star."""
    match part:
        case PairPart():
            return None
        case TurnedPart():
            return part.centre
        case FusedPart(star=True):
            return part.spot
        case _:
            raise LocalMisuse(f"a part with {len(part.spots)} vertices that is no star has no centre")
