"""Lanes by shifts, where more requests want a link than it has lanes.

Owns which of them work in a shift, and on which lanes. Refuses the length of a shift, and pairs that are left
when one is over (lane_shifts.py).

Without shifts such lanes would go round frame by frame, and fill with pairs of requests that wait for one
another: r1 holds all lanes of one link, r2 all lanes of the next, and nothing ever moves again. In a shift a
lane works for one request only, so whoever has a lane on each link of its route goes on as if it were alone.
Who works is drawn from the names of the shift and of the request, the same on all links: a request that is
ahead on one link is likely to be ahead on the next, and where the same requests meet on several links they
work on all of them at the same time. Each is drawn as its part of the lanes says: n requests of one weight on
k lanes work k / n of the time each, and one of them does not work in any of m shifts with a probability of
(1 - k / n)^m.
"""

from collections.abc import Sequence
from fractions import Fraction
from hashlib import blake2b
from math import log
from typing import NamedTuple

from bellwire.core.link_messages import ScheduleEntry
from bellwire.link_layer.schedulers.words import Demand, Lanes


class _Rival(NamedTuple):
    """Somebody who may have a lane in a shift: a request, or (demand None) all that need not take turns."""

    demand: Demand | None
    part: Fraction  # of a lane, above 0


def in_shifts(lanes: int, divided: Lanes, shift: int) -> Lanes:
    """The lanes in one shift. Unchanged while fewer than two requests would have to wait for one another with
    no lane of their own. Those whose pairs need no partner go on sharing: one lane in some of the shifts."""
    waiting = [one for one, _ in divided.parts if one.waits and one.entry not in divided.owners]
    if len(waiting) < 2:
        return divided
    free = lanes - len(divided.owners)
    rivals = [_Rival(one, part) for one, part in divided.parts if one.waits]
    others = tuple((one, part) for one, part in divided.parts if not one.waits)
    if others:
        rivals.append(_Rival(None, sum((part for _, part in others), Fraction(0))))
    working = sorted(rivals, key=lambda rival: _turn(rival, shift))[:free]
    round_lanes = sum(rival.demand is None for rival in working)
    places = [rival.demand.entry for rival in rivals if rival.demand is not None]
    entries = [rival.demand.entry for rival in working if rival.demand is not None]
    return Lanes(
        (*divided.owners, *_on_lanes(entries, places, free - round_lanes)),
        others if round_lanes else (),
        {**divided.working, **{rival.demand.entry: rival.part for rival in working if rival.demand}},
    )


def _turn(rival: _Rival, shift: int) -> tuple[float, str, int]:
    """Sorts rivals; the lowest go first. An exponential time at a rate of the part: weighted drawing without
    putting back (Efraimidis and Spirakis, Information Processing Letters 97, 2006)."""
    entry = ScheduleEntry(request="", tree=0) if rival.demand is None else rival.demand.entry
    name = f"{shift}/{entry.request}/{entry.tree}".encode()
    drawn = int.from_bytes(blake2b(name, digest_size=8, person=b"lane shift").digest(), "big")
    return -log((drawn + 1) / (1 << 64)) / float(rival.part), entry.request, entry.tree


def _on_lanes(
    working: Sequence[ScheduleEntry], everybody: Sequence[ScheduleEntry], free: int
) -> list[ScheduleEntry]:
    """Who works on which lane: each on the lane of its place among all where it can, so that whoever works on
    keeps its lane when another one is relieved."""
    found: dict[int, ScheduleEntry] = {}
    for entry in sorted(working, key=everybody.index):
        liked = everybody.index(entry) % free
        found[next(lane for lane in (*range(liked, free), *range(liked)) if lane not in found)] = entry
    return [found[lane] for lane in sorted(found)]
