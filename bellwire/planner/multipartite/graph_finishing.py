"""The last step of every graph-state method: from parts to a plan with all promises.

Owns the promises, the checks of limits, and the choice among several ways to make one target. Refuses
searches and the pace (graph_fitting.py).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from bellwire.planner.assessment import assess, max_age_s
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual, Use
from bellwire.planner.multipartite.graph_equivalents import Equivalent
from bellwire.planner.multipartite.graph_fitting import fitted
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_noise import graph_fidelity
from bellwire.planner.multipartite.graph_operations import Assembled, assembled
from bellwire.planner.multipartite.graph_pairs import NoFinerPairs
from bellwire.planner.multipartite.graph_parts import Part, is_purified, pairs_of
from bellwire.planner.multipartite.graph_target import GraphRequest, TargetGraph
from bellwire.planner.multipartite.values import MultipartitePlan, PairSupply
from bellwire.planner.requests import Options
from bellwire.planner.structures import leaves
from bellwire.planner.topology import Topology

FLOORS: Final = 4
"""Fidelities of pairs that are tried, one after the other, when the fastest plan is not good enough."""


@dataclass(frozen=True, slots=True)
class Planning:
    """What a method is asked, and where. whole: links may take more than half of their nodes' capacity."""

    request: GraphRequest
    residual: Residual
    options: Options
    method: str
    whole: bool = False


class Candidate(NamedTuple):
    """One way to make a target: parts for an equivalent graph, and the way back to the target."""

    part: Part
    equivalent: Equivalent


class _Missed(FidelityMissed):
    """A plan without the wanted fidelity, and what it has instead."""

    def __init__(self, text: str, fidelity: float) -> None:
        super().__init__(text)
        self.fidelity = fidelity


def first_plan(planning: Planning, attempts: Iterable[Iterable[Candidate]]) -> MultipartitePlan:
    """The fastest plan of the first attempt that has any; later ones are not looked at.

    Raises:
        NoPlan: none has; the text says the best fidelity found where that was lacking, else what the first
            attempt lacks.
    """
    reasons: list[NoPlan] = []
    for candidates in attempts:
        try:
            return fastest(planning, candidates)
        except NoPlan as reason:
            reasons.append(reason)
    missed = [each for each in reasons if isinstance(each, _Missed)]
    if not missed:
        raise _named(planning.request, reasons[0])
    best = max(missed, key=lambda each: each.fidelity)
    wanting = next((f"; {each}" for each in reasons if isinstance(each, NoFinerPairs)), "")
    raise FidelityMissed(f"{best}{wanting}")


def attempts(
    request: GraphRequest,
    as_they_come: Callable[[], Iterator[Candidate]],
    finer: Callable[[float], Iterator[Candidate]],
    apart: Callable[[], Iterator[Candidate]] | None = None,
) -> Iterator[Iterator[Candidate]]:
    """What `first_plan` looks at: pairs as they come, pairs that leave each other room, finer pairs.

    finer: ways with pairs of a fidelity, at least. apart: None, where a method does not know such ways.
    """
    yield as_they_come()
    if apart is not None:
        yield apart()
    for fidelity in pair_fidelities(request):
        yield finer(fidelity)


def pair_fidelities(request: GraphRequest) -> Iterator[float]:
    """Fidelities that pairs should have, one attempt after the other, for a state that needs more than any.

    The first would do if pairs were all that is lost; each further one halves what is lacking.
    """
    if request.limits.fidelity is None or not request.limits.fidelity < 1.0:
        return
    floor = request.limits.fidelity ** (1.0 / len(Inside(request.target).remote))
    for _ in range(FLOORS):
        yield floor
        floor = (1.0 + floor) / 2.0


def _named(request: GraphRequest, reason: NoPlan) -> NoPlan:
    name = f"request {request.request}: "
    return reason if str(reason).startswith(name) else NoPlan(name + str(reason))


def fastest(planning: Planning, candidates: Iterable[Candidate]) -> MultipartitePlan:
    """The fastest plan among candidates that keep the limits.

    Raises:
        NoPlan: none does; the text says what the first one lacks.
    """
    best: MultipartitePlan | None = None
    broken: NoPlan | None = None
    for candidate in candidates:
        if best is not None and not planning.whole and candidate.part.latency_s >= best.latency_s:
            continue  # no plan is faster than its parts
        try:
            plan = finished(planning, candidate)
        except NoPlan as reason:
            if broken is None or (
                isinstance(reason, _Missed)
                and isinstance(broken, _Missed)
                and reason.fidelity > broken.fidelity
            ):
                broken = reason
            continue
        if best is None or plan.latency_s < best.latency_s:
            best = plan
    if best is None:
        raise broken or NoPlan(_never(planning.request, planning.residual))
    return best


def _never(request: GraphRequest, residual: Residual) -> str:
    nodes = dict.fromkeys(request.target.places.values())
    dead = [name for name in nodes if residual.topology.nodes[name].p_f == 0.0]
    return f"fusions at {', '.join(dead) or 'a node on the way'} never succeed"


def finished(planning: Planning, candidate: Candidate) -> MultipartitePlan:
    """The plan of one candidate.

    Raises:
        NoPlan: it breaks a limit or takes more than is left; the text says which.
    """
    request, residual = planning.request, planning.residual
    target, topology = request.target, residual.topology
    made = TargetGraph(target.places, candidate.equivalent.edges)
    if not math.isfinite(candidate.part.latency_s):
        raise NoPlan(f"request {request.request}: the plan has no rate, for a node in it never succeeds")
    own = Use(
        links_hz={},
        attempts_hz={},
        memories=Counter(target.places[vertex] for vertex in Inside(made).own),
    )
    part, use = fitted(candidate.part, residual, planning.options, own, whole=planning.whole)
    pairs = tuple(
        PairSupply((assess(pair.tree, residual, "past" if is_purified(pair.tree) else "dp"),))
        for pair in pairs_of(part)
    )
    round_ = assembled(part, pairs, made, candidate.equivalent.back, topology)
    qubits = tuple(round_.qubits[vertex] for vertex in target.places)
    fidelity = graph_fidelity(round_.history, qubits)
    _check_limits(request, part, round_, fidelity, topology)
    chances = [pair.success_probability for pair in pairs]
    chances += [operation.success_probability for operation in round_.operations]
    return MultipartitePlan(
        request=request.request,
        kind="graph",
        method=planning.method,
        members=tuple(target.places.values()),
        qubits=qubits,
        vertices=tuple(target.places.items()),
        edges=target.edges,
        pairs=pairs,
        operations=round_.operations,
        latency_s=part.latency_s,
        fidelity=fidelity,
        success_probability=math.prod(chances),
        age_s=round_.age_s,
        use=use,
    )


def _check_limits(
    request: GraphRequest, part: Part, round_: Assembled, fidelity: float, topology: Topology
) -> None:
    limits, name = request.limits, f"request {request.request}"
    oldest_s = max(round_.oldest_s, *(max_age_s(pair.tree, topology) for pair in pairs_of(part)))
    if oldest_s >= limits.age_s:
        raise NoPlan(f"{name}: a qubit waits {oldest_s:.4g} s on average, limit {limits.age_s:g} s")
    count = sum(1 for pair in pairs_of(part) for _ in leaves(pair.tree))
    if limits.leaves is not None and count > limits.leaves:
        raise NoPlan(f"{name}: the plan has {count} leaves, limit {limits.leaves}")
    if limits.fidelity is not None and fidelity < limits.fidelity:
        best = math.floor(fidelity * 1e4) / 1e4
        raise _Missed(
            f"{name}: fidelity {limits.fidelity:g} is not reached: the best plan found has {best:.4f}",
            fidelity,
        )
