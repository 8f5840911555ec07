"""States of three and more on their way to the applications: who has which end, and what each must do to it.

Owns the look at a group: is it whole, and which Pauli does each tail need to hold its part of the GHZ state,
or of the star graph that it is up to Hadamard gates at all tails?
Refuses protocol: head.py and tail.py speak.

The head's qubit is the measure: every tail mends the X error by which it differs from the head, and the first
tail of the request also mends the phase of the whole. All tails find the same, each for itself, whatever the
others have mended already.
"""

from typing import NamedTuple

from bellwire.core.ids import End, NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.core.star_graphs import through_hadamard
from bellwire.core.view import LedgerView

Tails = tuple[tuple[NodeId, End], ...]


class SeenGroup(NamedTuple):
    """A whole group: one end at every member."""

    head_end: End
    tails: Tails  # in the order of the request
    frames: dict[NodeId, int]  # Pauli index that each tail still has to apply


def seen_group(
    view: LedgerView, settings: NetworkSettings, members: tuple[NodeId, ...], end: End, *, star: bool = False
) -> SeenGroup | None:
    """The group of an own end, if it has exactly one end at every member.

    star: every tail turns its qubit by a Hadamard gate before it applies the Pauli (algorithms.md 4.3).

    Outer halves may be unborn here: whoever joined a pair had told its half, and with it the pair's frame.
    """
    ends = view.members(end)
    chain = view.chain(end)
    if len(ends) != len(members) or chain is None or chain.dead:
        return None
    by_owner = {settings.owner(each.link, each.side): each for each in ends}
    if set(by_owner) != set(members):
        return None
    head, *tails = members
    frames = {tail: view.turned(by_owner[head], by_owner[tail]) for tail in tails}
    frames[tails[0]] ^= chain.frame & 1
    if star:
        frames = {tail: through_hadamard(frame) for tail, frame in frames.items()}
    return SeenGroup(by_owner[head], tuple((tail, by_owner[tail]) for tail in tails), frames)
