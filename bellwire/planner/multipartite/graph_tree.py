"""Graph states on paths and trees: methods "graph-path" and "graph-tree" (algorithms.md 4.3).

Owns the way from a target without cycles to candidates. Refuses cycles (graph_pieces.py) and the programme.

The pairs of all edges come from the fastest swapping trees; their routes are then taken apart, so that the
programme is free to swap at a repeater after vertices have been fused, where that makes the tree flatter. On
a path that is the interval programme over all links of the route. Where a tree has too many connected parts
of links, whole pairs are its blocks.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Final

from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.graph_equivalents import Equivalent
from bellwire.planner.multipartite.graph_finishing import Candidate, Planning, attempts, first_plan
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_pairs import PairTrees, apart, crowded
from bellwire.planner.multipartite.graph_parts import PairPart, Part, Spot
from bellwire.planner.multipartite.graph_pieces import in_pieces
from bellwire.planner.multipartite.graph_programme import Programme, TooManySets
from bellwire.planner.multipartite.graph_target import GraphRequest, Shape
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options
from bellwire.planner.structures import SwapNode, Tree

LINK_SETS_MAX: Final = 400
"""Connected sets of links of a tree that the programme looks at, before it takes whole pairs instead."""


def plan_path(residual: Residual, request: GraphRequest, options: Options) -> MultipartitePlan:
    """The fastest plan for a target that is a path.

    Raises:
        NoPlan: it is no path, or there is no plan; the text says why.
    """
    return _plan(residual, request, options, "graph-path", ("path",))


def plan_tree(residual: Residual, request: GraphRequest, options: Options) -> MultipartitePlan:
    """The fastest plan for a target that is a tree.

    Raises:
        NoPlan: it has a cycle, or there is no plan; the text says why.
    """
    return _plan(residual, request, options, "graph-tree", ("path", "tree"))


def _plan(
    residual: Residual, request: GraphRequest, options: Options, method: str, shapes: Sequence[Shape]
) -> MultipartitePlan:
    shape = request.target.shape
    if shape not in shapes:
        other = "graph-tree" if shape == "tree" else "graph-pieces"
        raise NoPlan(
            f'request {request.request}: the target graph is no {shapes[-1]}; method "{other}" serves'
        )
    planning = Planning(request, residual, options, method)
    ways = partial(_alone, residual, request, options)
    return first_plan(planning, attempts(request, ways, ways, partial(_apart, residual, request, options)))


def _alone(
    residual: Residual, request: GraphRequest, options: Options, fidelity: float | None = None
) -> Iterator[Candidate]:
    """With the trees that each pair would have alone. fidelity: of every pair, at least.

    Where these share repeaters, also with trees that do not, if there are any.
    """
    inside = Inside(request.target)
    pairs = PairTrees(residual, options, fidelity).needed(inside.remote)
    yield from _candidates(residual, options, inside, pairs)
    if fidelity is None and crowded(pairs):
        with suppress(NoPlan):
            yield from _apart(residual, request, options, alone=True)


def _apart(
    residual: Residual, request: GraphRequest, options: Options, *, alone: bool = False
) -> Iterator[Candidate]:
    """With trees that leave each other the memories that they need. alone: that share no repeater."""
    inside = Inside(request.target)
    own = Counter(request.target.places[vertex] for vertex in inside.own)
    pairs = apart(residual, options, inside.remote, own, alone=alone)
    yield from _candidates(residual, options, inside, pairs)


def _candidates(
    residual: Residual, options: Options, inside: Inside, pairs: Sequence[PairPart]
) -> Iterator[Candidate]:
    topology = residual.topology
    same = Equivalent(inside.target.edges, ())
    part: Part | None
    try:
        links = [link for pair in pairs for link in links_of(pair)]
        sets_max = LINK_SETS_MAX if inside.target.shape == "tree" else 2 * LINK_SETS_MAX
        part = Programme(topology, options, links, joins=inside.joins, sets_max=sets_max).fastest()
    except TooManySets:
        part = in_pieces(topology, options, pairs, inside)
    if part is not None:
        yield Candidate(part, same)


def links_of(pair: PairPart) -> Iterator[PairPart]:
    """The links of a pair's route, purified ones as a whole, with a spot at every repeater between them."""
    segments = list(_segments(pair.tree))
    inner = (
        Spot(f"{pair.left.name}-{pair.right.name}/{segment.right}", segment.right, stays=False)
        for segment in segments[:-1]
    )
    for (left, right), segment in zip(pairwise((pair.left, *inner, pair.right)), segments, strict=True):
        yield PairPart(left, right, segment)


def _segments(tree: Tree) -> Iterator[Tree]:
    if isinstance(tree, SwapNode):
        yield from _segments(tree.one)
        yield from _segments(tree.other)
    else:
        yield tree
