"""Super-links one by one, the best reduction of latency for its cost first, worse ones replaced.

Owns the greedy choice with replacement (algorithms.md 3). Refuses costs and latencies (predistribution.py).

Each step lowers the total latency, so the same choice never comes twice and the search ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bellwire.planner.predistribution import Floats, SuperLink, SuperLinks

NO_COST: Final = 1e-9
"""Added to a difference of costs, so that a replacement at no cost divides nothing by zero."""

SAME: Final = 1e-12
"""A relative reduction below this is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A choice of super-links and what it is worth."""

    method: str
    super_links: tuple[SuperLink, ...]
    taken: tuple[SuperLink | None, ...]  # by each request, in the order of the demands; None: it goes without
    plain_s: tuple[float, ...]  # latency of each request without super-links
    latency_s: tuple[float, ...]  # and with them
    cost: float  # link attempts for one pair of each super-link
    budget_attempts: float
    total_plain_s: float  # sum of latencies by weight
    total_s: float


def chosen_of(known: SuperLinks, method: str, indices: Sequence[int]) -> Chosen:
    """The value of a choice of candidates, those that no request takes left out."""
    taken = known.used(indices)
    kept = [index for index in indices if index in taken]
    latencies_s = known.latencies_s(kept)
    return Chosen(
        method=method,
        super_links=tuple(known.candidates[index] for index in kept),
        taken=tuple(None if index is None else known.candidates[index] for index in taken),
        plain_s=tuple(map(float, known.plain_s)),
        latency_s=tuple(map(float, latencies_s)),
        cost=float(sum(known.costs[index] for index in kept)),
        budget_attempts=known.budget_attempts,
        total_plain_s=float(known.weights @ known.plain_s),
        total_s=float(known.weights @ latencies_s),
    )


def greedy(known: SuperLinks) -> Chosen:
    """Super-links within the budget, no two of which share a node."""
    chosen: list[int] = []
    while (better := _best_step(known, chosen)) is not None:
        chosen = better
    return chosen_of(known, "greedy", chosen)


def _best_step(known: SuperLinks, chosen: list[int]) -> list[int] | None:
    """The choice after the best single addition, what it meets replaced; None: nothing is gained."""
    now_s = known.total_s(chosen)
    now_cost = float(sum(known.costs[index] for index in chosen))
    best: list[int] | None = None
    best_rank = (0, 0.0)
    for index in _worth_a_look(known, chosen):
        kept = [one for one in chosen if known.disjoint(one, index)]
        after = [*kept, index]
        used = set(known.used(after))
        if index not in used:
            continue
        after = [one for one in after if one in used]
        cost = float(sum(known.costs[one] for one in after))
        gain_s = now_s - known.total_s(after)
        if cost > known.budget_attempts or gain_s <= SAME * now_s:
            continue
        spent = cost - now_cost
        rank = (1, gain_s) if spent < 0.0 else (0, gain_s / (spent + NO_COST))
        if best is None or rank > best_rank:
            best, best_rank = after, rank
    return best


def _worth_a_look(known: SuperLinks, chosen: list[int]) -> list[int]:
    """Candidates outside the choice that make some request faster than it is now.

    One that makes none faster can only gain by replacing others, and these it would leave without.
    """
    now_s: Floats = known.latencies_s(chosen)
    faster = (known.through_s < now_s[:, None]).any(axis=0)
    return [int(index) for index in np.flatnonzero(faster) if int(index) not in chosen]
