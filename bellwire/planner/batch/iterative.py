"""One tree after the other on what the others left: iterative multi-pair planning (algorithms.md 1.5).

Owns the order in which requests get trees, the stop rules and the bookkeeping. Refuses the search for a tree
(methods.py) and optimality over all requests (optimum.py).

Where 1.5 leaves a choice: a request that names a rate gets no more, its last tree is slowed to what is
missing; the stop rules look at a tree's speed before that. An inner node left with one memory swaps for
nobody, but still is an end: 1.5 would give it 0, which wastes that memory. Rates last, and a stored pair is
spent by one attempt, so batches plan on links alone.

Capacity only shrinks while a batch is planned. So a request that got no tree gets none later, a tree that
nothing was taken from stays the best, and any other is no faster than it was: only a candidate that would win
is searched anew.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from bellwire.core.registry import lookup, nearest
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.batch_plan import BatchPlan, share_of, use_of_shares
from bellwire.planner.batch.leftover import Leftover
from bellwire.planner.batch.slowing import slowed
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import DEFAULT_METHOD, Method, method_of
from bellwire.planner.requests import Options, PairRequest, check_requests

Objective = Literal["total", "fair", "priority"]
"""Which request gets the next tree: the one whose tree is fastest, each in turn, or the one that is furthest
behind its weight."""

OBJECTIVES: Final[dict[str, Objective]] = {"total": "total", "fair": "fair", "priority": "priority"}

TOTAL_STOP: Final = 0.02
"""Trees slower than this part of the first tree are not worth their memories (1.5)."""

FAIR_STOP: Final = 0.05
"""A request leaves the round when its next tree adds less than this part of what it has (1.5)."""

REACHED: Final = 1e-9
"""Relative shortfall at which a wanted rate counts as reached."""

Progress = Callable[[int, str], None]
"""Told after every tree: number of trees so far, and the request that got it."""


def plan_batch(
    residual: Residual,
    requests: Sequence[PairRequest],
    objective: Objective = "total",
    method: str | Mapping[str, str] = DEFAULT_METHOD,
    options: Options | None = None,
    *,
    trees_max: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    allow_unserved: bool = False,
) -> BatchPlan:
    """Trees for several requests on what is left of a network. Takes nothing: the caller claims `use`.

    method: one for all, or by request; those that the mapping leaves out get the default.
    trees_max: by request, the most trees that it gets; absent: as many as the stop rules allow.
    allow_unserved: list requests that get nothing instead of refusing the batch.

    Raises:
        NoPlan: a request cannot be served at all, or (without allow_unserved) gets nothing beside the others.
        ConfigError: an unknown node, method or objective, or two requests with one id.
    """
    options = Options() if options is None else options
    check_requests(requests, residual.topology)
    options.check(residual.topology)
    lookup("objective", objective, OBJECTIVES)
    names = _methods(method, requests)
    work = _Batch(Leftover.of(residual), requests, names, options, trees_max or {}, progress)
    if not allow_unserved:
        for request in requests:
            if work.offer(request) is None:
                raise NoPlan(f"request {request.request}: {work.reasons[request.request]}")
    {"total": work.total, "fair": work.fair, "priority": work.by_weight}[objective]()
    shares = [
        share_of(request, work.trees[request.request]) for request in requests if work.trees[request.request]
    ]
    unserved = {
        request.request: work.reasons[request.request]
        for request in requests
        if not work.trees[request.request]
    }
    if unserved and not allow_unserved:
        name, reason = next(iter(unserved.items()))
        raise NoPlan(f"request {name}: beside the other requests it gets nothing: {reason}")
    return BatchPlan(
        method=f"iterative {', '.join(sorted(set(names.values())))}".rstrip(),
        objective=objective,
        shares=tuple(shares),
        use=use_of_shares(shares),
        unserved=unserved,
    )


def _methods(method: str | Mapping[str, str], requests: Sequence[PairRequest]) -> dict[str, str]:
    """Name of the method of every request. Raises ConfigError for a name of no request."""
    ids = [request.request for request in requests]
    if isinstance(method, str):
        return dict.fromkeys(ids, method)
    for name in method:
        if name not in ids:
            raise NoPlan(f'a method is named for the unknown request "{name}"{nearest(name, ids)}')
    return {name: method.get(name, DEFAULT_METHOD) for name in ids}


@dataclass(frozen=True, slots=True)
class _Offer:
    """A tree that a request could get next."""

    plan: PairPlan  # slowed to what the request still wants
    speed_hz: float  # before it was slowed
    seen: int  # number of trees that were taken when it was searched


class _Batch:
    """The residual of a batch while it is being planned."""

    def __init__(
        self,
        residual: Residual,
        requests: Sequence[PairRequest],
        names: Mapping[str, str],
        options: Options,
        trees_max: Mapping[str, int],
        progress: Progress | None,
    ) -> None:
        self.residual, self.options = residual, options
        self.requests = requests
        self.methods: dict[str, Method] = {request: method_of(name) for request, name in names.items()}
        self.trees_max = trees_max
        self.progress = progress
        self.trees: dict[str, list[PairPlan]] = {request.request: [] for request in requests}
        self.reasons: dict[str, str] = {}  # why a request gets no more
        self._taken: list[frozenset[str]] = []  # nodes of every tree, in the order of taking
        self._known: dict[str, _Offer] = {}

    def rate_hz(self, request: PairRequest) -> float:
        """Pairs per second of a request so far."""
        return math.fsum(plan.rate_hz for plan in self.trees[request.request])

    def missing_hz(self, request: PairRequest) -> float:
        """Pairs per second that a request still wants."""
        return math.inf if request.rate_hz is None else request.rate_hz - self.rate_hz(request)

    def is_current(self, offer: _Offer) -> bool:
        """Nothing was taken from the nodes of an offer since it was searched, so it still is the best."""
        return all(offer.plan.use.memories.keys().isdisjoint(nodes) for nodes in self._taken[offer.seen :])

    def known(self, request: PairRequest) -> _Offer | None:
        """The offer searched last, current or not; None when the request gets nothing more."""
        if request.request in self.reasons:
            return None
        return self._known.get(request.request) or self.offer(request)

    def offer(self, request: PairRequest) -> _Offer | None:
        """The best tree of a request on what is left, no faster than wanted, or None with a reason kept."""
        name = request.request
        if name in self.reasons:
            return None
        old = self._known.get(name)
        if old is not None and self.is_current(old):
            return old
        self._known.pop(name, None)
        try:
            self._known[name] = self._searched(request)
        except NoPlan as reason:
            self.reasons[name] = str(reason)
            return None
        return self._known[name]

    def _searched(self, request: PairRequest) -> _Offer:
        """The best tree of a request on what is left. Raises NoPlan when it gets no more."""
        name = request.request
        missing_hz = self.missing_hz(request)
        if missing_hz <= REACHED * (request.rate_hz or 0.0):
            raise NoPlan("it has the rate that it asks for")
        if len(self.trees[name]) >= self.trees_max.get(name, math.inf):
            raise NoPlan(f"it gets no more than {self.trees_max[name]} trees")
        plan = self.methods[name](self.residual, replace(request, stored=()), self.options)
        if math.isinf(plan.rate_hz):
            raise NoPlan(f"{plan.source}-{plan.destination} has no finite rate that could be shared")
        wanted = slowed(plan, self.residual, 1.0 / missing_hz, request.limits)
        return _Offer(wanted, plan.rate_hz, len(self._taken))

    def add(self, request: PairRequest, offer: _Offer) -> None:
        """Give a request a tree."""
        name = request.request
        self._taken.append(frozenset(offer.plan.use.memories))
        del self._known[name]
        self.residual.claim(self._key(name), offer.plan.use)
        self.trees[name].append(offer.plan)
        if self.progress is not None:
            self.progress(len(self._taken), name)

    def _key(self, name: str) -> str:
        """A name of the new tree that the account book, which may hold earlier batches, does not know."""
        number = len(self.residual.taken)
        while f"{name}/{number}" in self.residual.taken:
            number += 1
        return f"{name}/{number}"

    def total(self) -> None:
        """The fastest next tree of all requests (weighted), until it has less than 2 % of the first's."""
        first_hz: float | None = None
        while True:
            found = [
                (request, offer) for request in self.requests if (offer := self.known(request)) is not None
            ]
            if not found:
                return
            request, offer = self._first(found)
            if not self.is_current(offer):
                self.offer(request)  # no faster than it was: look again who is first
                continue
            gain_hz = offer.speed_hz * request.weight
            first_hz = gain_hz if first_hz is None else first_hz
            if gain_hz < TOTAL_STOP * first_hz:
                for each, slow in found:
                    self.reasons[each.request] = (
                        f"its tree of {slow.speed_hz:.4g}/s has less than {TOTAL_STOP:.0%} of the first "
                        f'tree\'s {first_hz:.4g}/s; objective "fair" or a greater weight would serve it'
                    )
                return
            self.add(request, offer)

    def _first(self, found: Sequence[tuple[PairRequest, _Offer]]) -> tuple[PairRequest, _Offer]:
        """The fastest tree, weighted; of equally fast ones that of the request with fewest trees so far."""
        best_hz = max(offer.speed_hz * request.weight for request, offer in found)
        equals = [each for each in found if each[1].speed_hz * each[0].weight >= best_hz * (1.0 - REACHED)]
        return min(equals, key=lambda each: len(self.trees[each[0].request]))

    def fair(self) -> None:
        """One tree each in turn; who would gain less than 5 % leaves the round."""
        waiting = list(self.requests)
        while waiting:
            waiting = [request for request in waiting if self._grows(request)]

    def by_weight(self) -> None:
        """The next tree goes to the request with the least rate per weight; 5 % as in `fair`."""
        waiting = list(self.requests)
        while waiting:
            request = min(waiting, key=lambda each: self.rate_hz(each) / each.weight)
            if not self._grows(request):
                waiting.remove(request)

    def _grows(self, request: PairRequest) -> bool:
        """Give a request its next tree, unless there is none or it adds less than 5 %."""
        offer = self.offer(request)
        if offer is None or offer.speed_hz < FAIR_STOP * self.rate_hz(request):
            return False
        self.add(request, offer)
        return True
