"""Slot grants by a calendar: time division multiple access.

Owns the scheduler "tdma". The calendar of a link is a cyclic table of frames, each granted to a request by
name or to nobody. Frames are counted from attempt 0 of the run and hold for all lanes, so a grant lies at the
same time in whatever window. A frame of nobody, or of a request that wants nothing, serves background
requests by weight, else nobody: the hardware goes on attempting there, and a herald is dropped at both ends
alike.

Refuses reserved lanes and priorities: whoever writes a calendar answers for the rates.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Final

from bellwire.core.ids import RequestId
from bellwire.core.link_messages import ScheduleEntry
from bellwire.link_layer.binding import NOBODY
from bellwire.link_layer.schedulers.whole_lanes import by_name, even_cycle
from bellwire.link_layer.schedulers.words import Demand, Divided, Frames, Key, Shares, Standing

CYCLE_MAX: Final = 1024
"""Frames of a calendar with its repetitions."""


class Calendar:
    """Serves each request in its granted frames only."""

    remembers = False

    def __init__(self, calendar: Sequence[RequestId | None]) -> None:
        """At least one frame, at most CYCLE_MAX."""
        self._calendar = tuple(calendar)

    def divide(
        self, lanes: int, demands: Sequence[Demand], history: Mapping[Key, Standing], frames: Frames
    ) -> Divided:
        """A request with several trees gives them its frames in turn, by weight; so many repetitions of the
        calendar make the cycle (at most CYCLE_MAX frames, then shares of trees are rounded)."""
        if not demands:
            return Divided(Shares((), ()))
        foreground = by_name([one for one in demands if not one.plan.background])
        background = by_name([one for one in demands if one.plan.background])
        granted = {
            request: _turns([one for one in foreground if one.entry.request == request])
            for request in {one.entry.request for one in foreground}.intersection(self._calendar)
        }
        idle = _turns(background) or (NOBODY,)
        takers = [granted.get(name, idle) if name else idle for name in self._calendar]
        repetitions = lcm(*(len(turns) for turns in takers))
        repetitions = max(1, min(repetitions, CYCLE_MAX // len(self._calendar)))
        cycle: list[ScheduleEntry] = []
        given: dict[tuple[ScheduleEntry, ...], int] = {}
        for turns in takers * repetitions:
            place = given.get(turns, 0)
            given[turns] = place + 1
            cycle.append(turns[place % len(turns)])
        return Divided(Shares((), tuple(cycle), anchored=True))


def _turns(demands: Sequence[Demand]) -> tuple[ScheduleEntry, ...]:
    return even_cycle([(one.entry, Fraction(max(1, one.plan.weight))) for one in demands])
