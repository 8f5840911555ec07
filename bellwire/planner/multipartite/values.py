"""What a plan for three and more nodes says: its pairs, its operations step by step, and its promises.

Owns the values that GHZ and graph-state methods share and that reports, instructions and execution read.
Refuses searches, rules and physics. One round of a plan reads like this:

- Pair number i of `MultipartitePlan.pairs` is state number i: its two qubits, "left" at `pairs[i].left` and
  "right" at `pairs[i].right`, are in Phi+. Own qubits (side "own"), where there are any, start in |+>.
- The operations follow in order. Each consumes states by number and yields one with a new number. Within an
  operation: first `steps` (gates and measurements at the acting node), then `turns` (gates that owners of
  other qubits add whatever the outcome), then `corrections` (Paulis that depend on the outcomes).
- After the last operation `MultipartitePlan.qubits` are in the wanted state, and no other qubit is left.

An operation that fails ruins every state that it consumes: all owners of a qubit of these must hear of it
(algorithms.md 4.1, pitfall 14.14).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bellwire.core.bell import Bell
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import Use

Side = Literal["left", "right", "own"]
"""Which qubit of a pair; "own": a qubit that its node prepares alone in |+>, numbered by itself."""

Pauli = Literal["X", "Y", "Z"]
GateName = Literal["X", "Y", "Z", "H", "S", "S_DAG", "SQRT_X", "SQRT_X_DAG", "CX", "CZ", "SWAP"]
"""Clifford gates by the names that stim gives them."""

Kind = Literal["ghz", "graph"]

Action = Literal["fuse_retain", "fuse_discard", "graph_swap", "measure", "entangle", "rotate"]
"""What an operation is for. The steps say exactly what is done.

fuse_retain, fuse_discard: states become one, and the acting node stays or leaves. graph_swap: two leaves
are measured with an H on one of them. measure: a qubit is taken out. entangle: CZ at one node. rotate: gates
only.
"""

Vertex = str
"""Name of a vertex of a target graph."""


class Qubit(NamedTuple):
    """A qubit by its origin; the name stays with it through all operations."""

    pair: int  # number of the pair that it came from, or its own number for an own qubit
    side: Side
    node: NodeId

    def __str__(self) -> str:
        return f"{self.pair}/{self.side} at {self.node}"


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate on one qubit or, control first, on two qubits of one node."""

    name: GateName
    qubits: tuple[Qubit, ...]

    def __post_init__(self) -> None:
        wanted = 2 if self.name in ("CX", "CZ", "SWAP") else 1
        if len(self.qubits) != wanted:
            raise LocalMisuse(f"{self.name} acts on {wanted} qubits, not on {len(self.qubits)}")


@dataclass(frozen=True, slots=True)
class Measurement:
    """A qubit measured and given up. Outcome 0 is the eigenvalue +1, outcome 1 is -1."""

    basis: Pauli
    qubit: Qubit


Step = Gate | Measurement


@dataclass(frozen=True, slots=True)
class Correction:
    """A Pauli on a qubit when an outcome is 1; outcomes are numbered by the operation's measurements."""

    outcome: int
    pauli: Pauli
    qubit: Qubit


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a round: who acts, on what, what comes out, and who hears of it."""

    action: Action
    node: NodeId  # that acts
    steps: tuple[Step, ...]
    turns: tuple[Gate, ...] = ()  # single-qubit gates of other owners, independent of the outcomes
    corrections: tuple[Correction, ...] = ()
    consumes: tuple[int, ...]  # state numbers
    yields: int  # number of the product
    members: tuple[Qubit, ...]  # qubits of the product
    waits_s: tuple[float, ...]  # mean wait of each consumed state for the others (ADR 0008)
    busy_s: float  # operation and its word to the farthest member: t_f + t_c
    success_probability: float
    latency_s: float  # mean seconds per product
    tell: tuple[NodeId, ...]  # all other owners of a qubit of a consumed state: they hear of a failure

    def __post_init__(self) -> None:
        if len(self.waits_s) != len(self.consumes):
            raise LocalMisuse(f"{len(self.consumes)} states are consumed, with {len(self.waits_s)} waits")
        acted = (qubit for step in self.steps for qubit in _qubits_of(step))
        if any(qubit.node != self.node for qubit in acted):
            raise LocalMisuse(f"{self.node} cannot act on a qubit of another node")
        if any(len(gate.qubits) != 1 for gate in self.turns):
            raise LocalMisuse("gates that owners add act on one qubit each")
        outcomes = len(self.measurements)
        for correction in self.corrections:
            if not 0 <= correction.outcome < outcomes:
                raise LocalMisuse(f"a correction reads outcome {correction.outcome} of {outcomes}")
        if self.node in self.tell:
            raise LocalMisuse(f"{self.node} acts and needs not be told")

    @property
    def rate_hz(self) -> float:
        """Expected products per second; inf where everything is stored already."""
        return 1.0 / self.latency_s if self.latency_s > 0.0 else math.inf

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The measurements among the steps, in order: outcome i belongs to the i-th."""
        return tuple(step for step in self.steps if isinstance(step, Measurement))

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """Owners of the product's qubits, each once, in the order of `members`."""
        return tuple(dict.fromkeys(qubit.node for qubit in self.members))

    @property
    def owners(self) -> frozenset[NodeId]:
        """Everybody who owns a qubit of a consumed state, the acting node included."""
        return frozenset((self.node, *self.tell))

    def paulis(self, outcomes: Sequence[int]) -> tuple[tuple[Pauli, Qubit], ...]:
        """The corrections for given outcomes (0 or 1 each), in the order in which they are applied."""
        if len(outcomes) != len(self.measurements):
            raise LocalMisuse(f"{len(outcomes)} outcomes for {len(self.measurements)} measurements")
        return tuple((each.pauli, each.qubit) for each in self.corrections if outcomes[each.outcome])


def _qubits_of(step: Step) -> tuple[Qubit, ...]:
    return step.qubits if isinstance(step, Gate) else (step.qubit,)


def told_of_failure(node: NodeId, *inputs: Iterable[Qubit]) -> tuple[NodeId, ...]:
    """`Operation.tell`: every owner of a qubit of the consumed states but the acting node, by name."""
    return tuple(sorted({qubit.node for qubits in inputs for qubit in qubits} - {node}))


@dataclass(frozen=True, slots=True)
class PairSupply:
    """One kind of pair that a plan consumes, made by one tree or by several side by side."""

    trees: tuple[PairPlan, ...]  # all from the same source to the same destination

    def __post_init__(self) -> None:
        if len({(tree.source, tree.destination) for tree in self.trees}) != 1:
            raise LocalMisuse("a pair needs trees, all between the same two nodes")

    @property
    def left(self) -> NodeId:
        """Owner of the left qubit."""
        return self.trees[0].source

    @property
    def right(self) -> NodeId:
        """Owner of the right qubit."""
        return self.trees[0].destination

    @property
    def name(self) -> str:
        """Both ends, as "left-right"."""
        return f"{self.left}-{self.right}"

    @property
    def latency_s(self) -> float:
        """Mean seconds per pair from all trees together."""
        rate_hz = math.fsum(tree.rate_hz for tree in self.trees)
        return 1.0 / rate_hz if rate_hz > 0.0 else math.inf

    @property
    def state(self) -> Bell:
        """Mean state of a pair: that of each tree, by its share of the rate."""
        a, b, c, d = (self._mean([tree.state[index] for tree in self.trees]) for index in range(4))
        return (a, b, c, d)

    @property
    def fidelity(self) -> float:
        """Of a pair when it is made."""
        return self.state[0]

    @property
    def success_probability(self) -> float:
        """That one complete round of a tree succeeds, the mean over pairs."""
        return self._mean([tree.success_probability for tree in self.trees])

    @property
    def ages_s(self) -> tuple[float, float]:
        """Mean ages of the left and the right qubit when the pair is made, of the oldest tree."""
        return (max(tree.ages_s[0] for tree in self.trees), max(tree.ages_s[1] for tree in self.trees))

    def _mean(self, values: list[float]) -> float:
        rates = [tree.rate_hz for tree in self.trees]
        if len(values) == 1 or math.inf in rates:
            return values[rates.index(math.inf)] if math.inf in rates else values[0]
        return math.fsum(rate * value for rate, value in zip(rates, values, strict=True)) / math.fsum(rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartitePlan:
    """A plan for a GHZ state or a graph state and what it promises."""

    request: str
    kind: Kind
    method: str
    members: tuple[NodeId, ...]  # nodes of the final state in the order of the request, one per qubit
    qubits: tuple[Qubit, ...]  # the final qubit of each member, in the same order
    vertices: tuple[tuple[Vertex, NodeId], ...] = ()  # of a graph state, in the order of `members`
    edges: tuple[tuple[Vertex, Vertex], ...] = ()  # of a graph state
    pairs: tuple[PairSupply, ...]  # the index is the number by which operations know a pair
    operations: tuple[Operation, ...]  # in order of execution; numbers of products begin at len(pairs)
    latency_s: float  # mean seconds per delivered state
    fidelity: float  # at delivery, to the wanted state
    success_probability: float  # that one complete round of pairs and operations succeeds
    age_s: float  # mean age of the oldest qubit at delivery
    use: Use

    def __post_init__(self) -> None:
        if tuple(qubit.node for qubit in self.qubits) != self.members:
            raise LocalMisuse(f"plan {self.request}: the final qubits are not those of the members")
        if self.vertices and tuple(node for _, node in self.vertices) != self.members:
            raise LocalMisuse(f"plan {self.request}: the vertices are not at the members")

    @property
    def rate_hz(self) -> float:
        """Delivered states per second; inf where everything is stored already."""
        return 1.0 / self.latency_s if self.latency_s > 0.0 else math.inf

    def pair_qubits(self, pair: int) -> tuple[Qubit, Qubit]:
        """Left and right qubit of a pair by its number."""
        supply = self.pairs[pair]
        return (Qubit(pair, "left", supply.left), Qubit(pair, "right", supply.right))
