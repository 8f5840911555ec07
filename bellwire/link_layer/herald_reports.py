"""What a station says of a link's attempts, as one end takes it: reports, bounds, losses.

Owns the sequence of reports, the questions about missing ones, and what a silent station and an unknown
outcome mean for the lanes. Refuses births (births.py) and runs (link_end.py).
"""

from collections.abc import Callable
from typing import Final

from bellwire.core.errors import PeerViolation
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    HeraldWanted,
    WindowOpened,
)
from bellwire.core.machine import Step
from bellwire.link_layer.agreement import QueueKeeper
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.heralds import HeraldSequence
from bellwire.link_layer.lanes import Lanes

HOLE_REPEAT_SHARE: Final = 4
"""A missing report is asked for again after answer_ns / this: a memory waits for it."""

Born = Callable[[Step, HeraldReport], None]
"""A report that was not taken before: the pair is born."""


class HeraldReports:
    """Of one link end."""

    def __init__(
        self,
        ground: Ground,
        keeper: QueueKeeper,
        lanes: Lanes,
        born: Born,
        restart: Callable[[Step, int], None],
    ) -> None:
        """`restart`: initialise what a lane's slot holds, and go on attempting."""
        self.sequence = HeraldSequence()
        self._link = link = ground.link
        self._side = ground.side
        self._peer = ground.peer
        self._timers = ground.timers
        self._book = ground.book
        self._keeper = keeper
        self._lanes = lanes
        self._born = born
        self._restart = restart
        self._codes = {
            herald.code for index in range(max(1, len(link.points))) for herald in link.point(index).heralds
        }

    def reported(self, step: Step, report: HeraldReport) -> None:
        """A numbered report of the station.

        Raises:
            PeerViolation: a code or lane that the link lacks.
        """
        if report.code not in self._codes or not 0 <= report.lane < self._link.lanes:
            raise PeerViolation(
                self._link.station or self._peer, f"{report.link}: code {report.code} on lane {report.lane}"
            )
        if self.sequence.take(report, step.now_ns):
            self._keeper.silent_runs = 0
            self._born(step, report)
        if report.run == self.sequence.run:
            self._ask_for_hole(step, report.number)

    def bounded(self, step: Step, bound: HeraldBound) -> None:
        """The station's bound: a success up to there that we did not hear of is a hole."""
        if bound.run != self.sequence.run:
            return
        self._keeper.silent_runs = 0
        self.sequence.heard_ns = step.now_ns
        if bound.fences[self._side] < self._book.fence() and self._link.station is not None:
            for window in self._book.windows:
                if window.fence > bound.fences[self._side]:
                    step.send(self._link.station, WindowOpened(link=self._link.link, window=window))
        self._ask_for_hole(step, bound.number)

    def _ask_for_hole(self, step: Step, number: int) -> None:
        wanted = self.sequence.hole(number, step.now_ns, self._timers.answer_ns // HOLE_REPEAT_SHARE)
        if wanted is not None and self._link.station is not None and self.sequence.run is not None:
            step.send(
                self._link.station,
                HeraldWanted(link=self._link.link, run=self.sequence.run, number=wanted),
                "outcome",
            )

    def unknown(self, step: Step, unknown: HeraldUnknown) -> None:
        """The station cannot say what these attempts gave: slots that took part may hold anything."""
        if unknown.run != self.sequence.run:
            return
        self.sequence.skip_to(unknown.number)
        for lane in range(self._link.lanes):
            if self._lanes.armed_by(lane, unknown.last):
                self._restart(step, lane)

    def silent_ns(self) -> int | None:
        """When the station has been silent for too long; None where there is none."""
        if self._link.station is None:
            return None
        return self.sequence.heard_ns + self._timers.station_silence_ns

    def gave_up(self, now_ns: int) -> None:
        """The run is given up because the station said nothing."""
        self.sequence.heard_ns = now_ns
        self._keeper.silent_runs += 1
