"""Demands, windows and counts for the tests of schedulers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from bellwire.core.link_messages import ScheduleEntry, Window
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.binding import entry_for
from bellwire.link_layer.schedulers.words import Demand, Frames, Key, Scheduler, Shares, Standing

FRAMES = Frames(attempts=50, number=40)


def entry(name: str) -> ScheduleEntry:
    return ScheduleEntry(request=name, tree=0)


def window(
    first: int,
    last: int,
    fence: int,
    *names: str,
    frame: int = 1,
    owners: Sequence[str] = (),
    anchored: bool = False,
) -> Window:
    return Window(
        run=1,
        epoch_ns=0,
        fence=fence,
        first=first,
        last=last,
        frame_attempts=frame,
        schedule=tuple(entry(name) for name in names),
        owners=tuple(entry(name) for name in owners),
        anchored=anchored,
    )


def plan(
    name: str,
    lanes: int = 0,
    weight: int = 1,
    *,
    rate_hz: float = 0.0,
    priority: int = 0,
    background: bool = False,
    tree: int = 0,
) -> LinkPlan:
    return LinkPlan(
        request=name,
        tree=tree,
        link="a-b",
        partner="b",
        rate_hz=rate_hz,
        lanes=lanes,
        weight=weight,
        fidelity_min=None,
        priority=priority,
        background=background,
    )


def demand(
    one: LinkPlan, *, attempts: float = 20.0, together: int = 1, budget: Fraction | None = None
) -> Demand:
    """Somebody who wants what a plan says."""
    return Demand(ScheduleEntry(request=one.request, tree=one.tree), one, attempts, together, budget)


def divided(
    scheduler: Scheduler,
    lanes: int,
    *demands: Demand,
    history: Mapping[Key, Standing] | None = None,
    frames: Frames = FRAMES,
) -> Shares:
    return scheduler.divide(lanes, demands, history or {}, frames).shares


def written(shares: Shares) -> tuple[str, str]:
    """Owners and cycle by the names of their requests; a frame of nobody is a dot."""
    owners, cycle = ("".join(one.request or "." for one in part) for part in (shares.owners, shares.cycle))
    return owners, cycle


def lane_attempts(shares: Shares, lanes: int, first: int, last: int, frame: int) -> Counter[str]:
    """What each request has in a window, counted attempt by attempt by the binding rule."""
    one = Window(
        run=1,
        epoch_ns=0,
        fence=1,
        first=first,
        last=last,
        frame_attempts=frame,
        schedule=shares.cycle,
        owners=shares.owners,
        anchored=shares.anchored,
    )
    had: Counter[str] = Counter()
    for attempt in range(first, last + 1):
        for lane in range(lanes):
            bound = entry_for(one, attempt, lane)
            had["" if bound is None else bound.request] += 1
    return had
