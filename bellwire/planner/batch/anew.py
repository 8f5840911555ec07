"""All plans anew, together with requests that found too little (stack paper, "Handling a Single Request", b).

Owns the joint plan that keeps every promise. Refuses the moment at which it is made (admission.py).

Every running request asks for the rate that it was promised, every newcomer for what it wants; a joint plan
counts when nobody who runs falls below its floor and every newcomer has enough. Then each running request
gets its old trees back where they fit beside everything else, so that no more plans change than must.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.admission_values import ROUNDING, AdmissionRule, RunningPlan
from bellwire.planner.batch.methods import BatchChoice, plan_many
from bellwire.planner.batch.offers import Trees
from bellwire.planner.batch.slowing import slowed
from bellwire.planner.capacity import NoPlan, Residual, total_use
from bellwire.planner.requests import PairRequest

MARGINS: Final = (1.02, 1.1)
"""Factors by which rates are asked for above what is wanted, one after the other, from a programme that
takes swaps and words as instantaneous."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A request that is not running yet, with what it would get alone."""

    request: PairRequest
    alone_hz: float

    @property
    def wanted_hz(self) -> float:
        """No more than this goes to it beside others."""
        return self.alone_hz if self.request.rate_hz is None else self.request.rate_hz

    def enough_hz(self, rule: AdmissionRule) -> float:
        """At this rate it is served well."""
        return rule.enough * self.alone_hz if self.request.rate_hz is None else self.request.rate_hz

    def is_content(self, rate_hz: float, rule: AdmissionRule) -> bool:
        """Whether a rate is enough for it."""
        return rate_hz > 0.0 and rate_hz >= self.enough_hz(rule) * (1.0 - ROUNDING)


def together(residual: Residual, newcomers: Sequence[Newcomer], rule: AdmissionRule) -> dict[str, Trees]:
    """Trees for several newcomers on what is left, by the batch method; who gets none is absent."""
    asked = [replace(each.request, rate_hz=each.wanted_hz) for each in newcomers]
    one_tree = {each.request.request: 1 for each in newcomers if each.request.rate_hz is None}
    return next(_plans(residual, asked, rule, rule.objective, one_tree), {})


def _plans(
    residual: Residual,
    asked: Sequence[PairRequest],
    rule: AdmissionRule,
    objective: str | None,
    trees_max: Mapping[str, int],
) -> Iterator[dict[str, Trees]]:
    """Batch plans in which nobody gets more than it asks for.

    The programme behind "levels" takes swaps and words as instantaneous, so its trees make a little less than
    it says: it is asked for more, and what is too much is taken away again.
    """
    choice = BatchChoice(
        objective=objective,
        single_method=rule.method,
        solver=rule.solver,
        options=rule.options,
        trees_max=trees_max,
        allow_unserved=True,
    )
    for margin in MARGINS if rule.batch_method == "levels" else (1.0,):
        more = [replace(each, rate_hz=margin * _wish_hz(each)) for each in asked]
        try:
            made = plan_many(residual, more, rule.batch_method, choice)
        except NoPlan:
            continue  # a method may refuse the whole batch for one request
        shares = {share.request: share.trees for share in made.shares}
        yield {
            each.request: trimmed(shares[each.request], residual, each)
            for each in asked
            if each.request in shares
        }


def trimmed(trees: Trees, residual: Residual, request: PairRequest) -> Trees:
    """No more than the rate that a request asks for: the slowest trees go, the last one is slowed."""
    kept: list[PairPlan] = []
    missing_hz = _wish_hz(request)
    for tree in sorted(trees, key=lambda each: -each.rate_hz):
        if missing_hz <= ROUNDING * _wish_hz(request):
            break
        kept.append(slowed(tree, residual, 1.0 / missing_hz, request.limits))
        missing_hz -= kept[-1].rate_hz
    return tuple(kept)


def _wish_hz(request: PairRequest) -> float:
    if request.rate_hz is None:
        raise LocalMisuse(f"request {request.request} is planned together with others but names no rate")
    return request.rate_hz


def planned_anew(
    base: Residual, running: Sequence[RunningPlan], newcomers: Sequence[Newcomer], rule: AdmissionRule
) -> dict[str, Trees] | None:
    """Trees for everybody by which all promises are kept and all newcomers have enough, or None.

    base: the network without the plans that run, but with what stays whatever is planned.
    """
    for found in _attempts(base, running, newcomers, rule):
        kept = all(
            _rate_hz(found.get(plan.request.request, ())) >= plan.floor_hz(rule.tolerance) * (1.0 - ROUNDING)
            for plan in running
        )
        if kept and all(
            each.is_content(_rate_hz(found.get(each.request.request, ())), rule) for each in newcomers
        ):
            return _undisturbed(base, running, found)
    return None


def _attempts(
    base: Residual, running: Sequence[RunningPlan], newcomers: Sequence[Newcomer], rule: AdmissionRule
) -> Iterator[dict[str, Trees]]:
    """Joint plans in which everybody asks for what it was promised or wants, one after the other.

    Weights are the rates asked for, so that "priority" fills all requests evenly. Which of two equals goes
    first matters to the iterative method; it tries the running first, then the newcomers first.
    """
    old = [_asking(plan.request, plan.guaranteed_hz) for plan in running]
    new = [_asking(each.request, each.wanted_hz) for each in newcomers]
    if rule.batch_method == "iterative":
        yield from _plans(base, [*old, *new], rule, "priority", {})
        yield from _plans(base, [*new, *old], rule, "priority", {})
    elif rule.batch_method == "levels":
        yield from _plans(base, [*old, *new], rule, "total", {})
    else:
        yield from _plans(base, [*old, *new], rule, rule.objective, {})


def _asking(request: PairRequest, rate_hz: float) -> PairRequest:
    return replace(request, rate_hz=rate_hz, weight=rate_hz)


def _undisturbed(
    base: Residual, running: Sequence[RunningPlan], found: Mapping[str, Trees]
) -> dict[str, Trees]:
    """The joint plan with the old trees of everybody whose old trees fit beside the others' new ones."""
    book = base.copy()
    for name, trees in found.items():
        book.claim(name, total_use(*(tree.use for tree in trees)))
    result = dict(found)
    for plan in running:
        name = plan.request.request
        new = book.give_back(name)
        if book.lacks(plan.use) is None:
            book.claim(name, plan.use)
            result[name] = plan.trees
        else:
            book.claim(name, new)
    return result


def _rate_hz(trees: Trees) -> float:
    return math.fsum(tree.rate_hz for tree in trees)
