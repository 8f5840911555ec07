"""Rates as attempts, and who gets how much of what nobody has reserved.

Owns the attempt budget of a plan (stack paper IV-F: the link layer aggregates rate requirements and computes
how often each link should attempt) and the filling of classes in order. Refuses lanes and frames: amounts are
fractions.

A budget is no guarantee; that is what reserved lanes are for. It is the point from which on a request steps
back for those behind it: requests of its class without a rate, lower classes, background. Where nobody is
behind, there is no limit and weights alone divide.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Final

from bellwire.core.plans import WEIGHTS_MAX, LinkPlan
from bellwire.core.settings import LinkSettings
from bellwire.core.units import NS_PER_S
from bellwire.link_layer.schedulers.words import Demand

BUDGET_MARGIN: Final = 2
"""A budget is this many times the attempts that the rate needs: a pair that waits in memory stops the
attempts of its lane, on a route of equal links for half as long as it took to make."""


def attempts_per_s(plan: LinkPlan, link: LinkSettings, point: int = 0) -> float:
    """Attempts of one lane that meet the plan's rate on average at an operating point, 0.0: it has no rate.

    Purification that never fails is counted (2**rounds pairs make one, or rounds + 1 by pumping); failures
    and the time that pairs spend in memory are not.
    """
    if plan.rate_hz <= 0:
        return 0.0
    raw = plan.rounds + 1 if plan.pumping else 1 << plan.rounds
    return plan.rate_hz * raw / link.point(point).success_probability


def budget_lanes(plan: LinkPlan, link: LinkSettings, point: int = 0) -> Fraction | None:
    """Lanes of the unreserved rest that a plan needs at most to keep its rate, in steps of 1 / WEIGHTS_MAX.

    None: the plan has no rate, or is background, or has its reserved lanes as a floor and takes more as its
    weight gives it.
    """
    attempts = attempts_per_s(plan, link, point)
    if attempts == 0.0 or plan.lanes or plan.background:
        return None
    lanes = min(float(link.lanes), BUDGET_MARGIN * attempts * link.period_ns / NS_PER_S)
    return Fraction(max(1, ceil(lanes * WEIGHTS_MAX)), WEIGHTS_MAX)


def pace_lanes(plan: LinkPlan, link: LinkSettings, point: int = 0) -> Fraction | None:
    """Lanes with which a paced plan makes pairs at its rate while their memories are free, in steps of
    1 / WEIGHTS_MAX, at least one step; None: the plan is not paced."""
    attempts = attempts_per_s(plan, link, point)
    if not plan.paced or attempts == 0.0:
        return None
    lanes = min(float(link.lanes), attempts * link.period_ns / NS_PER_S)
    return Fraction(max(1, round(lanes * WEIGHTS_MAX)), WEIGHTS_MAX)


def fill(amount: Fraction, claims: Sequence[tuple[int, Fraction | None]]) -> list[Fraction]:
    """Divide an amount by weight among claims (weight, limit), weight at least 1; what a limited one cannot
    take goes to the others by their weights. The sum is the amount, or less if all are limited."""
    given = [Fraction(0)] * len(claims)
    open_claims = list(range(len(claims)))
    while open_claims:
        total = sum(claims[index][0] for index in open_claims)
        fair = {index: amount * claims[index][0] / total for index in open_claims}
        full = [
            index for index in open_claims if (limit := claims[index][1]) is not None and limit <= fair[index]
        ]
        if not full:
            for index in open_claims:
                given[index] = fair[index]
            break
        for index in full:
            limit = claims[index][1]
            assert limit is not None
            given[index] = limit
            amount -= limit
            open_claims.remove(index)
    return given


def fill_classes(amount: int, classes: Sequence[Sequence[Demand]]) -> list[tuple[Demand, Fraction]]:
    """Serve classes in their order, each by weight up to budgets; the last class that wants anything takes
    all that is left, beyond its budgets if all in it have one."""
    wanting = [members for members in classes if members]
    left = Fraction(amount)
    given: list[tuple[Demand, Fraction]] = []
    for number, members in enumerate(wanting, 1):
        limited = number < len(wanting) or any(one.budget is None for one in members)
        claims = [(max(1, one.plan.weight), one.budget if limited else None) for one in members]
        parts = fill(left, claims)
        left -= sum(parts)
        given += zip(members, parts, strict=True)
    return given
