"""Plans from the level-based optimum: hypergraph, programme, executable trees (algorithms.md 1.6, 2.3).

Owns `plan_levels`: the way from requests to trees with real times and promises. Refuses the parts: levels.py,
solvers.py, hyperflow.py, seating.py. The programme takes operations as instantaneous and knows neither
memories nor waiting: trees for which memories are lacking, or whose pairs decay too far, are left out. The
optimum itself is `bound_hz`; on a large network, a bound that is at most 2 % above it (growing.py), or
None where fidelity limits keep planning to corridors along the cheapest routes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from bellwire.planner.batch.batch_plan import BatchPlan, share_of, use_of_shares
from bellwire.planner.batch.executable import METHOD
from bellwire.planner.batch.growing import corridor, grown_flow, is_large
from bellwire.planner.batch.hyperflow import decompose
from bellwire.planner.batch.levels import Hypergraph, TooLarge, hypergraph
from bellwire.planner.batch.seating import seated
from bellwire.planner.batch.solvers import Flow, Objective, Solver, solve
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest, check_requests
from bellwire.planner.single.finishing import why_none

MARGINS_MAX: Final = 8
"""Times that a fidelity limit is raised by a step of the grid, when waiting spoils the promise."""

NOTHING: Final = "the optimum gives it nothing; another objective (max_min) or a greater weight would"

CORRIDORS: Final = (8, 4, 2, 1)
"""Cheapest routes of each request along which fidelity limits are planned for where the whole network is too
large for them, one after the other until the hypergraph is small enough."""

MISSED: Final = 0.1
"""A limit is raised when trees with more than this part of a request's flow miss it."""

Told = Callable[[str], None]
"""Told when a part begins: "graph", "model", "solver" (it runs from here until "answer"), "answer", "trees".
With fidelity limits, or wanted rates under max_min, parts may come several times."""


def plan_levels(
    residual: Residual,
    requests: Sequence[PairRequest],
    objective: Objective = "total",
    solver: Solver = "highs",
    options: Options | None = None,
    *,
    told: Told | None = None,
    allow_unserved: bool = False,
) -> BatchPlan:
    """Trees for several requests that together come close to the optimum of the linear programme.

    Fidelity limits use the purification extension with BBPSSW. Waiting is not in the programme; when it makes
    much of a request miss its limit, that limit is raised by one step, the programme is solved again, and the
    best plan of all is taken. allow_unserved: list requests that get nothing instead of refusing the batch.

    Raises:
        NoPlan: a request gets nothing, or a limit cannot be kept; the text names it.
        ConfigError: an unknown node, or a solver that is not installed.
    """
    check_requests(requests, residual.topology)
    work = _Batch(residual, requests, objective, solver, options or Options(), told or (lambda _: None))
    first = best = found = work.attempt({})
    if first.unreachable and not allow_unserved:
        raise _refused(first.unreachable)
    margins: dict[str, float] = {}
    for _ in range(MARGINS_MAX):
        step = found.graph.fidelity_step
        if not found.missed or step is None:
            break
        margins |= {name: margins.get(name, 0.0) + step for name in found.missed}
        if any((work.limit(name) or 0.0) + margin > 1.0 for name, margin in margins.items()):
            break
        found = work.attempt(margins)
        if found.unreachable.keys() != first.unreachable.keys():
            break
        best = max(best, found, key=lambda each: each.worth)
    if best.plan.unserved and not allow_unserved:
        raise _refused(best.plan.unserved)
    return replace(best.plan, bound_hz=first.plan.bound_hz)


def _refused(reasons: Mapping[str, str]) -> NoPlan:
    name, reason = next(iter(reasons.items()))
    return NoPlan(f"request {name}: {reason}")


def _bound_hz(flow: Flow) -> float | None:
    """What no plan exceeds; None: not worked out."""
    if flow.bound_hz is None:
        return flow.optimum_hz
    return flow.bound_hz if math.isfinite(flow.bound_hz) else None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A plan, and what it lacks."""

    graph: Hypergraph
    plan: BatchPlan
    missed: frozenset[str]  # requests of whose flow too much misses the limit
    unreachable: Mapping[str, str]  # request -> why nothing can serve it
    worth: tuple[int, float]  # number of served requests, then the objective


class _Batch:
    """What stays the same while limits are raised."""

    def __init__(
        self,
        residual: Residual,
        requests: Sequence[PairRequest],
        objective: Objective,
        solver: Solver,
        options: Options,
        told: Told,
    ) -> None:
        self.residual, self.options, self.told = residual, options, told
        self.requests = {request.request: request for request in requests}
        self.objective: Objective = objective
        self.solver: Solver = solver
        self.weights = {name: request.weight for name, request in self.requests.items()}

    def limit(self, name: str) -> float | None:
        """Fidelity that a request asks for."""
        return self.requests[name].limits.fidelity

    def attempt(self, margins: Mapping[str, float]) -> _Attempt:
        """The plan when fidelity limits are raised by margins, by request."""
        self.told("graph")
        asked = [_raised(request, margins.get(name, 0.0)) for name, request in self.requests.items()]
        graph, flow = self._flow(asked)
        unreachable = {
            name: self._why_unreachable(name, graph) for name, by in graph.delivered.items() if not by
        }
        self.told("trees")
        ends = {name: (request.source, request.destination) for name, request in self.requests.items()}
        found = seated(decompose(graph, flow, ends), self.requests, self.residual, self.objective)
        shares = [share_of(self.requests[name], plans) for name, plans in found.trees.items() if plans]
        served = {share.request for share in shares}
        unserved = {
            name: unreachable.get(name) or found.lacking.get(name) or NOTHING
            for name in self.requests
            if name not in served
        }
        plan = BatchPlan(
            method=f"{METHOD} {self.solver}",
            objective=self.objective,
            shares=tuple(shares),
            use=use_of_shares(shares),
            bound_hz=_bound_hz(flow),
            unserved=unserved,
        )
        missed = frozenset(
            name
            for name, states in flow.delivered_hz.items()
            if found.missed_hz[name] > MISSED * sum(states.values())
        )
        return _Attempt(graph, plan, missed, unreachable, found.worth)

    def _flow(self, asked: Sequence[PairRequest]) -> tuple[Hypergraph, Flow]:
        """The best flow. On a large network it grows from the requests, or keeps to corridors."""
        large = is_large(self.residual)
        if large and all(request.limits.fidelity is None for request in asked):
            return grown_flow(self.residual, asked, self.options, self.objective, self.solver, self.told)
        graph = self._limited_graph(asked) if large else hypergraph(self.residual, asked, self.options)
        wanted_hz = {request.request: request.rate_hz for request in asked}
        flow = solve(graph, self.weights, wanted_hz, self.objective, self.solver, self.told)
        return graph, replace(flow, bound_hz=math.inf) if large else flow

    def _limited_graph(self, asked: Sequence[PairRequest]) -> Hypergraph:
        """What lies along the cheapest routes of each request; the fewer, the more there is along each."""
        *wider, narrowest = CORRIDORS
        for routes in wider:
            within = corridor(self.residual, asked, self.options, routes)
            with suppress(TooLarge):
                return hypergraph(self.residual, asked, self.options, within=within)
        within = corridor(self.residual, asked, self.options, narrowest)
        return hypergraph(self.residual, asked, self.options, within=within)

    def _why_unreachable(self, name: str, graph: Hypergraph) -> str:
        request, options = self.requests[name], self.options
        free = replace(request, limits=Limits())
        if request.limits.fidelity is None:
            return why_none(self.residual, request, options)
        if not hypergraph(self.residual, [free], options).delivered[name]:
            return why_none(self.residual, request, options)
        return (
            f"fidelity {request.limits.fidelity:g} cannot be reached between {request.source} and "
            f"{request.destination} with {graph.rounds} purification rounds"
        )


def _raised(request: PairRequest, margin: float) -> PairRequest:
    limit = request.limits.fidelity
    if limit is None or margin == 0.0:
        return request
    return replace(request, limits=replace(request.limits, fidelity=limit + margin))
