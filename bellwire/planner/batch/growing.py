"""The optimum of a large network, over a hypergraph that grows where prices say that it pays.

Owns which part of a hypergraph a programme gets, and the proof that the rest would bring next to nothing.
Refuses prices (prices.py), programmes (solvers.py), and fidelity limits: levels.py cuts those hypergraphs
down by itself.

The hypergraph of n nodes has n^3 / 2 swaps, of which an optimum uses a few hundred. So the programme begins
with the routes that are cheapest on an idle network, and is solved again with those that its own prices call
cheaper than a pair is worth, until none is left (column generation). What it finds is a flow of the whole
network, never better than the optimum, and the last prices bound how much better that could be.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from bellwire.planner.batch.levels import ARCS_MAX, GAIN, Arc, Flowing, Hypergraph, State
from bellwire.planner.batch.prices import CheapestTrees, Prices, Swap, cheapest_trees, swaps_along
from bellwire.planner.batch.solvers import Flow, Objective, Solver, solve
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.topology import Pair, pair_of

CLOSE: Final = 5e-3
"""Growing ends when the optimum of the whole network is known to lie no further above than this part."""

FAR: Final = 2e-2
STALLED: Final = 1e-3
STALLED_STEPS: Final = 4
"""It also ends when that part is below FAR, and as many programmes as this brought less than STALLED: proofs
come later than what they prove."""

STEPS_MAX: Final = 40
"""Programmes at most; fifteen are usual. Where it is reached, `Flow.bound_hz` says what is left open."""

ROUTES_PER_STEP: Final = 16
"""Routes of one request that are added after each programme, at most."""

STEADY: Final = 0.7
"""Part of the prices with the best bound so far in those that a search goes by: prices of the last programme
alone jump from one end of a face of optima to another."""

FLOORS: Final = (1.0, 0.1, 1e-2, 1e-3, 1e-7)
"""Parts of the mean worth of a node that a search adds to all, so that among routes over idle nodes the short
ones go first. Each is tried where those before it find nothing."""

RAISES: Final = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
"""Parts of the mean worth of a node by which prices are raised to prove bounds."""


def is_large(residual: Residual, arcs_max: int = ARCS_MAX) -> bool:
    """Whether a network has more than `arcs_max` swaps, each of two pairs of nodes."""
    nodes = len(residual.topology.nodes)
    return nodes * (nodes - 1) * (nodes - 2) // 2 > arcs_max


def corridor(
    residual: Residual, requests: Sequence[PairRequest], options: Options, routes: int
) -> frozenset[Pair]:
    """Links on the cheapest routes of each request over an idle network, no two of which swap last at one
    node."""
    growing = _Growing(residual, requests, options)
    trees = cheapest_trees(growing.idle, growing.gains)
    found: set[Pair] = set()
    for source, destination in {(request.source, request.destination) for request in requests}:
        for _, at in trees.last_swaps(source, destination)[:routes]:
            found |= {pair_of(a, b) for a, b in pairwise(trees.nodes_through(source, at, destination))}
    return frozenset(found)


def grown_flow(
    residual: Residual,
    requests: Sequence[PairRequest],
    options: Options,
    objective: Objective,
    solver: Solver,
    told: Callable[[str], None],
) -> tuple[Hypergraph, Flow]:
    """A part of the hypergraph, and its best flow, known to be within FAR of the optimum of the whole one
    unless STEPS_MAX is reached. `Flow.bound_hz` says how near it is at least.

    Prices are those of HiGHS whatever solver makes the last programme.

    Raises:
        NoPlan: there is no limit to the rate.
        ConfigError: the solver is not installed.
    """
    growing = _Growing(residual, requests, options)
    weights = {request.request: request.weight for request in requests}
    wanted_hz = {request.request: request.rate_hz for request in requests}
    growing.add_routes(growing.idle_prices(), {request.request: np.inf for request in requests})
    best: Prices | None = None
    best_hz = np.inf
    optima_hz: list[float] = []
    steps = 0
    while True:
        steps += 1
        graph = growing.graph()
        flow = solve(graph, weights, wanted_hz, objective, "highs", told)
        last = flow.prices
        if last is None or last.optimum_hz <= 0.0:
            return graph, flow
        told("graph")
        if best is None or best.sated != last.sated:
            best, best_hz = last, growing.bound_hz(last)
        between = best.mixed(last, STEADY)
        for prices in growing.candidates(between, last):
            found_hz = growing.bound_hz(prices)
            if found_hz < best_hz:
                best, best_hz = prices, found_hz
        bound_hz = flow.optimum_hz * max(1.0, best_hz / last.optimum_hz)
        optima_hz.append(flow.optimum_hz)
        apart = bound_hz / flow.optimum_hz - 1.0
        done = apart <= CLOSE or (apart <= FAR and _has_stalled(optima_hz)) or steps == STEPS_MAX
        if not done:
            done = sum(growing.add_routes(prices, prices.delivered) for prices in (between, last)) == 0
        if done:
            if solver != "highs":
                flow = solve(graph, weights, wanted_hz, objective, solver, told)
            return graph, replace(flow, bound_hz=bound_hz)


def _has_stalled(optima_hz: Sequence[float]) -> bool:
    """True when the last programmes brought next to nothing."""
    return len(optima_hz) > STALLED_STEPS and optima_hz[-1] <= optima_hz[-1 - STALLED_STEPS] * (1.0 + STALLED)


class _Growing:
    """The part of a hypergraph that was found worth while."""

    def __init__(self, residual: Residual, requests: Sequence[PairRequest], options: Options) -> None:
        self.flowing = Flowing(residual, requests, options, None, 0)
        self.requests = {request.request: request for request in requests}
        self.limits_hz = {name: residual.attempts_hz(name) for name in residual.topology.nodes}
        self.capacities_hz = {
            pair: max(0.0, link.capacity_hz - residual.used_hz(pair))
            for pair, link in self.flowing.links.items()
        }
        self.gains = {
            name: GAIN * residual.topology.nodes[name].swap_probability for name in self.flowing.swaps
        }
        self.idle = self._idle_costs()
        self.arcs: dict[tuple[Pair, Pair], Arc] = {}

    def _idle_costs(self) -> dict[Pair, float]:
        """Part of its ends' and of its own capacity that a pair per second of each link takes, above 0."""
        costs: dict[Pair, float] = {}
        for pair, link in self.flowing.links.items():
            limits_hz = [link.success_probability * self.limits_hz[name] for name in pair]
            costs[pair] = sum(1.0 / limit_hz for limit_hz in (*limits_hz, self.capacities_hz[pair]))
        least = min((cost for cost in costs.values() if cost > 0.0), default=1.0)
        return {pair: max(cost, least) for pair, cost in costs.items()}

    def idle_prices(self) -> Prices:
        """Prices before anything flows: a node is worth a node."""
        return Prices(optimum_hz=0.0, attempts_hz=dict.fromkeys(self.limits_hz, 1.0), links={}, delivered={})

    def graph(self) -> Hypergraph:
        """What has been found so far."""
        return self.flowing.graph(tuple(self.arcs.values()))

    def costs(self, prices: Prices) -> dict[Pair, float]:
        """What a pair of each link costs."""
        return {pair: prices.of_link(link, self.limits_hz) for pair, link in self.flowing.links.items()}

    def add_routes(self, prices: Prices, worths: Mapping[str, float]) -> bool:
        """Take up routes that make a pair for less than it is worth; whether something of them is new."""
        mean_hz = prices.whole_hz(self.capacities_hz) / len(self.limits_hz)
        found, known = self.costs(prices), len(self.arcs)
        for floor in FLOORS:
            floor_hz = floor * mean_hz if mean_hz > 0.0 else floor
            costs = {pair: cost + floor_hz * self.idle[pair] for pair, cost in found.items()}
            trees = cheapest_trees(costs, self.gains)
            for name, worth in worths.items():
                self._add_routes_of(self.requests[name], trees, worth)
            if len(self.arcs) > known:
                return True
        return False

    def _add_routes_of(self, request: PairRequest, trees: CheapestTrees, worth: float) -> None:
        source, destination = request.source, request.destination
        for cost, at in trees.last_swaps(source, destination)[:ROUTES_PER_STEP]:
            if cost >= worth:
                return
            if at is None:
                continue  # links are there in any case
            nodes = trees.nodes_through(source, at, destination)
            if len(set(nodes)) == len(nodes):
                self._add_swaps(swaps_along(nodes))
            else:
                self._add_swaps(trees.swaps_of(source, at, destination))

    def _add_swaps(self, swaps: Iterable[Swap]) -> None:
        for one, other, product, at in swaps:
            if at in self.gains and one != other:
                key = (min(one, other), max(one, other))
                self.arcs.setdefault(
                    key, Arc(State(one, 0, 0), State(other, 0, 0), State(product, 0, 0), self.gains[at], at)
                )

    def candidates(self, *known: Prices) -> Iterator[Prices]:
        """Prices that may prove a bound: these, and raised ones, among which no route is for nothing."""
        for prices in known:
            yield prices
            mean_hz = prices.whole_hz(self.capacities_hz) / len(self.limits_hz)
            for part in RAISES:
                yield prices.raised(part * mean_hz, self.limits_hz, self.capacities_hz)

    def bound_hz(self, prices: Prices) -> float:
        """What no flow of the whole network exceeds, as a rate of the objective; inf: prices do not tell.

        Raised until no tree makes a pair for less than it is worth, the prices satisfy all rows of the dual
        programme of the whole network, whose every solution lies above the optimum.
        """
        trees = cheapest_trees(self.costs(prices), self.gains)
        whole_hz = prices.whole_hz(self.capacities_hz)
        raised = 1.0
        for name, worth in prices.delivered.items():
            request = self.requests[name]
            if worth > 0.0:
                cost = trees.cost(request.source, request.destination)
                raised = max(raised, worth / cost if cost > 0.0 else np.inf)
        return prices.optimum_hz if whole_hz == 0.0 else prices.optimum_hz + (raised - 1.0) * whole_hz
