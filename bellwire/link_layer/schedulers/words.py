"""What a scheduler is asked, what it answers, and what it may remember.

Owns Demand, Shares, Standing and the Scheduler interface. Refuses mechanism.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

from bellwire.core.ids import RequestId
from bellwire.core.link_messages import ScheduleEntry
from bellwire.core.plans import LinkPlan

Key = tuple[RequestId, int]
"""Request and tree."""


class Demand(NamedTuple):
    """A request (and tree) that wants pairs of the link."""

    entry: ScheduleEntry
    plan: LinkPlan
    attempts: float  # expected attempts of one lane for one pair, at least 1
    together: int = 1  # pairs that must be made in one go: all that an atomic CREATE lacks, else 1
    budget: Fraction | None = None  # lanes that meet its rate, see budgets.py; None: it has no rate
    pace: Fraction | None = None  # lanes that it may have at most, see budgets.py; None: no limit
    waits: bool = False  # its pairs keep their memories until pairs of other links come


class Standing(NamedTuple):
    """How a request stands after all that a link has done for it, where a scheduler remembers it."""

    lag: Fraction  # lane-attempts that it was entitled to beyond what it had; negative: it is ahead
    done: int  # lane-attempts that its present job has had


class Turn(NamedTuple):
    """The part of a request in the lanes that go round."""

    part: Fraction  # lanes, 0 < part < 1
    job: int  # lane-attempts after which it has had its expected pair, in whole frames


class Shares(NamedTuple):
    """Owners of the first lanes, and the cycle that the other lanes go through together."""

    owners: tuple[ScheduleEntry, ...]
    cycle: tuple[ScheduleEntry, ...]
    anchored: bool = False  # the cycle is a calendar of the run, see `Window.anchored`


class Divided(NamedTuple):
    """An answer, with what is needed to keep account of it. `turns` is empty where nothing is remembered.

    in_shifts: another shift has another answer.
    """

    shares: Shares
    turns: Mapping[Key, Turn] = {}
    in_shifts: bool = False


class Frames(NamedTuple):
    """The steps of the next window."""

    attempts: int  # of one lane, in each
    number: int  # in the window
    shift: int | None = None  # number of the shift, see shifts.py; None: lanes do not work in shifts


class Lanes(NamedTuple):
    """Owners of the first lanes, and the parts of requests in the other lanes.

    working: of those who work in shifts, the part of all shifts in which they do.
    """

    owners: tuple[ScheduleEntry, ...]
    parts: tuple[tuple[Demand, Fraction], ...]  # in lanes, by name; each above 0 and below 1, or one alone
    working: Mapping[ScheduleEntry, Fraction] = {}


class Scheduler(Protocol):
    """Divides a link among those who want pairs. Pure: the answer follows from the arguments alone and does
    not depend on the order of `demands`."""

    @property
    def remembers(self) -> bool:
        """True when `history` counts; else nobody needs to keep it."""
        ...

    def divide(
        self, lanes: int, demands: Sequence[Demand], history: Mapping[Key, Standing], frames: Frames
    ) -> Divided:
        """Who is served by which lanes, and when, from the next window on. No demands: nobody."""
        ...
