"""Which two pairs of one segment go into a round of purification, and whether a round pays.

Owns the choice, pure and without memory. Refuses slots, words and time (purification.py).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from bellwire.core.bell import COST_MAX, Walsh, fidelity_of
from bellwire.core.ids import End
from bellwire.core.plans import PurificationPlan
from bellwire.core.purification import Memories, Waiting, purified
from bellwire.core.view import SlotView

GAIN_MIN: Final = 1e-4
"""A round that gains less fidelity does not pay: two pairs that cannot improve each other only wait."""


class Ready(NamedTuple):
    """A complete pair with an own end that no round, swap or delivery has taken."""

    slot: SlotView
    end: End
    far: End
    rounds: int
    state: Walsh  # as of now, relative to the frame
    frame: int
    oldest_ns: int


class Chosen(NamedTuple):
    """A round to ask for; or, without `kept`, a pair that nothing can be made of."""

    kept: Ready | None
    measured: Ready


def choose(
    ready: Sequence[Ready], plan: PurificationPlan, memories: Memories, *, in_round: bool
) -> Chosen | None:
    """The next round of one segment, or None: wait for more pairs.

    ready: oldest first. in_round: a pair of the segment is in a round now.
    """
    usable = [pair for pair in ready if max(pair.state.cost) < COST_MAX]
    if plan.fidelity_min is not None:
        return _rescue(usable, plan.fidelity_min, plan.rounds, memories)
    unfinished = [pair for pair in usable if pair.rounds < plan.rounds]
    if plan.pumping:
        if in_round or not unfinished:
            return None
        kept = max(unfinished, key=lambda pair: pair.rounds)
        fresh = next((pair for pair in unfinished if pair is not kept and pair.rounds == 0), None)
        return None if fresh is None else Chosen(kept, fresh)
    for rounds in sorted({pair.rounds for pair in unfinished}, reverse=True):
        alike = [pair for pair in unfinished if pair.rounds == rounds]
        if len(alike) > 1:
            return Chosen(alike[0], alike[1])
    return None


def _rescue(ready: Sequence[Ready], floor: float, rounds_max: int, memories: Memories) -> Chosen | None:
    """Two pairs below the floor are worth nothing to their request; one above it is. A round on them pays as
    long as it improves the better one, whatever its chance; else the worse one makes room."""
    poor = sorted(
        (pair for pair in ready if fidelity_of(pair.state) < floor),
        key=lambda pair: (-fidelity_of(pair.state), pair.end),
    )
    if len(poor) < 2:
        return None
    best, worst = poor[0], poor[-1]
    for pair in poor[1:]:
        one = Waiting(best.state, (0, 0), corrected=False)
        other = Waiting(pair.state, (0, 0), corrected=False)
        gained = purified(one, other, memories).state[0] - fidelity_of(best.state)
        if best.rounds < rounds_max and gained > GAIN_MIN:
            return Chosen(best, pair)
    return Chosen(None, worst)
