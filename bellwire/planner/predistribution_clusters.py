"""Super-links by groups of requests: each group has the one that serves it best (k-means with super-links).

Owns the clustering of requests for every number of groups, and the shortening of super-links that cost too
much (algorithms.md 3). Refuses costs and latencies (predistribution.py). Chance is drawn from a seed: equal
questions have equal answers.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bellwire.planner.predistribution import SuperLinks
from bellwire.planner.predistribution_greedy import Chosen, chosen_of

IDLE_ROUNDS: Final = 5
"""Rounds without improvement after which the groups are what they are."""

GROUPS_MAX: Final = 16
"""More groups than this are not tried: each is a super-link, whose memories are missing elsewhere."""


def clustered(known: SuperLinks, seed: int = 0) -> Chosen:
    """Super-links within the budget, no two of which share a node, best over all numbers of groups."""
    best: tuple[int, ...] = ()
    best_s = known.total_s(())
    for groups in range(1, min(len(known.demands), GROUPS_MAX) + 1):
        found = _within_budget(known, _groups(known, groups, np.random.default_rng([seed, groups])), groups)
        total_s = known.total_s(found)
        if total_s < best_s:
            best, best_s = tuple(found), total_s
    return chosen_of(known, "clusters", best)


def _groups(known: SuperLinks, groups: int, chance: np.random.Generator) -> list[int]:
    """The centroids of so many groups, of those rounds in which they were worth most for their cost."""
    centroids = _drawn(known, groups, chance)
    best, best_quality, idle = list(centroids), _quality(known, centroids), 0
    while centroids and idle < IDLE_ROUNDS:
        members = known.used(centroids)
        renewed: list[int] = []
        for centroid in centroids:
            rows = [row for row, taken in enumerate(members) if taken == centroid]
            renewed += _serving(known, rows, renewed) if rows else _drawn(known, 1, chance, renewed)
        centroids = renewed
        quality = _quality(known, centroids)
        if quality > best_quality:
            best, best_quality, idle = list(centroids), quality, 0
        else:
            idle += 1
    return best


def _drawn(
    known: SuperLinks, count: int, chance: np.random.Generator, beside: Sequence[int] = ()
) -> list[int]:
    """Candidates by lot that help anybody, disjoint from each other and from those beside; fewer where the
    network has no more."""
    found: list[int] = []
    helpful = np.flatnonzero((known.through_s < known.plain_s[:, None]).any(axis=0))
    for index in map(int, chance.permutation(helpful)):
        if len(found) == count:
            break
        if all(known.disjoint(index, one) for one in (*beside, *found)):
            found.append(index)
    return found


def _serving(known: SuperLinks, rows: Sequence[int], earlier: Sequence[int]) -> list[int]:
    """The candidate that saves some requests most, disjoint from earlier ones; none where none is left."""
    saved_s = np.maximum(known.plain_s[rows, None] - known.through_s[rows], 0.0)
    worth = known.weights[rows] @ saved_s
    for index in map(int, np.argsort(-worth, kind="stable")):
        if worth[index] <= 0.0:
            break
        if all(known.disjoint(index, one) for one in earlier):
            return [index]
    return []


def _quality(known: SuperLinks, chosen: Sequence[int]) -> float:
    cost = float(sum(known.costs[index] for index in chosen))
    return (known.total_s(()) - known.total_s(chosen)) / cost if cost > 0.0 else 0.0


def _within_budget(known: SuperLinks, chosen: list[int], groups: int) -> list[int]:
    """Super-links that cost more than their part of the budget lose links at one end until all can be paid.
    A single link that is still too dear is given up."""
    chosen = list(chosen)
    share = known.budget_attempts / groups
    while sum(known.costs[index] for index in chosen) > known.budget_attempts:
        dear = max(
            (index for index in chosen if known.costs[index] > share), key=lambda one: known.costs[one]
        )
        place = chosen.index(dear)
        others = [*chosen[:place], *chosen[place + 1 :]]
        shorter = _shortened(known, dear, others)
        chosen = others if shorter is None else [*chosen[:place], shorter, *chosen[place + 1 :]]
    return chosen


def _shortened(known: SuperLinks, index: int, others: Sequence[int]) -> int | None:
    """The super-link without its first or its last link, whichever saves more for its cost."""
    route = known.candidates[index].route
    if len(route) < 3:
        return None
    found: int | None = None
    best = 0.0
    for ends in ((route[1], route[-1]), (route[0], route[-2])):
        shorter = known.index_of(*ends)
        if shorter is None or known.costs[shorter] >= known.costs[index]:
            continue
        if not all(known.disjoint(shorter, one) for one in others):
            continue
        quality = _quality(known, [*others, shorter])
        if found is None or quality > best:
            found, best = shorter, quality
    return found
