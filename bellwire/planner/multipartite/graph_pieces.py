"""Graph states of any shape by pieces: method "graph-pieces" (algorithms.md 4.3).

Owns the choice among equivalent graphs, and the cutting of large graphs into stars. Refuses the programme.

Pairs make single edges, GHZ states make stars, and the programme over sets of edges finds the order in which
pieces are merged; two pieces with several common vertices are fused at each of them, so that an edge that
closes a cycle is a CZ by entanglement. A graph that local Cliffords turn into one with fewer edges is made as
that one. Graphs with too many connected parts are cut into stars first, and the programme merges these.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.graph_equivalents import Equivalent, equivalents
from bellwire.planner.multipartite.graph_finishing import Candidate, Planning, attempts, first_plan
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_pairs import PairTrees, apart, crowded
from bellwire.planner.multipartite.graph_parts import PairPart, Part, Spot
from bellwire.planner.multipartite.graph_programme import Programme, TooManySets
from bellwire.planner.multipartite.graph_stars import LEAVES_MAX, star_seeds
from bellwire.planner.multipartite.graph_target import GraphRequest, TargetGraph
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options
from bellwire.planner.topology import Topology

METHOD: Final = "graph-pieces"

EQUIVALENTS_TRIED: Final = 4
"""Graphs of the orbit that are planned, those with the fewest pairs first; the target itself always."""

PIECES_MAX: Final = 8
"""Pieces that the last programme merges; more are first merged two by two."""


def plan(residual: Residual, request: GraphRequest, options: Options) -> MultipartitePlan:
    """The fastest plan that is found for a target of any shape.

    Raises:
        NoPlan: there is none; the text says why.
    """
    planning = Planning(request, residual, options, METHOD)
    ways = partial(alone, residual, request, options)
    return first_plan(planning, attempts(request, ways, ways, partial(_apart, residual, request, options)))


def alone(
    residual: Residual, request: GraphRequest, options: Options, fidelity: float | None = None
) -> Iterator[Candidate]:
    """Ways with the trees that each pair would have alone, fastest first. fidelity: of pairs, at least."""
    topology, pairs = residual.topology, PairTrees(residual, options, fidelity)
    found: list[Candidate] = []
    for each in _cheapest(request.target, pairs):
        inside = Inside(TargetGraph(request.target.places, each.edges))
        blocks = pairs.needed(inside.remote)
        for part in (
            in_pieces(topology, options, blocks, inside, pairs),
            in_pieces(topology, options, blocks, inside),
        ):
            if part is not None:
                found.append(Candidate(part, each))
    yield from sorted(found, key=lambda candidate: candidate.part.latency_s)
    if fidelity is None:
        yield from _apart(residual, request, options, alone=True)


def _apart(
    residual: Residual, request: GraphRequest, options: Options, *, alone: bool = False
) -> Iterator[Candidate]:
    """With trees that leave each other the memories that they need, and no GHZ states.

    alone: with trees that share no repeater, where otherwise they would.
    """
    trees = PairTrees(residual, options)
    for each in _cheapest(request.target, trees):
        inside = Inside(TargetGraph(request.target.places, each.edges))
        if alone and not crowded(trees.needed(inside.remote)):
            continue
        own = Counter(request.target.places[vertex] for vertex in inside.own)
        try:
            blocks = apart(residual, options, inside.remote, own, alone=alone)
        except NoPlan:
            continue  # these edges need more memories; others may not
        part = in_pieces(residual.topology, options, blocks, inside)
        if part is not None:
            yield Candidate(part, each)


def _cheapest(target: TargetGraph, pairs: PairTrees) -> list[Equivalent]:
    """Equivalent graphs worth planning. Raises NoPlan when the target's own pairs cannot be had."""
    pairs.needed(Inside(target).remote)
    places = target.places

    def price(each: Equivalent) -> tuple[int, float]:
        trees = [pairs.tree(places[a], places[b]) for a, b in each.edges if places[a] != places[b]]
        return len(trees), sum(float("inf") if tree is None else tree.latency_s for tree in trees)

    same, *others = equivalents(target.graph)
    priced = sorted(
        ((price(each), each) for each in others), key=lambda entry: (entry[0], len(entry[1].back))
    )
    own = price(same)
    return [
        same,
        *(each for cost, each in priced[:EQUIVALENTS_TRIED] if cost[1] < float("inf") and cost < own),
    ]


def in_pieces(
    topology: Topology,
    options: Options,
    blocks: Sequence[PairPart],
    inside: Inside,
    stars_of: PairTrees | None = None,
) -> Part | None:
    """The fastest way to merge the pairs of all edges; None where a node never succeeds.

    stars_of: where pairs for GHZ-made stars come from; None: no such stars.
    """

    def programme(chosen: Sequence[PairPart]) -> Part | None:
        ready = Programme(topology, options, chosen, joins=inside.joins)
        if stars_of is None:
            return ready.fastest()
        edges = [(block.left, block.right) for block in chosen]
        return ready.fastest(star_seeds(topology, options, stars_of, edges))

    try:
        return programme(blocks)
    except TooManySets:
        parts: list[Part] = []
        for star in _stars(blocks):
            part = programme(star)
            if part is None:
                return None
            parts.append(part)
        while len(parts) > PIECES_MAX:
            _merge_two(topology, options, parts, inside)
        return Programme(topology, options, parts, joins=inside.joins).fastest()


def _stars(blocks: Sequence[PairPart]) -> Iterator[list[PairPart]]:
    """All pairs in stars, around the vertex with the most pairs left first."""
    left = list(blocks)
    while left:
        degrees: Counter[Spot] = Counter(spot for block in left for spot in (block.left, block.right))
        centre = max(degrees, key=lambda spot: degrees[spot])
        star = [block for block in left if centre in (block.left, block.right)][:LEAVES_MAX]
        left = [block for block in left if block not in star]
        yield star


def _merge_two(topology: Topology, options: Options, parts: list[Part], inside: Inside) -> None:
    """Replace the two parts whose merging takes least time by their product."""
    best: tuple[float, int, int, Part] | None = None
    for i, one in enumerate(parts):
        for j in range(i + 1, len(parts)):
            made = Programme(topology, options, (one, parts[j]), joins=inside.joins).fastest()
            if made is not None and (best is None or made.latency_s < best[0]):
                best = (made.latency_s, i, j, made)
    if best is None:
        raise NoPlan("a node at which pieces of the target graph meet never succeeds")
    _, i, j, made = best
    parts[:] = [part for index, part in enumerate(parts) if index not in (i, j)] + [made]
