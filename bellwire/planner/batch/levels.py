"""The level-based optimum: flows of pairs through all swaps at once, a hypergraph (algorithms.md 1.6, 2.3).

Owns the hypergraph: which pairs at which fidelity level can exist, which swaps and purification rounds lead
from one to another, and with what gain. Refuses solving (solvers.py) and trees (hyperflow.py).

A state is a pair of nodes with a fidelity level; without a fidelity limit there is one level. Levels come
from link fidelities, swaps and rounds, on a grid and rounded down, so that promises stay below the truth.
Werner states are assumed between the steps.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bellwire.core.bell import bbpssw
from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.all_pairs import may_swap
from bellwire.planner.topology import Link, Pair, pair_of

GAIN: Final = 2.0 / 3.0
"""Inverse of the waiting factor: two pairs consumed at rate r each make 2/3 p r."""

LEVEL_STEP: Final = 0.005
LEVEL_MIN: Final = 0.5
"""States of a fidelity below this serve nobody and are left out."""


class State(NamedTuple):
    """Pairs between two nodes at a fidelity level; level 0 is the only one where fidelity does not matter."""

    pair: Pair
    level: int


class Arc(NamedTuple):
    """One way to make a state: two states are consumed at rate s each, and `gain` s comes out."""

    one: State
    other: State
    product: State
    gain: float
    at: NodeId | None  # the node that swaps; None: a purification round


@dataclass(frozen=True, slots=True)
class Hypergraph:
    """Everything that can flow on what is left of a network."""

    generated: dict[Pair, State]  # what each link makes
    arcs: tuple[Arc, ...]
    delivered: dict[str, tuple[State, ...]]  # request -> states that serve it
    links: dict[Pair, Link]
    capacities_hz: dict[Pair, float]
    attempts_hz: dict[NodeId, float]  # inf: no limit


def hypergraph(residual: Residual, requests: Sequence[PairRequest], options: Options) -> Hypergraph:
    """The hypergraph of a network for some requests, cut down to what can flow and what somebody wants.

    With a fidelity limit in any request, all states carry levels.
    """
    topology = residual.topology
    swaps = [name for name in topology.nodes if may_swap(residual, name, options)]
    swaps = [name for name in swaps if topology.nodes[name].swap_probability > 0.0]
    levels = _Levels(any(request.limits.fidelity is not None for request in requests))
    links: dict[Pair, Link] = {}
    generated: dict[Pair, State] = {}
    for pair, link in topology.links.items():
        able = all(name not in options.avoid and residual.memories(name) for name in pair)
        if able and residual.link_rate_hz(link, 1.0, 1.0) > 0.0:
            level = levels.of(link.fidelity)
            if level is not None:
                links[pair] = link
                generated[pair] = State(pair, level)
    arcs = list(_possible(residual, generated.values(), swaps, options.rounds, levels))
    goals = {request.request: pair_of(request.source, request.destination) for request in requests}
    made = {*generated.values(), *(arc.product for arc in arcs)}
    delivered: dict[str, tuple[State, ...]] = {}
    for request in requests:
        least = levels.least(request.limits.fidelity)
        delivered[request.request] = tuple(
            sorted(state for state in made if state.pair == goals[request.request] and state.level >= least)
        )
    arcs = _wanted(arcs, {state for states in delivered.values() for state in states})
    return Hypergraph(
        generated=generated,
        arcs=tuple(arcs),
        delivered=delivered,
        links=links,
        capacities_hz={
            pair: max(0.0, link.capacity_hz - residual.used_hz(pair)) for pair, link in links.items()
        },
        attempts_hz={name: residual.attempts_hz(name) for name in topology.nodes},
    )


class _Levels:
    """The grid of fidelities, or a single level."""

    def __init__(self, several: bool) -> None:
        self.several = several

    def of(self, fidelity: float) -> int | None:
        """Level at or below a fidelity; None below LEVEL_MIN."""
        if not self.several:
            return 0
        return math.floor(fidelity / LEVEL_STEP + 1e-9) if fidelity >= LEVEL_MIN else None

    def least(self, fidelity: float | None) -> int:
        """Lowest level that serves a limit."""
        return 0 if fidelity is None or not self.several else math.ceil(fidelity / LEVEL_STEP - 1e-9)

    def fidelity(self, level: int) -> float:
        """Of a level; 1 where fidelity does not matter."""
        return level * LEVEL_STEP if self.several else 1.0


def _possible(
    residual: Residual, generated: Iterable[State], swaps: list[NodeId], rounds: int, levels: _Levels
) -> Iterator[Arc]:
    """Forward closure: every arc whose inputs can exist."""
    nodes = residual.topology.nodes
    able = set(swaps)
    noise = {name: (4.0 * nodes[name].swap_noise[0] - 1.0) / 3.0 for name in nodes}
    at_node: dict[NodeId, dict[State, None]] = defaultdict(dict)
    at_pair: dict[Pair, dict[State, int]] = defaultdict(dict)  # with the fewest rounds that made it
    fresh: dict[State, int] = dict.fromkeys(generated, 0)
    while fresh:
        state, depth = next(iter(fresh.items()))
        del fresh[state]
        if state in at_pair[state.pair]:
            continue
        at_pair[state.pair][state] = depth
        found: list[tuple[Arc, int]] = []
        for at in state.pair:
            at_node[at][state] = None
            if at not in able:
                continue
            near = state.pair[1] if state.pair[0] == at else state.pair[0]
            for other in at_node[at]:
                far = other.pair[1] if other.pair[0] == at else other.pair[0]
                if far == near:
                    continue
                w = _werner(levels.fidelity(state.level)) * _werner(levels.fidelity(other.level)) * noise[at]
                level = levels.of((1.0 + 3.0 * w) / 4.0) if levels.several else 0
                if level is not None:
                    gain = GAIN * nodes[at].swap_probability
                    found.append((Arc(state, other, State(pair_of(near, far), level), gain, at), 0))
        if levels.several and depth < rounds:
            for other in list(at_pair[state.pair]):
                done = bbpssw(levels.fidelity(state.level), levels.fidelity(other.level))
                level = levels.of(done.state[0])
                if level is not None and level > max(state.level, other.level):
                    rounded = State(state.pair, level)
                    deeper = max(depth, at_pair[state.pair][other]) + 1
                    found.append((Arc(state, other, rounded, GAIN * done.success_probability, None), deeper))
        for arc, deeper in found:
            yield arc
            if arc.product not in at_pair[arc.product.pair]:
                fresh.setdefault(arc.product, deeper)


def _werner(fidelity: float) -> float:
    return (4.0 * fidelity - 1.0) / 3.0


def _wanted(arcs: list[Arc], goals: set[State]) -> list[Arc]:
    """Backward closure: the arcs that can contribute to a goal."""
    making: dict[State, list[Arc]] = defaultdict(list)
    for arc in arcs:
        making[arc.product].append(arc)
    wanted, open_states = set(goals), list(goals)
    while open_states:
        for arc in making[open_states.pop()]:
            for state in (arc.one, arc.other):
                if state not in wanted:
                    wanted.add(state)
                    open_states.append(state)
    return [arc for arc in arcs if arc.product in wanted]
