"""The vertices of a graph state at one node, and which of them a state belongs to.

Owns the reading of the knots of a fusion plan. Refuses to make them (planner/graph_knots.py) and to act on
them (swapping/fusion.py).
"""

from collections.abc import Sequence

from bellwire.core.ids import LinkId
from bellwire.core.plans import FusionKnot


def links_below(knots: Sequence[FusionKnot], number: int) -> frozenset[LinkId]:
    """Links of a vertex and of all that turn into it."""
    found = frozenset(knots[number].links)
    for index, knot in enumerate(knots):
        if knot.parent == number:
            found |= links_below(knots, index)
    return found


def knot_of_link(knots: Sequence[FusionKnot], link: LinkId) -> int:
    """Number of the vertex to which a pair of this link belongs; without knots there is one vertex, 0."""
    return next((number for number, knot in enumerate(knots) if link in knot.links), 0)


def is_due(knots: Sequence[FusionKnot], number: int, links: frozenset[LinkId]) -> bool:
    """True when a state that came by these links is all of this vertex, and must turn into the next one."""
    return bool(knots) and knots[number].parent is not None and links_below(knots, number) <= links


def knot_of_state(knots: Sequence[FusionKnot], links: frozenset[LinkId]) -> int:
    """Number of the vertex to which a state that came by these links belongs, all due turns made."""
    if not knots:
        return 0
    reaching = {number: links_below(knots, number) for number in range(len(knots))}
    # Of vertices with the same links, the later one turns into the earlier one.
    number = min(
        (number for number, found in reaching.items() if links <= found),
        key=lambda number: (len(reaching[number]), -number),
    )
    return knot_after_turns(knots, number, links)


def knot_after_turns(knots: Sequence[FusionKnot], number: int, links: frozenset[LinkId]) -> int:
    """Number of the vertex when all turns that are due are made."""
    while is_due(knots, number, links):
        parent = knots[number].parent
        assert parent is not None, "a vertex that stays is never due"
        number = parent
    return number
