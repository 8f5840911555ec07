"""Links that make no more pairs than a plan needs: places of nobody (throttling, algorithms.md 1.2).

Owns the cut from what a request was given to what its pace allows. Refuses to give what is cut off to
anybody: whoever could use it was asked before.
"""

from collections.abc import Sequence
from fractions import Fraction

from bellwire.core.link_messages import ScheduleEntry
from bellwire.link_layer.binding import NOBODY
from bellwire.link_layer.schedulers.whole_lanes import even_cycle
from bellwire.link_layer.schedulers.words import Demand, Lanes, Shares


def paced(lanes: int, demands: Sequence[Demand], divided: Lanes) -> Shares:
    """The division with every paced request cut to its pace; lanes that are freed go round, for nobody.

    A place of a cycle is one frame: a pace is kept on average over a cycle of up to WEIGHTS_MAX frames; by
    whoever works in shifts, on average over all shifts.
    """
    paces = {
        one.entry: one.pace / divided.working.get(one.entry, 1) for one in demands if one.pace is not None
    }
    given: dict[ScheduleEntry, Fraction] = dict.fromkeys(divided.owners, Fraction(0))
    for entry in divided.owners:
        given[entry] += 1
    going_round = Fraction(lanes - len(divided.owners))
    total = sum((part for _, part in divided.parts), Fraction(0))
    for one, part in divided.parts:
        given[one.entry] = given.get(one.entry, Fraction(0)) + part * going_round / total
    owners: list[ScheduleEntry] = []
    parts: list[tuple[ScheduleEntry, Fraction]] = []
    for entry, amount in given.items():
        kept = min(amount, paces.get(entry, amount))
        whole, part = divmod(kept, 1)
        owners += [entry] * int(whole)
        if part:
            parts.append((entry, part))
    idle = Fraction(lanes - len(owners)) - sum((part for _, part in parts), Fraction(0))
    if idle > 0:
        parts.append((NOBODY, idle))
    return Shares(tuple(owners), even_cycle(parts))
