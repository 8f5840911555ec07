"""Purification-augmented swapping trees: method "past" (algorithms.md 2.2).

Owns the way from the Pareto search to plans that keep their promises. Refuses the search (pareto.py).

What a plan promises is worked out anew on its whole throttled tree, with the success probabilities that its
states then have (settling.py), by `assess`. Hence `options.fidelity_step`, the tolerance by which the search
compares, never touches a promise: a coarse step can only miss a tree that is a little faster or better.
Recurrence or pumping is no option but part of the search. Two pairs side by side share their links, so that
pumping is mostly faster, and needs one memory more at each end instead of twice as many; side by side wins
where classical words take longer than pairs, and over two routes that meet nowhere.
"""

import math
from dataclasses import replace
from typing import Final

from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.finishing import finished
from bellwire.planner.single.pareto import STEPS_MAX, ParetoSearch
from bellwire.planner.single.prospects import Prospect
from bellwire.planner.structures import Tree, turned

METHOD = "past"

ESTIMATE: Final = 1e-3
"""The search knows a throttled fidelity this well; a tree that is farther below a limit is not tried."""

COARSER: Final = 10.0
"""Factor of the fidelity step of a second search, where the first one ended without an answer."""


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The fastest tree with purification that keeps the limits; without a fidelity limit, the fastest tree.

    Where the search ends at its limit of steps before it has an answer, a coarser one looks farther: what
    that finds keeps the limits, but there may be faster trees.

    Raises:
        NoPlan: no way, or no tree keeps the limits; the text says the best fidelity that was found and its
            latency.
    """
    search = _Search(residual, request, options)
    found = search.fastest(options)
    if found is None and search.stopped:
        coarse = replace(options, fidelity_step=min(COARSER * options.fidelity_step, 0.1))
        found = search.fastest(coarse)
    elif found is None and search.broken is not None:
        found = search.fastest(options, by_age=True)
    if found is None:
        raise search.reason()
    return found


def front(residual: Residual, request: PairRequest, options: Options) -> tuple[PairPlan, ...]:
    """Plans of a request that keep its limits and than which none found is both faster and better.

    By latency, each with more fidelity than the one before. Complete as far as STEPS_MAX steps of the search
    lead, which goes from fast to slow. Empty when no tree keeps the limits.
    """
    search = ParetoSearch(residual, request, options)
    plans: list[PairPlan] = []
    for prospect in search.candidates():
        try:
            plans.append(
                finished(facing(search, prospect, request), residual, options, request.limits, METHOD)
            )
        except NoPlan:
            continue
    plans.sort(key=lambda each: (each.latency_s, -each.fidelity))
    best: list[PairPlan] = []
    for each in plans:
        if not best or each.fidelity > best[-1].fidelity:
            best.append(each)
    return tuple(best)


def facing(search: ParetoSearch, prospect: Prospect, request: PairRequest) -> Tree:
    """The tree of a prospect, read from the source of the request."""
    tree = search.ground.tree(prospect)
    return tree if tree.left == request.source else turned(tree)


class _Search:
    """The search for one answer, and what is to be said when there is none."""

    def __init__(self, residual: Residual, request: PairRequest, options: Options) -> None:
        self.residual, self.request, self.options = residual, request, options
        self.best: PairPlan | None = None  # of those that keep all limits but that of fidelity
        self.broken: NoPlan | None = None  # by the fastest tree that breaks another limit
        self.stopped = False

    def fastest(self, options: Options, *, by_age: bool = False) -> PairPlan | None:
        """The fastest tree that keeps all limits, as far as one search sees, or None."""
        limit = self.request.limits.fidelity
        free = replace(self.request.limits, fidelity=None)
        search = ParetoSearch(self.residual, self.request, options, by_age=by_age)
        found: PairPlan | None = None
        nearest: Prospect | None = None  # best of those that are too far off to be tried
        for prospect in search.candidates():
            if limit is not None and prospect.fidelity < limit - ESTIMATE:
                if nearest is None or prospect.fidelity > nearest.fidelity:
                    nearest = prospect
                continue
            tried = self._tried(search, prospect, free)
            if tried is None or (limit is not None and tried.fidelity < limit):
                continue
            if found is None or tried.latency_s < found.latency_s:
                found, search.latest_s = tried, tried.latency_s
        if found is None and nearest is not None:
            self._tried(search, nearest, free)
        self.stopped = self.stopped or search.stopped
        return found

    def _tried(self, search: ParetoSearch, prospect: Prospect, limits: Limits) -> PairPlan | None:
        tree = facing(search, prospect, self.request)
        try:
            plan = finished(tree, self.residual, self.options, limits, METHOD)
        except NoPlan as reason:
            self.broken = self.broken or reason
            return None
        if self.best is None or plan.fidelity > self.best.fidelity:
            self.best = plan
        return plan

    def reason(self) -> NoPlan:
        """One sentence why there is no plan."""
        request = self.request
        name = f"{request.source}-{request.destination}"
        ended = f"; the search ended after {STEPS_MAX} steps" if self.stopped else ""
        if self.best is not None:
            return FidelityMissed(
                f"{name}: fidelity {request.limits.fidelity:g} is not reached: the best that was found with "
                f"{self.options.rounds} purification rounds per level has {_floor(self.best.fidelity)} at "
                f"{self.best.latency_s:.4g} s per pair{ended}"
            )
        if self.broken is not None:
            return NoPlan(f"{self.broken}; no other tree keeps the limits{ended}")
        from bellwire.planner.single import exact  # it can say which limit the fastest tree breaks

        free = replace(request, limits=replace(request.limits, fidelity=None))
        try:
            fastest = exact.plan(self.residual, free, self.options)
        except NoPlan as reason:
            return reason
        wanted = "a tree" if request.limits.fidelity is None else f"fidelity {request.limits.fidelity:g}"
        return FidelityMissed(
            f"{name}: {wanted} is not reached: the fastest tree has {_floor(fastest.fidelity)} at "
            f"{fastest.latency_s:.4g} s per pair, and nothing that could be purified was found{ended}"
        )


def _floor(fidelity: float) -> str:
    return f"{math.floor(fidelity * 1e4) / 1e4:.4f}"
