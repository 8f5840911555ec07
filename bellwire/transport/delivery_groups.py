"""States of three and more on their way to the applications: who has which end, and what each must do to it.

Owns the look at a group: is it whole, and which Pauli does each tail need to hold its part of the GHZ state,
or of the graph state that it is up to the last Hadamard gates?
Refuses protocol: head.py and tail.py speak.

The head's qubit is the measure: every tail mends what differs from the head, and some tails also mend the
phase of the whole. All tails find the same, each for itself, whatever the others have mended already.
"""

from typing import NamedTuple

from bellwire.core.graph_states import GraphEdges, tail_frames
from bellwire.core.ids import End, NodeId
from bellwire.core.plans import FusionPlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import LedgerView

Tails = tuple[tuple[NodeId, End], ...]


class WantedGroup(NamedTuple):
    """A state of three and more, as a plan wants it."""

    members: tuple[NodeId, ...]  # the source first
    graph: GraphEdges = ()  # edges between members; none: a GHZ state
    turns_last: frozenset[NodeId] = frozenset()  # tails that turn theirs by a Hadamard gate before delivery


def wanted_group(plan: FusionPlan) -> WantedGroup:
    """What a fusion plan is for."""
    return WantedGroup(plan.members, plan.graph, frozenset(plan.turns_last))


class SeenGroup(NamedTuple):
    """A whole group: one end at every member."""

    head_end: End
    tails: Tails  # in the order of the request
    frames: dict[NodeId, int]  # Pauli index that each tail still has to apply, after its Hadamard gate if any


def seen_group(
    view: LedgerView, settings: NetworkSettings, wanted: WantedGroup, end: End
) -> SeenGroup | None:
    """The group of an own end, if it has exactly one end at every member.

    Outer halves may be unborn here: whoever joined a pair had told its half, and with it the pair's frame.
    """
    ends = view.members(end)
    chain = view.chain(end)
    if len(ends) != len(wanted.members) or chain is None or chain.dead:
        return None
    by_owner = {settings.owner(each.link, each.side): each for each in ends}
    if set(by_owner) != set(wanted.members):
        return None
    head, *tails = wanted.members
    if wanted.graph:
        centres = frozenset(by_owner[name] for name in wanted.members if name not in wanted.turns_last)
        signs = view.signs(end, centres)
        if not signs:
            return None  # a gate between two vertices is not told yet
        of_members = {name: signs[own] for name, own in by_owner.items()}
        frames = tail_frames(wanted.members, wanted.graph, of_members)
    else:
        frames = {tail: view.turned(by_owner[head], by_owner[tail]) for tail in tails}
        frames[tails[0]] ^= chain.frame & 1
    return SeenGroup(by_owner[head], tuple((tail, by_owner[tail]) for tail in tails), frames)
