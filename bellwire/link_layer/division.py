"""The division of one link at side 0: its scheduler, and the account of what each request has had.

Owns demands as schedulers see them, and standings across windows: what the agreed windows gave, attempt by
attempt, whatever moment they were replaced at. Refuses to choose (schedulers) and to agree (agreement.py).
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from bellwire.core.ids import RequestId
from bellwire.core.link_messages import ScheduleEntry, Window
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import LinkSettings
from bellwire.link_layer.agreement import frame_attempts
from bellwire.link_layer.schedulers.budgets import budget_lanes, pace_lanes
from bellwire.link_layer.schedulers.fair_queueing import after, served
from bellwire.link_layer.schedulers.table import scheduler_of
from bellwire.link_layer.schedulers.words import Demand, Divided, Frames, Key, Shares, Standing, Turn

DIVISIONS_KEPT: Final = 8
"""Divisions remembered until a window with them is agreed; of an older one the time is not accounted for."""


class Division:
    """Who is served by a link, window after window."""

    def __init__(self, link: LinkSettings) -> None:
        """Raises ConfigError for a scheduler that nobody knows, or a calendar that it cannot use."""
        self.together: Callable[[RequestId, int], int] = lambda request, tree: 1
        """Pairs that a request must have in one go; whoever serves atomic CREATEs puts its own here."""
        self.waiting: set[Key] = set()
        """Requests whose pairs keep their memories until pairs of other links come."""
        self.in_shifts = False
        """Whether the division that was made last is that of one shift."""
        self._link = link
        self._scheduler = scheduler_of(link)
        self.remembers = self._scheduler.remembers
        attempts = frame_attempts(link)
        self._frames = Frames(attempts, max(1, -(-link.lease_ns // link.period_ns // attempts)))
        self._window: Window | None = None  # agreed last; accounted for up to its first attempt
        self._standings: Mapping[Key, Standing] = {}
        self._turns: OrderedDict[Shares, Mapping[Key, Turn]] = OrderedDict()

    def shares(
        self,
        requests: Mapping[Key, LinkPlan],
        run: int | None,
        first: int,
        point: int,
        shift: int | None = None,
    ) -> Shares:
        """The division from attempt `first` of a run on; success is expected as at that operating point.
        shift: number of the present one, None: lanes do not work in shifts."""
        standings = self._standings
        if self._window is not None and self._window.run == run:
            standings = self._after(self._window, first)
        divided = self._divide(requests, standings, point, shift)
        self.in_shifts = divided.in_shifts
        if divided.turns:
            self._turns[divided.shares] = divided.turns
            self._turns.move_to_end(divided.shares)
            if len(self._turns) > DIVISIONS_KEPT:
                self._turns.popitem(last=False)
        return divided.shares

    def _divide(
        self,
        requests: Mapping[Key, LinkPlan],
        standings: Mapping[Key, Standing],
        point: int,
        shift: int | None,
    ) -> Divided:
        attempts = 1.0 / self._link.point(point).success_probability
        demands = [
            Demand(
                ScheduleEntry(request=request, tree=tree),
                plan,
                attempts,
                self.together(request, tree),
                budget_lanes(plan, self._link, point),
                pace_lanes(plan, self._link, point),
                waits=(request, tree) in self.waiting,
            )
            for (request, tree), plan in requests.items()
        ]
        frames = self._frames._replace(shift=shift)
        return self._scheduler.divide(self._link.lanes, demands, standings, frames)

    def agreed(self, window: Window) -> None:
        """A window rules from its first attempt on: what the one before gave until then counts."""
        if not self.remembers:
            return
        if self._window is not None and self._window.run == window.run:
            self._standings = self._after(self._window, window.first)
        self._window = None if window.rest else window

    def _after(self, window: Window, first: int) -> Mapping[Key, Standing]:
        """Standings when another window takes over at `first`."""
        turns = self._turns.get(Shares(window.owners, window.schedule, window.anchored))
        end = min(first, window.last + 1) - window.first
        round_lanes = self._link.lanes - len(window.owners)
        if end <= 0 or (turns is None and not self._standings):
            return self._standings
        if turns is None:
            return after(self._standings, {}, {}, end * max(1, round_lanes))
        had = served(window.schedule, len(window.owners), self._link.lanes, window.frame_attempts, end)
        return after(self._standings, turns, had, end * round_lanes)
