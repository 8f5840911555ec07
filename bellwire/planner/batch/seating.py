"""Which trees of a flow find room: the programme knows no memories, the nodes do.

Owns the order in which trees are tried, and who goes first next time. Refuses flows (hyperflow.py) and the
retiming of a tree (executable.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.executable import executable
from bellwire.planner.batch.hyperflow import FlowTree
from bellwire.planner.batch.solvers import Objective
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.requests import PairRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """The trees that found room, and why others did not."""

    trees: Mapping[str, Sequence[PairPlan]]  # by request, widest first
    lacking: Mapping[str, str]  # request -> why its first tree that was left out was left out
    crowded: frozenset[str]  # requests that lost a tree to a lack of room, not to a limit of their own
    missed_hz: Mapping[str, float]  # flow of each request whose trees miss its fidelity
    worth: tuple[int, float]  # number of served requests, then the objective


def seated(
    pieces: Iterable[FlowTree],
    requests: Mapping[str, PairRequest],
    residual: Residual,
    objective: Objective,
) -> Seated:
    """The trees of a flow that fit beside each other, the best of several orders.

    At first the widest tree of each request; then the widest of all (total), or one of the request that is
    furthest behind (max_min). When a request lost trees to a lack of room, the one of these that is furthest
    behind goes first in the next order; no request is moved twice.
    """
    queues: dict[str, list[FlowTree]] = {name: [] for name in requests}
    for piece in sorted(pieces, key=lambda each: -each.rate_hz):
        queues[piece.request].append(piece)
    first: list[str] = []
    best: Seated | None = None
    while True:
        found = _in_order(queues, requests, residual, objective, first)
        if best is None or found.worth > best.worth:
            best = found
        crowded = [name for name in requests if name in found.crowded and name not in first]
        if not crowded:
            return best
        first.insert(0, min(crowded, key=lambda name: _pace_hz(found.trees[name], requests[name])))


def _in_order(
    queues: Mapping[str, Sequence[FlowTree]],
    requests: Mapping[str, PairRequest],
    residual: Residual,
    objective: Objective,
    first: Sequence[str],
) -> Seated:
    book = residual.copy()
    trees: dict[str, list[PairPlan]] = {name: [] for name in requests}
    tried = dict.fromkeys(requests, 0)
    lacking: dict[str, str] = {}
    crowded: set[str] = set()
    missed_hz = dict.fromkeys(requests, 0.0)

    def turn(name: str) -> tuple[float, ...]:
        place = first.index(name) if name in first else len(first)
        wide_hz = queues[name][tried[name]].rate_hz * requests[name].weight
        behind = float(bool(trees[name])) if objective == "total" else _pace_hz(trees[name], requests[name])
        return (place, behind, -wide_hz)

    while waiting := [name for name, queue in queues.items() if tried[name] < len(queue)]:
        name = min(waiting, key=turn)
        piece = queues[name][tried[name]]
        tried[name] += 1
        try:
            plan = executable(piece.tree, book, requests[name].limits)
            book.claim(f"levels {name}/{tried[name]}", plan.use)
        except FidelityMissed as reason:
            lacking.setdefault(name, str(reason))
            missed_hz[name] += piece.rate_hz
        except NoPlan as reason:
            lacking.setdefault(name, str(reason))
            crowded.add(name)
        else:
            trees[name].append(plan)
    paces_hz = [_pace_hz(plans, requests[name]) for name, plans in trees.items() if plans]
    if objective == "total":
        whole = sum(plan.rate_hz * requests[name].weight for name, plans in trees.items() for plan in plans)
    else:
        whole = min(paces_hz, default=0.0)
    return Seated(
        trees=trees,
        lacking=lacking,
        crowded=frozenset(crowded),
        missed_hz=missed_hz,
        worth=(len(paces_hz), whole),
    )


def _pace_hz(plans: Sequence[PairPlan], request: PairRequest) -> float:
    """Rate of a request in units of its weight."""
    return sum(plan.rate_hz for plan in plans) / request.weight
