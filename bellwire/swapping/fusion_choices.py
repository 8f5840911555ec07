"""Which two states a node joins next, and how.

Owns the choice: at once, by worth, or in a fixed order. Refuses execution: a choice is a small pure function
of what is held, as for swaps (policies.py).

On a tree of links a node may join any two states that came by different links: the far sides of two links
share no node, hence no loop can close, in whatever order all nodes act. When all links of the node are
joined, a member is done, and a node that is no member has left with its last join.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from bellwire.core.ids import End, LinkId, NodeId
from bellwire.core.plans import FusionPlan
from bellwire.core.view import LedgerView, SlotView

OwnerOf = Callable[[LinkId, int], NodeId]


class HeldState(NamedTuple):
    """An own qubit of a state, and by which local links the state came."""

    slot: SlotView
    end: End
    links: frozenset[LinkId]
    knot: int = 0  # vertex of a graph state to which it belongs here; only states of one vertex are joined
    turns: int = 0  # Hadamard gates whose noise no fact has told yet


class FusionChoice(NamedTuple):
    """Join these two; leave: by a Bell measurement that ends both qubits, else the first stays."""

    kept: HeldState
    measured: HeldState
    leave: bool


GAIN: Final = 1.1
"""Weight of what a join brings against what it risks; above 1, lest rounding stop a join that breaks even."""


def choose_at_once(plan: FusionPlan, held: Iterable[HeldState]) -> FusionChoice | None:
    """The pair that brings most of the node's links together; among equals the oldest qubits. None: wait."""
    best: tuple[int, HeldState, HeldState] | None = None
    for one, other in _joinable(list(held)):
        joined = len(one.links) + len(other.links)
        if best is None or joined > best[0]:
            best = (joined, one, other)
    return None if best is None else _as_choice(plan, best[1], best[2])


def choose_by_worth(
    plan: FusionPlan, held: Iterable[HeldState], view: LedgerView, owner_of: OwnerOf, overdue_ns: int | None
) -> FusionChoice | None:
    """The pair whose union saves most beyond what both save, if it saves anything (planner/fusion_worths.py).

    overdue_ns: two states that were both here by then are joined whatever they are worth; None: never. Else
    states of which each waits for something else could block all links for ever.
    """
    worth = dict(plan.worths)
    states = list(held)
    part = {state.end: _part_of(plan, _nodes_of(state, view, owner_of)) for state in states}
    best: tuple[float, HeldState, HeldState] | None = None
    for one, other in _joinable(states):
        first, second = part[one.end], part[other.end]
        risked = worth.get(first, 0.0) + worth.get(second, 0.0)
        gained = GAIN * plan.success_probability * worth.get(first | second, 0.0) - risked
        waited = overdue_ns is not None and max(one.slot.born_ns, other.slot.born_ns) <= overdue_ns
        if (gained >= 0.0 or waited) and (best is None or gained > best[0]):
            best = (gained, one, other)
    return None if best is None else _as_choice(plan, best[1], best[2])


def _joinable(states: list[HeldState]) -> Iterator[tuple[HeldState, HeldState]]:
    """Two states of one vertex that came by different links, oldest qubits first."""
    for place, one in enumerate(states):
        for other in states[place + 1 :]:
            if one.knot == other.knot and not one.links & other.links:
                yield one, other


def _part_of(plan: FusionPlan, nodes: tuple[NodeId, ...]) -> int:
    """The links that a state was made of: those between its qubits' owners on the tree."""
    part = (1 << len(plan.edges)) - 1
    wanted = frozenset(nodes)
    while True:
        uses = Counter(node for index, edge in enumerate(plan.edges) if part >> index & 1 for node in edge)
        spare = [
            index
            for index, edge in enumerate(plan.edges)
            if part >> index & 1 and any(uses[node] == 1 and node not in wanted for node in edge)
        ]
        if not spare:
            return part
        part &= ~sum(1 << index for index in spare)


def choose_fixed(
    plan: FusionPlan, held: Iterable[HeldState], view: LedgerView, owner_of: OwnerOf
) -> FusionChoice | None:
    """The oldest two states that a step of the order names, with qubits at exactly the nodes of the plan."""
    states = list(held)
    nodes = {state.end: _nodes_of(state, view, owner_of) for state in states}
    for step in plan.steps:
        one = _named(states, nodes, step.one, step.one_nodes)
        other = _named(states, nodes, step.other, step.other_nodes)
        if one is not None and other is not None:
            return _as_choice(plan, one, other)
    return None


def _as_choice(plan: FusionPlan, one: HeldState, other: HeldState) -> FusionChoice:
    leave = not plan.retains and len(one.links) + len(other.links) == len(plan.branches)
    return FusionChoice(one, other, leave)


def _named(
    states: list[HeldState], nodes: dict[End, tuple[NodeId, ...]], link: LinkId, wanted: tuple[NodeId, ...]
) -> HeldState | None:
    return next((one for one in states if min(one.links) == link and nodes[one.end] == wanted), None)


def _nodes_of(state: HeldState, view: LedgerView, owner_of: OwnerOf) -> tuple[NodeId, ...]:
    """Owners of the qubits of a state, by the link map: known before the far halves are born."""
    return tuple(sorted(owner_of(end.link, end.side) for end in view.members(state.end)))
