"""Which rounds of purification between distant nodes a request gets on a route, and what they promise.

Owns the choice of `purification: automatic`, and the figures of a route with rounds. Refuses the maths of a
refined segment (refined_streams.py) and the plans of nodes (distant_rounds.py).

Automatic: where only a rate is named, those rounds are taken that bring the highest fidelity and still make
it; where the tree keeps the wanted fidelity without rounds, none are named. Else, of all rounds of one
or two levels for which every link has the lanes, those are taken that keep it and make most pairs by
prediction; where none keeps it, those that come nearest, to be named in the refusal. Adaptive rounds are
predicted as the automatic ones would be; they were seen to bring from 3 % more pairs than these to 30 % less
(docs/policies.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Final

from bellwire.core.ids import LinkId
from bellwire.core.modes import follows_tree
from bellwire.core.plans import EntanglementRequest, LinkRoom
from bellwire.core.purification_words import ADAPTIVE, AUTOMATIC, Level, levels_of
from bellwire.core.request_kinds import kind_of
from bellwire.planner.distant_rounds import lanes_making, lanes_wanted, pairs_held
from bellwire.planner.intervals import SwapTree
from bellwire.planner.lanes import lanes_for
from bellwire.planner.predictions import ceiling, outlook
from bellwire.planner.refined_streams import NO_LEVELS, Levels
from bellwire.planner.refusals import reach
from bellwire.planner.routes import Route, by_latency

Room = Mapping[LinkId, LinkRoom]

NO_NEWS: Final[Room] = {}
"""All links are taken to be empty."""

LEVELS_MAX: Final = 2
"""Levels that automatic purification names at most."""

CHOICES: Final = (
    Level(1, pumping=False),
    Level(2, pumping=False),
    Level(2, pumping=True),
    Level(3, pumping=True),
)
"""Rounds of one level that automatic purification may name. One round by pumping is one of recurrence."""


ROUTES_SEARCHED_MAX: Final = 6
"""Routes of a request, the fastest first, for which rounds are sought; others may serve it without."""

NEAREST_MAX: Final = 8
"""Rounds, those first that would give most if nobody waited, of which a refusal names the best."""


def all_with_rounds(
    routes: Sequence[Route], request: EntanglementRequest, room: Room = NO_NEWS
) -> list[Route]:
    """Routes with the rounds that a request gets there, fastest first. room: what links have left."""
    searched = routes if request.purification not in (ADAPTIVE, AUTOMATIC) else routes[:ROUTES_SEARCHED_MAX]
    found = [with_rounds(route, request, None, room) for route in searched]
    return sorted([*found, *routes[len(searched) :]], key=by_latency)


def with_rounds(
    route: Route, request: EntanglementRequest, tree: SwapTree | None = None, room: Room = NO_NEWS
) -> Route:
    """A route whose figures count the rounds that a request gets there, following `tree`, None: the route's
    own. Rounds for which links have too few lanes are not counted: such a plan is refused anyway."""
    text = request.purification
    if text is None:
        return route
    tree = route.tree if tree is None else tree
    if text not in (ADAPTIVE, AUTOMATIC):
        levels: Levels = levels_of(text)
        fits = _fit(route, tree, levels, request)
        return _counted(route, tree, levels) if fits else replace(route, levels=levels)
    wanted = request.fidelity_threshold
    plain = _counted(route, tree, NO_LEVELS)
    if text == AUTOMATIC and kind_of(request) == "best_fidelity" and follows_tree(request.generation_mode):
        return _best_at_rate(plain, tree, request, room)
    if wanted is None or reach(plain, request) >= wanted:
        return plain
    if text == AUTOMATIC and not follows_tree(request.generation_mode):
        return plain
    best = [
        (ceiling(tree, route.links, route.memories, levels), levels)
        for levels in _choices(tree)
        if _fit(route, tree, levels, request)
    ]
    choices = [_counted(route, tree, levels) for highest, levels in best if highest >= wanted]
    good = [each for each in choices if reach(each, request) >= wanted]
    if good:
        return min(good, key=lambda each: (each.outlook.latency_s, _effort(each.levels)))
    if text == ADAPTIVE:
        return plain
    best.sort(key=lambda each: each[0], reverse=True)
    nearest = [_counted(route, tree, levels) for _, levels in best[:NEAREST_MAX]]
    return max([plain, *nearest], key=lambda each: reach(each, request))


def _best_at_rate(plain: Route, tree: SwapTree, request: EntanglementRequest, room: Room) -> Route:
    """The rounds of highest fidelity with which the rate is still made in the room that is left."""
    lowest = reach(plain, request)
    choices = [
        _counted(plain, tree, levels)
        for levels in _choices(tree)
        if _fit(plain, tree, levels, request) and ceiling(tree, plain.links, plain.memories, levels) > lowest
    ]
    choices.sort(key=lambda route: (-reach(route, request), _effort(route.levels)))
    better = (route for route in choices if reach(route, request) > lowest)
    return next((route for route in better if lanes_for(route, tree, request, room) is not None), plain)


def _counted(route: Route, tree: SwapTree, levels: Levels) -> Route:
    seen = outlook(tree, route.times, route.links, route.memories, None, levels)
    best = ceiling(tree, route.links, route.memories, levels)
    return replace(route, outlook=seen, ceiling=best, levels=levels)


def _fit(route: Route, tree: SwapTree, levels: Levels, request: EntanglementRequest) -> bool:
    kept = lanes_wanted(levels, tree) - 1
    return all(pairs_held(link) >= kept + lanes_making(link, request) for link in route.links)


def _choices(tree: SwapTree) -> Iterator[Levels]:
    """Rounds of one or two levels of a tree."""
    spans = sorted({tree.right - tree.left, *_spans(tree)})
    for count in range(1, LEVELS_MAX + 1):
        for named in combinations(spans, count):
            for kinds in product(CHOICES, repeat=count):
                yield dict(zip(named, kinds, strict=True))


def _spans(tree: SwapTree) -> Iterator[int]:
    for child in tree.children or ():
        yield child.right - child.left
        yield from _spans(child)


def _effort(levels: Levels) -> int:
    return sum(level.rounds for level in levels.values())
