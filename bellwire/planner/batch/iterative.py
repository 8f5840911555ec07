"""One tree after the other on what the others left: iterative multi-pair planning (algorithms.md 1.5).

Owns the order in which requests get trees, the stop rules and the bookkeeping. Refuses the search for a tree
(methods.py) and optimality over all requests (levels.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.batch.batch_plan import BatchPlan, share_of, use_of_shares
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import DEFAULT_METHOD, method_of
from bellwire.planner.requests import Options, PairRequest, check_requests
from bellwire.planner.structures import throttled

Objective = Literal["total", "fair", "priority"]
"""Which request gets the next tree: the one whose tree is fastest, each in turn, or the one that is furthest
behind its weight."""

TOTAL_STOP: Final = 0.02
"""Trees slower than this part of the first tree are not worth their memories (1.5)."""

FAIR_STOP: Final = 0.05
"""A request leaves the round when its next tree adds less than this part of what it has (1.5)."""

Progress = Callable[[int, str], None]
"""Told after every tree: number of trees so far, and the request that got it."""


def plan_batch(
    residual: Residual,
    requests: Sequence[PairRequest],
    objective: Objective = "total",
    method: str = DEFAULT_METHOD,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    allow_unserved: bool = False,
) -> BatchPlan:
    """Trees for several requests on what is left of a network. Takes nothing: the caller claims `use`.

    allow_unserved: list requests that get nothing instead of refusing the batch.

    Raises:
        NoPlan: a request cannot be served at all, or (without allow_unserved) gets nothing beside the others.
        ConfigError: an unknown node or method, or two requests with one id.
    """
    check_requests(requests, residual.topology)
    work = _Batch(residual.copy(), requests, method, Options() if options is None else options, progress)
    for request in requests:
        if work.next_tree(request) is None and not allow_unserved:
            raise NoPlan(f"request {request.request}: {work.reasons[request.request]}")
    {"total": work.total, "fair": work.fair, "priority": work.by_weight}[objective]()
    shares = [
        share_of(request, work.trees[request.request]) for request in requests if work.trees[request.request]
    ]
    unserved = {
        request.request: work.reasons.get(request.request, "nothing was left beside the other requests")
        for request in requests
        if not work.trees[request.request]
    }
    if unserved and not allow_unserved:
        name, reason = next(iter(unserved.items()))
        raise NoPlan(f"request {name}: {reason}")
    return BatchPlan(
        method=f"iterative {method}",
        objective=objective,
        shares=tuple(shares),
        use=use_of_shares(shares),
        unserved=unserved,
    )


class _Batch:
    """The residual of a batch while it is being planned."""

    def __init__(
        self,
        residual: Residual,
        requests: Sequence[PairRequest],
        method: str,
        options: Options,
        progress: Progress | None,
    ) -> None:
        self.residual = residual
        self.requests = requests
        self.method, self.options = method_of(method), options
        self.progress = progress
        self.trees: dict[str, list[PairPlan]] = {request.request: [] for request in requests}
        self.reasons: dict[str, str] = {}
        self._count = 0

    def rate_hz(self, request: PairRequest) -> float:
        """Pairs per second of a request so far."""
        return math.fsum(plan.rate_hz for plan in self.trees[request.request])

    def missing_hz(self, request: PairRequest) -> float:
        """Pairs per second that a request still wants."""
        return math.inf if request.rate_hz is None else request.rate_hz - self.rate_hz(request)

    def next_tree(self, request: PairRequest) -> PairPlan | None:
        """The best tree of a request on what is left, no faster than wanted, or None with a reason kept."""
        missing_hz = self.missing_hz(request)
        if missing_hz <= 1e-9 * (request.rate_hz or 0.0):
            self.reasons.setdefault(request.request, "it has the rate that it asks for")
            return None
        stored = {pair for use in self.residual.taken.values() for pair in use.stored}
        free = tuple(leaf for leaf in request.stored if leaf.pair not in stored)
        try:
            plan = self.method(self.residual, replace(request, stored=free), self.options)
            if plan.rate_hz <= missing_hz:
                return plan
            slower = throttled(plan.tree, self.residual.topology, 1.0 / missing_hz)
            return assess(slower, self.residual, plan.method, request.limits)
        except NoPlan as reason:
            self.reasons[request.request] = str(reason)
            return None

    def add(self, request: PairRequest, plan: PairPlan) -> None:
        """Give a request a tree."""
        self._count += 1
        self.residual.claim(f"{request.request}/{self._count}", plan.use)
        self.trees[request.request].append(plan)
        if self.progress is not None:
            self.progress(self._count, request.request)

    def total(self) -> None:
        """The fastest next tree of all requests (weighted), until it adds less than 2 % of the first."""
        first_hz: float | None = None
        while True:
            found = [
                (request, plan) for request in self.requests if (plan := self.next_tree(request)) is not None
            ]
            if not found:
                return
            request, plan = max(found, key=lambda each: each[1].rate_hz * each[0].weight)
            gain_hz = plan.rate_hz * request.weight
            first_hz = gain_hz if first_hz is None else first_hz
            if gain_hz < TOTAL_STOP * first_hz:
                return
            self.add(request, plan)

    def fair(self) -> None:
        """One tree each in turn; who would gain less than 5 % leaves the round."""
        waiting = list(self.requests)
        while waiting:
            staying: list[PairRequest] = []
            for request in waiting:
                plan = self.next_tree(request)
                if plan is not None and plan.rate_hz >= FAIR_STOP * self.rate_hz(request):
                    self.add(request, plan)
                    staying.append(request)
            waiting = staying

    def by_weight(self) -> None:
        """The next tree goes to the request with the least rate per weight; 5 % as in `fair`."""
        waiting = list(self.requests)
        while waiting:
            request = min(waiting, key=lambda each: self.rate_hz(each) / each.weight)
            plan = self.next_tree(request)
            if plan is None or plan.rate_hz < FAIR_STOP * self.rate_hz(request):
                waiting.remove(request)
            else:
                self.add(request, plan)
