"""Graph states by a linear programme over sets of edges: method "graph-lp" (algorithms.md 4.3, 1.6).

Owns the programme, and the way from its flow to one executable tree of parts. Refuses the hypergraph of pairs
and solving (bellwire.planner.batch).

The hypergraph of pairs is continued: every connected set of edges is a state, a single edge takes pairs as
they are, and two sets that touch make their union with gain 2/3 p_f, times p_f for every further common
vertex. So routes, swaps and fusions of all pairs are chosen together, on what all of them share. The plan is
the widest tree of the flow, as fast as the whole capacity of nodes and links lets it be; the plans of
"graph-pieces", at the same pace, are candidates beside it. The optimum itself, over all trees side by side
and with operations that take no time, is `optimum_hz`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from bellwire.planner.batch.hyperflow import decompose
from bellwire.planner.batch.levels import GAIN, Arc, Hypergraph, State, hypergraph
from bellwire.planner.batch.solvers import Flow, solve
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.graph_equivalents import Equivalent
from bellwire.planner.multipartite.graph_finishing import Candidate, Planning, attempts, first_plan
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_pairs import PairTrees
from bellwire.planner.multipartite.graph_parts import PairPart, Part
from bellwire.planner.multipartite.graph_pieces import alone
from bellwire.planner.multipartite.graph_programme import Programme, TooManySets
from bellwire.planner.multipartite.graph_target import GraphRequest
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.structures import Tree, Waiting, retimed
from bellwire.planner.topology import pair_of

METHOD: Final = "graph-lp"

SETS_MAX: Final = 300
"""Connected sets of edges that the programme has states for; all of 8 edges."""

NODES_MAX: Final = 60
"""Nodes of a network that the programme takes: swaps grow with the third power, 100,000 at this size."""

WHOLE: Final = "graph"
"""The only request of the programme."""


def plan(residual: Residual, request: GraphRequest, options: Options) -> MultipartitePlan:
    """The fastest plan that is found when pairs share all of the capacity, not half of each node.

    Raises:
        NoPlan: there is none; the text says why.
    """
    planning = Planning(request, residual, options, METHOD, whole=True)
    widest = partial(_candidates, residual, request, options)
    return first_plan(planning, attempts(request, widest, partial(alone, residual, request, options)))


def optimum_hz(residual: Residual, request: GraphRequest, options: Options) -> float:
    """The greatest rate of all trees together that make the edges of the target, t_b = t_f = t_c = 0.

    Raises:
        NoPlan: pairs cannot be had, the graph or the network is too large, or nothing limits the rate.
    """
    return _Optimum(residual, request, options).flow.optimum_hz


def _candidates(residual: Residual, request: GraphRequest, options: Options) -> Iterator[Candidate]:
    yield from alone(residual, request, options)
    try:
        part = _Optimum(residual, request, options).widest()
    except (TooManySets, TooLarge):
        return  # the plans in pieces are all there is
    if part is not None:
        yield Candidate(part, Equivalent(request.target.edges, ()))


class TooLarge(NoPlan):
    """The network has more nodes than the linear programme takes."""


class _Optimum:
    """The programme of one target."""

    def __init__(self, residual: Residual, request: GraphRequest, options: Options) -> None:
        if len(residual.topology.nodes) > NODES_MAX:
            raise TooLarge(
                f"the linear programme takes networks of {NODES_MAX} nodes at most, not of "
                f"{len(residual.topology.nodes)}; cut the network down to the nodes that matter"
            )
        self.topology = residual.topology
        self.waiting: Waiting = options.waiting
        inside = Inside(request.target)
        self.edges = inside.remote
        self.blocks = PairTrees(residual, options).needed(self.edges)
        self.programme = Programme(self.topology, options, self.blocks, joins=inside.joins, sets_max=SETS_MAX)
        pairs = dict.fromkeys(pair_of(one.node, other.node) for one, other in self.edges)
        requests = [
            PairRequest(request=str(index), source=pair[0], destination=pair[1])
            for index, pair in enumerate(pairs)
        ]
        self.base = hypergraph(residual, requests, options)
        self.made = {pair: self.base.delivered[str(index)] for index, pair in enumerate(pairs)}
        self.flow = solve(self._continued(self.base), {WHOLE: 1.0}, {WHOLE: None})
        self._into: dict[State, list[tuple[Arc, float]]] = defaultdict(list)
        for arc, rate_hz in self.flow.arcs_hz.items():
            self._into[arc.product].append((arc, rate_hz))

    def _continued(self, base: Hypergraph) -> Hypergraph:
        """The hypergraph of pairs, with sets of edges above it."""
        arcs = list(base.arcs)
        for index, (one, other) in enumerate(self.edges):
            arcs += [
                Arc(state, None, _set(1 << index), 1.0, None)
                for state in self.made[pair_of(one.node, other.node)]
            ]
        arcs += [
            Arc(_set(one), _set(other), _set(one | other), gain, None)
            for one, other in self.programme.cuts()
            if (gain := self._gain(one, other)) > 0.0
        ]
        return replace(base, arcs=tuple(arcs), delivered={WHOLE: (_set((1 << len(self.edges)) - 1),)})

    def _gain(self, one: int, other: int) -> float:
        gain = GAIN
        for spot in self.programme.common(one, other):
            gain *= self.topology.nodes[spot.node].p_f
        return gain

    def widest(self) -> Part | None:
        """The tree of the flow whose narrowest part carries most; None where nothing flows."""
        everything = (1 << len(self.edges)) - 1
        made_hz: dict[int, float] = {}
        ways: dict[int, tuple[int, int]] = {}  # the two sets that a set is made of
        taken: dict[str, dict[State, float]] = {}
        for index in range(len(self.edges)):
            rates = {arc.one: rate for arc, rate in self._into[_set(1 << index)]}
            taken[str(index)] = rates
            made_hz[1 << index] = sum(rates.values())
        for one, other in self.programme.cuts():
            blocks = one | other
            for arc, rate_hz in self._into[_set(blocks)]:
                if arc.one == _set(one) and arc.other == _set(other):
                    narrow_hz = arc.gain * min(rate_hz, made_hz.get(one, 0.0), made_hz.get(other, 0.0))
                    if narrow_hz > made_hz.get(blocks, 0.0):
                        made_hz[blocks], ways[blocks] = narrow_hz, (one, other)
        if not made_hz.get(everything):
            return None
        return self._part(everything, ways, self._trees(taken))

    def _trees(self, taken: dict[str, dict[State, float]]) -> dict[int, Tree]:
        """The widest swapping tree of every edge's pairs."""
        known = set(self.base.arcs)
        flow = Flow(
            links_hz=self.flow.links_hz,
            arcs_hz={arc: rate for arc, rate in self.flow.arcs_hz.items() if arc in known},
            delivered_hz=taken,
            optimum_hz=self.flow.optimum_hz,
        )
        ends = {str(index): (one.node, other.node) for index, (one, other) in enumerate(self.edges)}
        widest: dict[int, tuple[float, Tree]] = {}
        for found in decompose(self.base, flow, ends):
            index = int(found.request)
            if index not in widest or found.rate_hz > widest[index][0]:
                widest[index] = (found.rate_hz, found.tree)
        return {index: retimed(tree, self.topology, self.waiting) for index, (_, tree) in widest.items()}

    def _part(self, blocks: int, ways: dict[int, tuple[int, int]], trees: dict[int, Tree]) -> Part:
        if not blocks & (blocks - 1):
            index = blocks.bit_length() - 1
            return PairPart(*self.edges[index], trees[index])
        sets = ways[blocks]
        one, other = (self._part(each, ways, trees) for each in sets)
        return self.programme.built(one, other, self.programme.common(*sets), self.programme.room(*sets))


def _set(blocks: int) -> State:
    """A set of edges as a state; no node has the empty name."""
    return State(("", f"{blocks:b}"), 0, 0)
