"""The level-based optimum: flows of pairs through all swaps at once, a hypergraph (algorithms.md 1.6, 2.3).

Owns the hypergraph: which pairs at which fidelity level can exist, which swaps and purification rounds lead
from one to another, and with what gain. Refuses the arithmetic of levels (fidelity_grid.py), their bounds
(fidelity_needs.py), solving (solvers.py) and trees (hyperflow.py).

Without a fidelity limit a state is a pair of nodes. With one, it is a pair, a level, and a number of rounds
that the pair may have had in a row: a pair with fewer passes for one with more (an arc without a partner),
and only pairs with all rounds are swapped or delivered. Where some requests have a limit and some have none,
the latter live on level 0, to which every pair may fall. Falling to other levels is never needed: a better
pair makes whatever a worse one makes, at least as good.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from bellwire.core.ids import NodeId
from bellwire.planner.batch.fidelity_grid import MIXED, FidelityGrid
from bellwire.planner.batch.fidelity_needs import Ground, best_levels, needed_levels
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.openings import may_swap
from bellwire.planner.topology import Link, Pair, pair_of

GAIN: Final = 2.0 / 3.0
"""Inverse of the waiting factor: two pairs consumed at rate r each make 2/3 p r."""

EXACT_LINKS: Final = 8
"""Fidelities of links stand on the grid themselves while there are no more different ones than this."""

GRID_STEPS: Final = (0.005, 0.01, 0.02)
"""Steps of the fidelity grid, tried in turn until the hypergraph is small enough."""

ARCS_MAX: Final = 60_000
"""Arcs of a hypergraph with fidelity levels at most; more take the solver seconds, several times."""


class TooLarge(NoPlan):
    """A hypergraph has more arcs than a programme takes."""


class State(NamedTuple):
    """Pairs between two nodes at a fidelity level, after so many purification rounds in a row at most."""

    pair: Pair
    level: int
    rounds: int


class Arc(NamedTuple):
    """One way to make a state: its inputs are consumed at rate s each, and `gain` s comes out.

    other: None where a pair merely passes for one with more rounds, or with any fidelity (gain 1).
    """

    one: State
    other: State | None
    product: State
    gain: float
    at: NodeId | None  # the node that swaps; None: a purification round, or no operation at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypergraph:
    """Everything that can flow on what is left of a network."""

    generated: Mapping[Pair, State]  # what each link makes
    arcs: tuple[Arc, ...]
    delivered: Mapping[str, tuple[State, ...]]  # request -> states that serve it; none: it cannot be served
    links: Mapping[Pair, Link]
    capacities_hz: Mapping[Pair, float]
    attempts_hz: Mapping[NodeId, float]  # inf: no limit
    fidelity_step: float | None  # of the grid; None: fidelity does not matter
    rounds: int  # purification rounds in a row, at most

    @property
    def served(self) -> int:
        """Number of requests that some state serves."""
        return sum(1 for states in self.delivered.values() if states)


def hypergraph(
    residual: Residual,
    requests: Sequence[PairRequest],
    options: Options,
    steps: Sequence[float] = GRID_STEPS,
    arcs_max: int = ARCS_MAX,
    within: frozenset[Pair] | None = None,
) -> Hypergraph:
    """The hypergraph of a network for some requests, cut down to what can flow and what somebody wants.

    With fidelity limits it can become too large. Then the grid becomes coarser, and after that the rounds
    fewer, until there are no more than `arcs_max` arcs; the first such hypergraph that serves all requests is
    taken, or the one that serves most. steps: of the grid, finest first. within: links that it may use, None:
    any.

    Raises:
        TooLarge: even without rounds on the coarsest grid there are more arcs.
    """
    limits = [limit for request in requests if (limit := request.limits.fidelity) is not None]
    if not any(limit > MIXED for limit in limits):
        flowing = Flowing(residual, requests, options, None, 0, within)
        return flowing.graph(tuple(flowing.arcs()))
    fidelities = {link.fidelity for link in residual.topology.links.values()}
    exact = {*limits, *(fidelities if len(fidelities) <= EXACT_LINKS else ())}
    best: Hypergraph | None = None
    for rounds in reversed(range(options.rounds + 1)):
        for step in steps:
            flowing = Flowing(residual, requests, options, FidelityGrid(step, exact), rounds, within)
            arcs = tuple(islice(flowing.arcs(), arcs_max + 1))
            if len(arcs) > arcs_max:
                continue
            found = flowing.graph(arcs)
            if best is None or found.served > best.served:
                best = found
            if best.served == len(requests):
                return best
    if best is None:
        raise TooLarge(
            f"more than {arcs_max} swaps could serve the fidelities asked for, too many for the linear "
            "programme: use the method iterative"
        )
    return best


class Flowing:
    """What flows between the levels of a network; grid None: fidelity does not matter."""

    def __init__(
        self,
        residual: Residual,
        requests: Sequence[PairRequest],
        options: Options,
        grid: FidelityGrid | None,
        rounds: int,
        within: frozenset[Pair] | None = None,
    ) -> None:
        topology = residual.topology
        self.residual, self.requests, self.grid, self.rounds = residual, requests, grid, rounds
        self.swaps = frozenset(
            name
            for name, node in topology.nodes.items()
            if node.swap_probability > 0.0 and may_swap(residual, name, options)
        )
        able = {name for name in topology.nodes if name not in options.avoid and residual.memories(name)}
        self.links = {
            pair: link
            for pair, link in topology.links.items()
            if (within is None or pair in within)
            and able.issuperset(pair)
            and residual.link_rate_hz(link, 1.0, 1.0) > 0.0
        }
        self.least = {
            request.request: 0 if grid is None else grid.least(request.limits.fidelity)
            for request in requests
        }
        self.unlimited = not all(self.least.values())
        self.needed: dict[Pair, list[int]] = {}
        if grid is not None:
            self.ground = Ground(grid, topology.nodes, self.swaps, self.rounds)
            levels = {pair: grid.level(link.fidelity) for pair, link in self.links.items()}
            goals: dict[Pair, int] = {}
            for request in requests:
                pair, least = pair_of(request.source, request.destination), self.least[request.request]
                if least:
                    goals[pair] = min(least, goals.get(pair, least))
            self.needed = needed_levels(self.ground, best_levels(self.ground, levels), goals)
        self.generated: dict[Pair, State] = {}
        for pair, link in self.links.items():
            state = self._state(pair, 0 if grid is None else grid.level(link.fidelity))
            if state is not None:
                self.generated[pair] = state

    def _state(self, pair: Pair, level: int, rounds: int = 0) -> State | None:
        """The state that fresh pairs of a level are in; None: nobody needs them."""
        needed = self.needed.get(pair)
        if needed is not None and level >= needed[rounds]:
            return State(pair, level, rounds)
        return State(pair, 0, self.rounds) if self.unlimited else None

    def arcs(self) -> Iterator[Arc]:
        """Every arc whose inputs can exist and whose product may be of use, breadth first."""
        ready: dict[NodeId, list[tuple[NodeId, State]]] = defaultdict(list)
        rising: dict[tuple[Pair, int], list[State]] = defaultdict(list)
        fresh = deque(self.generated.values())
        seen = set(fresh)
        while fresh:
            state = fresh.popleft()
            if state.rounds < self.rounds:
                beside = rising[state.pair, state.rounds]
                beside.append(state)
                found = self._rounds_of(state, beside)
            else:
                found = self._swaps_of(state, ready)
            for arc in found:
                yield arc
                if arc.product not in seen:
                    seen.add(arc.product)
                    fresh.append(arc.product)

    def _rounds_of(self, state: State, beside: Iterable[State]) -> Iterator[Arc]:
        """No round, or one with each state of the same pair that has had as many.

        A state that is of use only after a round may also serve, as it is, whoever asks for no fidelity.
        """
        assert self.grid is not None
        pair, level, done = state
        least = self.needed[pair][done + 1]
        if level >= least:
            yield Arc(state, None, State(pair, level, done + 1), 1.0, None)
        elif self.unlimited:
            yield Arc(state, None, State(pair, 0, self.rounds), 1.0, None)
        gates = self.ground.gates(pair)
        for other in beside:
            kept, measured = (state, other) if level >= other.level else (other, state)
            result = self.grid.purified(kept.level, measured.level, gates)
            if result.level > kept.level and result.level >= least:
                product = State(pair, result.level, done + 1)
                yield Arc(kept, measured, product, GAIN * result.success_probability, None)

    def _swaps_of(self, state: State, ready: dict[NodeId, list[tuple[NodeId, State]]]) -> Iterator[Arc]:
        """A swap with each known state at either end, and the fall to level 0 where somebody takes it."""
        (a, b), level, rounds = state
        if level and self.unlimited:
            yield Arc(state, None, State(state.pair, 0, rounds), 1.0, None)
        for at, near in ((a, b), (b, a)):
            ready[at].append((near, state))
            if at not in self.swaps:
                continue
            gain = GAIN * self.residual.topology.nodes[at].swap_probability
            noise = self.ground.noise(at) if level else 0.0
            for far, other in ready[at]:
                if far == near or (other.level > 0) != (level > 0):
                    continue
                pair = (near, far) if near <= far else (far, near)
                if not level:
                    yield Arc(state, other, State(pair, 0, rounds), gain, at)
                    continue
                assert self.grid is not None
                made = self.grid.swapped(level, other.level, noise)
                if pair in self.needed and made >= self.needed[pair][0]:
                    yield Arc(state, other, State(pair, made, 0), gain, at)

    def graph(self, arcs: tuple[Arc, ...]) -> Hypergraph:
        """The hypergraph of the arcs that contribute to a delivered state."""
        residual = self.residual
        made: dict[Pair, list[State]] = defaultdict(list)
        for state in {*self.generated.values(), *(arc.product for arc in arcs)}:
            if state.rounds == self.rounds:
                made[state.pair].append(state)
        delivered = {
            request.request: tuple(
                sorted(
                    state
                    for state in made[pair_of(request.source, request.destination)]
                    if (state.level >= least if (least := self.least[request.request]) else not state.level)
                )
            )
            for request in self.requests
        }
        wanted, arcs = _wanted(arcs, {state for states in delivered.values() for state in states})
        generated = {pair: state for pair, state in self.generated.items() if state in wanted}
        links = {pair: self.links[pair] for pair in generated}
        return Hypergraph(
            generated=generated,
            arcs=arcs,
            delivered=delivered,
            links=links,
            capacities_hz={
                pair: max(0.0, link.capacity_hz - residual.used_hz(pair)) for pair, link in links.items()
            },
            attempts_hz={name: residual.attempts_hz(name) for name in residual.topology.nodes},
            fidelity_step=None if self.grid is None else self.grid.step,
            rounds=self.rounds,
        )


def _wanted(arcs: tuple[Arc, ...], goals: set[State]) -> tuple[set[State], tuple[Arc, ...]]:
    """Backward closure: the states and arcs that can contribute to a goal."""
    making: dict[State, list[Arc]] = defaultdict(list)
    for arc in arcs:
        making[arc.product].append(arc)
    wanted, open_states = set(goals), list(goals)
    while open_states:
        for arc in making[open_states.pop()]:
            for state in (arc.one, arc.other):
                if state is not None and state not in wanted:
                    wanted.add(state)
                    open_states.append(state)
    return wanted, tuple(arc for arc in arcs if arc.product in wanted)
