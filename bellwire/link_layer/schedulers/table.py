"""The table of schedulers.

Owns names. Refuses mechanism. A package may add schedulers under the entry point group ENTRY_POINTS:
callables that make a Scheduler of a link's settings.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup
from bellwire.core.settings import LinkSettings
from bellwire.link_layer.schedulers.calendar import CYCLE_MAX, Calendar
from bellwire.link_layer.schedulers.fair_queueing import WeightedFairQueueing
from bellwire.link_layer.schedulers.round_robin import StrictPriority, WeightedRoundRobin
from bellwire.link_layer.schedulers.words import Scheduler

ENTRY_POINTS: Final = "bellwire.schedulers"


def _calendar_of(link: LinkSettings) -> Scheduler:
    if not 1 <= len(link.calendar) <= CYCLE_MAX:
        raise ConfigError(
            f"the calendar of {link.link} has {len(link.calendar)} frames, a link under tdma needs 1 to "
            f"{CYCLE_MAX}"
        )
    return Calendar(link.calendar)


SCHEDULERS: Final[Mapping[str, Callable[[LinkSettings], Scheduler]]] = {
    "weighted_round_robin": lambda link: WeightedRoundRobin(),
    "strict_priority": lambda link: StrictPriority(),
    "weighted_fair_queueing": lambda link: WeightedFairQueueing(),
    "tdma": _calendar_of,
}


def known_schedulers() -> list[str]:
    """All names, those of other packages included; the table here wins when names collide."""
    return sorted({*SCHEDULERS, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def scheduler_of(link: LinkSettings) -> Scheduler:
    """The scheduler that a link names.

    Raises:
        ConfigError: nobody knows the name (the nearest is given), or the scheduler cannot use the link's
            calendar.
    """
    make = SCHEDULERS.get(link.scheduler)
    if make is None:
        lookup("scheduler", link.scheduler, dict.fromkeys(known_schedulers()))
        (make,) = (point.load() for point in entry_points(group=ENTRY_POINTS) if point.name == link.scheduler)
    return make(link)
