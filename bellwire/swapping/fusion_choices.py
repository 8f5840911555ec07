"""Which two states a node joins next, and how.

Owns the choice, adaptive or in a fixed order. Refuses execution: a choice is a small pure function of what is
held, as for swaps (policies.py).

On a tree of links a node may join any two states that came by different links: the far sides of two links
share no node, hence no loop can close, in whatever order all nodes act. When all links of the node are
joined, a member is done, and a node that is no member has left with its last join.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bellwire.core.ids import End, LinkId, NodeId
from bellwire.core.plans import FusionPlan
from bellwire.core.view import LedgerView, SlotView

OwnerOf = Callable[[LinkId, int], NodeId]


class HeldState(NamedTuple):
    """An own qubit of a state, and by which local links the state came."""

    slot: SlotView
    end: End
    links: frozenset[LinkId]


class FusionChoice(NamedTuple):
    """Join these two; leave: by a Bell measurement that ends both qubits, else the first stays."""

    kept: HeldState
    measured: HeldState
    leave: bool


def choose_adaptive(plan: FusionPlan, held: Iterable[HeldState]) -> FusionChoice | None:
    """The pair that brings most of the node's links together; among equals the oldest qubits. None: wait."""
    states = list(held)
    best: tuple[int, HeldState, HeldState] | None = None
    for place, one in enumerate(states):
        for other in states[place + 1 :]:
            if one.links & other.links:
                continue
            joined = len(one.links) + len(other.links)
            if best is None or joined > best[0]:
                best = (joined, one, other)
    return None if best is None else _as_choice(plan, best[1], best[2])


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
