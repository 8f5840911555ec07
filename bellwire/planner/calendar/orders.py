"""The table of orders in which requests are served.

Owns names. Refuses the search (admission.py). A package may add orders under the entry point group
ENTRY_POINTS: callables like `best_order`, which get the schedule, the routes as they came and the bookings of
others. What they answer is checked like everything else (`faults_of`).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup
from bellwire.planner.calendar.admission import Outcome, Route, Schedule, best_order, faults_of, first_come
from bellwire.planner.calendar.bookings import Wish

ENTRY_POINTS: Final = "bellwire.calendars"

Order = Callable[[Schedule, Sequence[Route], Sequence[Wish]], Outcome]

ORDERS: Final[Mapping[str, Order]] = {"best": best_order, "first_come": first_come}


def orders_known() -> list[str]:
    """All names, those of other packages included; the table here wins when names collide."""
    return sorted({*ORDERS, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def order_of(name: str) -> Order:
    """The order of that name; what another package's answers is refused when it is at fault.

    Raises:
        ConfigError: nobody knows the name.
    """
    if name in ORDERS:
        return ORDERS[name]
    lookup("order", name, dict.fromkeys(orders_known()))
    (added,) = (point.load() for point in entry_points(group=ENTRY_POINTS) if point.name == name)
    order: Order = added

    def checked(schedule: Schedule, routes: Sequence[Route], beside: Sequence[Wish]) -> Outcome:
        outcome = order(schedule, routes, beside)
        faults = faults_of(schedule, outcome)
        if faults:
            raise ConfigError(f'order "{name}" of another package: {faults[0]}')
        return outcome

    return checked
