"""Plans from the level-based optimum: hypergraph, programme, executable trees (algorithms.md 1.6, 2.3).

Owns `plan_levels`: the way from requests to trees with real times and promises. Refuses the parts: levels.py,
solvers.py, hyperflow.py. The programme takes operations as instantaneous and knows no memories. An executable
tree runs its links at the rates of the flow or slower, so capacities hold, and promises what Eq. 1 says with
t_b and t_c; trees for which memories are lacking are left out. The optimum itself is `bound_hz`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from bellwire.planner.assessment import PairPlan, assess, outlook
from bellwire.planner.batch.batch_plan import BatchPlan, RequestShare, share_of, use_of_shares
from bellwire.planner.batch.hyperflow import FlowTree, decompose
from bellwire.planner.batch.levels import LEVEL_STEP, Hypergraph, hypergraph
from bellwire.planner.batch.solvers import Flow, Objective, Solver, solve
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest, check_requests
from bellwire.planner.single.finishing import why_none
from bellwire.planner.structures import PurifyNode, SwapNode, Tree, retimed, throttled

METHOD: Final = "levels"
MARGINS_MAX: Final = 8
"""Levels by which a fidelity limit is raised, one after the other, when waiting spoils the promise."""

Told = Callable[[str], None]
"""Told when a part begins: "graph", "model", "solver", "trees"."""


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

    Fidelity limits use the purification extension with BBPSSW. Waiting is not in the programme, so a tree
    whose promised fidelity misses its limit raises that limit by one level, and the programme is solved again.
    allow_unserved: list requests that get nothing instead of refusing the batch.

    Raises:
        NoPlan: a request gets nothing, or a limit cannot be kept; the text names it.
        ConfigError: an unknown node, or two requests with one id.
    """
    check_requests(requests, residual.topology)
    options = Options() if options is None else options
    say = told or (lambda _: None)
    asked = list(requests)
    missed: dict[str, str] = {}
    for _ in range(MARGINS_MAX + 1):
        say("graph")
        graph = hypergraph(residual, asked, options)
        _check_reachable(graph, requests, residual, options)
        say("model")
        weights = {request.request: request.weight for request in asked}
        wanted = {request.request: request.rate_hz for request in asked}
        flow = solve(graph, weights, wanted, objective, solver, lambda: say("solver"))
        say("trees")
        shares, missed, lacking = _shares(graph, flow, requests, residual)
        if not missed:
            unserved = _unserved(shares, requests, lacking)
            if unserved and not allow_unserved:
                name, reason = next(iter(unserved.items()))
                raise NoPlan(f"request {name}: {reason}")
            return BatchPlan(
                method=f"{METHOD} {solver}",
                objective=objective,
                shares=tuple(shares),
                use=use_of_shares(shares),
                bound_hz=flow.optimum_hz,
                unserved=unserved,
            )
        asked = [_raised(request) if request.request in missed else request for request in asked]
    name, reason = next(iter(missed.items()))
    raise NoPlan(f"request {name}: {reason}")


def _raised(request: PairRequest) -> PairRequest:
    fidelity = (request.limits.fidelity or 0.0) + LEVEL_STEP
    if fidelity > 1.0:
        raise NoPlan(f"request {request.request}: fidelity {fidelity - LEVEL_STEP:g} is not reached")
    return replace(request, limits=replace(request.limits, fidelity=fidelity))


def _check_reachable(
    graph: Hypergraph, requests: Sequence[PairRequest], residual: Residual, options: Options
) -> None:
    for request in requests:
        if graph.delivered[request.request]:
            continue
        free = replace(request, limits=Limits())
        if not hypergraph(residual, [free], options).delivered[request.request]:
            raise NoPlan(f"request {request.request}: {why_none(residual, request, options)}")
        raise NoPlan(
            f"request {request.request}: fidelity {request.limits.fidelity:g} cannot be reached between "
            f"{request.source} and {request.destination} with {options.rounds} purification rounds"
        )


def _shares(
    graph: Hypergraph, flow: Flow, requests: Sequence[PairRequest], residual: Residual
) -> tuple[list[RequestShare], dict[str, str], dict[str, str]]:
    """The share of each request; requests whose limits all trees miss; why trees were left out at all."""
    ends = {request.request: (request.source, request.destination) for request in requests}
    pieces: dict[str, list[FlowTree]] = {request.request: [] for request in requests}
    for piece in decompose(graph, flow, ends):
        pieces[piece.request].append(piece)
    book = residual.copy()
    shares: list[RequestShare] = []
    missed: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for request in requests:
        trees: list[PairPlan] = []
        for index, piece in enumerate(sorted(pieces[request.request], key=lambda each: -each.rate_hz)):
            try:
                plan = executable(piece.tree, book, request.limits)
                book.claim(f"{request.request}/{index}", plan.use)
            except NoPlan as reason:
                lacking.setdefault(request.request, str(reason))
                if isinstance(reason, FidelityMissed):
                    missed.setdefault(request.request, str(reason))
                continue
            trees.append(plan)
        if trees:
            missed.pop(request.request, None)
            shares.append(share_of(request, trees))
    return shares, missed, lacking


def executable(tree: Tree, residual: Residual, limits: Limits) -> PairPlan:
    """A peeled tree with real times: links no faster than in the flow, p_pur of the states as they arrive.

    Raises:
        NoPlan: it breaks a limit, or lacks memories or capacity.
    """
    topology = residual.topology
    for _ in range(4):  # throttling changes waits, waits change p_pur; settles in two rounds
        timed = throttled(retimed(_with_chances(tree, residual), topology), topology)
        if timed == tree:
            break
        tree = timed
    return assess(tree, residual, METHOD, limits)


def _with_chances(tree: Tree, residual: Residual) -> Tree:
    """The same tree with every purification's success probability as the states have it."""
    match tree:
        case SwapNode():
            return replace(
                tree, one=_with_chances(tree.one, residual), other=_with_chances(tree.other, residual)
            )
        case PurifyNode():
            kept, measured = _with_chances(tree.kept, residual), _with_chances(tree.measured, residual)
            node = replace(tree, kept=kept, measured=measured)
            below = outlook(kept, residual.topology).success_probability
            below *= outlook(measured, residual.topology).success_probability
            chance = outlook(node, residual.topology).success_probability / below if below > 0.0 else 0.0
            return replace(node, success_probability=chance)
        case _:
            return tree


def _unserved(
    shares: list[RequestShare], requests: Sequence[PairRequest], lacking: dict[str, str]
) -> dict[str, str]:
    served = {share.request for share in shares}
    nothing = "the optimum gives it nothing; another objective (max_min) or a greater weight would"
    return {
        request.request: lacking.get(request.request, nothing)
        for request in requests
        if request.request not in served
    }
