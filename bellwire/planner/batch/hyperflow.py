"""A hyperflow taken apart into trees that nodes can execute (algorithms.md 1.6).

Owns the peeling. Refuses the programme that made the flow, and real latencies: a peeled tree has the rates of
the flow, where operations take no time (pitfall 14.7).

Peeling never gets stuck. Suppose that flow is left, but every way down from some state comes back to a state
above it. Each arc into such states takes at least one of them, and what comes out is less than what goes in
(gain 2/3 p at most; arcs of gain 1 go round in no circle): they use more than is made of them, which no flow
allows. So flows in circles, which an optimum may have where capacity is left over, are simply left behind.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.batch.levels import GAIN, Arc, Hypergraph, State
from bellwire.planner.batch.solvers import Flow
from bellwire.planner.structures import LinkLeaf, PurifyNode, SwapNode, Tree, turned
from bellwire.planner.topology import Pair

DUST: Final = 1e-12
"""Part of a request's flow that is rounding: parts that carry less are empty."""

LOST: Final = 1e-6
"""Part of a request's flow that rounding of the solver may leave over; more means that the flow is none."""


@dataclass(frozen=True, slots=True)
class FlowTree:
    """A tree with its part of the flow: latencies are 1/rate of the flow inside."""

    request: str
    tree: Tree
    rate_hz: float


def decompose(
    graph: Hypergraph, flow: Flow, ends: Mapping[str, tuple[NodeId, NodeId]]
) -> tuple[FlowTree, ...]:
    """Trees of all requests whose rates sum to what the flow delivers.

    Each step takes the widest way from a delivered state down to links, at the rate that its narrowest part
    allows; so every step uses up an arc, a link or a demand, and there are no more trees than these. ends:
    source and destination of each request.

    Raises:
        LocalMisuse: more than LOST of a request cannot be traced to links.
    """
    return tuple(_Peeling(graph, flow).trees(ends))


class _Peeling:
    """What is left of a flow while trees are taken from it."""

    def __init__(self, graph: Hypergraph, flow: Flow) -> None:
        self.arcs_hz = dict(flow.arcs_hz)
        self.links_hz = dict(flow.links_hz)
        self.demands_hz = {name: dict(states) for name, states in flow.delivered_hz.items()}
        self.made_by: dict[State, list[Arc]] = defaultdict(list)
        for arc in flow.arcs_hz:
            self.made_by[arc.product].append(arc)
        self.made_by_link: dict[State, list[Pair]] = defaultdict(list)
        for pair, state in graph.generated.items():
            self.made_by_link[state].append(pair)

    def trees(self, ends: Mapping[str, tuple[NodeId, NodeId]]) -> list[FlowTree]:
        """Everything that can be peeled, request by request."""
        found: list[FlowTree] = []
        for request, states in self.demands_hz.items():
            whole_hz = math.fsum(states.values())
            dust_hz = DUST * whole_hz
            for state in states:
                while states[state] > dust_hz:
                    way = self._widest(state, dust_hz)
                    if way is None:
                        break
                    tree, rate_hz = self._peel(way, state, states[state])
                    states[state] -= rate_hz
                    found.append(FlowTree(request, _from(tree, ends[request][0]), rate_hz))
            left_hz = math.fsum(states.values())
            if left_hz > LOST * whole_hz:
                raise LocalMisuse(f"{left_hz:g}/s of {whole_hz:g}/s of {request} come from no link")
        return found

    def _widest(self, goal: State, dust_hz: float) -> "_Way | None":
        """The way from links to a state through which most can flow, or None when no way carries anything.

        Dijkstra's search, from links upwards: what comes out of an arc is never wider than what goes in, so
        the widest open way is final (Knuth 1977, for grammars).
        """
        used_by, sources = self._below(goal, dust_hz)
        final: dict[State, _Way] = {}
        order = count()
        heap: list[tuple[float, int, State, _Way]] = []
        for state, pair in sources:
            heappush(heap, (-self.links_hz[pair], next(order), state, _Way(pair, ())))
        width: dict[State, float] = {}
        while heap:
            negative, _, state, way = heappop(heap)
            if state in final:
                continue
            if state == goal:
                return way
            final[state], width[state] = way, -negative
            for arc in used_by[state]:
                inputs = _inputs(arc)
                if arc.product in final or not all(each in final for each in inputs):
                    continue
                twice = 2.0 if len(inputs) == 2 and inputs[0] == inputs[1] else 1.0
                wide_hz = min(self.arcs_hz[arc], *(width[each] / twice for each in inputs)) * arc.gain
                ways = tuple(final[each] for each in inputs)
                heappush(heap, (-wide_hz, next(order), arc.product, _Way(arc, ways)))
        return None

    def _below(self, goal: State, dust_hz: float) -> tuple[dict[State, list[Arc]], list[tuple[State, Pair]]]:
        """Arcs with flow below a state, by input, and the links that feed them."""
        used_by: dict[State, list[Arc]] = defaultdict(list)
        sources: list[tuple[State, Pair]] = []
        seen, open_states = {goal}, [goal]
        while open_states:
            state = open_states.pop()
            sources += [
                (state, pair) for pair in self.made_by_link[state] if self.links_hz.get(pair, 0.0) > dust_hz
            ]
            for arc in self.made_by[state]:
                if self.arcs_hz[arc] <= dust_hz:
                    continue
                for each in set(_inputs(arc)):
                    used_by[each].append(arc)
                    if each not in seen:
                        seen.add(each)
                        open_states.append(each)
        return used_by, sources

    def _peel(self, way: "_Way", state: State, demand_hz: float) -> tuple[Tree, float]:
        """Take as much as the narrowest part of a way allows; parts may stand in it more than once."""
        used: dict[Arc | Pair, float] = defaultdict(float)
        way.count(used, 1.0)
        rate_hz = demand_hz
        for part, share in used.items():
            left_hz = self.arcs_hz[part] if isinstance(part, Arc) else self.links_hz[part]
            rate_hz = min(rate_hz, left_hz / share)
        for part, share in used.items():
            if isinstance(part, Arc):
                self.arcs_hz[part] = max(0.0, self.arcs_hz[part] - rate_hz * share)
            else:
                self.links_hz[part] = max(0.0, self.links_hz[part] - rate_hz * share)
        return way.tree(state, rate_hz), rate_hz


def _inputs(arc: Arc) -> tuple[State, ...]:
    return (arc.one,) if arc.other is None else (arc.one, arc.other)


@dataclass(frozen=True, slots=True)
class _Way:
    """A tree of arcs down to links; inputs: the ways of the part's inputs, none for a link."""

    part: Arc | Pair
    inputs: "tuple[_Way, ...]"

    def count(self, used: "dict[Arc | Pair, float]", rate: float) -> None:
        """Add what a product at `rate` uses of every part."""
        consumed = rate / self.part.gain if isinstance(self.part, Arc) else rate
        used[self.part] += consumed
        for way in self.inputs:
            way.count(used, consumed)

    def tree(self, state: State, rate_hz: float) -> Tree:
        """The way as a tree whose nodes have the latencies 1/rate."""
        left, right = state.pair
        if not isinstance(self.part, Arc):
            return LinkLeaf(left, right, 1.0 / rate_hz)
        arc, consumed_hz = self.part, rate_hz / self.part.gain
        trees = [way.tree(each, consumed_hz) for way, each in zip(self.inputs, _inputs(arc), strict=True)]
        if len(trees) == 1:
            return trees[0]
        one, other = trees
        if arc.at is None:
            return PurifyNode(one, other, "bbpssw", False, arc.gain / GAIN, 1.0 / rate_hz)
        if left not in arc.one.pair:
            one, other = other, one
        return SwapNode(_from(one, left), _from(other, arc.at), 1.0 / rate_hz)


def _from(tree: Tree, left: NodeId) -> Tree:
    return tree if tree.left == left else turned(tree)
