"""A tree of parts as operations in order of execution, with the history of the qubits.

Owns the way from parts to `Operation` values and to the events from which the fidelity follows. Refuses
latencies (graph_parts.py), rules (graph_rules.py) and numbers of physics (graph_noise.py).

A pair stays Phi+ until its first operation, whose node puts an H on its own qubit: then it is an edge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bellwire.core.bell import Eigenvalues, eigenvalues
from bellwire.core.ids import NodeId
from bellwire.planner.assessment import waits_s
from bellwire.planner.multipartite.graph_local import Inside
from bellwire.planner.multipartite.graph_noise import (
    Event,
    Merged,
    Paired,
    Pivoted,
    Struck,
    SwappedOut,
)
from bellwire.planner.multipartite.graph_parts import (
    ClosedPart,
    FusedPart,
    Joint,
    LocalPart,
    PairPart,
    Part,
    Spot,
    TurnedPart,
    joint_at,
)
from bellwire.planner.multipartite.graph_rules import (
    Graph,
    Rule,
    complemented,
    fused,
    graph_of,
    pivoted,
    swapped_out,
    together,
    toggled,
)
from bellwire.planner.multipartite.graph_stars import centre_of
from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.multipartite.values import (
    Action,
    Correction,
    Gate,
    Measurement,
    Operation,
    PairSupply,
    Qubit,
    Step,
    Vertex,
    told_of_failure,
)
from bellwire.planner.topology import Topology


@dataclass(frozen=True, slots=True)
class Assembled:
    """Everything that a round does."""

    operations: tuple[Operation, ...]
    qubits: dict[Vertex, Qubit]
    history: tuple[Event, ...]
    age_s: float  # mean age of the oldest qubit at delivery
    oldest_s: float  # largest mean age of any qubit of any state


def assembled(
    part: Part, pairs: Sequence[PairSupply], target: TargetGraph, back: Sequence[Vertex], topology: Topology
) -> Assembled:
    """The operations that make a target.

    pairs: in the order of `pairs_of(part)`. target: the graph that the parts make; spots are called like its
    vertices. back: vertices at which owners complement when it is made.
    """
    return _Assembly(pairs, target, topology).round(part, back)


@dataclass(slots=True)
class _State:
    """A state in the making."""

    number: int
    graph: Graph[Qubit]
    at: dict[str, tuple[Qubit, ...]]  # spot -> its qubits: two until the spot is closed
    ages_s: dict[Qubit, float]
    latency_s: float
    fresh: Eigenvalues | None = None  # of a pair that is still in Phi+


class _Assembly:
    """Walks through the parts and writes down what is done."""

    def __init__(self, pairs: Sequence[PairSupply], target: TargetGraph, topology: Topology) -> None:
        self.pairs, self.target, self.topology = pairs, target, topology
        self.operations: list[Operation] = []
        self.history: list[Event] = []
        self.oldest_s = 0.0
        self._next_pair = 0
        self._inside = Inside(target)
        self._local = list(self._inside.local)  # not done yet
        self._own = {
            vertex: Qubit(index, "own", target.places[vertex])
            for index, vertex in enumerate(self._inside.own)
        }

    def round(self, part: Part, back: Sequence[Vertex]) -> Assembled:
        state = self._made(part)
        if state.fresh is not None and not self._local:
            state = self._rotated(state)
        for node in list(dict.fromkeys(self.target.places[a] for a, _ in self._local)):
            own = [vertex for vertex in self._own if self.target.places[vertex] == node]
            state = self._entangled([state], node, own, (0.0,), state.latency_s)
        for vertex in back:
            state = self._complemented(state, vertex)
        qubits = {vertex: state.at[vertex][0] for vertex in self.target.places}
        return Assembled(
            tuple(self.operations), qubits, tuple(self.history), max(state.ages_s.values()), self.oldest_s
        )

    def _made(self, part: Part) -> _State:
        match part:
            case PairPart():
                return self._pair(part)
            case FusedPart():
                one, other = self._made(part.one), self._made(part.other)
                return self._fused(part, one, other)
            case ClosedPart():
                return self._closed(part, self._made(part.of))
            case LocalPart():
                one, other = self._made(part.one), self._made(part.other)
                own = self._inside.between(part.node, one.at, other.at)
                waits = waits_s(one.latency_s, other.latency_s)
                return self._entangled([one, other], part.node, own, waits, part.latency_s)
            case TurnedPart():
                return self._turned(part, self._made(part.of))

    def _pair(self, part: PairPart) -> _State:
        number, self._next_pair = self._next_pair, self._next_pair + 1
        supply = self.pairs[number]
        left, right = Qubit(number, "left", supply.left), Qubit(number, "right", supply.right)
        self.oldest_s = max(self.oldest_s, *supply.ages_s)
        return _State(
            number,
            graph_of((left, right), [(left, right)]),
            {part.left.name: (left,), part.right.name: (right,)},
            dict(zip((left, right), supply.ages_s, strict=True)),
            part.latency_s,
            eigenvalues(supply.state),
        )

    # --- operations --------------------------------------------------------------------------------------

    def _fused(self, part: FusedPart, one: _State, other: _State) -> _State:
        """A fusion or a swap of two states at a spot."""
        name = part.spot.name
        waits = waits_s(one.latency_s, other.latency_s)
        (kept,), (measured,) = one.at[name], other.at[name]
        steps: list[Step] = []
        turns: list[Gate] = []
        cancels = not part.spot.stays and other.fresh is not None  # two H in a row on the measured qubit
        for state, own, child, wait_s in zip(
            (one, other), (kept, measured), (part.one, part.other), waits, strict=True
        ):
            self._wait(state, wait_s)
            steps += self._as_edge(state, own)
            if part.star:
                self._centre(state, child, part.spot, steps, turns)
        joint = joint_at(self.topology, part)
        graph = together(one.graph, other.graph)
        noise = eigenvalues(self.topology.nodes[part.spot.node].swap_noise)
        at, ages_s = _both(one.at, other.at), one.ages_s | other.ages_s
        if part.spot.stays:
            rule = self._merge(graph, kept, measured, noise)
            steps += [Gate("CX", (kept, measured)), Measurement("Z", measured)]
            at[name] = (kept,)
            ages_s[kept] = max(ages_s[kept], ages_s.pop(measured))
        else:
            rule = self._swap(graph, kept, measured, noise)
            steps = steps[:-1] if cancels else [*steps, Gate("H", (measured,))]
            steps += [Gate("CX", (kept, measured)), Measurement("X", kept), Measurement("Z", measured)]
            del at[name], ages_s[kept], ages_s[measured]
        return self._operate(
            "fuse_retain" if part.spot.stays else "graph_swap",
            part.spot.node,
            (one, other),
            _Product(rule, at, ages_s, part.latency_s),
            steps,
            turns,
            waits,
            joint,
        )

    def _closed(self, part: ClosedPart, state: _State) -> _State:
        """The two qubits of one state at a spot, fused."""
        kept, measured = state.at[part.spot.name]
        rule = self._merge(
            state.graph, kept, measured, eigenvalues(self.topology.nodes[part.spot.node].swap_noise)
        )
        ages_s = dict(state.ages_s)
        ages_s[kept] = max(ages_s[kept], ages_s.pop(measured))
        at = state.at | {part.spot.name: (kept,)}
        steps: list[Step] = [Gate("CX", (kept, measured)), Measurement("Z", measured)]
        product = _Product(rule, at, ages_s, part.latency_s)
        joint = joint_at(self.topology, part)
        return self._operate("fuse_retain", part.spot.node, (state,), product, steps, [], (0.0,), joint)

    def _merge(self, graph: Graph[Qubit], kept: Qubit, measured: Qubit, noise: Eigenvalues) -> Rule[Qubit]:
        self.history.append(Struck(measured, graph.of(measured), noise))
        self.history.append(Merged(kept, measured))
        return fused(graph, kept, measured)

    def _swap(self, graph: Graph[Qubit], one: Qubit, other: Qubit, noise: Eigenvalues) -> Rule[Qubit]:
        # struck between an H and the CNOT, where X and Z of the qubit have changed places
        self.history.append(Struck(other, graph.of(other), (noise[1], noise[0], noise[2])))
        self.history.append(SwappedOut(one, other, graph.of(one), graph.of(other)))
        return swapped_out(graph, one, other)

    def _turned(self, part: TurnedPart, state: _State) -> _State:
        """A star around another of its vertices; the new centre's owner is the one who acts."""
        steps: list[Step] = []
        turns: list[Gate] = []
        self._centre(state, part.of, part.centre, steps, turns)
        product = _Product(Rule(state.graph), state.at, state.ages_s, state.latency_s)
        return self._operate("rotate", part.centre.node, (state,), product, steps, turns, (0.0,), _SURE)

    def _rotated(self, state: _State) -> _State:
        """A pair as a graph state: one H."""
        own = next(qubit for qubit in state.graph if qubit.side == "right")
        steps = self._as_edge(state, own)
        product = _Product(Rule(state.graph), state.at, state.ages_s, state.latency_s)
        return self._operate("rotate", own.node, (state,), product, steps, [], (0.0,), _SURE)

    def _complemented(self, state: _State, vertex: Vertex) -> _State:
        (own,) = state.at[vertex]
        # nothing for the history: the last gates of a round permute the errors that there are
        rule = complemented(state.graph, own)
        product = _Product(rule, state.at, state.ages_s, state.latency_s)
        return self._operate("rotate", own.node, (state,), product, [], [], (0.0,), _SURE)

    def _entangled(
        self,
        states: Sequence[_State],
        node: NodeId,
        own: Sequence[Vertex],
        waits: tuple[float, ...],
        latency_s: float,
    ) -> _State:
        """CZ for every local edge of a node whose ends are there, with qubits of its own as needed."""
        steps: list[Step] = []
        graph: Graph[Qubit] = graph_of(())
        at: dict[str, tuple[Qubit, ...]] = {}
        ages_s: dict[Qubit, float] = {}
        for state, wait_s in zip(states, waits, strict=True):
            self._wait(state, wait_s)
            if state.fresh is not None:
                steps += self._as_edge(state, next(qubit for qubit in state.graph if qubit.node == node))
            graph = together(graph, state.graph)
            at, ages_s = _both(at, state.at), ages_s | state.ages_s
        for vertex in own:
            if vertex not in at:
                graph = together(graph, graph_of((self._own[vertex],)))
                at[vertex] = (self._own[vertex],)
                ages_s[self._own[vertex]] = 0.0
        done = [(a, b) for a, b in self._local if self.target.places[a] == node and a in at and b in at]
        self._local = [edge for edge in self._local if edge not in done]
        pairs = [(at[a][0], at[b][0]) for a, b in done]
        steps += [Gate("CZ", pair) for pair in pairs]
        product = _Product(Rule(toggled(graph, pairs)), at, ages_s, latency_s)
        return self._operate("entangle", node, states, product, steps, [], waits, _SURE)

    # --- what all operations share -----------------------------------------------------------------------

    def _wait(self, state: _State, wait_s: float) -> None:
        """A state waits: all its qubits age and decay."""
        for qubit in state.ages_s:
            state.ages_s[qubit] += wait_s
        self.oldest_s = max(self.oldest_s, *state.ages_s.values())
        if state.fresh is None:
            self._decay(state.graph, wait_s)
        else:
            for qubit in state.graph:
                x, z, y = self._kept(qubit, wait_s)
                state.fresh = (state.fresh[0] * x, state.fresh[1] * z, state.fresh[2] * y)

    def _decay(self, graph: Graph[Qubit], time_s: float) -> None:
        if time_s > 0.0:
            for qubit in graph:
                self.history.append(Struck(qubit, graph.of(qubit), self._kept(qubit, time_s)))

    def _kept(self, qubit: Qubit, time_s: float) -> Eigenvalues:
        x, z, y = (math.exp(-rate * time_s) for rate in self.topology.nodes[qubit.node].decay_hz)
        return (x, z, y)

    def _as_edge(self, state: _State, own: Qubit) -> list[Step]:
        """The H by which the acting node makes an edge of a pair that is still in Phi+."""
        if state.fresh is None:
            return []
        (other,) = state.graph.of(own)
        self.history.append(Paired(own, other, state.fresh))
        state.fresh = None
        return [Gate("H", (own,))]

    def _centre(self, state: _State, part: Part, centre: Spot, steps: list[Step], turns: list[Gate]) -> None:
        """Turn a star around a vertex of the acting node."""
        before = centre_of(part)
        if before is None or before == centre:
            return
        (old,), (new,) = state.at[before.name], state.at[centre.name]
        rule = pivoted(state.graph, new, old)
        self.history.append(Pivoted(new, old, rule.graph.of(new), rule.graph.of(old)))
        state.graph = rule.graph
        steps.append(Gate("H", (new,)))
        turns.append(Gate("H", (old,)))

    def _operate(
        self,
        action: Action,
        node: NodeId,
        inputs: Sequence[_State],
        product: "_Product",
        steps: Sequence[Step],
        turns: Sequence[Gate],
        waits: tuple[float, ...],
        joint: Joint,
    ) -> _State:
        """Write an operation down and let its product decay until the word of it has arrived."""
        rule = product.rule
        after = [*(Gate(name, (qubit,)) for name, qubit in rule.cliffords)]
        after += [Gate("Z", (qubit,)) for qubit in rule.graph if qubit in rule.always]
        number = len(self.pairs) + len(self.operations)
        self.operations.append(
            Operation(
                action=action,
                node=node,
                steps=(*steps, *(gate for gate in after if gate.qubits[0].node == node)),
                turns=(*turns, *(gate for gate in after if gate.qubits[0].node != node)),
                corrections=tuple(
                    Correction(outcome, "Z", qubit)
                    for outcome, flips in enumerate(rule.flips)
                    for qubit in rule.graph
                    if qubit in flips
                ),
                consumes=tuple(state.number for state in inputs),
                yields=number,
                members=tuple(rule.graph),
                waits_s=waits,
                busy_s=joint.busy_s,
                success_probability=joint.success_probability,
                latency_s=product.latency_s,
                tell=told_of_failure(node, *(state.graph for state in inputs)),
            )
        )
        self._decay(rule.graph, joint.busy_s)
        return _State(number, rule.graph, product.at, product.ages_s, product.latency_s)


@dataclass(frozen=True, slots=True)
class _Product:
    """What an operation leaves."""

    rule: Rule[Qubit]
    at: dict[str, tuple[Qubit, ...]]
    ages_s: dict[Qubit, float]
    latency_s: float


_SURE = Joint(1.0, 0.0)
"""Gates that always work and that nobody has to be told of."""


def _both(
    one: dict[str, tuple[Qubit, ...]], other: dict[str, tuple[Qubit, ...]]
) -> dict[str, tuple[Qubit, ...]]:
    return one | {name: (*one.get(name, ()), *qubits) for name, qubits in other.items()}
