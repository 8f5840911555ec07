"""A hyperflow taken apart into trees that nodes can execute (algorithms.md 1.6).

Owns the peeling. Refuses the programme that made the flow, and real latencies: a peeled tree has the rates of
the flow, where operations take no time (pitfall 14.7).
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.batch.levels import GAIN, Arc, Hypergraph, State
from bellwire.planner.batch.solvers import Flow
from bellwire.planner.structures import LinkLeaf, PurifyNode, SwapNode, Tree, turned
from bellwire.planner.topology import Pair

LOST: Final = 1e-6
"""Part of a request's flow that rounding of the solver may leave over; more means that the flow is none."""


@dataclass(frozen=True, slots=True)
class FlowTree:
    """A tree with its part of the flow: latencies are 1/rate of the flow inside."""

    request: str
    tree: Tree
    rate_hz: float


def decompose(graph: Hypergraph, flow: Flow, ends: dict[str, tuple[NodeId, NodeId]]) -> tuple[FlowTree, ...]:
    """Trees of all requests whose rates sum to what the flow delivers.

    Each step follows, from a delivered state down to links, the way with the most flow left, and takes as
    much as its narrowest part allows; so every step uses up an arc, a link or a demand, and there are no more
    trees than these. ends: source and destination of each request.

    Raises:
        LocalMisuse: more than LOST of a request cannot be traced to links.
    """
    return tuple(_Peeling(graph, flow).trees(ends))


class _Peeling:
    def __init__(self, graph: Hypergraph, flow: Flow) -> None:
        self.graph = graph
        self.arcs_hz = dict(flow.arcs_hz)
        self.links_hz = {pair: rate for pair, rate in flow.links_hz.items() if rate > 0.0}
        self.demands_hz = {name: dict(states) for name, states in flow.delivered_hz.items()}
        self.made_by: dict[State, list[Arc]] = defaultdict(list)
        for arc in flow.arcs_hz:
            self.made_by[arc.product].append(arc)
        self.made_by_link = {state: pair for pair, state in graph.generated.items()}
        whole_hz = max((sum(states.values()) for states in self.demands_hz.values()), default=0.0)
        self.dust_hz = 1e-12 * max(whole_hz, max(self.links_hz.values(), default=0.0))

    def trees(self, ends: dict[str, tuple[NodeId, NodeId]]) -> list[FlowTree]:
        found: list[FlowTree] = []
        for request, states in self.demands_hz.items():
            whole_hz = math.fsum(states.values())
            for state in states:
                while states[state] > self.dust_hz:
                    chosen = self._choose(state, frozenset())
                    if chosen is None:
                        break
                    tree, rate_hz = self._peel(chosen, state, states[state])
                    states[state] -= rate_hz
                    found.append(FlowTree(request, _from(tree, ends[request][0]), rate_hz))
            left_hz = math.fsum(states.values())
            if left_hz > LOST * whole_hz:
                raise LocalMisuse(f"{left_hz:g}/s of {whole_hz:g}/s of {request} come from no link")
        return found

    def _choose(self, state: State, above: frozenset[State]) -> "_Way | None":
        """The widest way down to links that does not go through a state above it."""
        if state in above:
            return None
        options: list[tuple[float, Arc | Pair]] = [
            (self.arcs_hz[arc] * arc.gain, arc)
            for arc in self.made_by[state]
            if self.arcs_hz[arc] > self.dust_hz
        ]
        pair = self.made_by_link.get(state)
        if pair is not None and self.links_hz.get(pair, 0.0) > self.dust_hz:
            options.append((self.links_hz[pair], pair))
        for _, option in sorted(options, key=lambda each: -each[0]):
            if not isinstance(option, Arc):
                return _Way(option, None, None)
            one = self._choose(option.one, above | {state})
            other = self._choose(option.other, above | {state}) if one is not None else None
            if one is not None and other is not None:
                return _Way(option, one, other)
        return None

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


@dataclass(frozen=True, slots=True)
class _Way:
    """A tree of arcs down to links."""

    part: Arc | Pair
    one: "_Way | None"
    other: "_Way | None"

    def count(self, used: "dict[Arc | Pair, float]", rate: float) -> None:
        """Add what a product at `rate` uses of every part."""
        if isinstance(self.part, Arc):
            assert self.one is not None
            assert self.other is not None
            consumed = rate / self.part.gain
            used[self.part] += consumed
            self.one.count(used, consumed)
            self.other.count(used, consumed)
        else:
            used[self.part] += rate

    def tree(self, state: State, rate_hz: float) -> Tree:
        """The way as a tree whose nodes have the latencies 1/rate."""
        left, right = state.pair
        if not isinstance(self.part, Arc):
            return LinkLeaf(left, right, 1.0 / rate_hz)
        assert self.one is not None
        assert self.other is not None
        arc, consumed_hz = self.part, rate_hz / self.part.gain
        one, other = self.one.tree(arc.one, consumed_hz), self.other.tree(arc.other, consumed_hz)
        if arc.at is None:
            return PurifyNode(one, other, "bbpssw", False, arc.gain / GAIN, 1.0 / rate_hz)
        if left not in arc.one.pair:
            one, other = other, one
        return SwapNode(_from(one, left), _from(other, arc.at), 1.0 / rate_hz)


def _from(tree: Tree, left: NodeId) -> Tree:
    return tree if tree.left == left else turned(tree)
